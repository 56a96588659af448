"""Carries the standard streams of a program between two machines, over one connection."""

from __future__ import annotations

import os
import select
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.wire.agent import DATA, NOTE, PING_S, read_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.wire.secure import SecureStream

    Frame = tuple[int, int, bytes] | tuple[int, int, memoryview]

HIGH_BYTES = 1 << 20  #: so much that its reader does not take, and a stream is not read any more
LOW_BYTES = 1 << 16  #: and so little, and it is again
_READ_BYTES = 1 << 16
_WRITE_BYTES = select.PIPE_BUF  #: what can be written without waiting to whatever can be written to at all


class Exchange:
    """Carries bytes between files of this machine and those at the other end of a connection.

    ``sources``: files to be read; ``sinks``: files to be written; both by the number of the stream. ``own``: they are
    closed at their end. None of them is switched to non-blocking mode: others have them open, too.
    """

    def __init__(
        self, stream: SecureStream, timeout: float, *, sources: dict[int, int], sinks: dict[int, int], own: bool = False
    ) -> None:
        self.stream = stream
        self.sources = sources
        self.sinks = sinks
        self._timeout = timeout
        self._own = own
        self._unwritten = {number: bytearray() for number in sinks}
        self._complete: set[int] = set()  # sinks for which nothing more will come
        self._slow: set[int] = set()  # sinks whose other end has been asked to wait
        self._waiting: set[int] = set()  # sources that we have been asked not to read
        self._next_beat = monotonic() + PING_S

    @property
    def busy(self) -> bool:
        """Whether something that has come is not written yet."""
        return any(self._unwritten.values())

    def step(self, others: Sequence[int]) -> tuple[list[int], list[dict[str, Any]]]:
        """Wait until something can be done, and do it: which of the other files are ready, and notes that are not ours.

        Not longer than it takes to the next sign of life.
        """
        stream = self.stream
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLIN | (select.POLLOUT if stream.unsent else 0))
        for number, file in self.sources.items():
            if len(stream.unsent) < HIGH_BYTES and number not in self._waiting:
                poller.register(file, select.POLLIN)
        for number, file in self.sinks.items():
            if self._unwritten[number]:
                poller.register(file, select.POLLOUT)
        for file in others:
            poller.register(file, select.POLLIN)
        ready = {file for file, _ in poller.poll(max(0.0, self._next_beat - monotonic()) * 1000)}
        if stream.unsent:
            stream.flush()
        for number, file in list(self.sinks.items()):
            if file in ready and self._unwritten[number]:
                self._write(number, file)
        notes = self._hear()
        for number, file in list(self.sources.items()):
            if file in ready and number not in self._waiting:
                self._read(number, file)
        if monotonic() >= self._next_beat:
            self._next_beat = monotonic() + PING_S
            silence = stream.beat()
            if silence > self._timeout:
                stream.end(f"nothing has been heard from it for {silence:.0f} seconds")
        return [file for file in others if file in ready], notes

    def _hear(self) -> list[dict[str, Any]]:
        notes: list[dict[str, Any]] = []
        while frames := self.stream.receive():
            notes += self.take(frames)
        return notes

    def take(self, frames: Sequence[Frame]) -> list[dict[str, Any]]:
        """Take in what has come; notes that are not ours."""
        notes: list[dict[str, Any]] = []
        for kind, number, data in frames:
            if kind == DATA and number in self.sinks:
                self._unwritten[number] += data
                if len(self._unwritten[number]) > HIGH_BYTES and number not in self._slow:
                    self._slow.add(number)
                    self.stream.note("wait", stream=number)
            elif kind == NOTE:
                note = read_note(data)
                if not self._obey(note):
                    notes.append(note)
        return notes

    def _obey(self, note: dict[str, Any]) -> bool:
        what, number = note["note"], int(note.get("stream", -1))
        if what == "complete":
            self._complete.add(number)
            if number in self.sinks and not self._unwritten[number]:
                self._finish(number)
        elif what == "wait":
            self._waiting.add(number)
        elif what == "go on":
            self._waiting.discard(number)
        elif what == "unwanted":
            self._drop(self.sources, number)
        else:
            return False
        return True

    def _read(self, number: int, file: int) -> None:
        try:
            data = os.read(file, _READ_BYTES)
        except BlockingIOError:  # somebody else has read it
            return
        except OSError:
            data = b""
        if data:
            self.stream.send(DATA, number, data)
        else:
            self._drop(self.sources, number)
            self.stream.note("complete", stream=number)

    def _write(self, number: int, file: int) -> None:
        unwritten = self._unwritten[number]
        try:
            del unwritten[: os.write(file, unwritten[:_WRITE_BYTES])]
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            unwritten.clear()
            self._finish(number)
            self.stream.note("unwanted", stream=number)
            return
        if number in self._slow and len(unwritten) < LOW_BYTES:
            self._slow.discard(number)
            self.stream.note("go on", stream=number)
        if number in self._complete and not unwritten:
            self._finish(number)

    def _finish(self, number: int) -> None:
        self._drop(self.sinks, number)

    def _drop(self, files: dict[int, int], number: int) -> None:
        file = files.pop(number, None)
        if file is not None and self._own:
            os.close(file)

    def close(self) -> None:
        """Close the files, if they are our own."""
        for files in (self.sources, self.sinks):
            for number in list(files):
                self._drop(files, number)
