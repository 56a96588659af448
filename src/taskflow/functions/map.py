"""A map that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskflow.api.functions import compss_wait_on
from taskflow.functions.data import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def map(func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:  # noqa: A001
    """Call a task function for each element, wait, and return the list of results.

    With ``chunksize`` it is called for each list of so many elements, and there is a result per list. Raises what a
    task raised, and ArgumentError if ``chunksize`` is less than 1.
    """
    items = iterable if chunksize is None else chunks(list(iterable), chunksize)
    return list(compss_wait_on([func(item) for item in items]))
