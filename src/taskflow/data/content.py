"""What a value, a file or a folder contains, noted so that a later look tells whether it has changed.

For the check of declared directions only (`node.check`). The note of a value is a pickle of its own kind: classes and
functions are noted by identity, large arrays by a digest of their memory. Nothing of the value is kept alive or run
again. Where two notes differ, both are rebuilt from stand-ins and compared part by part: that finds the part that
changed, and sees through what pickle tells apart although a program cannot (which of two equal texts is shared, in
what order a set happens to be stored) and through caches that appear in an object when it is used.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import os
import pickle
import types
from typing import TYPE_CHECKING, Any

from taskflow.data.files import fingerprint
from taskflow.data.serialization import is_bare_array

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAY_LIMIT = 256 << 20  #: of a larger array only pieces, evenly spread, are looked at
PIECES = 256
PIECE = 1 << 20
NOTE_LIMIT = 16 << 20  #: a longer note is kept as its digest: the check can tell that it changed, but not where
FILE_LIMIT = 64 << 20  #: a larger file is judged by its size and time of modification

_NAMED = (
    type, types.FunctionType, types.ModuleType, types.GeneratorType, types.CodeType, types.CellType, property,
)  # fmt: skip


class Content:
    """A value as it was when this was made. Raises whatever its pickling raises."""

    __slots__ = ("_named", "_note", "nbytes")

    def __init__(self, value: Any) -> None:
        with io.BytesIO() as stream:
            notary = _Notary(stream)
            notary.dump(value)
            note = stream.getvalue()
        self.nbytes = len(note) + notary.array_bytes
        self._named = notary.named
        self._note = note if len(note) <= NOTE_LIMIT else _digest(note)

    def change(self, later: Content, name: str) -> str | None:
        """The part that differs in a later note of the same value (``name[3].x``), or None if none does."""
        if self._note == later._note and all(map(_is, self._named, later._named)):
            return None
        if len(self._note) == _DIGEST_SIZE or len(later._note) == _DIGEST_SIZE:
            return name
        try:
            return _difference(self._rebuild(), later._rebuild(), name, set())
        except Exception:  # noqa: BLE001  an exotic pickle: it differs, which is what counts
            return name

    def _rebuild(self) -> Any:
        return _Rebuilder(self._note, self._named).load()


def _is(one: Any, other: Any) -> bool:
    return one is other


class _Notary(pickle.Pickler):
    """Writes the note of a value."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=5)
        self.named: list[Any] = []
        self.array_bytes = 0
        self._places: dict[int, int] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Note code by identity and arrays by digest; the rest as pickle does."""
        if obj is _named or obj is _array:
            return NotImplemented
        if isinstance(obj, _NAMED) or (
            type(obj) is types.BuiltinFunctionType and isinstance(obj.__self__, (type, types.ModuleType, type(None)))
        ):
            place = self._places.setdefault(id(obj), len(self.named))
            if place == len(self.named):
                self.named.append(obj)
            return _named, (place,)
        if is_bare_array(obj):
            self.array_bytes += obj.nbytes
            return _array, (obj.dtype.str, obj.shape, _array_digest(obj))
        return NotImplemented


class _Rebuilder(pickle.Unpickler):
    """Rebuilds a note from stand-ins: no code of the user runs."""

    def __init__(self, note: bytes, named: list[Any]) -> None:
        super().__init__(io.BytesIO(note))
        self._stand_ins = [type("StandIn", (_StandIn,), {"original": original}) for original in named]

    def find_class(self, module: str, name: str) -> Any:
        """The two functions that notes refer to; a class for any other global."""
        if module == __name__:
            return self._stand_ins.__getitem__ if name == "_named" else _array
        return type("StandIn", (_StandIn,), {"original": f"{module}.{name}"})


class _StandIn:
    """An object of a note: what its class was, and what pickle would have built it from."""

    original: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> _StandIn:  # noqa: PYI034  there are subclasses only
        """Take whatever the class would be made of."""
        self = object.__new__(cls)
        self.__dict__.update(args=args, kwargs=kwargs, state=None, items=[], pairs=[])
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state

    def append(self, item: Any) -> None:
        self.__dict__["items"].append(item)

    add = append

    def extend(self, items: Any) -> None:
        self.__dict__["items"].extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__["pairs"].append((key, value))

    def __repr__(self) -> str:
        parts = [self.__dict__[part] for part in ("args", "kwargs", "state", "items", "pairs")]
        return f"<{self.original!r} {parts!r}>"


def _named(place: int) -> Any:
    """Stands in notes for a class, function or module. Never called: see `_Rebuilder.find_class`."""
    raise AssertionError(place)


class _Array(tuple[Any, ...]):
    """An array in a rebuilt note: its type, shape and digest."""

    __slots__ = ()


def _array(*description: Any) -> _Array:
    return _Array(description)


def _difference(one: Any, other: Any, name: str, seen: set[tuple[int, int]]) -> str | None:
    """The first part in which two rebuilt notes differ, or None."""
    if isinstance(one, _StandIn) and isinstance(other, _StandIn):
        if one.original is not other.original and one.original != other.original:
            return name
    elif isinstance(one, type) and isinstance(other, type) and issubclass(one, _StandIn):
        return None if issubclass(other, _StandIn) and one.original is other.original else name
    elif type(one) is not type(other):
        return name
    if (id(one), id(other)) in seen:
        return None
    if isinstance(one, _Array):
        return None if one == other else name
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return name
        seen.add((id(one), id(other)))
        pairs = enumerate(zip(one, other, strict=True))
        parts: Any = ((f"{name}[{place}]", left, right) for place, (left, right) in pairs)
    elif isinstance(one, dict):
        seen.add((id(one), id(other)))
        parts = _items(one, other, name)
    elif isinstance(one, (set, frozenset)):
        return None if one == other or sorted(map(repr, one)) == sorted(map(repr, other)) else name
    elif isinstance(one, _StandIn):
        seen.add((id(one), id(other)))
        parts = _members(one.__dict__, other.__dict__, one.original, name, seen)
    else:
        return None if one == other or (one != one and other != other) else name  # noqa: PLR0124  not-a-number
    for part, left, right in parts:
        found = _difference(left, right, part, seen)
        if found is not None:
            return found
    return None


def _items(one: dict[Any, Any], other: dict[Any, Any], name: str) -> Iterator[tuple[str, Any, Any]]:
    if len(one) != len(other):
        yield name, None, _GONE
    for (key, value), (other_key, other_value) in zip(one.items(), other.items()):  # noqa: B905  see above
        yield name, key, other_key
        yield (name if isinstance(key, (_StandIn, type)) else f"{name}[{key!r}]"), value, other_value


def _members(
    one: dict[str, Any], other: dict[str, Any], kind: Any, name: str, seen: set[tuple[int, int]]
) -> Iterator[tuple[str, Any, Any]]:
    """The parts of an object. What has no name of its own (arguments of the class, say) is one part."""
    states = [_attributes(side["state"]) for side in (one, other)]
    unnamed = ("args", "kwargs", "items") if None not in states else ("args", "kwargs", "items", "state")
    if any(_difference(one[part], other[part], name, seen) for part in unnamed):
        yield name, None, _GONE
    yield from _items(dict(one["pairs"]), dict(other["pairs"]), name)
    before, after = (state or {} for state in states)
    for key, value in before.items():
        yield f"{name}.{key}", value, after.get(key, _GONE)
    for key, value in after.items():
        if key not in before and not _is_cache(kind, key):
            yield f"{name}.{key}", _GONE, value


_GONE = object()


def _attributes(state: Any) -> dict[str, Any] | None:
    """The attributes in a pickled state, those in slots too; None if it is of the class's own making."""
    if state is None:
        return {}
    if isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, (dict, type(None))) for part in state):
        return {**(state[0] or {}), **(state[1] or {})}
    return state if isinstance(state, dict) else None


