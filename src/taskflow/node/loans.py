"""Held arrays that tasks read in place, instead of a private copy each.

A task may write to what it is given to read, and nobody else sees it. For a large array that is held here, the copy
this takes can cost more than the task. So the reader gets a view on which numpy refuses writes; if the body fails of
that, it is run again with a copy, and so are all later tasks of the function. Native code that writes to memory
whatever the flags of the array say is noticed by the operating system (`data.watching`); where that cannot be,
nothing is lent.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any

from taskflow.data.serialization import state
from taskflow.data.watching import WriteWatch
from taskflow.model.errors import CancelError, TimeOutError

if TYPE_CHECKING:
    from taskflow.node.report import Key

#: Bytes; what is smaller is copied in no time.
SMALLEST = 4 << 20

#: Modules known to write through an array's address without a look at its flags (``overwrite_a=True``,
#: ``torch.from_numpy(a).add_(1)``), or to compile another function for arrays that are read-only.
HEEDLESS = ("scipy.linalg", "torch", "tensorflow", "jax", "cupy", "numba", "cffi")


class Loan:
    """One array that is lent. Raises OSError if it cannot be watched."""

    def __init__(self, array: Any) -> None:
        self._watch = WriteWatch(array.__array_interface__["data"][0], array.nbytes)
        self.parts = _chain(array)
        self._locked = [part for part in self.parts if part.flags.writeable]
        for part in self._locked:  # the array that owns the memory too, or the view's flag could be switched back
            part.flags.writeable = False
        self._views: list[Any] = []

    def view(self) -> Any:
        """What the task is given."""
        view = self.parts[0].view()
        self._views.append(view)
        return view

    def unlock(self) -> None:
        """Let the array, and the views that were given out, be written again."""
        for part in (*reversed(self._locked), *self._views):
            part.flags.writeable = True

    def end(self) -> bool:
        """Unlock and forget the array; whether somebody has written to it."""
        self.unlock()
        self._views.clear()
        self._locked.clear()
        self.parts.clear()
        try:
            return self._watch.written()
        finally:
            self._watch.end()


def lend(loans: dict[Key, Loan], key: Key, array: Any) -> Any:
    """A view of a held array for the task with these loans; None if it must be given a copy."""
    loan = loans.get(key)
    if loan is None:
        if (
            array.nbytes < SMALLEST
            or not array.flags.writeable
            or not array.flags.forc
            or any(name in sys.modules for name in HEEDLESS)
        ):
            return None
        try:
            loan = loans[key] = Loan(array)
        except OSError:
            return None
        state.on_array = functools.partial(_unlock_part, loans)
    return loan.view()


def _unlock_part(loans: dict[Key, Loan], array: Any) -> None:
    """An array is about to be pickled: if it is part of one that was lent, it travels as part of a copy would."""
    if array.flags.writeable:
        return
    lenders = {id(part) for loan in loans.values() for part in loan.parts}
    if any(id(part) in lenders for part in _chain(array)):
        with contextlib.suppress(ValueError):  # the task has made it read-only some other way
            array.flags.writeable = True


def _chain(array: Any) -> list[Any]:
    """The array, the array that it is a view of, and so on."""
    parts = []
    while hasattr(array, "__array_interface__") and hasattr(array, "flags"):
        parts.append(array)
        array = array.base
    return parts


def may_be_for_want_of_a_copy(error: BaseException) -> bool:
    """Whether a body may have failed because an array was read-only.

    Libraries say so in many words, and raise ValueError, TypeError or BufferError; the error may have led to others.
    """
    if isinstance(error, (CancelError, TimeOutError)):
        return False
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, (ValueError, TypeError, BufferError)):
            return True
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return False
