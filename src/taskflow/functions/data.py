"""Data for examples and tests, and lists in parts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from taskflow.api.functions import compss_wait_on
from taskflow.api.task import task
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def _uniform(chance: random.Random) -> float:
    return chance.uniform(-1, 1)


def _normal(chance: random.Random) -> float:
    return chance.gauss(0, 1)


#: Name of a distribution -> one number of it.
_DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "random": random.Random.random, "normal": _normal, "uniform": _uniform,
}  # fmt: skip


def generator(
    size: tuple[int, int], num_frag: int, seed: int = 0, distribution: str = "random", wait: bool = False
) -> list[Any]:
    """A table of random numbers in ``num_frag`` fragments, each made by a task.

    ``size``: rows and columns of the table. A fragment is a list of ``rows // num_frag`` lists of numbers.
    ``distribution``: "random" (from 0 to 1), "normal" or "uniform" (from -1 to 1). All fragments are made with the same
    seed, so they are equal. With ``wait`` they are values, else futures.

    Raises ArgumentError for another distribution, or a number of fragments less than 1.
    """
    if distribution not in _DISTRIBUTIONS:
        raise ArgumentError(f"generator: distribution is one of {', '.join(_DISTRIBUTIONS)}, not {distribution!r}")
    if num_frag < 1:
        raise ArgumentError(f"generator: num_frag is 1 or more, not {num_frag!r}")
    rows, columns = size
    fragments = [_fragment(rows // num_frag, columns, seed, distribution) for _ in range(num_frag)]
    return list(compss_wait_on(fragments)) if wait else fragments


@task(returns=1)
def _fragment(rows: int, columns: int, seed: int, distribution: str) -> Any:
    chance = random.Random(seed)  # noqa: S311  test data that can be made again, no secret
    draw = _DISTRIBUTIONS[distribution]
    return [[draw(chance) for _ in range(columns)] for _ in range(rows)]


def chunks(lst: Sequence[Any], n: int, balanced: bool = False) -> Iterator[Any]:
    """The slices of a list of ``n`` elements each, the last perhaps with fewer.

    With ``balanced`` there are as many slices, but the elements that are too few for one more are spread over the first
    of them: lengths differ by one at most. Raises ArgumentError if ``n`` is less than 1.
    """
    if n < 1:
        raise ArgumentError(f"chunks: the number of elements is 1 or more, not {n!r}")
    return _slices(lst, n, balanced=balanced)


def _slices(lst: Sequence[Any], n: int, *, balanced: bool) -> Iterator[Any]:
    if not balanced or len(lst) % n == 0:
        for start in range(0, len(lst), n):
            yield lst[start : start + n]
        return
    count = max(len(lst) // n, 1)
    least, rest = divmod(len(lst), count)
    start = 0
    for number in range(count):
        end = start + least + (number < rest)
        yield lst[start:end]
        start = end
