"""Large values in shared memory: one file per value, mapped copy-on-write by whoever reads it.

A segment is written once, by the process that made the value, and never changed. Readers map it private: reading
copies nothing, and a task that scribbles on its IN parameter hurts nobody. The master owns the life of a segment: its
`Segment` handle removes the file when no version needs it any more; mappings that still exist keep their pages (see
`data.spares`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import mmap
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from taskflow.data.serialization import Encoded, decode
from taskflow.data.spares import create_segment, free_spares, remove_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What names a segment on the wire: (file name, bytes of the header, ((offset, length) of each buffer, ...), size).
Descriptor = tuple[str, int, tuple[tuple[int, int], ...], int]

ALIGNMENT = 64
_second_names = itertools.count(1)
_WRITE_CHUNK = 1 << 30


class Segment:
    """The master's handle of one segment; the file goes with it."""

    __slots__ = ("_directory", "_process", "descriptor")

    #: When the interpreter ends, modules are emptied before the last handles go; their folder goes as a whole.
    _is_finalizing = staticmethod(sys.is_finalizing)

    def __init__(self, directory: str, descriptor: Descriptor) -> None:
        self._directory = directory
        self._process = os.getpid()
        self.descriptor = descriptor

    @property
    def nbytes(self) -> int:
        """Size of the value in bytes."""
        return self.descriptor[3]

    def __reduce__(self) -> Any:
        """Whoever gets the pickle gets a file name of their own: the segment is there as long as one handle is."""
        name, *rest = self.descriptor
        own = f"{name}-{next(_second_names)}"
        os.link(f"{self._directory}/{name}", f"{self._directory}/{own}")
        return Segment, (self._directory, (own, *rest))

    def give_away(self) -> Descriptor:
        """Another handle has the segment from now on."""
        self._process = -1
        return self.descriptor

    def __del__(self) -> None:
        if self._is_finalizing() or os.getpid() != self._process:
            return  # a forked child dropped its copy of the handle
        with contextlib.suppress(OSError):  # the whole folder was removed first
            remove_segment(self._directory, self.descriptor[0])


class Store:
    """Writes and reads segments in one folder. ``owner`` keeps the file names of two processes apart.

    ``keep_mappings``: segments are likely to be read again, as by the tasks of one executor (see `KeptMappings`).
    """

    def __init__(self, directory: str | os.PathLike[str], owner: str, *, keep_mappings: bool = False) -> None:
        self.directory = os.fspath(directory)
        # Part of the folder's name, so that a handle from an earlier session names nothing here.
        self._owner = f"{os.path.basename(self.directory)[-8:]}-{owner}"
        self._count = 0
        #: Makes the handle of a segment that was written here; other than `Segment` in a run with several nodes.
        self.handle: Callable[[Descriptor], Segment] = functools.partial(Segment, self.directory)
        self._mappings = KeptMappings(self.directory) if keep_mappings else None

    def write(self, encoded: Encoded) -> Descriptor:
        """Write an encoded value to a new segment.

        Raises OSError (ENOSPC) when shared memory is full, naming the folder and the size.
        """
        self._count += 1
        name = f"{self._owner}-{self._count}"
        position = len(encoded.header)
        spans: list[tuple[int, int]] = []
        pieces: list[Any] = [encoded.header]
        for buffer in encoded.buffers:
            padding = -position % ALIGNMENT
            if padding:
                pieces.append(bytes(padding))
                position += padding
            spans.append((position, buffer.nbytes))
            pieces.append(buffer)
            position += buffer.nbytes
        path = f"{self.directory}/{name}"
        file = create_segment(self.directory, path, position)
        try:
            _write_all(file, pieces, self.directory)
            os.ftruncate(file, position)
        except OSError as error:
            os.unlink(path)
            raise OSError(
                error.errno, f"no room for a value of {position:,} bytes in {self.directory} ({error.strerror})"
            ) from error
        finally:
            os.close(file)
        return (name, len(encoded.header), tuple(spans), position)

    def keep(self, encoded: Encoded) -> Segment:
        """As `write`; the handle of the new segment."""
        return self.handle(self.write(encoded))

    def map(self, name: str, size: int) -> mmap.mmap:
        """A new private mapping of a segment."""
        file = os.open(f"{self.directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return mmap.mmap(file, size, access=mmap.ACCESS_COPY)
        finally:
            os.close(file)

    def read(self, descriptor: Descriptor, hidden: Sequence[Any] = ()) -> Any:
        """Map a segment and rebuild its value; arrays are views of the private mapping, and writable."""
        name, header_length, spans, size = descriptor
        mapping = self._mappings.find(name) if self._mappings is not None else None
        if mapping is None:
            mapping = self.map(name, size)
            if self._mappings is not None:
                self._mappings.keep(name, mapping)
        view = memoryview(mapping)
        buffers = [view[start : start + length] for start, length in spans]
        return decode(view[:header_length], buffers, hidden)


#: A weak reference to an object, the header of its pickle, its segment and a mapping of that.
_Snapshot = tuple["weakref.ref[Any]", bytes, Segment, mmap.mmap]


class Snapshots:
    """Segments of large objects that the main program passes to task after task, so that each is written once.

    An object may change between two calls, so its present bytes are compared with those in the segment: 12 ms for
    100 MB, against 40 ms and another 100 MB of memory for writing them again. Entries go with their objects. There
    is room for the blocks of a matrix, all of which a program may pass to tasks in turn, again and again.
    """

    SMALLEST = 1 << 20  #: bytes
    LIMIT = 256  #: objects; each keeps a file descriptor
    LIMIT_BYTES = 4 << 30

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, _Snapshot] = {}

    def segment_of(self, value: Any, encoded: Encoded) -> Segment:
        """The segment that holds the value as it is now; written if there is none."""
        store = self._store
        if encoded.nbytes < self.SMALLEST or not encoded.buffers:
            return store.keep(encoded)
        identity = id(value)
        known = self._known.pop(identity, None)
        if known is not None and known[0]() is value and known[1] == encoded.header:
            _, _, segment, mapping = known
            if _same_bytes(encoded.buffers, mapping, segment.descriptor[2]):
                self._known[identity] = known  # now the most recently used
                return segment
        segment = store.keep(encoded)
        try:
            reference = weakref.ref(value, functools.partial(self._forget, identity))
        except TypeError:
            return segment
        mapping = store.map(segment.descriptor[0], segment.nbytes)
        self._known[identity] = (reference, encoded.header, segment, mapping)
        total = sum([known[2].nbytes for known in list(self._known.values())])
        while len(self._known) > self.LIMIT or (total > self.LIMIT_BYTES and len(self._known) > 1):
            oldest = self._known.pop(next(iter(self._known)))
            total -= oldest[2].nbytes
        return segment

    def _forget(self, identity: int, _: object) -> None:
        self._known.pop(identity, None)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()


