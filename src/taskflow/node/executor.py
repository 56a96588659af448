"""The executor process: receives tasks, runs them in order, sends reports.

::

    data socket ──► main thread: receive → queue → run → report ──► data socket
    control socket ──► control thread: give back queued tasks, end the process when the master is gone

The main thread blocks in ``recv`` when it has nothing to do: no polling. Reports are sent when the queue is empty, and
before a task begins that would make a finished result wait for long. How long is long depends on whether others have
nothing to do (the master says so with ``hurry``): sending each result of a 1 ms task costs a tenth of it. The control
thread costs nothing until the master asks for queued tasks back; it answers even while a task runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import struct
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.data.store import Store
from taskflow.node import memory, nested, processes
from taskflow.node.alarm import Alarm
from taskflow.node.environment import bind_to_cores, roots
from taskflow.node.interpreter import Interpreter
from taskflow.node.report import notice
from taskflow.wire.channel import Receiver, pack, receive_exactly
from taskflow.wire.messages import C_RECALL, PAGE_MEMORY, PAGE_MEMORY_BEFORE, PAGE_RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLUSH_S = 0.0005  #: results of very short tasks are sent this often
SHORT_S = 0.0002  #: a task shorter than this is very short
DELAY_S = 0.0025  #: longest that a result waits for others while a task runs, when the master is in no hurry
LOOK_S = 0.001  #: before a task with large inputs the socket is looked at this often

_in_executor = False


def in_executor() -> bool:
    """Whether this process is an executor, so that calling a task function is a plain call."""
    return _in_executor


class Output(io.TextIOBase):
    """What tasks print travels with the reports, in order with the results; the master writes it out."""

    def __init__(self, executor: ExecutorProcess, stream: int) -> None:
        self._executor = executor
        self._stream = stream

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def write(self, text: str) -> int:
        """Hand the text to the executor."""
        self._executor.printed(self._stream, text)
        return len(text)

    def fileno(self) -> int:
        """The descriptor behind the stream, for what bypasses it."""
        return self._stream

    @property
    def buffer(self) -> OutputBytes:
        """The stream for bytes."""
        return OutputBytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Text travels as it is."""
        return "utf-8"


