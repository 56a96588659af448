"""Reductions of lists as trees of calls. They work with task functions and with plain functions."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable


def merge_reduce(f: Callable[[Any, Any], Any], data: list[Any]) -> Any:
    """Reduce a list with a function of two elements, pair by pair, and the results again. None of an empty list.

    The first element of a pair is replaced by its result in ``data``, as programs may rely on. With a task function the
    result is a future. The function must be associative, and commutative unless the length is a power of two.
    """
    waiting = deque(range(len(data)))
    while len(waiting) > 1:
        first, second = waiting.popleft(), waiting.popleft()
        data[first] = f(data[first], data[second])
        waiting.append(first)
    return data[waiting[0]] if waiting else None


def merge_n_reduce(f: Callable[..., Any], arity: int, data: list[Any]) -> Any:
    """Reduce a list with a function of up to ``arity`` elements. None of an empty list; ``data`` is left as it is.

    Raises ArgumentError if ``arity`` is less than 2.
    """
    if arity < 2:
        raise ArgumentError(f"merge_n_reduce: arity is 2 or more, not {arity!r}")
    waiting = deque(data)
    while len(waiting) > 1:
        waiting.append(f(*[waiting.popleft() for _ in range(min(arity, len(waiting)))]))
    return waiting[0] if waiting else None
