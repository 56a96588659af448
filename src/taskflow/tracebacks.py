"""Exceptions shown as under ``python``: the user's frames only, through the user's ``sys.excepthook``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: Beginnings of the file names of the import system. Before Python 3.11, a part of it that `-m` uses is not frozen.
_IMPORT_SYSTEM = ("<frozen ", os.path.dirname(importlib.__file__) + os.sep)


def show(error: BaseException, *, whole: bool = False) -> None:
    """Report an exception nobody caught. ``whole`` keeps the frames of the runtime."""
    if not whole:
        _cut(error)
    trace = error.__traceback__
    # As the interpreter does, for post-mortem debuggers.
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.last_exc = error  # type: ignore[attr-defined]
    _flush()
    try:
        sys.excepthook(type(error), error, trace)
    except BaseException as problem:  # noqa: BLE001  a broken hook must not hide the exception
        problem.__traceback__ = user_part(problem.__traceback__)
        _write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(problem), problem, problem.__traceback__)
        _write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)


def show_uncaught() -> None:
    """Have this interpreter show uncaught exceptions so, unless the program shows them in a way of its own.

    With the level DEBUG of the logger ``taskflow`` they are shown as they are.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _hook


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging = sys.modules.get("logging")
    if logging is None or logging.getLogger("taskflow").getEffectiveLevel() > logging.DEBUG:
        _cut(error)
        trace = error.__traceback__
    sys.__excepthook__(kind, error, trace)


def _cut(error: BaseException) -> None:
    for linked in _linked(error):
        linked.__traceback__ = user_part(linked.__traceback__)


def user_part(trace: TracebackType | None) -> TracebackType | None:
    """Unlink the entries of the runtime, and those of the import system before the user's first."""
    kept = [entry for entry in _entries(trace) if not entry.tb_frame.f_code.co_filename.startswith(_PACKAGE)]
    while kept and kept[0].tb_frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
        del kept[0]
    if not kept:
        return None
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        if entry.tb_next is not following:
            entry.tb_next = following
    return kept[0]


def line_of_user() -> int:
    """The ``stacklevel`` of a `warnings.warn` in the caller that names the first line outside of taskflow."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _linked(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that are shown with it: causes, contexts, members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]


def _flush() -> None:
    # It may be closed, or nobody listens; the interpreter says so at its end.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
