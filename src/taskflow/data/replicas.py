"""What the values of versions are when a run has several nodes: segments and files of which nodes have copies.

They stand in a version's ``value`` where `Segment`, `OwnedPath` and plain paths stand on one machine, and can be used
like these as long as home has a copy. The kernel reads ``places`` (numbers of the nodes that have a copy; it adds and
takes away), ``at(number)`` (also true where a shared disk has it), ``nbytes`` and ``lost``. The engine takes
``descriptor``, which is valid on every node with a copy, or ``path_at(number)`` when it writes a task for an executor,
and calls ``put_at`` before a copy is made. Nobody has to free anything: when the last version lets go of a handle, the
copies at home are removed and `Ledger.drops` says what other nodes may remove.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from taskflow.data.files import OwnedPath
from taskflow.data.shares import DIRECTORY_ITEM, FILE_ITEM, SEGMENT_ITEM
from taskflow.data.store import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.data.store import Descriptor

HOME = 0
DIRECTORY_BYTES = 1 << 20  #: what a directory is reckoned with while nobody has counted

#: (name of a shared disk, where it is mounted), of one node.
Disks = tuple[tuple[str, str], ...]


class Ledger:
    """What all handles of a run share.

    ``segments``: the folder of segments at home. ``drops``: (number of a node, kind, name) of what is not needed there
    any more.
    """

    def __init__(self, segments: str, home_disks: Sequence[tuple[str, str]] = ()) -> None:
        self.segments = segments
        self.drops: deque[tuple[int, str, str]] = deque()
        self.process = os.getpid()
        self._disks: dict[int, Disks] = {HOME: _cleaned(home_disks)}

    def join(self, number: int, disks: Sequence[tuple[str, str]]) -> None:
        """A node has joined, on which these shared disks are mounted."""
        self._disks[number] = _cleaned(disks)

    def translate(self, path: str, place: int, number: int) -> str | None:
        """What a path of one node is called on another that shares its disk; None if it does not."""
        theirs = self._disks.get(number)
        if not theirs:
            return None
        longest = ""
        found = None
        for name, mount in self._disks.get(place, ()):
            if len(mount) >= len(longest) and (path == mount or path.startswith(f"{mount.rstrip('/')}/")):
                for other, there in theirs:
                    if other == name:
                        longest, found = mount, there.rstrip("/") + path[len(mount.rstrip("/")) :]
        return found

    def segment(self, descriptor: Descriptor, number: int = HOME) -> ReplicatedSegment:
        """The handle of a segment that a node has made."""
        return ReplicatedSegment(self, descriptor, number)

    def made(self, path: str, number: int, *, directory: bool, nbytes: int = 0) -> ReplicatedPath:
        """The handle of what a task has made at a path of a node."""
        return ReplicatedPath(self, path, number, directory=directory, nbytes=nbytes)

    def drop(self, number: int, path: str, *, directory: bool) -> None:
        """A file of a node that is no version of anything is not needed."""
        self.drops.append((number, DIRECTORY_ITEM if directory else FILE_ITEM, path))

    def own(self, path: str, *, directory: bool) -> UserPath:
        """The handle of the user's own file at home."""
        return UserPath(self, path, directory=directory)


def _cleaned(disks: Sequence[tuple[str, str]]) -> Disks:
    return tuple([(name, os.path.normpath(mount)) for name, mount in disks])


class ReplicatedSegment(Segment):
    """A segment. All nodes know it by the same name, each in its own folder."""

    __slots__ = ("__weakref__", "_ledger", "places")

    def __init__(self, ledger: Ledger, descriptor: Descriptor, number: int) -> None:
        super().__init__(ledger.segments, descriptor)
        self._ledger = ledger
        self.places = {number}

    def at(self, number: int) -> bool:
        """Whether the node has a copy."""
        return number in self.places

    @property
    def lost(self) -> bool:
        """Whether there is no copy any more."""
        return not self.places

    def source_at(self, number: int) -> str:  # noqa: ARG002  the same everywhere
        """By which name a node that has a copy gives it to others."""
        return self.descriptor[0]

    @property
    def kind(self) -> str:
        """The kind of item that it is for `data.transfers`."""
        return SEGMENT_ITEM

    @property
    def base_name(self) -> str:
        """Not of a file, so it has none."""
        return ""

    def put_at(self, number: int, path: str, nbytes: int = 0) -> None:
        """A copy is about to be made on the node. It has the name that it has everywhere."""

    def __repr__(self) -> str:
        return f"<segment {self.descriptor[0]} of {self.nbytes:,} bytes at nodes {sorted(self.places)}>"

    def __del__(self) -> None:
        if self._is_finalizing():
            return
        if HOME in self.places:
            super().__del__()
        if os.getpid() == self._ledger.process:
            for number in self.places:
                if number != HOME:
                    self._ledger.drops.append((number, SEGMENT_ITEM, self.descriptor[0]))


