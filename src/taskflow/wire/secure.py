"""A connection of the run that carries frames both ways, for use in a loop that must not wait.

An `ssl.SSLSocket` in non-blocking mode; a pair of memory buffers with an `ssl.SSLObject` was measured at half its
throughput (700 against 1,400 MB/s on one machine) and a tenth more latency.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections import deque
from time import monotonic
from typing import Any

from taskflow.wire.agent import FRAME_BYTES, HEADER, NOTE, NOTE_BYTES, PING, PING_S, PONG, pack_note

_RECORD = 16384  #: the largest piece that TLS delivers at once
_BUFFER_BYTES = 2 * FRAME_BYTES + HEADER.size
_TIME = struct.Struct("<d")
_LAST_ACK = struct.Struct("=56xI")  # milliseconds since the last acknowledgement, in the answer to TCP_INFO


class SecureStream:
    """Frames over one connection. Not thread-safe: at any time one thread uses it.

    ``unsent``: what the system has not taken yet; call `flush` once the socket can be written to. ``ended``: why there
    is nothing to be had any more, "" while there is. ``received`` and ``sent`` count bytes.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.unsent = bytearray()
        self.ended = ""
        self.received = 0
        self.sent = 0
        self._round_trips: deque[float] = deque(maxlen=5)
        self._heard = self._beaten = monotonic()
        self._before = 0  # bytes received at the last beat
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._taken = 0  # bytes of frames that have been returned
        self._missing = 0  # length of a frame that has not come whole

    def fileno(self) -> int:
        """The descriptor to wait for; -1 once the stream is closed."""
        return self.socket.fileno()

    # ------------------------------------------------------------------ sending

    def send(self, kind: int, number: int = 0, data: Any = b"") -> None:
        """Send a frame, or keep what the system does not take. After the end it has no effect."""
        frame = HEADER.pack(kind, number, len(data)) + data
        if self.unsent:
            self.unsent += frame
            return
        sent = self._give(frame)
        if sent < len(frame):
            self.unsent += memoryview(frame)[sent:]
            if sent:  # TLS takes a record at a time
                self.flush()

    def send_stream(self, kind: int, number: int, data: bytes) -> None:
        """Send a piece of an executor's stream, in as many frames as it takes."""
        if len(data) <= FRAME_BYTES:
            self.send(kind, number, data)
            return
        view = memoryview(data)
        for start in range(0, len(data), FRAME_BYTES):
            self.send(kind, number, view[start : start + FRAME_BYTES])

    def note(self, what: str, **fields: Any) -> None:
        """Send a note."""
        self.send(NOTE, 0, pack_note({"note": what, **fields}))

    def flush(self) -> None:
        """Send what is left, as far as the system takes it."""
        while self.unsent:
            sent = self._give(self.unsent)
            if not sent:
                return
            del self.unsent[:sent]

    def _give(self, data: bytes | bytearray) -> int:
        if self.ended:
            return len(data)
        try:
            sent = self.socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except (OSError, ValueError) as error:
            self._end(error)
            return len(data)
        self.sent += sent
        return sent

    def _end(self, error: Exception | None) -> None:
        if error is None:
            self.end("the connection was closed")
        else:
            self.end(f"the connection broke ({getattr(error, 'strerror', None) or error})")

    def end(self, why: str) -> None:
        """Nothing is to be sent or received any more; whoever looks at ``ended`` next closes the stream."""
        self.ended = self.ended or why
        self.unsent.clear()

    # ------------------------------------------------------------------ liveness

    @property
    def rtt_s(self) -> float:
        """Seconds to the other side and back, by the fastest of the last pings; 0 before the first was answered."""
        return min(self._round_trips, default=0.0)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.send(PING, 0, _TIME.pack(monotonic()))

    def beat(self) -> float:
        """To be called every `PING_S` seconds: ask for a sign of life; return the silence in seconds.

        Whoever calls this late was stopped itself, or busy: that is no silence of the other side.
        """
        now = monotonic()
        if self.received != self._before or now - self._beaten > 3 * PING_S:
            self._heard = now
        if not self.unsent:  # or it would only wait behind that
            self.ping()
        self._beaten = now
        self._before = self.received
        return now - self._heard

    def acknowledged_s(self) -> float:
        """Seconds since the other side's system, not the process, has acknowledged something. Infinite if unknown."""
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK.size)
        except OSError:
            return float("inf")
        return float(_LAST_ACK.unpack(info)[0]) / 1000 if len(info) == _LAST_ACK.size else float("inf")

    # ------------------------------------------------------------------ receiving

    def receive(self) -> list[tuple[int, int, memoryview]]:
        """The frames that have come, without waiting: (kind, number, data). See ``ended`` for the end.

        The data are only valid until the next call. Pings are answered, and returned like the rest.
        """
        self._make_room()
        if not self.ended:
            self._fill()
        frames: list[tuple[int, int, memoryview]] = []
        view = self._view
        position = 0
        while self._filled - position >= HEADER.size:
            kind, number, length = HEADER.unpack_from(view, position)
            if length > NOTE_BYTES:
                self._end(ValueError(f"a frame of {length:,} bytes was announced"))
                break
            start = position + HEADER.size
            end = start + length
            if end > self._filled:
                self._missing = end - position
                break
            position = end
            if kind == PING:
                self.send(PONG, 0, view[start:end])
            elif kind == PONG and length == _TIME.size:
                self._round_trips.append(monotonic() - _TIME.unpack_from(view, start)[0])
            frames.append((kind, number, view[start:end]))
        self._taken = position
        return frames

    def _fill(self) -> None:
        """Receive until there is nothing more, or no room for a record: so TLS keeps nothing that nobody waits for."""
        view = self._view
        before = self._filled
        try:
            while len(view) - self._filled >= _RECORD:
                count = self.socket.recv_into(view[self._filled :])
                if not count:
                    self._end(None)
                    break
                self._filled += count
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (OSError, ValueError) as error:
            self._end(error)
        self.received += self._filled - before

    def _make_room(self) -> None:
        """Forget the frames of the last call; see to it that the one that had not come whole fits in."""
        if not self._taken and self._missing + _RECORD <= len(self._buffer):
            return
        rest = bytes(self._view[self._taken : self._filled])
        if self._missing + _RECORD > len(self._buffer):
            self._buffer = bytearray(self._missing + _BUFFER_BYTES)
            self._view = memoryview(self._buffer)
        self._view[: len(rest)] = rest
        self._filled = len(rest)
        self._taken = self._missing = 0

    def close(self) -> None:
        """Close the socket, without waiting for anybody."""
        self.ended = self.ended or "the connection was closed here"
        self.socket.close()
