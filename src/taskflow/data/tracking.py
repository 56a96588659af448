"""Objects and files of the main program that tasks write: which datum each of them is.

An object is known by identity. Entries never keep an object alive for longer than the main program could use it:
objects that allow weak references are held weakly, the others (lists, dictionaries, plain ``object()``) are let go
once nobody but the registry refers to them (checked each time the registry has doubled).
"""

from __future__ import annotations

import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any

from taskflow.core.graph import Datum, Version

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_SWEEP = 512
_CONTAINERS = (list, dict, set, tuple)


class Entry:
    """One tracked object. ``owner`` is the object itself, or a weak reference to it."""

    __slots__ = ("datum", "owner", "weak")

    def __init__(self, datum: Datum, owner: Any, *, weak: bool) -> None:
        self.datum = datum
        self.owner = owner
        self.weak = weak


_probe = [Entry(Datum(Version(0)), object(), weak=False)]
#: What `sys.getrefcount` says of an object that only its entry refers to.
_LONE_REFERENCES = sys.getrefcount(_probe[0].owner)


class Registry:
    """Tracked objects by identity, and tracked cells of containers.

    A cell is an element of a collection whose value has no identity of its own (a number, a text): it is known by the
    container's identity and its place, as long as the container still has the very same value there.
    ``release`` is called with the datum of an entry that went.
    """

    def __init__(self, release: Callable[[Datum], None]) -> None:
        self._entries: dict[int, Entry] = {}
        self._cells: dict[int, tuple[Any, dict[Any, tuple[Any, Datum]]]] = {}
        #: Identities of tracked objects of the types that are pickled without a chance to interfere.
        self.containers: set[int] = set()
        self._release = release
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._entries) + len(self._cells)

    def __bool__(self) -> bool:
        return bool(self._entries) or bool(self._cells)

    def find(self, value: Any) -> Datum | None:
        """The datum of a tracked object, or None."""
        entry = self._entries.get(id(value))
        if entry is None:
            return None
        owner = entry.owner() if entry.weak else entry.owner
        return entry.datum if owner is value else None

    def add(self, value: Any, datum: Datum) -> None:
        """Track an object from now on."""
        identity = id(value)
        if type(value) in _CONTAINERS:
            self.containers.add(identity)
        try:
            reference = weakref.ref(value, functools.partial(self._died, identity))
        except TypeError:
            self._entries[identity] = Entry(datum, value, weak=False)
            if len(self) > self._sweep_at:
                self.sweep()
        else:
            self._entries[identity] = Entry(datum, reference, weak=True)

    def discard(self, value: Any) -> bool:
        """Track an object (and the cells of a container) no longer; tell whether it was tracked."""
        entry = self._forget(id(value))
        cells = self._cells.pop(id(value), None)
        if entry is not None:
            self._release(entry.datum)
        if cells is not None:
            for _, datum in cells[1].values():
                self._release(datum)
        return entry is not None or cells is not None

    def find_cell(self, container: Any, place: Any, value: Any) -> Datum | None:
        """The datum of a container's element without identity, or None."""
        known = self._cells.get(id(container))
        if known is None or known[0] is not container:
            return None
        cell = known[1].get(place)
        return cell[1] if cell is not None and cell[0] is value else None

    def add_cell(self, container: Any, place: Any, value: Any, datum: Datum) -> None:
        """Track an element without identity."""
        known = self._cells.get(id(container))
        if known is None or known[0] is not container:
            known = self._cells[id(container)] = (container, {})
            if len(self) > self._sweep_at:
                self.sweep()
        known[1][place] = (value, datum)

    def has_cells(self, container: Any) -> bool:
        """Whether some element of the container is tracked by its place."""
        return id(container) in self._cells

    def items(self) -> list[tuple[Any, Datum]]:
        """All tracked objects that still exist, with their data."""
        pairs = [(entry.owner() if entry.weak else entry.owner, entry.datum) for entry in self._entries.values()]
        return [(owner, datum) for owner, datum in pairs if owner is not None]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._cells.clear()
        self.containers.clear()

    def sweep(self) -> None:
        """Let go of objects that only the registry refers to."""
        for identity, entry in list(self._entries.items()):
            if not entry.weak and sys.getrefcount(entry.owner) <= _LONE_REFERENCES:
                self._forget(identity)
                self._release(entry.datum)
        for identity in list(self._cells):
            # Referred to by the tuple only (and by the call's argument).
            if sys.getrefcount(self._cells[identity][0]) <= _LONE_REFERENCES:
                for _, datum in self._cells.pop(identity)[1].values():
                    self._release(datum)
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self))

    def _forget(self, identity: int) -> Entry | None:
        self.containers.discard(identity)
        return self._entries.pop(identity, None)

    def _died(self, identity: int, _: object = None) -> None:
        entry = self._forget(identity)
        if entry is not None:
            self._release(entry.datum)


class FileDatum(Datum):
    """A file or directory of the main program, known by its absolute path."""

    __slots__ = ("directory", "path")

    def __init__(self, current: Version, path: str, *, directory: bool) -> None:
        super().__init__(current)
        self.path = path
        self.directory = directory
