"""Starts executors on this machine: one zygote process, asked over an inherited socket to fork executors."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from taskflow.launch.spawn import Zygote
from taskflow.model.errors import TaskflowError
from taskflow.wire.messages import PAGE_DEADLINE, PAGE_MEMORY, PAGE_MEMORY_BEFORE, PAGE_RUNNING


class ExecutorHandle:
    """The master's ends of one executor's sockets, and its page with the running task's id."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.excess = 0  # bytes that a task had taken when it was killed for them
        self.data, self._data_far = socket.socketpair()
        self.control, self._control_far = socket.socketpair()
        self._page_file = os.memfd_create("taskflow-page", os.MFD_CLOEXEC)
        os.ftruncate(self._page_file, mmap.PAGESIZE)
        self._page = mmap.mmap(self._page_file, mmap.PAGESIZE)

    @property
    def far_files(self) -> list[int]:
        """The descriptors the executor process gets."""
        return [self._data_far.fileno(), self._control_far.fileno(), self._page_file]

    @property
    def running(self) -> int:
        """Id of the task the executor is (or was, if it died) running; 0: none; -n: it loads function n."""
        return self._word(PAGE_RUNNING)

    @property
    def deadline_ns(self) -> int:
        """When the running task should have ended, by the monotonic clock in nanoseconds; 0: it has no limit."""
        return self._word(PAGE_DEADLINE)

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes that the running task may use (0: any), and those that the executor had before."""
        return self._word(PAGE_MEMORY), self._word(PAGE_MEMORY_BEFORE)

    def _word(self, index: int) -> int:
        return int.from_bytes(self._page[8 * index : 8 * index + 8], sys.byteorder, signed=True)

    def close_far(self) -> None:
        """The executor has its ends now."""
        self._data_far.close()
        self._control_far.close()
        os.close(self._page_file)

    def close(self) -> None:
        """Close our ends; an executor that still lives ends."""
        self.data.close()
        self.control.close()
        self._page.close()


class LocalNode:
    """The executors of this machine. Not thread-safe: the driver calls it with its lock held."""

    def __init__(self, settings: dict[str, Any], zygote: Zygote | None = None) -> None:
        self._zygote = zygote or Zygote()
        self.socket = self._zygote.socket
        self.process = self._zygote.process
        self._send({"settings": settings})

    def start_executor(self, number: int, cores: str = "") -> ExecutorHandle:
        """Ask for an executor. Its sockets can be written to at once: what is sent waits for it.

        ``cores``: the processor cores that it may use, with commas between their numbers; nothing: any.
        """
        handle = ExecutorHandle(number)
        self._send({"executor": number, "cores": cores}, handle.far_files)
        handle.close_far()
        return handle

    def _send(self, message: dict[str, Any], files: list[int] | None = None) -> None:
        data = json.dumps(message).encode()
        try:
            if files:
                socket.send_fds(self.socket, [data], files)
            else:
                self.socket.send(data)
        except OSError as error:
            raise TaskflowError(
                f"the process that starts executors has ended ({error}); it wrote:\n{self._zygote.said}"
            ) from error

    def notes(self) -> list[dict[str, Any]] | None:
        """What the zygote has said (starts and deaths) without waiting; None if it has ended."""
        notes: list[dict[str, Any]] = []
        while True:
            try:
                data = self.socket.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return notes
            except OSError:
                return None
            if not data:
                return notes or None
            notes.append(json.loads(data))

    def close(self, timeout: float = 5.0) -> None:
        """End the zygote and with it every executor; returns when they are gone."""
        self._hang_up()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self, patience: float = 0.2) -> None:
        """As `close`, without any lock: for a signal's handler that may have interrupted `close` itself."""
        self._hang_up()
        deadline = time.monotonic() + patience
        with contextlib.suppress(OSError):  # it has ended and was waited for
            while os.waitpid(self.process.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(self.process.pid, signal.SIGKILL)
                time.sleep(0.002)

    def _hang_up(self) -> None:
        """Close the connection, not only our descriptor: a child forked by the program may hold a copy of it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def describe_end(status: int) -> str:
    """How a process ended, from its wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = ""
        if name == "SIGKILL":
            hint = " (killed by the system for lack of memory, by an administrator, or by a time limit)"
        elif name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"):
            hint = " (a fault in native code)"
        return f"killed by {name}{hint}"
    return f"exited with code {os.waitstatus_to_exitcode(status)} without finishing the task"


def tail(path: str, lines: int = 20) -> list[str]:
    """The last lines of a log; none if there is no log."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 8192))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def allow_files(count: int) -> None:
    """Let this process have so many more open files, as far as the system's hard limit allows that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(os.listdir("/proc/self/fd")) + count
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
