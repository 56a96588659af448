"""Values to bytes and back: pickle protocol 5 with out-of-band buffers, by value for what cannot be imported.

Called in the main program's threads (arguments) and in executors (results). A future met while an argument is pickled
is not an error: it is noted in `Encoded.futures`, travels as a number, and is replaced by its value when the argument
is decoded.
"""

from __future__ import annotations

import io
import pickle
import threading
import types
from typing import TYPE_CHECKING, Any, Protocol

from taskflow.model.errors import SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Encoded values of fewer bytes than this travel inside messages; larger ones go to shared segments.
INLINE_LIMIT = 65536

#: Types whose values are immutable and travel as they are, without being pickled one by one.
FIXED_TYPES = frozenset({int, float, bool, type(None), complex})
#: Longest text or bytes that travel as they are.
PLAIN_TEXT_LIMIT = 4096


class Tracked(Protocol):
    """Knows the objects that stand for data of tasks (see `data.tracking.Registry`)."""

    containers: set[int]

    def __bool__(self) -> bool:
        """Whether there is any."""
        ...

    def find(self, value: Any) -> Any:
        """The datum an object stands for, or None."""
        ...


class _State(threading.local):
    """What is being pickled or unpickled in this thread."""

    collected: list[Any] | None = None
    hidden: Sequence[Any] = ()
    tracked: Tracked | None = None
    on_array: Callable[[Any], None] | None = None  # called with each array before it is pickled


state = _State()


class Encoded:
    """A pickled value: in-band bytes, out-of-band buffers, and the futures met on the way."""

    __slots__ = ("buffers", "futures", "header", "nbytes")

    def __init__(self, header: bytes, buffers: list[memoryview], futures: list[Any]) -> None:
        self.header = header
        self.buffers = buffers
        self.futures = futures
        self.nbytes = len(header) + sum(buffer.nbytes for buffer in buffers)

    def blob(self) -> bytes | tuple[bytes, tuple[bytes, ...]]:
        """The value as plain picklable data, for a message."""
        if not self.buffers:
            return self.header
        return (self.header, tuple(map(bytes, self.buffers)))


class _ContainerUnpickler(pickle.Unpickler):
    def persistent_load(self, pid: int) -> Any:
        return _hidden(pid)


def is_plain(value: Any) -> bool:
    """Whether the value is immutable and small, so that it travels as it is."""
    kind = type(value)
    return kind in FIXED_TYPES or ((kind is str or kind is bytes) and len(value) <= PLAIN_TEXT_LIMIT)


def is_bare_array(value: Any) -> bool:
    """Whether it is a numpy array of plain numbers, and not of a subclass."""
    kind = type(value)
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy" and not value.dtype.hasobject


def encode(value: Any, path: str, tracked: Tracked | None = None) -> Encoded:
    """Pickle a value. ``path`` names it in errors (``args[1]``); ``tracked`` objects in it count as futures.

    Raises SerializationError naming the attribute path of what cannot be pickled.
    """
    pickled: list[pickle.PickleBuffer] = []
    if is_bare_array(value):
        if state.on_array is not None:
            state.on_array(value)
        # Nothing in it needs cloudpickle, which takes ten times as long.
        header = pickle.dumps(value, 5, buffer_callback=pickled.append)
        return Encoded(header, [buffer.raw() for buffer in pickled], [])
    previous = (state.collected, state.tracked)
    futures: list[Any] = []
    state.collected = futures
    state.tracked = tracked or None
    from taskflow.data.pickling import (  # cloudpickle is not imported before it is needed
        ContainerPickler,
        Pickler,
    )

    pickler = ContainerPickler if tracked and tracked.containers else Pickler
    try:
        with io.BytesIO() as stream:
            pickler(stream, protocol=5, buffer_callback=pickled.append).dump(value)
            header = stream.getvalue()
        buffers = [buffer.raw() for buffer in pickled]
    except Exception as error:  # noqa: BLE001  whatever it is, the value cannot travel
        raise _explain(value, path, error) from None
    finally:
        state.collected, state.tracked = previous
    return Encoded(header, buffers, futures)


def decode(header: bytes | memoryview, buffers: Iterable[Any] = (), hidden: Sequence[Any] = ()) -> Any:
    """Rebuild a value; ``hidden`` are the values of the futures that were met when it was pickled."""
    previous = state.hidden
    state.hidden = hidden
    try:
        if hidden:
            return _ContainerUnpickler(io.BytesIO(header), buffers=buffers).load()
        return pickle.loads(header, buffers=buffers)
    finally:
        state.hidden = previous


def decode_blob(blob: bytes | tuple[bytes, tuple[bytes, ...]], hidden: Sequence[Any] = ()) -> Any:
    """Rebuild a value from `Encoded.blob`; its arrays are writable."""
    if isinstance(blob, bytes):
        if not hidden:
            return pickle.loads(blob)
        return decode(blob, (), hidden)
    header, parts = blob
    return decode(header, [bytearray(part) for part in parts], hidden)


def note_future(future: Any) -> tuple[Any, tuple[int]]:
    """Reduce a future that is met inside an argument (called by its ``__reduce__``)."""
    collected = state.collected
    if collected is None:
        raise SerializationError(
            f"{future!r} cannot be pickled: a future has no value of its own. "
            f"Pass it to a task, or take its value with compss_wait_on first"
        )
    for position, known in enumerate(collected):
        if known is future:
            return _hidden, (position,)
    collected.append(future)
    return _hidden, (len(collected) - 1,)


def _hidden(position: int) -> Any:
    return state.hidden[position]


def _explain(value: Any, path: str, error: BaseException) -> SerializationError:
    culprit_path, culprit = _culprit(value, path, set(), 0)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    kind = type(culprit)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    reason = (
        f"is a {name}, which cannot be sent to another process ({text}). Create it inside the task, or give its class "
        f"a __reduce__ or __getstate__ that leaves it out"
    )
    return SerializationError.at(culprit_path, f"{culprit_path} {reason}", reason)


def _pickles(value: Any) -> bool:
    from taskflow.data.pickling import Pickler

    previous = state.collected
    state.collected = []
    try:
        Pickler(io.BytesIO(), protocol=5, buffer_callback=lambda _: None).dump(value)
    except Exception:  # noqa: BLE001  any failure means the same here
        return False
    finally:
        state.collected = previous
    return True


def _culprit(value: Any, path: str, seen: set[int], depth: int) -> tuple[str, Any]:
    """The innermost part of the value that cannot be pickled, and its attribute path."""
    if id(value) in seen or depth > 20:
        return path, value
    seen.add(id(value))
    for name, part in _parts(value):
        if not _pickles(part):
            return _culprit(part, path + name, seen, depth + 1)
    return path, value


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif isinstance(value, (set, frozenset)):
        yield from (("{...}", item) for item in value)
    elif isinstance(value, types.FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=False):
            try:
                yield f".<closure>.{name}", cell.cell_contents
            except ValueError:
                continue
        for name in value.__code__.co_names:
            if name in value.__globals__ and not isinstance(value.__globals__[name], types.ModuleType):
                yield f".<global>.{name}", value.__globals__[name]
    else:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            for name, item in attributes.items():
                yield f".{name}", item
        for slot in getattr(type(value), "__slots__", ()):
            if isinstance(slot, str) and hasattr(value, slot):
                yield f".{slot}", getattr(value, slot)
