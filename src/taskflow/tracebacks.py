"""Exceptions shown as under ``python``: the user's frames only, through the user's ``sys.excepthook``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING

from taskflow.model.errors import TaskflowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: Beginnings of the file names of the import system. Before Python 3.11, a part of it that `-m` uses is not frozen.
_IMPORT_SYSTEM = ("<frozen ", os.path.dirname(importlib.__file__) + os.sep)
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = ("site-packages", "dist-packages")  #: folders in it that belong to others


def show(error: BaseException, *, whole: bool = False) -> None:
    """Report an exception nobody caught. ``whole`` keeps the frames of the runtime."""
    if not whole:
        cut(error)
    trace = error.__traceback__
    # As the interpreter does, for post-mortem debuggers.
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.last_exc = error  # type: ignore[attr-defined]
    _flush()
    try:
        sys.excepthook(type(error), error, trace)
    except BaseException as problem:  # noqa: BLE001  a broken hook must not hide the exception
        problem.__traceback__ = user_part(problem)
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
        cut(error)
        trace = error.__traceback__
    sys.__excepthook__(kind, error, trace)


def cut(error: BaseException) -> None:
    """Leave the user's frames in the traceback of an exception, and in those of all that are shown with it."""
    for linked in _linked(error):
        linked.with_traceback(user_part(linked))  # its class may forbid to set attributes


def user_part(error: BaseException) -> TracebackType | None:
    """Unlink the entries of the runtime, and those of the import system before the user's first.

    If the error is one of the runtime's own, also those of the standard library that the runtime has called.
    """
    kept: list[TracebackType] = []
    called_by_us = False
    for entry in _entries(error.__traceback__):
        file = entry.tb_frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            called_by_us = isinstance(error, TaskflowError)
        elif not (called_by_us and _is_of_python(file)):
            called_by_us = False
            kept.append(entry)
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


def _is_of_python(file: str) -> bool:
    if not file.startswith(_STANDARD_LIBRARY):
        return file.startswith("<frozen ")
    return not file[len(_STANDARD_LIBRARY) :].startswith(_INSTALLED)


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
        waiting += [current.__cause__, current.__context__]
        members = getattr(current, "exceptions", None)  # of a group; others may have something else there
        if isinstance(members, tuple):
            waiting += [member for member in members if isinstance(member, BaseException)]


def _flush() -> None:
    # It may be closed, or nobody listens; the interpreter says so at its end.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
