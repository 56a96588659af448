"""Large values in shared memory: one file per value, mapped copy-on-write by whoever reads it.

A segment is written once, by the process that made the value, and never changed. Readers map it private: reading
copies nothing, and a task that scribbles on its IN parameter hurts nobody. The master owns the life of a segment: its
`Segment` handle removes the file when no version needs it any more; mappings that still exist keep their pages.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskflow.data.serialization import Encoded, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What names a segment on the wire: (file name, bytes of the header, ((offset, length) of each buffer, ...), size).
Descriptor = tuple[str, int, tuple[tuple[int, int], ...], int]

ALIGNMENT = 64
_WRITE_CHUNK = 1 << 30


class Segment:
    """The master's handle of one segment; the file goes with it."""

    __slots__ = ("_directory", "descriptor")

    def __init__(self, directory: str, descriptor: Descriptor) -> None:
        self._directory = directory
        self.descriptor = descriptor

    @property
    def nbytes(self) -> int:
        """Size of the value in bytes."""
        return self.descriptor[3]

    def __del__(self) -> None:
        try:
            os.unlink(f"{self._directory}/{self.descriptor[0]}")  # noqa: PTH108  must not import or allocate much here
        except OSError:
            pass  # the whole folder was removed first


class Store:
    """Writes and reads segments in one folder. ``owner`` keeps the file names of two processes apart."""

    def __init__(self, directory: str | os.PathLike[str], owner: str) -> None:
        self.directory = os.fspath(directory)
        self._owner = owner
        self._count = 0

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
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, pieces)
        except OSError as error:
            Path(path).unlink(missing_ok=True)
            raise OSError(
                error.errno, f"no room for a value of {position:,} bytes in {self.directory} ({error.strerror})"
            ) from error
        finally:
            os.close(descriptor)
        return (name, len(encoded.header), tuple(spans), position)

    def read(self, descriptor: Descriptor, hidden: Sequence[Any] = ()) -> Any:
        """Map a segment and rebuild its value; arrays are views of the private mapping, and writable."""
        name, header_length, spans, size = descriptor
        file = os.open(f"{self.directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            view = memoryview(mmap.mmap(file, size, access=mmap.ACCESS_COPY))
        finally:
            os.close(file)
        buffers = [view[start : start + length] for start, length in spans]
        return decode(view[:header_length], buffers, hidden)


def _write_all(file: int, pieces: list[Any]) -> None:
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view.nbytes:
            view = view[os.write(file, view[:_WRITE_CHUNK]) :]


def shared_memory_folder() -> Path:
    """Where segments go: ``/dev/shm`` if it can be written, else the folder for temporary files."""
    folder = Path("/dev/shm")  # noqa: S108  the run makes a private folder of its own in it
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return folder
    import tempfile

    return Path(tempfile.gettempdir())
