"""The tasks behind data sets. ``steps`` are done to the elements first: see `taskflow.dds.steps`."""

from __future__ import annotations

import functools
import itertools
import pickle
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskflow.api.parameter import COLLECTION_IN, FILE_OUT
from taskflow.api.task import task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Steps = tuple["Callable[[list[Any]], list[Any]]", ...]

SAMPLES = 20  #: keys of each partition that the bounds of a sorted data set are made from, per partition made


def _done(items: Iterable[Any], steps: Steps) -> list[Any]:
    found = list(items)
    for step in steps:
        found = list(step(found))
    return found


@task(returns=1)
def partition(items: Any, steps: Steps) -> Any:
    """The elements of a partition."""
    return _done(items, steps)


@task(returns=1, items=COLLECTION_IN)
def partition_of_futures(items: Any, steps: Steps) -> Any:
    """The elements of a partition that are given one by one."""
    return _done(items, steps)


# ---------------------------------------------------------------------- reading and writing


@task(returns=1)
def read_range(path: str, start: int, end: int, steps: Steps) -> Any:
    """A list with a piece of a text file, from one byte to another."""
    with open(path, "rb") as file:
        file.seek(start)
        return _done([file.read(end - start).decode()], steps)


@task(returns=1)
def read_files(paths: Sequence[str], steps: Steps) -> Any:
    """The pairs of the path and the content of text files."""
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            found.append((path, file.read()))
    return _done(found, steps)


@task(returns=1)
def read_pickle(path: str, steps: Steps) -> Any:
    """The elements in a file that `write_pickle` has written."""
    with open(path, "rb") as file:
        return _done(pickle.load(file), steps)


@task(path=FILE_OUT)
def write_text(items: Any, path: str) -> None:
    """A file with a line for each element."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{item}\n" for item in items)


@task(path=FILE_OUT)
def write_pickle(items: Any, path: str) -> None:
    """A file with the pickled list of the elements."""
    with open(path, "wb") as file:
        pickle.dump(list(items), file, protocol=5)


# ---------------------------------------------------------------------- several partitions


@task(returns=1, parts=COLLECTION_IN)
def reduced_parts(parts: Any, function: Callable[[Any, Any], Any]) -> Any:
    """A list of the one element that a function of two makes of the elements of all; empty if there are none."""
    items = list(itertools.chain.from_iterable(parts))
    return [functools.reduce(function, items)] if items else []


@task(returns=1, parts=COLLECTION_IN)
def added_tallies(parts: Any) -> Any:
    """A list of the one dictionary with the numbers of all."""
    total: Counter[Any] = Counter()
    for tally in itertools.chain.from_iterable(parts):
        total.update(tally)
    return [dict(total)]


@task(returns=1)
def only(part: Any) -> Any:
    """The one element of a list."""
    return part[0]


@task(returns="value_of(count)")
def hashed_buckets(items: Any, function: Callable[[Any], int], count: int) -> Any:
    """The pairs in as many lists as are wanted, by what a function of the key says."""
    buckets: list[list[Any]] = [[] for _ in range(count)]
    for pair in items:
        buckets[int(function(pair[0])) % count].append(pair)
    return buckets if count > 1 else buckets[0]


@task(returns="value_of(count)")
def ranged_buckets(items: Any, key_func: Callable[[Any], Any], bounds: list[Any], count: int) -> Any:
    """The pairs in as many lists as are wanted, by the bounds between which their keys are."""
    buckets: list[list[Any]] = [[] for _ in range(count)]
    for pair in items:
        buckets[bisect_right(bounds, key_func(pair[0]))].append(pair)
    return buckets if count > 1 else buckets[0]


@task(returns=1, buckets=COLLECTION_IN)
def gathered(buckets: Any, steps: Steps) -> Any:
    """One partition of several lists."""
    return _done(itertools.chain.from_iterable(buckets), steps)


@task(returns=1)
def samples(items: Any, key_func: Callable[[Any], Any], count: int) -> Any:
    """Some of the keys of a partition, at equal distances in their order."""
    keys = sorted(key_func(key) for key, _ in items)
    step = max(1, len(keys) // (SAMPLES * count))
    return keys[step // 2 :: step]


@task(returns=1, found=COLLECTION_IN)
def bounds_between(found: Any, count: int) -> Any:
    """The ``count - 1`` keys that divide the samples evenly (fewer, if there are not so many)."""
    keys = sorted(itertools.chain.from_iterable(found))
    return [keys[place * len(keys) // count] for place in range(1, count)] if keys else []


@task(returns=1)
def joined(left: Any, right: Any) -> Any:
    """The pairs of each key that is in both, and the pair of its values."""
    others: dict[Any, list[Any]] = {}
    for key, value in right:
        others.setdefault(key, []).append(value)
    return [(key, (value, other)) for key, value in left for other in others.get(key, ())]
