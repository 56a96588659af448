"""The ``@local`` decorator: a function of the main program that gets values, and leaves values in its caller.

What tasks have written is brought into the very object, so that every name and container that refers to it shows it. Of
a future that is impossible: there the references themselves are replaced, as far as they can be found.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.api.functions import compss_wait_on
from taskflow.api.futures import Future
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def local(function: F) -> F:
    """Run a function in the main program, on values: its arguments are waited for. Written without parentheses.

    An argument that tasks have written (alone or in lists, tuples and dictionaries) has its new content afterwards in
    the caller, too, for all names that it has. A future is replaced by its value in the variables of the callers, in
    lists, dictionaries, attributes and closures; not in tuples and sets elsewhere. What has been waited for is not
    waited for again. Without a session the function is called as it is.

    Raises what the tasks raised.
    """
    if not callable(function):
        raise ArgumentError("@local is written without parentheses, directly above a function")

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if runtime.session is not None:
            seen: set[int] = set()
            args = tuple([_settled(value, seen) for value in args])
            kwargs = {name: _settled(value, seen) for name, value in kwargs.items()}
        return function(*args, **kwargs)

    return run  # type: ignore[return-value]


def _settled(value: Any, seen: set[int]) -> Any:
    """The value without anything pending in it: the same object if possible."""
    session = runtime.require()
    registry = session.registry
    if isinstance(value, Future):
        return _replaced(value, compss_wait_on(value))
    if registry and (registry.find(value) is not None or registry.has_cells(value)):
        found = compss_wait_on(value)
        if found is not value and not _take_over(value, found):
            return _replaced(value, found)
    if type(value) not in (list, dict, tuple) or id(value) in seen:
        return value
    seen.add(id(value))
    if type(value) is tuple:
        items = tuple([_settled(item, seen) for item in value])
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else _replaced(value, items)
    for place, item in value.items() if type(value) is dict else enumerate(value):
        settled = _settled(item, seen)
        if settled is not item:
            value[place] = settled  # an existing place: the size stays
    return value


# ---------------------------------------------------------------------- the same object with new content


def _take_over(old: Any, new: Any) -> bool:
    """Give an object the content of another one; False if that cannot be done."""
    kind = type(old)
    if type(new) is not kind:
        return False
    if kind is list or kind is bytearray:
        old[:] = new
    elif kind is dict or kind is set:
        old.clear()
        old.update(new)
    elif kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        if old.shape != new.shape or old.dtype != new.dtype or not old.flags.writeable:
            return False
        old[...] = new
    elif _is_all_in_dict(kind):
        vars(old).clear()
        vars(old).update(vars(new))
    else:
        return False
    return True


def _is_all_in_dict(kind: type) -> bool:
    """Whether the state of instances is their ``__dict__`` and nothing else, neither slots nor native data."""
    if not hasattr(kind, "__dictoffset__") or not kind.__dictoffset__ or kind.__itemsize__:
        return False
    native = kind.__basicsize__ - object.__basicsize__
    pointers = bool(kind.__dictoffset__ > 0) + bool(kind.__weakrefoffset__ > 0)
    return native <= pointers * object.__basicsize__ // 2


# ---------------------------------------------------------------------- another object in its place


def _replaced(old: Any, new: Any) -> Any:
    """Let everything that refers to an object refer to another one, which is returned."""
    for referrer in gc.get_referrers(old):
        if isinstance(referrer, list):
            for place, item in enumerate(referrer):
                if item is old:
                    referrer[place] = new
        elif isinstance(referrer, dict):
            _replace_in(referrer, old, new)
        elif isinstance(referrer, types.CellType):
            if not _is_ours(referrer):
                referrer.cell_contents = new
        elif not isinstance(referrer, (tuple, types.FrameType, types.ModuleType)):
            # Since Python 3.11 the attributes of an instance may be in itself instead of in a dictionary.
            attributes = getattr(referrer, "__dict__", None)
            if type(attributes) is dict:
                _replace_in(attributes, old, new)
    frame = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if frame.f_globals is not globals():
            _rebind(frame, old, new)
        frame = frame.f_back  # type: ignore[assignment]
    return new


def _is_ours(cell: types.CellType) -> bool:
    """Whether it belongs to a function of the runtime, such as a callback of the future."""
    closures = [referrer for referrer in gc.get_referrers(cell) if isinstance(referrer, tuple)]
    functions = [owner for closure in closures for owner in gc.get_referrers(closure)]
    return any(
        isinstance(owner, types.FunctionType) and owner.__module__.partition(".")[0] == "taskflow"
        for owner in functions
    )


def _replace_in(scope: dict[Any, Any], old: Any, new: Any) -> None:
    for name in [name for name, value in scope.items() if value is old]:
        scope[name] = new


def _rebind(frame: types.FrameType, old: Any, new: Any) -> None:
    """Replace the value of local variables of a function that is running."""
    scope = frame.f_locals  # asking twice would bring the old values back
    names = [name for name, value in scope.items() if value is old]
    for name in names:
        scope[name] = new
    if names and sys.version_info < (3, 13):  # from then on f_locals writes through
        import ctypes

        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
