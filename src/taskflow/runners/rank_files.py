"""Files that ranks on other nodes read: rank 0 sends them what is not to be seen there, over MPI.

Each node has one rank, its *leader*, that puts them into a folder of this run. The arguments of all ranks of the node
name them there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_BYTES = 16 << 20

#: An argument by position or keyword, and whether what lies at its paths is read.
Paths = list[tuple[int | str, bool]]


class Arguments:
    """The arguments of a call, by position or keyword."""

    def __init__(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def __getitem__(self, key: int | str) -> Any:
        return self.kwargs[key] if isinstance(key, str) else self.args[key]

    def __setitem__(self, key: int | str, value: Any) -> None:
        if isinstance(key, str):
            self.kwargs[key] = value
        else:
            self.args[key] = value


def folder_of(process: int) -> str:
    """Where the files of the rank whose first process this is are put."""
    return os.path.join(tempfile.gettempdir(), f"taskflow-rank-{os.getuid()}-{process}")


def bring(world: Any, paths: Paths, arguments: Arguments) -> None:
    """Have the paths among the arguments of all ranks lead to files on their nodes. All ranks call it together."""
    hosts: list[str] = world.allgather(os.uname().nodename)
    if len(set(hosts)) == 1:
        return
    leader = hosts.index(hosts[world.rank])
    folder: str = world.allgather(folder_of(os.getppid()))[leader]
    if leader == world.rank != 0:
        os.mkdir(folder, mode=0o700)
    mine = [(path, reads) for key, reads in paths for path in _texts(arguments[key])]
    wanted = sorted({path for found in world.allgather([path for path, reads in mine if reads]) for path in found})
    moved: dict[str, str] = {}
    for number, path in enumerate(wanted):
        lacking = world.allgather(leader != 0 and not os.path.exists(path))
        if not any(lacking):
            continue
        target = os.path.join(folder, str(number), os.path.basename(path))
        if lacking[world.rank]:
            moved[path] = target
        writes = leader == world.rank and lacking[world.rank]
        _take(world.bcast, _pieces(path) if world.rank == 0 else None, target if writes else None)
    world.barrier()
    for number, (path, _) in enumerate(mine):
        if leader != 0 and path not in moved and not os.path.isdir(os.path.dirname(path)):
            moved[path] = os.path.join(folder, f"out{world.rank}-{number}", os.path.basename(path))
            os.makedirs(os.path.dirname(moved[path]))
    for key, _ in paths:
        arguments[key] = _replaced(arguments[key], moved)


def remove(process: int) -> None:
    """The rank has ended: remove what was put there for it and for the others of its node."""
    shutil.rmtree(folder_of(process), ignore_errors=True)


def _texts(value: Any) -> Iterable[str]:
    """The paths in an argument: it is one, or a collection of them."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _replaced(value: Any, moved: dict[str, str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_replaced(item, moved) for item in value]
    return moved.get(value, value) if isinstance(value, str) else value


def _pieces(path: str) -> Iterator[tuple[str, int, bytes | None]]:
    """What lies at a path: (relative path, mode, bytes to add); None instead of bytes for a folder."""
    if not os.path.isdir(path):
        yield from _pieces_of_file(path, "")
        return
    for folder, _, names in os.walk(path):
        relative = os.path.relpath(folder, path)
        yield relative, 0o700, None
        for name in names:
            yield from _pieces_of_file(os.path.join(folder, name), os.path.join(relative, name))


def _pieces_of_file(path: str, relative: str) -> Iterator[tuple[str, int, bytes]]:
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        piece = file.read(PIECE_BYTES)
        yield relative, mode, piece
        while len(piece) == PIECE_BYTES:
            piece = file.read(PIECE_BYTES)
            yield relative, mode, piece


def _take(broadcast: Any, pieces: Iterator[tuple[str, int, bytes | None]] | None, target: str | None) -> None:
    """Send all pieces, or write them below ``target``, or let them pass."""
    while True:
        piece = broadcast(next(pieces, None) if pieces is not None else None)
        if piece is None:
            return
        if target is not None:
            _write(target, *piece)


def _write(target: str, relative: str, mode: int, content: bytes | None) -> None:
    path = os.path.normpath(os.path.join(target, relative)) if relative else target
    os.makedirs(path if content is None else os.path.dirname(path), exist_ok=True)
    if content is not None:
        with open(path, "ab") as file:
            os.fchmod(file.fileno(), mode | 0o200)
            file.write(content)
