"""Framing over a stream socket: four bytes of length, then a pickle.

Only used between processes of one user that inherited the socket from each other: nothing is unpickled that did not
come from a process we started.
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


class Unpacker:
    """Cuts a byte stream into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Any]:
        """Add received bytes; return the messages that are complete."""
        if self._buffer:
            data = self._buffer + data
        messages: list[Any] = []
        position = 0
        total = len(data)
        while total - position >= LENGTH.size:
            (length,) = LENGTH.unpack_from(data, position)
            end = position + LENGTH.size + length
            if end > total:
                break
            messages.append(pickle.loads(memoryview(data)[position + LENGTH.size : end]))
            position = end
        self._buffer = data[position:]
        return messages

    @property
    def missing(self) -> int:
        """Bytes still to come of the message begun, 0 if unknown."""
        if len(self._buffer) < LENGTH.size:
            return 0
        (length,) = LENGTH.unpack_from(self._buffer)
        return int(LENGTH.size + length - len(self._buffer))


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
