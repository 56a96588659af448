"""The memory of large segments that nobody needs any more, kept for the next ones.

Pages that are written for the first time cost the system several times what writing to them again costs: it has to
find them, to clear them and, in a virtual machine, to get them from the host. So a segment that is dropped becomes a
*spare*, in a folder beside the segments, and whoever writes one takes a spare in place of a new file. All processes of
a node share them: who renames a file has it.

A dropped segment may still be mapped, by a task that has kept its argument, say. A spare is used only if that is not
so: the system grants a write lease only for a file that nobody else has open or mapped, whichever process it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os

SMALLEST = 1 << 20  #: bytes; smaller segments are cheap
LIMIT = 32  #: spares of one folder
LIMIT_BYTES = 2 << 30  #: of all spares of a folder
SHARE = 16  #: and at most one part in so many of the disk that the folder is on

_FOLDER = ".spares"
_numbers = itertools.count(1)


def remove_segment(folder: str, name: str) -> None:
    """Nobody needs the segment any more. Raises OSError if there is none."""
    path = f"{folder}/{name}"
    status = os.stat(path)
    # With a second name it is somebody else's segment, too.
    if status.st_size >= SMALLEST and status.st_nlink == 1 and _has_room(folder, status.st_size):
        with contextlib.suppress(OSError):
            _keep(folder, path, status.st_size)
            return
    os.unlink(path)


def create_segment(folder: str, path: str, size: int) -> int:
    """A file, open to be written, at ``path`` (which must not exist): new, or a spare, with whatever is in that.

    Raises OSError.
    """
    if size >= SMALLEST:
        for spare in sorted(_spares(folder), key=lambda found: (found[1] < size, abs(found[1] - size))):
            file = _take(f"{folder}/{_FOLDER}/{spare[0]}", path)
            if file >= 0:
                return file
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)


def free_spares(folder: str) -> bool:
    """Give the memory of all spares back, because there is no room for something else; whether there were any."""
    spares = _spares(folder)
    for name, _ in spares:
        with contextlib.suppress(FileNotFoundError):  # somebody has just taken it
            os.unlink(f"{folder}/{_FOLDER}/{name}")
    return bool(spares)


def _spares(folder: str) -> list[tuple[str, int]]:
    """Name and size of each."""
    try:
        names = os.listdir(f"{folder}/{_FOLDER}")
    except FileNotFoundError:
        return []
    return [(name, int(name.split("-")[0])) for name in names]


def _has_room(folder: str, size: int) -> bool:
    spares = _spares(folder)
    status = os.statvfs(folder)
    limit = min(LIMIT_BYTES, status.f_blocks * status.f_frsize // SHARE)
    return len(spares) < LIMIT and size + sum(nbytes for _, nbytes in spares) <= limit


def _keep(folder: str, path: str, size: int) -> None:
    spare = f"{folder}/{_FOLDER}/{size}-{os.getpid()}-{next(_numbers)}"
    try:
        os.rename(path, spare)
    except FileNotFoundError:
        os.makedirs(f"{folder}/{_FOLDER}", mode=0o700, exist_ok=True)
        os.rename(path, spare)


def _take(spare: str, path: str) -> int:
    """The spare, open, at ``path``; -1 if somebody else has taken it or still uses what was in it."""
    try:
        os.rename(spare, path)
    except FileNotFoundError:
        return -1
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        os.close(file)
        os.rename(path, spare)  # it may be free the next time
        return -1
    except OSError:  # no leases on this disk
        os.close(file)
        os.unlink(path)
        return -1
    return file
