"""Framing over a stream socket: four bytes of length, then a pickle.

Only used between processes of one user that inherited the socket from each other, or whose bytes came over a connection
that has proved itself (`wire.security`): nothing is unpickled that did not come from a process we started.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

LENGTH = struct.Struct("<Q")
RECEIVE_BYTES = 1 << 18


def pack(message: Any) -> bytes:
    """One frame."""
    body = pickle.dumps(message, 5)
    return LENGTH.pack(len(body)) + body


class Cutter:
    """Cuts a stream into messages.

    The buffer is kept: a fresh one for each call would be mapped and unmapped by the allocator every time.
    """

    __slots__ = ("_buffer", "_filled", "_view")

    def __init__(self, size: int = RECEIVE_BYTES) -> None:
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._filled = 0

    def feed(self, data: bytes | memoryview) -> list[Any]:
        """The messages that are complete with this piece of the stream."""
        count = len(data)
        if self._filled + count > len(self._buffer):
            self._make_room(self._filled + count)
        self._view[self._filled : self._filled + count] = data
        return self._cut(count)

    def _cut(self, count: int) -> list[Any]:
        """So many bytes have come into the buffer: the messages that are complete now."""
        self._filled += count
        messages: list[Any] = []
        view = self._view
        position = 0
        filled = self._filled
        while filled - position >= LENGTH.size:
            (length,) = LENGTH.unpack_from(view, position)
            end = position + LENGTH.size + length
            if end > filled:
                self._make_room(end - position)
                break
            messages.append(pickle.loads(view[position + LENGTH.size : end]))
            position = end
        if position:
            rest = filled - position
            if rest:
                self._view[:rest] = bytes(view[position:filled])
            self._filled = rest
        return messages

    def _make_room(self, size: int) -> None:
        """A message does not fit into the buffer: use a larger one."""
        if size > len(self._buffer):
            buffer = bytearray(size + RECEIVE_BYTES)
            buffer[: self._filled] = self._view[: self._filled]
            self._buffer = buffer
            self._view = memoryview(buffer)


class Receiver(Cutter):
    """Receives from one socket and cuts the stream into messages."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    def receive(self, flags: int = 0) -> list[Any] | None:
        """Receive once; return the messages that are complete now, or None at the end of the stream.

        Raises BlockingIOError, with ``MSG_DONTWAIT`` in ``flags``, if there is nothing.
        """
        count = self._socket.recv_into(self._view[self._filled :], 0, flags)
        return self._cut(count) if count else None

    @property
    def incomplete(self) -> bool:
        """Whether part of a message has come and the rest has not."""
        return self._filled > 0

    @property
    def full(self) -> bool:
        """Whether the last call may have left something behind."""
        return self._filled == len(self._buffer)


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Read so many bytes; raises EOFError if the other end closed."""
    parts = []
    while count:
        part = sock.recv(count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