def _is_cache(kind: Any, name: str) -> bool:
    """Whether an attribute that has appeared is what using an object leaves behind, rather than a change of it."""
    if isinstance(kind, type) and isinstance(inspect.getattr_static(kind, name, None), functools.cached_property):
        return True
    return isinstance(name, str) and name.startswith("_")


# ---------------------------------------------------------------------- memory and files

_DIGEST_SIZE = 20


def _digest(data: Any) -> bytes:
    # SHA-1 is the fastest in the standard library on processors with instructions for it; no secret depends on it.
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _array_digest(array: Any) -> bytes:
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
    elif array.flags.f_contiguous:
        flat = array.T.reshape(-1)
    else:
        flat = array.flatten()
    if not array.nbytes:
        return b""
    memory = memoryview(flat.view("u1"))
    if memory.nbytes <= ARRAY_LIMIT:
        return _digest(memory)
    total = hashlib.sha1(usedforsecurity=False)
    for piece in range(PIECES):
        start = piece * (memory.nbytes - PIECE) // (PIECES - 1)
        total.update(memory[start : start + PIECE])
    return total.digest()


def path_content(path: str) -> Any:
    """What lies at a path: something that compares equal as long as that does not change. None: nothing."""
    if os.path.isdir(path):
        return [
            (os.path.join(folder, name), _file_content(os.path.join(folder, name)) if name in files else None)
            for folder, folders, files in sorted(os.walk(path))
            for name in sorted([*folders, *files])
        ]
    return _file_content(path)


def _file_content(path: str) -> Any:
    try:
        size = os.path.getsize(path)
        if size > FILE_LIMIT or not os.path.isfile(path):
            return fingerprint(path)
        with open(path, "rb") as file:
            total = hashlib.sha1(usedforsecurity=False)
            while chunk := file.read(PIECE):
                total.update(chunk)
            return total.digest()
    except FileNotFoundError:
        return None
