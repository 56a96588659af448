"""The picklers of values that travel: cloudpickle's, and what the runtime adds. Imported when first needed."""

from __future__ import annotations

import types
import weakref
from typing import TYPE_CHECKING, Any

import cloudpickle
from cloudpickle.cloudpickle import _class_setstate

from taskflow.data.serialization import note_future, state

if TYPE_CHECKING:
    from collections.abc import Iterable


#: Classes that travelled by value, apart by whether this process has the original or a copy.
_originals: weakref.WeakSet[type] = weakref.WeakSet()
_copies: weakref.WeakSet[type] = weakref.WeakSet()


def set_class_state(kind: type, content: Any) -> None:
    """Fill in a class that arrived by value, unless it is this process's own that comes back with an instance.

    The copy that comes back is a view of the past: it must replace neither attributes set since then nor methods.
    """
    if kind in _originals:
        return
    _copies.add(kind)
    _class_setstate(kind, content)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles by value what cannot be imported, tracked objects as their data, generators as what is still to come."""

    def reducer_override(self, obj: Any) -> Any:
        """Reduce generators and tracked objects; the rest is cloudpickle's."""
        if type(obj) is types.GeneratorType:
            return generate, (list(obj),)
        if state.on_array is not None and type(obj).__name__ == "ndarray":
            state.on_array(obj)
        tracked = state.tracked
        if tracked is not None:
            datum = tracked.find(obj)
            if datum is not None:
                return note_future(datum)
        reduced = super().reducer_override(obj)
        if type(reduced) is tuple and reduced[-1] is _class_setstate:
            if obj not in _copies:
                _originals.add(obj)
            reduced = (*reduced[:-1], set_class_state)
        return reduced


class ContainerPickler(Pickler):
    """Also sees lists, dictionaries and sets, which the pickler otherwise writes without asking."""

    def persistent_id(self, obj: Any) -> int | None:
        """The number of a tracked container; None for everything else."""
        tracked = state.tracked
        if tracked is not None and id(obj) in tracked.containers:
            datum = tracked.find(obj)
            if datum is not None:
                return note_future(datum)[1][0]
        return None


def generate(items: list[Any]) -> Iterable[Any]:
    """A generator rebuilt from what the original would still have yielded."""
    yield from items
