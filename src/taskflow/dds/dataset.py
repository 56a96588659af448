"""The class `DDS`.

A data set is a list of partitions. A partition is either there (a list, or the future of one), or it is another
partition with one more step to be done. Steps gather without any task, and are done together, by one task per
partition, when something is asked for. What regroups elements between partitions calls its tasks at once.
"""

from __future__ import annotations

import functools
import itertools
import os
from typing import TYPE_CHECKING, Any

from taskflow.api.functions import compss_wait_on, compss_wait_on_file
from taskflow.dds import steps, tasks
from taskflow.dds.hashing import stable_hash
from taskflow.functions.data import chunks
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

_NOTHING: Any = object()


class Partition:
    """One partition: ``make(steps)`` gives its elements, or their future, after some steps."""

    def __init__(
        self, make: Callable[[tasks.Steps], Any] | None, before: Partition | None = None, step: Any = None
    ) -> None:
        self.make = make
        self.before = before
        self.step = step
        self.kept = _NOTHING

    @classmethod
    def there(cls, items: Any, *, futures: bool = False) -> Partition:
        """A partition whose elements are given; ``futures``: one by one, each may be a future."""
        made = cls(functools.partial(tasks.partition_of_futures if futures else tasks.partition, items))
        if not futures:
            made.kept = items
        return made

    def then(self, step: Callable[[list[Any]], list[Any]]) -> Partition:
        """The partition with one more step."""
        return Partition(None, self, step)

    def result(self) -> Any:
        """The elements or their future. The task is called once, and does all the steps since the last result."""
        if self.kept is _NOTHING:
            todo: list[Any] = []
            source = self
            while source.kept is _NOTHING and source.before is not None:
                todo.append(source.step)
                source = source.before
            todo.reverse()
            if source.kept is not _NOTHING:
                self.kept = tasks.partition(source.kept, tuple(todo))
            else:
                assert source.make is not None
                self.kept = source.make(tuple(todo))
        return self.kept


