"""Gives segments, files and directories to whoever asks for them over a data connection.

Asked for a part of a file: {"op": "get", "kind", "name", "ticket", "offset", "length"}. The answer is {"size", "mode",
"print", "sparse", "checked"}, the data, and {"crc"}; that is null of a segment: TLS proves its bytes, and another
checksum would cost a third of the speed. ``print`` changes when the file does, so that all parts are of the same.

Asked for a directory: the answer is {"mode"}, then its entries, folders before what is in them, each {"entry", "type":
"d", "f" or "l", "mode", "link"}, those of files followed by data and {"crc"}; then {"entries"}: how many.

In place of any of these {"why", "absent"} may come: it cannot be had, and why.
"""

from __future__ import annotations

import os
import stat
import zlib
from typing import TYPE_CHECKING, Any

from taskflow.data.shares import DIRECTORY_ITEM, SEGMENT_ITEM, Item, RefusedError, Shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskflow.data.connections import Connection


def item_in(message: dict[str, Any]) -> Item:
    """The item that a message names."""
    return Item(str(message.get("kind")), str(message.get("name")), str(message.get("ticket") or ""))


def answer(connection: Connection, shares: Shares, message: dict[str, Any]) -> None:
    """Give what the message asks for. Raises BrokenConnectionError only."""
    item = item_in(message)
    try:
        path = shares.source(item)
        if item.kind == DIRECTORY_ITEM:
            _send_directory(connection, path)
        else:
            _send_part(connection, path, int(message["offset"]), int(message["length"]), item.kind != SEGMENT_ITEM)
    except RefusedError as error:
        connection.send_message(why=str(error), absent=error.absent)
    except FileNotFoundError:
        connection.send_message(why=f"{item} is not there", absent=True)
    except OSError as error:
        connection.send_message(why=f"{item} cannot be read ({error.strerror or error})", absent=False)
    except (KeyError, TypeError, ValueError) as error:
        connection.send_message(why=f"the request makes no sense ({type(error).__name__}: {error})", absent=False)


def _send_part(connection: Connection, path: str, offset: int, length: int, checked: bool) -> None:
    file = _open(path)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{path} is no file")
        connection.send_message(
            size=status.st_size, mode=stat.S_IMODE(status.st_mode), print=_print(status),
            sparse=status.st_blocks * 512 < status.st_size, checked=checked,
        )  # fmt: skip
        crc = _send_range(connection, file, offset, min(length, max(0, status.st_size - offset)), checked)
        if _print(os.fstat(file)) != _print(status):
            raise RefusedError(f"{path} was changed while it was read")
        connection.send_message(crc=crc)
    finally:
        os.close(file)


def _open(path: str) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _print(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _send_range(connection: Connection, file: int, offset: int, length: int, checked: bool) -> int | None:
    room = connection.room
    crc = 0
    while length:
        count = os.preadv(file, [room[:length]], offset)
        if not count:
            raise RefusedError("the file became shorter while it was read")
        if checked:
            crc = zlib.crc32(room[:count], crc)
        connection.send_room(count)
        offset += count
        length -= count
    return crc if checked else None


def _send_directory(connection: Connection, path: str) -> None:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise RefusedError(f"{path} is no directory")
    connection.send_message(mode=stat.S_IMODE(status.st_mode))
    entries = 0
    for name, entry in _walk(path, ""):
        entries += 1
        if entry.is_symlink():
            connection.send_message(entry=name, type="l", link=os.readlink(entry.path))
        elif entry.is_dir():
            connection.send_message(entry=name, type="d", mode=stat.S_IMODE(entry.stat().st_mode))
        elif entry.is_file():
            _send_file_of_directory(connection, name, entry.path)
        else:
            raise RefusedError(f"{entry.path} is neither a file nor a directory nor a link")
    connection.send_message(entries=entries)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield prefix + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")


def _send_file_of_directory(connection: Connection, name: str, path: str) -> None:
    file = _open(path)
    try:
        status = os.fstat(file)
        connection.send_message(
            entry=name, type="f", mode=stat.S_IMODE(status.st_mode), checked=True,
            sparse=status.st_blocks * 512 < status.st_size,
        )  # fmt: skip
        crc = _send_range(connection, file, 0, status.st_size, True)
        if _print(os.fstat(file)) != _print(status):
            raise RefusedError(f"{path} was changed while it was read")
        connection.send_message(crc=crc)
    finally:
        os.close(file)
