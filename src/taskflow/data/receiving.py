"""Brings a segment, a file or a directory here over one or several data connections.

What comes is written beside its place and renamed to it once it is whole, so nobody ever sees a part of it, and nothing
is left of what has failed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.data.connections import BrokenConnectionError
from taskflow.data.files import remove_any
from taskflow.data.shares import DIRECTORY_ITEM, SEGMENT_ITEM, Item, RefusedError, check_room, temporary_for
from taskflow.data.spares import create_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.data.connections import Connection

#: Larger files and segments come in parts of this size, over several connections; those that have come whole are not
#: asked for again after a connection broke.
PART_BYTES = 64 << 20
_ZEROS = bytes(1 << 18)


class Reception:
    """One item that comes here, and the connections that work at it.

    ``received`` counts bytes; ``whole`` is true once the item is at its place, ``failure`` says why it will never be.
    """

    def __init__(self, item: Item, target: str, part_bytes: int = PART_BYTES) -> None:
        self.item = item
        self.target = target
        self.received = 0
        self.size = -1  # not known yet
        self.whole = False
        self.failure: Exception | None = None
        self._part_bytes = part_bytes
        self._changed = threading.Condition()
        self._parts = deque([0])  # offsets of those that nobody works at
        self._working = 0
        self._temporary = ""
        self._file = -1
        self._about: dict[str, Any] = {}

    def work(
        self, connection: Connection, call_for_help: Callable[[], None] | None = None, *, wait: bool = True
    ) -> None:
        """Bring parts over the connection until there is nothing left to do, and, with ``wait``, the item is whole.

        ``call_for_help`` is called when there are parts for other connections, too.

        Raises BrokenConnectionError if the connection broke: another one may go on. All else is final: DeclinedError if
        the other side cannot give the item, RefusedError or OSError, and the connection is closed, if it cannot be kept
        here.
        """
        while (offset := self._take(wait=wait)) is not None:
            error: BaseException | None = None
            try:
                self._receive(connection, offset, call_for_help)
            except BaseException as raised:
                error = raised
                raise
            finally:
                if error is not None and not isinstance(error, DeclinedError):
                    connection.close()  # it is in the middle of something
                self._leave(offset, error)

    def _leave(self, offset: int, error: BaseException | None) -> None:
        with self._changed:
            self._working -= 1
            if isinstance(error, BrokenConnectionError):
                self._parts.appendleft(offset)
            elif error is not None and self.failure is None:
                self.failure = error if isinstance(error, Exception) else RefusedError("it was given up")
            if self.failure is not None and not self._working:
                self._clean()
            self._changed.notify_all()

    def _take(self, *, wait: bool) -> int | None:
        with self._changed:
            while True:
                if self.failure is not None:
                    raise self.failure
                if self.whole:
                    return None
                if self._parts:
                    self._working += 1
                    return self._parts.popleft()
                if not self._working:
                    self._publish()
                    self._changed.notify_all()
                    return None
                if not wait:
                    return None
                self._changed.wait()  # whoever works ends soon, well or not: connections have time-outs

    def wait_for_help(self, seconds: float) -> None:
        """All connections have broken: wait for a new one that goes on, and give it up if none has come."""
        deadline = monotonic() + seconds
        with self._changed:
            while not (self._working or self.ended):
                left = deadline - monotonic()
                if left <= 0:
                    self._give_up("all connections that brought it broke")
                    return
                self._changed.wait(left)

    def give_up(self, why: str) -> None:
        """Nobody is to go on with it. Has no effect once it has ended."""
        with self._changed:
            self._give_up(why)

    def _give_up(self, why: str) -> None:
        if self.ended:
            return
        self.failure = RefusedError(why)
        if not self._working:
            self._clean()
        self._changed.notify_all()

    def _clean(self) -> None:
        """Leave nothing of it. Nobody works at it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._temporary:
            with contextlib.suppress(OSError):  # what led here is worse
                remove_any(self._temporary)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.whole or self.failure is not None

    # ------------------------------------------------------------------ parts of a file

    def _receive(self, connection: Connection, offset: int, call_for_help: Callable[[], None] | None) -> None:
        kind, name, ticket = self.item
        connection.send_message(
            op="get", kind=kind, name=name, ticket=ticket, offset=offset, length=self._part_bytes
        )  # fmt: skip
        about = no_refusal(connection.receive_message())
        try:
            if kind == DIRECTORY_ITEM:
                self._receive_directory(connection, about)
                return
            self._begin(about)
            if not offset and call_for_help is not None and self._parts:
                call_for_help()
            end = min(offset + self._part_bytes, self.size)
            self._receive_range(connection, self._file, offset, max(0, end - offset), about)
        except (LookupError, TypeError, ValueError) as error:
            raise BrokenConnectionError(f"{connection.peer} sent what makes no sense ({error!r})") from error

    def _begin(self, about: dict[str, Any]) -> None:
        """The first answer tells how large the file is; all others have to be of the same file."""
        with self._changed:
            if self.failure is not None:
                raise self.failure
            if self.size >= 0:
                if about["print"] != self._about["print"]:
                    raise RefusedError(f"{self.item} was changed while it was read")
                return
            size = int(about["size"])
            folder = self._make_folder()
            if size > self._part_bytes:
                check_room(folder, 0 if about["sparse"] else size)
            self._temporary = temporary_for(self.target)
            if self.item.kind == SEGMENT_ITEM and not about["sparse"]:
                self._file = create_segment(folder, self._temporary, size)
            else:
                self._file = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            if about["sparse"]:
                os.ftruncate(self._file, size)
            self._about = about
            self._parts.extend(range(self._part_bytes, size, self._part_bytes))
            self.size = size
            self._changed.notify_all()

    def _make_folder(self) -> str:
        folder = os.path.dirname(self.target)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return folder

    def _receive_range(
        self, connection: Connection, file: int, offset: int, length: int, about: dict[str, Any]
    ) -> None:
        """Data up to the message that ends them. ``length``: how many there have to be; -1: any number."""
        start = offset
        crc = 0
        sparse, checked = about["sparse"], about["checked"]
        while not isinstance(data := connection.receive(), dict):
            if not (sparse and data == _ZEROS[: len(data)]):
                _write(file, data, offset)
            if checked:
                crc = zlib.crc32(data, crc)
            offset += len(data)
            self.received += len(data)
            if self.failure is not None:
                raise self.failure
        told = no_refusal(data).get("crc")
        if length >= 0 and offset - start != length:
            raise BrokenConnectionError(f"{connection.peer} sent {offset - start:,} bytes instead of {length:,}")
        if checked and told != crc:
            raise BrokenConnectionError(f"the bytes of {self.item} from {connection.peer} have a wrong checksum")
        if sparse and length < 0:
            os.ftruncate(file, offset)

    def _publish(self) -> None:
        if self.item.kind == DIRECTORY_ITEM:
            remove_any(self.target)
        else:
            os.ftruncate(self._file, self.size)
            os.fchmod(self._file, self._about["mode"] & 0o777)
            os.close(self._file)
            self._file = -1
        os.rename(self._temporary, self.target)
        self.whole = True

    # ------------------------------------------------------------------ directories

    def _receive_directory(self, connection: Connection, about: dict[str, Any]) -> None:
        """All entries, one after the other. After a broken connection it begins anew."""
        self._make_folder()
        if self._temporary:
            remove_any(self._temporary)
        top = self._temporary = temporary_for(self.target)
        os.mkdir(top, 0o700)
        modes = {"": int(about["mode"]) & 0o777}  # set at the end: a folder may be one that nobody may write to
        entries = 0
        while "entry" in (entry := no_refusal(connection.receive_message())):
            entries += 1
            self._receive_entry(connection, top, entry, modes)
        if entry.get("entries") != entries:
            raise BrokenConnectionError(f"{connection.peer} sent {entries} entries of {entry.get('entries')}")
        for name in reversed(modes):
            os.chmod(f"{top}/{name}", modes[name])

    def _receive_entry(
        self, connection: Connection, top: str, entry: dict[str, Any], modes: dict[str, int]
    ) -> None:  # fmt: skip
        name = str(entry["entry"])
        folder, _, last = name.rpartition("/")
        # Only below folders that were made here: a link among the entries must not lead anything elsewhere.
        if folder not in modes or last in ("", ".", "..") or "\0" in name:
            raise RefusedError(f"{self.item} has an entry {name!r}, which is not below it")
        path = f"{top}/{name}"
        if entry["type"] == "d":
            os.mkdir(path, 0o700)
            modes[name] = int(entry["mode"]) & 0o777
        elif entry["type"] == "l":
            os.symlink(str(entry["link"]), path)
        else:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                self._receive_range(connection, file, 0, -1, entry)
                os.fchmod(file, int(entry["mode"]) & 0o777)
            finally:
                os.close(file)


class DeclinedError(RefusedError):
    """The other side cannot give the item. The connection is in order."""


def no_refusal(message: dict[str, Any]) -> dict[str, Any]:
    """The message, if it is not that something cannot be had. Raises DeclinedError."""
    if "why" in message:
        raise DeclinedError(str(message["why"]), absent=bool(message.get("absent")))
    return message


def _write(file: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        count = os.pwrite(file, data, offset)
        data = data[count:]
        offset += count
