"""Whether a piece of memory has been written to: the operating system tells, whoever wrote and by whatever means.

Linux can protect pages so that the first write to each only clears a mark (userfaultfd, asynchronous write protection,
since Linux 6.7); ``/proc/self/pagemap`` shows the marks. That costs about 1 ms for 100 MB, and a write to a marked
page a microsecond. No privilege is needed. Where the kernel is older, or a container forbids the call (Docker does by
default), nothing can be watched.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import struct
from mmap import PAGESIZE

_SYSCALLS = {"x86_64": 323, "aarch64": 282, "riscv64": 282}
_USER_MODE_ONLY = 1  # what an unprivileged process may open; writes by system calls are seen all the same
_FEATURES = 1 << 13 | 1 << 15  # also pages that do not exist yet; clear marks without telling anybody
_API, _REGISTER, _UNREGISTER, _PROTECT = 0xC018AA3F, 0xC020AA00, 0x8010AA01, 0xC018AA06
_MODE = 2  # of a registration: writes
_MARK = 0x02  # in the last byte of a page's little-endian entry

_opened: dict[int, int] = {}  # the descriptor of each process, -1 if there is none to be had


class WriteWatch:
    """Watches memory from its making to `end`. Raises OSError if that is not possible here."""

    def __init__(self, address: int, nbytes: int) -> None:
        begin, end = -(-address // PAGESIZE) * PAGESIZE, (address + nbytes) // PAGESIZE * PAGESIZE
        if begin >= end:
            begin = end = address + nbytes
        self._watcher = _descriptor()
        self._begin, self._nbytes = begin, end - begin
        # Others may write to the pages that are only partly the array's.
        self._edges = [
            (place, size, ctypes.string_at(place, size))
            for place, size in ((address, begin - address), (end, address + nbytes - end))
            if size
        ]
        self._pages = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self._nbytes:
                _control(self._watcher, _REGISTER, begin, self._nbytes, _MODE, 0)
                _control(self._watcher, _PROTECT, begin, self._nbytes, 1)
        except OSError:
            self.end()
            raise

    def written(self) -> bool:
        """Whether anything has been written since; True if that cannot be told any more."""
        if any(ctypes.string_at(place, size) != before for place, size, before in self._edges):
            return True
        count = self._nbytes // PAGESIZE
        try:
            entries = os.pread(self._pages, count * 8, self._begin // PAGESIZE * 8)
        except OSError:  # somebody has closed the descriptors of this process; that ends the watch, too
            return True
        return len(entries) != count * 8 or not all(flags & _MARK for flags in set(entries[7::8]))

    def end(self) -> None:
        """Let the memory be as it was before."""
        with contextlib.suppress(OSError):  # closed by somebody else, or the range was not registered
            os.close(self._pages)
        with contextlib.suppress(OSError):
            if self._nbytes:
                _control(self._watcher, _UNREGISTER, self._begin, self._nbytes)


def _descriptor() -> int:
    process = os.getpid()
    if process not in _opened:  # a forked child must not use its parent's, which watches the parent
        _opened[process] = _open()
    if _opened[process] < 0:
        raise OSError("this system does not tell who writes to memory")
    return _opened[process]


def _open() -> int:
    number = _SYSCALLS.get(platform.machine())
    if number is None or not os.access("/proc/self/pagemap", os.R_OK):
        return -1
    file = int(ctypes.CDLL(None, use_errno=True).syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY))
    if file >= 0:
        try:
            _control(file, _API, 0xAA, _FEATURES, 0)
        except OSError:
            os.close(file)
            return -1
    return file


def _control(file: int, request: int, *words: int) -> None:
    fcntl.ioctl(file, request, bytearray(struct.pack(f"{len(words)}Q", *words)))