class _Paths:
    """The paths of a file or directory on several nodes."""

    _ledger: Ledger
    _nbytes: int
    directory: bool
    paths: dict[int, str]  #: by node, for copies that are there or on their way
    places: set[int]

    def at(self, number: int) -> bool:
        """Whether the node can read it."""
        return number in self.places or self._shared(number) is not None

    def _shared(self, number: int) -> str | None:
        for place in self.places:
            path = self._ledger.translate(self.paths[place], place, number)
            if path is not None:
                return path
        return None

    @property
    def lost(self) -> bool:
        """Whether there is no copy any more."""
        return not self.places

    @property
    def nbytes(self) -> int:
        """Its size in bytes; a guess for a directory that was never moved."""
        if self.directory:
            return self._nbytes or DIRECTORY_BYTES
        if not self._nbytes and HOME in self.places:
            try:
                self._nbytes = os.path.getsize(self.paths[HOME])
            except OSError:
                return 0  # the task that reads it is told
        return self._nbytes

    def path_at(self, number: int) -> str:
        """Where it is on a node that can read it, or will be when it has arrived there."""
        if number not in self.places:
            shared = self._shared(number)
            if shared is not None:
                return shared
        return self.paths[number]

    def source_at(self, number: int) -> str:
        """By which name a node that has a copy gives it to others."""
        return self.paths[number]

    @property
    def kind(self) -> str:
        """The kind of item that it is for `data.transfers`."""
        return DIRECTORY_ITEM if self.directory else FILE_ITEM

    @property
    def base_name(self) -> str:
        """Its name, without folders."""
        return os.path.basename(next(iter(self.paths.values())))

    def put_at(self, number: int, path: str, nbytes: int = 0) -> None:
        """A copy is about to be made on the node, at the path."""
        self.paths[number] = path
        if nbytes:
            self._nbytes = nbytes

    def _drop_elsewhere(self) -> None:
        if os.getpid() == self._ledger.process:
            for number in self.places:
                if number != HOME:
                    self._ledger.drops.append((number, self.kind, self.paths[number]))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.paths} at nodes {sorted(self.places)}>"


class ReplicatedPath(_Paths, OwnedPath):
    """A file or directory that a task has made. On every node it is in the folder of the run."""

    def __init__(self, ledger: Ledger, path: str, number: int, *, directory: bool, nbytes: int = 0) -> None:
        super().__init__(path)
        self._ledger = ledger
        self._nbytes = 0 if directory else nbytes
        self.directory = directory
        self.paths = {number: path}
        self.places = {number}

    def put_at(self, number: int, path: str, nbytes: int = 0) -> None:
        """A copy is about to be made on the node, at the path."""
        super().put_at(number, path, nbytes)
        if number == HOME:
            self.path = path

    @property
    def is_here(self) -> bool:
        """Whether the main program can use it."""
        return self.at(HOME)

    def __str__(self) -> str:
        return self.path_at(HOME) if self.at(HOME) else self.path

    def __del__(self) -> None:
        if HOME in self.places:
            super().__del__()
        self._drop_elsewhere()


class UserPath(_Paths):
    """The user's own file or directory: home has it, where the user put it. Copies on other nodes are the run's."""

    def __init__(self, ledger: Ledger, path: str, *, directory: bool) -> None:
        self._ledger = ledger
        self._nbytes = 0
        self.path = path
        self.directory = directory
        self.paths = {HOME: path}
        self.places = {HOME}

    def __str__(self) -> str:
        return self.path

    def __del__(self) -> None:
        self._drop_elsewhere()