class DDS:
    """A distributed data set. It begins empty; a method ``load...`` fills it and returns it.

    >>> from taskflow.dds import DDS
    >>> DDS().load(range(10), 3).map(lambda x: x * x).filter(lambda x: x % 2).sum()
    165

    All other methods leave it as it is. Those that give a data set are lazy: the functions are called, in tasks, when
    values are asked for. Functions are sent to the executors; they must not rely on changing globals.
    """

    def __init__(self) -> None:
        self.partitions: list[Partition] = []

    def __repr__(self) -> str:
        return f"<data set of {len(self.partitions)} partitions>"

    @classmethod
    def _of(cls, partitions: Iterable[Partition]) -> Self:
        made = cls()
        made.partitions = list(partitions)
        return made

    def _then(self, step: Callable[..., Any], *bound: Any) -> Self:
        whole = functools.partial(step, *map(_plain, bound)) if bound else _plain(step)
        return self._of(partition.then(whole) for partition in self.partitions)

    # ------------------------------------------------------------------ loading

    def load(self, iterator: Iterable[Any], num_of_parts: int = 10, paac: bool = False) -> Self:
        """Fill it with the elements of an iterable, in ``num_of_parts`` partitions of about the same size.

        With ``num_of_parts=-1`` each element is a partition: a list, or the future of one. ``paac``: the elements (or
        with -1 those of each partition) are futures. A dictionary gives its pairs, sorted by key.

        Raises ArgumentError for another number of partitions that is less than 1.
        """
        items = sorted(iterator.items()) if isinstance(iterator, dict) else list(iterator)
        if num_of_parts == -1:
            self.partitions += [Partition.there(item, futures=paac) for item in items]
            return self
        if num_of_parts < 1:
            raise ArgumentError(f"load: num_of_parts is 1 or more, or -1 if each element is one, not {num_of_parts!r}")
        self.partitions += [Partition.there(part, futures=paac) for part in _split(items, num_of_parts)]
        return self

    def load_file(self, file_path: str, chunk_size: int = 1024, worker_read: bool = False) -> Self:
        """Fill it with the text of a file: each partition is a list of one text of ``chunk_size`` characters.

        With ``worker_read`` the tasks read the file, which must not change until they have; else it is read now.
        """
        _positive("load_file", "chunk_size", chunk_size)
        path = os.path.abspath(file_path)
        start = 0
        with open(path, encoding="utf-8", newline="") as file:
            while text := file.read(chunk_size):
                if worker_read:
                    end = start + len(text.encode())
                    self.partitions.append(Partition(functools.partial(tasks.read_range, path, start, end)))
                    start = end
                else:
                    self.partitions.append(Partition.there([text]))
        return self

    def load_text_file(self, file_name: str, chunk_size: int = 1024, in_bytes: bool = True, strip: bool = True) -> Self:
        """Fill it with the lines of a file; a partition has about ``chunk_size`` bytes of them, or so many lines.

        With ``strip`` the lines come without their ends and the blanks round them.
        """
        _positive("load_text_file", "chunk_size", chunk_size)
        lines: list[str] = []
        size = 0
        with open(file_name, encoding="utf-8", newline="") as file:
            for line in file:
                lines.append(line.strip() if strip else line)
                size += len(line.encode()) if in_bytes else 1
                if size >= chunk_size:
                    self.partitions.append(Partition.there(lines))
                    lines, size = [], 0
        if lines:
            self.partitions.append(Partition.there(lines))
        return self

    def load_files_from_dir(self, dir_path: str, num_of_parts: int = -1) -> Self:
        """Fill it with the pairs of the path and the text of each file in a folder, sorted by name.

        The tasks read the files. There is a partition for each file, or ``num_of_parts`` of them.
        """
        paths = _files_in(dir_path)
        parts = [[path] for path in paths] if num_of_parts == -1 else _split(paths, num_of_parts)
        self.partitions += [Partition(functools.partial(tasks.read_files, part)) for part in parts]
        return self

    def load_pickle_files(self, dir_path: str) -> Self:
        """Fill it with the lists pickled in the files of a folder, one partition for each. The tasks read the files.

        Loading pickles runs code that is in them: do not load files of strangers.
        """
        self.partitions += [Partition(functools.partial(tasks.read_pickle, path)) for path in _files_in(dir_path)]
        return self

    def union(self, *args: DDS) -> Self:
        """The partitions of this data set and of others."""
        return self._of([*self.partitions, *[part for other in args for part in other.partitions]])

    def num_of_partitions(self) -> int:
        """The number of partitions."""
        return len(self.partitions)

    # ------------------------------------------------------------------ each element

    def map(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """``f(element, *args, **kwargs)`` of each element."""
        return self._then(steps.mapped, f, args, kwargs)

    def flat_map(self, f: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> Self:
        """All that ``f(element, *args, **kwargs)`` gives for each element."""
        return self._then(steps.flat_mapped, f, args, kwargs)

    def filter(self, f: Callable[[Any], Any]) -> Self:
        """The elements that ``f`` is true of."""
        return self._then(steps.filtered, f)

    def map_partitions(self, f: Callable[[list[Any]], Iterable[Any]]) -> Self:
        """All that ``f`` gives for the list of a partition's elements."""
        return self._then(f)

    def map_values(self, f: Callable[[Any], Any]) -> Self:
        """Of pairs: ``(key, f(value))``."""
        return self._then(steps.with_values, f)

    def flatten_by_key(self, f: Callable[[Any], Iterable[Any]]) -> Self:
        """Of pairs: ``(key, item)`` for each item that ``f(value)`` gives."""
        return self._then(steps.with_each_value, f)

    def keys(self) -> Self:
        """Of pairs: the keys."""
        return self._then(steps.first_of_pairs)

    def values(self) -> Self:
        """Of pairs: the values."""
        return self._then(steps.second_of_pairs)

    def key_by(self, f: Callable[[Any], Any]) -> Self:
        """The pairs ``(f(element), element)``."""
        return self._then(steps.keyed, f)

    # ------------------------------------------------------------------ values

    def collect(self, keep_partitions: bool = False, future_objects: bool = False) -> list[Any]:
        """The elements in a list; ``keep_partitions``: a list of lists; ``future_objects``: a list of their futures."""
        results = [partition.result() for partition in self.partitions]
        if future_objects:
            return results
        parts = [list(part) for part in compss_wait_on(results)]
        return parts if keep_partitions else [item for part in parts for item in part]

    def collect_as_dict(self) -> dict[Any, Any]:
        """Of pairs: a dictionary. Of several values of a key it has the last."""
        return dict(self.collect())

    def take(self, num: int) -> list[Any]:
        """The first ``num`` elements, or all if there are not so many. Only partitions that it takes are computed."""
        if num < 0:
            raise ArgumentError(f"take: the number of elements is 0 or more, not {num!r}")
        found: list[Any] = []
        for partition in self.partitions:
            if len(found) >= num:
                break
            found += compss_wait_on(partition.result())
        return found[:num]

    def foreach(self, f: Callable[[Any], Any]) -> None:
        """Call ``f`` with each element, in tasks, and wait for them. Raises what ``f`` raises."""
        self._then(steps.called, f).collect()

    def reduce(self, f: Callable[[Any, Any], Any], initial: Any = _NOTHING, arity: int = -1) -> Any:
        """What an associative function of two elements makes of all, in order, from the left.

        ``initial`` comes before the first element. ``arity``: how many partial results a task reduces, 2 or more; by
        default one task reduces those of all partitions. Raises ArgumentError for another arity, and for an empty data
        set without ``initial``.
        """
        parts = [partition.result() for partition in self._then(steps.reduced, f).partitions]
        if initial is not _NOTHING:
            parts.insert(0, [initial])
        found = compss_wait_on(_tree(lambda some: tasks.reduced_parts(some, _plain(f)), parts, arity, "reduce"))
        if not found:
            raise ArgumentError("reduce: the data set is empty, and there is no initial value")
        return found[0]

    def sum(self) -> Any:
        """The sum of the elements, 0 if there are none."""
        return sum(self._then(steps.summed).collect())

    def count(self) -> int:
        """The number of elements."""
        return sum(self._then(steps.counted).collect())

    def count_by_value(self, arity: int = 2, as_dict: bool = True, as_fo: bool = False) -> Any:
        """How often each element is there: a dictionary; ``as_fo``: its future; not ``as_dict``: a data set of pairs.

        ``arity``: how many partial counts a task adds up, 2 or more.
        """
        if not as_dict and not as_fo:
            return self._then(steps.paired_with_one).reduce_by_key(_add)
        parts = [partition.result() for partition in self._then(steps.tallied).partitions]
        found = tasks.only(_tree(tasks.added_tallies, parts or [[{}]], arity, "count_by_value"))
        return found if as_fo else compss_wait_on(found)

    def count_by_key(self, as_dict: bool = False) -> Any:
        """Of pairs: how often each key is there, as a data set of pairs, or a dictionary."""
        return self.keys().count_by_value(as_dict=as_dict)

    # ------------------------------------------------------------------ regrouping

    def partition_by(
        self,
        partitioner_func: Callable[[Any], int] = stable_hash,
        num_of_partitions: int = -1,
        *then: Callable[[list[Any]], list[Any]],
    ) -> Self:
        """Of pairs: those of key ``k`` in partition ``partitioner_func(k) % num_of_partitions``, in order.

        There are as many partitions as before, if nothing is said. ``then``: what else is done to the new partitions.
        """
        count = self._number("partition_by", num_of_partitions)
        return self._regrouped(lambda part: tasks.hashed_buckets(part, _plain(partitioner_func), count), count, then)

    def combine_by_key(
        self,
        creator_func: Callable[[Any], Any],
        combiner_func: Callable[[Any, Any], Any],
        merger_function: Callable[[Any, Any], Any],
        total_parts: int = -1,
    ) -> Self:
        """Of pairs: each key once, with its values combined.

        In a partition, ``creator_func(value)`` of the first value is combined with the others by
        ``combiner_func(combined, value)``; ``merger_function`` merges what two partitions have made.
        """
        combined = self._then(steps.combined, creator_func, combiner_func)
        return combined.partition_by(stable_hash, total_parts, functools.partial(steps.merged, _plain(merger_function)))

    def reduce_by_key(self, f: Callable[[Any, Any], Any]) -> Self:
        """Of pairs: each key once, with what an associative function of two makes of its values."""
        return self.combine_by_key(steps.same, f, f)

    def group_by_key(self, num_of_parts: int = -1) -> Self:
        """Of pairs: each key once, with the list of its values."""
        return self.combine_by_key(steps.as_list, steps.appended, steps.extended, num_of_parts)

    def distinct(self) -> Self:
        """Each of the elements once. They must be hashable."""
        return self._then(steps.paired_with_nothing).reduce_by_key(_first).keys()

    def join(self, other: DDS, num_of_partitions: int = -1) -> Self:
        """Of pairs: ``(key, (value, other value))`` for each two of a key that is in both data sets."""
        count = num_of_partitions
        if count == -1:
            count = max(len(self.partitions), len(other.partitions), 1)
        left = self.partition_by(num_of_partitions=count).partitions
        right = other.partition_by(num_of_partitions=count).partitions
        return self._of(
            Partition.there(tasks.joined(one.result(), two.result())) for one, two in zip(left, right, strict=True)
        )

    def sort_by_key(
        self, ascending: bool = True, num_of_parts: int | None = None, key_func: Callable[[Any], Any] = steps.same
    ) -> Self:
        """Of pairs: sorted by ``key_func(key)``, also from one partition to the next. Equal keys stay in order."""
        key_func = _plain(key_func)
        count = self._number("sort_by_key", -1 if num_of_parts is None else num_of_parts)
        found = [tasks.samples(partition.result(), key_func, count) for partition in self.partitions]
        bounds = tasks.bounds_between(found, count)
        then = (functools.partial(steps.sorted_by_key, key_func, ascending),)
        regrouped = self._regrouped(lambda part: tasks.ranged_buckets(part, key_func, bounds, count), count, then)
        if not ascending:
            regrouped.partitions.reverse()
        return regrouped

    def _number(self, what: str, wanted: int) -> int:
        count = max(len(self.partitions), 1) if wanted == -1 else wanted
        _positive(what, "the number of partitions", count)
        return count

    def _regrouped(self, buckets_of: Callable[[Any], Any], count: int, then: tasks.Steps) -> Self:
        """The elements in new partitions: the first bucket of each of the old ones, the second, and so on."""
        rows = []
        for partition in self.partitions:
            buckets = buckets_of(partition.result())
            rows.append(buckets if count > 1 else [buckets])
        return self._of(Partition.there(tasks.gathered([row[place] for row in rows], then)) for place in range(count))

    # ------------------------------------------------------------------ saving

    def save_as_text_file(self, path: str) -> None:
        """Write a file for each partition, with a line for each element, and wait for them.

        The files are called ``00000``, ``00001`` and so on; the folder is made if it is missing.
        """
        self._save(tasks.write_text, path)

    def save_as_pickle(self, path: str) -> None:
        """Write a pickled list for each partition, to files as of `save_as_text_file`, and wait for them."""
        self._save(tasks.write_pickle, path)

    def _save(self, write: Callable[[Any, str], None], folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        paths = [os.path.join(folder, f"{number:05}") for number in range(len(self.partitions))]
        for partition, path in zip(self.partitions, paths, strict=True):
            write(partition.result(), path)
        compss_wait_on_file(paths)


def _plain(value: Any) -> Any:
    """Of a task function the function itself: it is called inside a task, which wants values and not futures."""
    return getattr(value, "__taskflow_function__", value)


def _tree(merge: Callable[[list[Any]], Any], parts: list[Any], arity: int, what: str) -> Any:
    """Merge neighbours, ``arity`` at a time, until one is left; -1: all at once."""
    if arity == -1:
        return merge(parts)
    if arity < 2:
        raise ArgumentError(f"{what}: arity is 2 or more, or -1 for all at once, not {arity!r}")
    while len(parts) > 1:
        parts = [merge(some) if len(some) > 1 else some[0] for some in chunks(parts, arity)]
    return parts[0] if parts else merge(parts)


def _split(items: list[Any], count: int) -> list[list[Any]]:
    """As many slices as are wanted, of lengths that differ by one at most."""
    _positive("load", "num_of_parts", count)
    size, rest = divmod(len(items), count)
    ends = [place * size + min(place, rest) for place in range(count + 1)]
    return [items[start:end] for start, end in itertools.pairwise(ends)]


def _positive(what: str, name: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(f"{what}: {name} is 1 or more, not {value!r}")


def _files_in(folder: str) -> list[str]:
    folder = os.path.abspath(folder)
    return [path for name in sorted(os.listdir(folder)) if os.path.isfile(path := os.path.join(folder, name))]


def _add(one: Any, other: Any) -> Any:
    return one + other


def _first(one: Any, other: Any) -> Any:  # noqa: ARG001
    return one