class OutputBytes(io.RawIOBase):
    """``sys.stdout.buffer`` of a task: bytes join the text, in order."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        """Bytes can be written."""
        return True

    def write(self, data: Any) -> int:
        """Hand the bytes on as text."""
        self._output.write(bytes(data).decode(errors="replace"))
        return len(data)


class ExecutorProcess:
    """Everything one executor process does. ``page`` is shared memory: see `wire.messages`."""

    def __init__(self, data: socket.socket, control: socket.socket, page: memoryview, interpreter: Interpreter) -> None:
        self.data = data
        self.control = control
        self.page = page
        self.queue: deque[Any] = deque()
        self.interpreter = interpreter
        interpreter.await_news = self._await_news
        self._receiver = Receiver(data)
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._unread: deque[Any] = deque()  # messages fetched by the control thread
        self._last_sent = monotonic()
        self._last_look = self._last_sent
        self._means: dict[int, float] = {}
        self.hurry = True
        self.alarm = Alarm(page)
        for calls_bodies in (*interpreter.callers_of_bodies, nested.ProcessChannel.pause):
            self.alarm.calls_bodies(calls_bodies)
        interpreter.limited = self.alarm.limited
        interpreter.limited_memory = self._limited_memory
        self.channel = nested.channel = nested.ProcessChannel(self)

    def serve(self) -> None:  # noqa: PLR0915  the loop is the hot path: a call would cost more than its body
        """Run until the master closes the connection."""
        threading.Thread(target=self._control_loop, name="taskflow-control", daemon=True).start()
        interpreter = self.interpreter
        queue = self.queue
        start = monotonic()
        means = self._means
        page = self.page
        unwanted = self.alarm.unwanted
        while True:
            if not queue:
                self._flush()
                interpreter.tidy()
                if not self._receive(wait=True):
                    self._say_goodbye()
                    return
                start = monotonic()
                continue
            try:
                task = queue.popleft()
            except IndexError:  # the control thread took the last one
                continue
            if type(task) is list:
                interpreter.let_go(*task)
                continue
            task_id = task[0]
            function_id = task[1]
            report = interpreter.report
            if report.ids:
                expected = means.get(function_id, 1.0)
                if expected > SHORT_S and (self.hurry or start + expected - report.ends[0] > DELAY_S):
                    self._flush()
                    interpreter.tidy()
                    self._look()
                    report = interpreter.report
                    start = monotonic()
            page[PAGE_RUNNING] = task_id
            # In this order: whatever moment the control thread adds it at, it is seen here or by the alarm.
            if unwanted and task_id in unwanted:
                page[PAGE_RUNNING] = 0
                unwanted.discard(task_id)
                report.skipped.append((task_id, (0, 0)))
                continue
            length = len(task)
            if length == 3 or (length == 4 and interpreter.fill_in(task[2], task[3])):
                interpreter.run_plain(task_id, function_id, task[2])
            else:
                if start - self._last_look > LOOK_S:
                    self._look()
                if length == 4:
                    task = (*task[:3], None, task[3], interpreter.returns[function_id], False)
                interpreter.run(*task)
                report = interpreter.report  # another, if the task has called tasks
            page[PAGE_RUNNING] = 0
            end = monotonic()
            took = end - start
            report.ids.append(task_id)
            report.starts.append(start)
            report.ends.append(end)
            cost = report.costs.get(function_id)
            if cost is None:
                report.costs[function_id] = [1, took]
            else:
                cost[0] += 1
                cost[1] += took
            mean = means.get(function_id)
            means[function_id] = took if mean is None else mean + (took - mean) * 0.3
            if queue and end - self._last_sent > FLUSH_S and (len(report.ids) >= 64 or (self.hurry and took > SHORT_S)):
                self._flush()
                interpreter.tidy()
                self._look()
                end = monotonic()
            start = end

    def _flush(self) -> None:
        interpreter = self.interpreter
        if interpreter.report.empty:
            return
        with self._send_lock:
            self.data.sendall(pack(interpreter.next_report()))
        self._last_sent = monotonic()

    def _await_news(self, seconds: float) -> None:
        """Give the master a moment to say something (see `Interpreter.take_local`)."""
        if select.select([self.data], [], [], seconds)[0]:
            self._look()

    def _say_goodbye(self) -> None:
        """The master has closed its side: tell it what it has not been told."""
        lines = self.interpreter.journal_lines
        if lines:
            with contextlib.suppress(OSError), self._send_lock:
                self.data.sendall(pack(notice(journal=b"\n".join(lines))))

    def _look(self) -> None:
        """See without waiting whether the master has said something."""
        self._receive(wait=False)
        self._last_look = monotonic()

    def _receive(self, *, wait: bool) -> bool:
        """Take in messages; False if the master is gone."""
        receiver = self._receiver
        with self._receive_lock:
            if self._unread:
                while self._unread:
                    self._accept(self._unread.popleft())
                return True
            try:
                messages = receiver.receive(0 if wait else socket.MSG_DONTWAIT)
                while messages is not None:
                    for message in messages:
                        self._accept(message)
                    if not receiver.incomplete:
                        return True
                    messages = receiver.receive()
            except BlockingIOError:
                return True
            except ConnectionResetError:
                pass
        return False

    @contextlib.contextmanager
    def _limited_memory(self, limit: int) -> Iterator[None]:
        """While a task runs that may use so many bytes, whoever watches this process sees that (`node.memory`)."""
        page = self.page
        page[PAGE_MEMORY_BEFORE] = memory.own()
        page[PAGE_MEMORY] = limit
        try:
            yield
        finally:
            page[PAGE_MEMORY] = 0

    # ------------------------------------------------------------------ for the body of a task that calls tasks

    def send(self, data: bytes) -> None:
        """Send a message of the body to the master."""
        with self._send_lock:
            self.data.sendall(data)

    def await_message(self, pause: Callable[[], bool]) -> bool:
        """Whether there is something to take in; if not at once, then after ``pause``."""
        with self._receive_lock:  # or the control thread might take it from under us
            return bool(self._unread) or pause()

    def tell(self) -> None:
        """Send what earlier tasks of the queue have done, and what the master has asked for."""
        self._flush()

    def take_in(self) -> None:
        """See what the master has said while a body runs, and send what it has asked for."""
        running = self.page[PAGE_RUNNING]
        if not self._receive(wait=False):
            os._exit(0)  # the master is gone
        self.page[PAGE_RUNNING] = running
        self._flush()

    # ------------------------------------------------------------------ control thread

    def _take_unread(self, count: int) -> list[int]:
        """In the control thread: take back tasks that the main thread has not even read, because it is running one.

        Messages are only kept, for the main thread to accept: loading functions and publishing are its business.
        """
        given: list[int] = []
        if not self._receive_lock.acquire(blocking=False):
            return given  # the main thread is reading itself
        try:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                self._unread.extend(self._receiver.receive(socket.MSG_DONTWAIT) or ())
            for message in reversed(self._unread):
                if isinstance(message, list):
                    continue  # for the body that runs
                tasks = message[5]
                while tasks and len(given) < count:
                    given.append(tasks.pop()[0])
        finally:
            self._receive_lock.release()
        return given

    def _accept(self, message: Any) -> None:
        if type(message) is list:
            self.channel.take(message)
            return
        ack, functions, drops, movable, publish, tasks, self.hurry = message
        interpreter = self.interpreter
        for function in functions:
            self.page[PAGE_RUNNING] = -function[0]  # whoever needs it is to blame if the process dies of loading it
            interpreter.define([function])
            self.page[PAGE_RUNNING] = 0
        if movable:
            interpreter.movable.update(movable)
        if ack or drops:
            self.queue.append([ack, drops])  # in order: tasks queued before may still use what is let go
        if publish:
            interpreter.publish(publish)
        self.queue.extend(tasks)

    def printed(self, stream: int, text: str) -> None:
        """A task wrote to standard output or error."""
        self.interpreter.report.output.append((stream, text))
        if stream == 2:
            os.write(2, text.encode(errors="replace"))  # into the log, too: what is said last must survive a death
        if text.endswith("\n") and monotonic() - self._last_sent > 0.05:
            with contextlib.suppress(OSError):
                self._flush_output()

    def _flush_output(self) -> None:
        report = self.interpreter.report
        output, report.output = report.output, []
        with self._send_lock:
            self.data.sendall(pack(notice(output=output)))
        self._last_sent = monotonic()

    # ------------------------------------------------------------------ control thread

    def _control_loop(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                request = receive_exactly(self.control, 5)
                (number,) = struct.unpack("<I", request[1:])
                if request[:1] == C_RECALL:
                    self._recall(number)
                else:
                    self.alarm.cancel(number)
        # The master is gone; a task may be in the middle of anything, so this is no time for clean-up.
        for mark in list(processes.running):
            processes.end(mark, grace_s=0)  # the zygote may have been killed, too
        os._exit(0)

    def _recall(self, count: int) -> None:
        """Give back the last tasks of the queue, and send what has been done although a task is running."""
        given = self._take_unread(count)
        kept: list[Any] = []
        while len(given) < count:
            try:
                task = self.queue.pop()
            except IndexError:
                break
            if type(task) is list:
                kept.append(task)
            else:
                given.append(task[0])
        self.queue.extend(reversed(kept))
        answer = pack(given)
        with self._send_lock:
            report = self.interpreter.report
            if not report.empty:
                # A copy: the running task goes on adding to the report, which is sent again when it ends; the master
                # drops what it has had.
                self.data.sendall(pack(report.snapshot()))
        self.control.sendall(answer)


def run_executor(files: list[int], settings: dict[str, Any], number: int, cores: str = "") -> None:
    """Body of an executor process: set the process up, then serve until the master is gone.

    ``cores``: those that it may use, with commas between their numbers; nothing: any.
    """
    global _in_executor
    _in_executor = True
    os.environ["TASKFLOW_RUN_DIR"] = settings["run_dir"]
    os.environ["TASKFLOW_NODE"] = settings.get("node", "")
    roots.update(settings.get("roots", {}))
    if cores:
        os.environ["COMPSS_BINDED_CPUS"] = cores
        bind_to_cores(cores)
    data, control = (socket.socket(fileno=file) for file in files[:2])
    import mmap

    page = memoryview(mmap.mmap(files[2], mmap.PAGESIZE)).cast("q")
    os.close(files[2])
    log = os.open(f"{settings['run_dir']}/executor-{number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    import faulthandler

    faulthandler.enable(file=2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store = Store(settings["segments"], f"x{number}", keep_mappings=True)
    kind = Interpreter
    if settings.get("check"):
        from taskflow.node.check import CheckedInterpreter

        kind = CheckedInterpreter
    interpreter = kind(store, f"{settings['scratch']}/x{number}", number=number, epoch=settings["epoch"])
    executor = ExecutorProcess(data, control, page, interpreter)
    sys.stdout = Output(executor, 1)
    sys.stderr = Output(executor, 2)
    try:
        executor.serve()
    finally:
        os._exit(0)