def _same_bytes(buffers: list[memoryview], mapping: mmap.mmap, spans: tuple[tuple[int, int], ...]) -> bool:
    import ctypes

    if [buffer.nbytes for buffer in buffers] != [length for _, length in spans]:
        return False
    compare = ctypes.CDLL(None).memcmp
    compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    for buffer, (start, length) in zip(buffers, spans, strict=True):
        if buffer.readonly:
            return False
        ours = ctypes.c_char.from_buffer(buffer)
        stored = ctypes.c_char.from_buffer(mapping, start)
        if compare(ctypes.addressof(ours), ctypes.addressof(stored), length):
            return False
    return True


class KeptMappings:
    """Private mappings kept for the next reader: mapping 100 MB anew costs 10 ms of page faults, a kept one nothing.

    A kept mapping is only handed out again if nobody refers to it any more and not one of its pages was written to:
    the kernel tells (``/proc/self/pagemap``: a page of a private mapping that was written is no file page any more).
    """

    LIMIT = 64  #: mappings
    LIMIT_BYTES = 2 << 30

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._kept: dict[str, mmap.mmap] = {}

    def find(self, name: str) -> mmap.mmap | None:
        """The kept mapping of a segment, if it is as good as new."""
        mapping = self._kept.pop(name, None)
        # Two references: this variable and the call's argument. A reader's buffer would be a third.
        if mapping is None or sys.getrefcount(mapping) > 2 or not _is_untouched(mapping):
            return None
        self._kept[name] = mapping  # now the most recently used
        return mapping

    def keep(self, name: str, mapping: mmap.mmap) -> None:
        """Keep a mapping that has just been made; let go of those whose segments are gone or were used long ago."""
        for other in [other for other in self._kept if not os.path.exists(f"{self._directory}/{other}")]:
            del self._kept[other]
        self._kept[name] = mapping
        total = sum(map(len, self._kept.values()))
        while len(self._kept) > self.LIMIT or (total > self.LIMIT_BYTES and len(self._kept) > 1):
            oldest = next(iter(self._kept))
            total -= len(self._kept.pop(oldest))


_PRESENT_OR_SWAPPED = 0xC0
_FILE_PAGE = 0x20


def _is_untouched(mapping: mmap.mmap) -> bool:
    """Whether no page of a private mapping has been written to. False if that cannot be found out."""
    import ctypes

    anchor = ctypes.c_char.from_buffer(mapping)
    address = ctypes.addressof(anchor)
    del anchor
    pages = -(-len(mapping) // mmap.PAGESIZE)
    try:
        file = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        entries = os.pread(file, pages * 8, address // mmap.PAGESIZE * 8)
    except OSError:
        return False
    finally:
        os.close(file)
    # The flags are in the last byte of each little-endian entry.
    flags = set(entries[7::8])
    return len(entries) == pages * 8 and all(flag & _FILE_PAGE or not flag & _PRESENT_OR_SWAPPED for flag in flags)


def _write_all(file: int, pieces: list[Any], folder: str) -> None:
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view.nbytes:
            try:
                view = view[os.write(file, view[:_WRITE_CHUNK]) :]
            except OSError as error:
                if error.errno != errno.ENOSPC or not free_spares(folder):
                    raise
