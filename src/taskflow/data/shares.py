"""What a process of the run gives to others, and where it puts what it gets."""

from __future__ import annotations

import errno
import hashlib
import hmac
import itertools
import os
import re
from typing import NamedTuple

from taskflow.data.files import remove_any
from taskflow.data.spares import free_spares, remove_segment

# Kinds of items.
SEGMENT_ITEM = "segment"
FILE_ITEM = "file"
DIRECTORY_ITEM = "directory"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_numbers = itertools.count(1)


class RefusedError(Exception):
    """What was asked for cannot be had here; the message says why. ``absent``: it is not there (any more)."""

    def __init__(self, why: str, *, absent: bool = False) -> None:
        super().__init__(why)
        self.absent = absent


def ticket(secret: str, path: str) -> str:
    """What makes a process serve one path that is not in its folders: only who knows its secret can write tickets."""
    return hmac.new(secret.encode(), path.encode(), hashlib.sha256).hexdigest()


class Item(NamedTuple):
    """A segment by its name, a file or a directory by its path; ``ticket``: see there, or ""."""

    kind: str
    name: str
    ticket: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Shares:
    """The folders of one process: ``segments``, and ``roots`` with files and directories below them.

    ``secret``: with its tickets, other paths are served as well; "" means none.
    """

    def __init__(self, segments: str, roots: list[str], secret: str = "") -> None:
        self.segments = segments
        self.roots = [os.path.realpath(root) for root in roots]
        self.secret = secret

    def source(self, item: Item) -> str:
        """The path to read an item from. Raises RefusedError if it is none that is served."""
        if item.kind == SEGMENT_ITEM:
            return self._segment(item.name)
        self._check(item)
        if self.secret and item.ticket and hmac.compare_digest(item.ticket, ticket(self.secret, item.name)):
            return item.name
        return self._below_roots(item, os.path.realpath(item.name))

    def target(self, item: Item) -> str:
        """The path to put an item at. Raises RefusedError if nothing may be put there."""
        if item.kind == SEGMENT_ITEM:
            return self._segment(item.name)
        self._check(item)
        folder, name = os.path.split(item.name)
        if name in ("", ".", ".."):
            raise RefusedError(f"{item.name!r} names no file")
        return self._below_roots(item, f"{os.path.realpath(folder)}/{name}")

    def drop(self, item: Item) -> None:
        """Remove an item that is not needed any more, if it is there. Raises RefusedError and OSError."""
        if item.kind == SEGMENT_ITEM:
            remove_segment(self.segments, os.path.basename(self._segment(item.name)))
        else:
            remove_any(self.target(item))

    def _segment(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise RefusedError(f"{name!r} is no name of a segment")
        return f"{self.segments}/{name}"

    @staticmethod
    def _check(item: Item) -> None:
        if item.kind not in (FILE_ITEM, DIRECTORY_ITEM):
            raise RefusedError(f"there is no kind of item {item.kind!r}")
        if not item.name.startswith("/") or "\0" in item.name or ".." in item.name.split("/"):
            raise RefusedError(f"{item.name!r} is no absolute path")

    def _below_roots(self, item: Item, real: str) -> str:
        if not any(real.startswith(f"{root}/") for root in self.roots):
            raise RefusedError(f"{item.name} is not in a folder that is served")
        return real


def temporary_for(target: str) -> str:
    """A path beside the target for what is not whole yet."""
    folder, name = os.path.split(target)
    return f"{folder}/.{name[:150]}.part-{os.getpid()}-{next(_numbers)}"


def check_room(folder: str, nbytes: int) -> None:
    """Raise OSError (ENOSPC) if the disk that a folder is on has no room for so many bytes."""
    free = _free(folder)
    if nbytes > free and free_spares(folder):
        free = _free(folder)
    if nbytes > free:
        raise OSError(errno.ENOSPC, f"no room for {nbytes:,} bytes in {folder}: {free:,} are free")


def _free(folder: str) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
