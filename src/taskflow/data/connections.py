"""Data connections: messages and bytes over TLS between the processes of a run that keep data.

A frame is a header of 4 bytes, the length with the highest bit set for data, and so many bytes: of a *message* (JSON,
an object) or of *data*. TLS proves every byte of it, so frames have no checksum of their own.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

#: Host, port, and number of the node that is meant.
Address = tuple[str, int, int]

SILENCE_S = 20.0  #: whoever says and takes nothing for so long is given up
IDLE_S = 120.0  #: a connection that nobody has used for so long is closed by the side that serves
KEEP_S = 60.0  #: and by the side that has opened it after so long
AVOID_S = 10.0  #: a node that did not answer is not tried again for so long: there may be no way to it
_HEADER = struct.Struct("<I")
_DATA = 1 << 31
_MESSAGE_BYTES = 1 << 20  #: a longer message means that the stream is damaged
#: With the header these are 16 full records of TLS. Larger pieces do not stay in the processor's cache.
CHUNK_BYTES = (1 << 18) - _HEADER.size


class BrokenConnectionError(Exception):
    """The connection cannot be used any more: the other side has gone, is silent, or says what makes no sense."""


class UnreachableError(BrokenConnectionError):
    """No answer came from the other side, and none will come soon: another way has to be found."""


class Connection:
    """One connection. Not thread-safe: at any time one thread uses it. ``received``, ``sent``: bytes of data."""

    def __init__(self, sock: ssl.SSLSocket, peer: str, silence_s: float = SILENCE_S) -> None:
        self.peer = peer
        self.silence_s = silence_s
        self.received = 0
        self.sent = 0
        self.used = monotonic()
        self._socket = sock
        sock.settimeout(silence_s)
        self._chunk = bytearray(_HEADER.size + CHUNK_BYTES)
        self._view = memoryview(self._chunk)
        #: Where a sender puts the data of its next frame.
        self.room = self._view[_HEADER.size :]

    def send_message(self, **fields: Any) -> None:
        """Send a message."""
        body = json.dumps(fields, separators=(",", ":")).encode()
        self._send(_HEADER.pack(len(body)) + body)

    def send_room(self, count: int) -> None:
        """Send the first ``count`` bytes of ``room`` as data."""
        _HEADER.pack_into(self._chunk, 0, count | _DATA)
        self._send(self._view[: _HEADER.size + count])
        self.sent += count

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise self._broken(error) from error

    def receive(self, patience_s: float | None = None) -> dict[str, Any] | memoryview:
        """The next frame: a message, or data, which are valid until the next call.

        ``patience_s``: how long to wait for it to begin. Raises BrokenConnectionError.
        """
        if patience_s is not None:
            self._socket.settimeout(patience_s)
        self._fill(self._view[: _HEADER.size])
        if patience_s is not None:
            self._socket.settimeout(self.silence_s)
        (length,) = _HEADER.unpack_from(self._chunk)
        if length & _DATA:
            length &= ~_DATA
            if length > CHUNK_BYTES:
                raise BrokenConnectionError(f"{self.peer} announced {length:,} bytes in one piece")
            data = self._view[_HEADER.size : _HEADER.size + length]
            self._fill(data)
            self.received += length
            return data
        if length > _MESSAGE_BYTES:
            raise BrokenConnectionError(f"{self.peer} announced a message of {length:,} bytes")
        body = bytearray(length)
        self._fill(memoryview(body))
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BrokenConnectionError(f"{self.peer} sent a message that cannot be read ({error})") from error
        if not isinstance(message, dict):
            raise BrokenConnectionError(f"{self.peer} sent a message that is no object")
        return message

    def receive_message(self, patience_s: float | None = None) -> dict[str, Any]:
        """The next frame, which has to be a message."""
        message = self.receive(patience_s)
        if not isinstance(message, dict):
            raise BrokenConnectionError(f"{self.peer} sent data where a message was due")
        return message

    def _fill(self, view: memoryview) -> None:
        filled = 0
        try:
            while filled < len(view):
                count = self._socket.recv_into(view[filled:])
                if not count:
                    raise BrokenConnectionError(f"{self.peer} closed the connection")
                filled += count
        except (OSError, ValueError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> BrokenConnectionError:
        if isinstance(error, TimeoutError):
            return BrokenConnectionError(f"{self.peer} was silent for {self._socket.gettimeout():g} seconds")
        return BrokenConnectionError(
            f"the connection to {self.peer} broke ({getattr(error, 'strerror', None) or error})"
        )

    def close(self) -> None:
        """Close it, without waiting for anybody."""
        self._socket.close()

    def shut(self) -> None:
        """From another thread: whoever waits for this connection finds it broken."""
        with contextlib.suppress(OSError):  # it is closed already
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def place(address: Address) -> str:
    """An address for messages."""
    host, port, number = address
    return f"{f'node {number}' if number else 'home'} ({host or 'by way of the connection to it'}:{port})"


class Pool:
    """Connections to other processes, kept for the next request.

    ``connect`` opens one; it raises OSError or TaskflowError if that cannot be done.
    """

    def __init__(self, connect: Callable[[Address], ssl.SSLSocket], silence_s: float = SILENCE_S) -> None:
        self._connect = connect
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._idle: dict[Address, list[Connection]] = {}
        self._silent: dict[Address, tuple[float, str]] = {}  # until when it is not tried again, and why

    def take(self, address: Address) -> tuple[Connection, bool]:
        """A connection, and whether it has been used before: then it may turn out to be closed.

        Raises BrokenConnectionError if there is none to be had, UnreachableError if the other side says nothing.
        """
        with self._lock:
            idle = self._idle.get(address, [])
            while idle:
                connection = idle.pop()
                if monotonic() - connection.used < KEEP_S:
                    return connection, True
                connection.close()
            until, why = self._silent.get(address, (0.0, ""))
        if monotonic() < until:
            raise UnreachableError(why)
        try:
            return Connection(self._connect(address), place(address), self._silence_s), False
        except Exception as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            why = f"{place(address)} cannot be reached ({text})"
            if isinstance(error, TimeoutError) and address[2]:  # there is no other way than to home
                with self._lock:
                    self._silent[address] = (monotonic() + AVOID_S, why)
                raise UnreachableError(why) from error
            raise BrokenConnectionError(why) from error

    def give_back(self, address: Address, connection: Connection) -> None:
        """The connection is in order, and nobody waits for anything on it."""
        connection.used = monotonic()
        with self._lock:
            self._idle.setdefault(address, []).append(connection)

    def forget(self, address: Address) -> None:
        """Close the idle connections to an address."""
        with self._lock:
            idle = self._idle.pop(address, [])
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()
