"""The connection to the master that a running task has which calls tasks itself.

::

    body of the task ── operations ──► [outbox] ──► data socket ──► master
          │ waits                          ▲ sender thread: what has lain there for a millisecond
          └── reads the data socket itself, and takes in whatever else the master says meanwhile

Any thread of the body may wait. One of them reads; what it reads may be for another, so after each message the
others look whether they have what they wait for, and whether it is their turn to read.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import NotRunningError
from taskflow.wire.channel import pack
from taskflow.wire.nested import O_GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.node.executor import ExecutorProcess
    from taskflow.node.interpreter import Interpreter

SEND_AFTER_S = 0.001  #: operations wait so long at most for others to be sent with
BATCH = 64  #: or until there are so many

#: The channel of the body that runs in this process; None where no body can.
channel: Channel | None = None


class Channel:
    """What a body needs of its surroundings. This base keeps operations until they are worth a message.

    ``accept`` is given each answer of the master. ``session`` belongs to `taskflow.nested`, which keeps it here.
    """

    interpreter: Interpreter
    session: Any = None
    has_threads = True  #: threads of the body may wait

    def __init__(self) -> None:
        self.task_id = 0
        self.accept: Callable[[tuple[int, Any, Any]], None] = _ignore
        self._outbox: deque[Any] = deque()

    def begin(self, task_id: int) -> None:
        """The body of the task begins."""
        self.task_id = task_id

    def end(self) -> None:
        """The body has ended, and its outputs are known: nobody waits any more, and all it said has been sent."""
        self.flush()
        self.task_id = 0

    def say(self, operation: tuple[Any, ...]) -> None:
        """Send an operation, soon. In the order they are said, from any thread."""
        self._outbox.append(operation)
        if len(self._outbox) >= BATCH:
            self.flush()

    def say_later(self, operation: tuple[Any, ...]) -> None:
        """Send an operation with the next one. Takes no lock: objects may die anywhere."""
        self._outbox.append(operation)

    def flush(self) -> None:
        """Send all operations that have been said."""
        raise NotImplementedError

    def wait(
        self, arrived: Callable[[], bool], deadline: float | None, pause: Callable[[list[Any], float | None], bool]
    ) -> bool:
        """Take in what the master says until that is so; False after the deadline (by `time.monotonic`).

        ``pause(files, seconds)`` waits until one of them can be read; it is the place where a body may be interrupted.
        """
        raise NotImplementedError

    def _take_outbox(self) -> list[Any]:
        outbox = self._outbox
        operations = []
        while outbox:
            operations.append(outbox.popleft())
        return operations


class ProcessChannel(Channel):
    """The channel of an executor process."""

    def __init__(self, executor: ExecutorProcess) -> None:
        super().__init__()
        self.interpreter = executor.interpreter
        self._executor = executor
        self._turn = threading.Lock()  # held by the thread that reads
        self._sleepers: list[Any] = []  # a lock for each thread that waits while another reads
        self._wake_file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._main = threading.get_ident()
        self._lent = False
        self._sending = threading.Lock()
        self._sent = 0.0
        self._unsent = threading.Event()
        self._sender: threading.Thread | None = None

    # ------------------------------------------------------------------ sending

    def say(self, operation: tuple[Any, ...]) -> None:
        """Send an operation: at once if the last message is a while ago, else together with what follows."""
        super().say(operation)
        if self._outbox and not self._unsent.is_set():
            if monotonic() - self._sent > SEND_AFTER_S:
                self.flush()
                return
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_late, name="taskflow-nested", daemon=True)
                self._sender.start()
            self._unsent.set()

    def _send_late(self) -> None:
        while True:
            self._unsent.wait()
            threading.Event().wait(SEND_AFTER_S)
            self._unsent.clear()
            self.flush()

    def flush(self) -> None:
        """Send all operations that have been said."""
        with self._sending:  # so that two threads cannot change their order
            operations = self._take_outbox()
            if operations:
                self._executor.send(pack([self.task_id, *operations]))
                self._sent = monotonic()

    def end(self) -> None:
        """See `Channel.end`. Threads that still wait get NotRunningError."""
        super().end()
        os.eventfd_write(self._wake_file, 1)  # if another thread is reading, it must leave the socket to the executor
        with self._turn:
            os.eventfd_read(self._wake_file)
            self._rouse()
            self._lent = False

    # ------------------------------------------------------------------ receiving

    def take(self, message: list[Any]) -> None:
        """A message has been read; the executor hands it on."""
        for answer in message:
            if answer[0]:
                self.accept(answer)
            else:
                self._lent = answer[1]

    def wait(
        self, arrived: Callable[[], bool], deadline: float | None, pause: Callable[[list[Any], float | None], bool]
    ) -> bool:
        """See `Channel.wait`. Raises NotRunningError if the task ends meanwhile."""
        task_id = self.task_id
        self.flush()
        self._executor.tell()
        while not arrived():
            if self.task_id != task_id or not task_id:
                raise NotRunningError(
                    "the task that called this one has ended; only while it runs can it be waited for"
                )
            if deadline is not None and monotonic() >= deadline:
                return False
            if self._turn.acquire(blocking=False):
                self._read(deadline, pause)
                continue
            sleeper = threading.Lock()
            sleeper.acquire()
            self._sleepers.append(sleeper)
            if self._turn.acquire(blocking=False):  # it has just left: nobody else would wake us
                self._read(deadline, pause)
            else:
                sleeper.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic()))
        return True

    def _read(self, deadline: float | None, pause: Callable[[list[Any], float | None], bool]) -> None:
        """Read once, with the turn held; then it is somebody else's."""
        executor = self._executor
        seconds = None if deadline is None else max(0.0, deadline - monotonic())
        files = [executor.data] if threading.get_ident() == self._main else [executor.data, self._wake_file]
        try:
            if executor.await_message(functools.partial(self.pause, pause, files, seconds)):
                executor.take_in()
                self._go_without_queue()
        finally:
            self._turn.release()
            self._rouse()

    @staticmethod
    def pause(pause: Callable[[list[Any], float | None], bool], files: list[Any], seconds: float | None) -> bool:
        """Where the runtime's code calls back what counts as part of the body."""
        return pause(files, seconds)

    def _rouse(self) -> None:
        while self._sleepers:
            self._sleepers.pop().release()

    def _go_without_queue(self) -> None:
        """While others have the computing unit nothing may lie here: give back tasks, forget what is let go."""
        if not self._lent:
            return
        queue = self._executor.queue
        given = []
        while queue:
            entry = queue.popleft()
            if type(entry) is list:
                self.interpreter.let_go(*entry)
            else:
                given.append(entry[0])
        if given:
            self._outbox.append((O_GIVEN, given))
            self.flush()


def _ignore(answer: tuple[int, Any, Any]) -> None:
    """Nobody has asked."""
