"""Interrupts the body of the running task: when its time is over, or when the master has cancelled it.

Signals ring the alarm in the executor's main thread: SIGALRM for time, SIGUSR2 for a cancellation. The exception is
only raised in the body of the task, never in the middle of the runtime's own work; there the alarm rings again a
moment later. Native code that does not come back to Python hears nothing: then the master ends the process.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import CancelError, TimeOutError
from taskflow.wire.messages import PAGE_DEADLINE, PAGE_RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

AGAIN_S = 0.001  #: seconds until the alarm rings again when it came at a bad moment

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Where an exception out of nowhere would do harm. What else is of the runtime's runs as part of a body.
_GUARDED = tuple(os.path.join(_PACKAGE, room, "") for room in ("node", "data", "wire"))


class Alarm:
    """The alarm of one executor. ``page`` is the memory it shares with the master (see `wire.messages`)."""

    def __init__(self, page: memoryview) -> None:
        self.unwanted: set[int] = set()  #: ids of cancelled tasks
        self._page = page
        self._deadline = 0.0
        self._name = ""
        self._bodies: set[CodeType] = {self.limited.__code__}
        self._main = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR2, self._ring)
        signal.signal(signal.SIGALRM, self._ring)

    def calls_bodies(self, function: Callable[..., Any]) -> None:
        """The function is one of the runtime's that call bodies of tasks: what it calls may be interrupted."""
        self._bodies.add(function.__code__)

    def cancel(self, task_id: int) -> None:
        """In the control thread: the task is not wanted any more, whether it runs or has not begun."""
        self.unwanted.add(task_id)
        signal.pthread_kill(self._main, signal.SIGUSR2)

    def limited(self, function: Callable[..., Any], seconds: float, name: str) -> Callable[..., Any]:
        """The function with a limit to its time: TimeOutError is raised in it when the time is over."""
        page = self._page

        def limited(*args: Any, **kwargs: Any) -> Any:
            self._name = f"{name} with time_out={seconds:g}"
            self._deadline = monotonic() + seconds
            page[PAGE_DEADLINE] = monotonic_ns() + int(seconds * 1e9)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                return function(*args, **kwargs)
            finally:
                self._deadline = 0.0
                signal.setitimer(signal.ITIMER_REAL, 0)
                page[PAGE_DEADLINE] = 0

        self._bodies.add(limited.__code__)
        functools.update_wrapper(limited, function)
        return limited

    def _ring(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a signal's handler
        running = self._page[PAGE_RUNNING]
        cancelled = running in self.unwanted
        if not cancelled and (not self._deadline or monotonic() < self._deadline):
            return
        if not self._in_body(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        if cancelled:
            self.unwanted.discard(running)
            raise CancelError("the task was cancelled while it ran")
        self._deadline = 0.0
        raise TimeOutError(f"the time of task {self._name} was over")

    def _in_body(self, frame: FrameType | None) -> bool:
        """Whether the interrupted code was called by the body of a task, and by nothing of the runtime since."""
        innermost = frame
        while frame is not None:
            if frame.f_code.co_filename.startswith(_GUARDED):
                return frame is not innermost and frame.f_code in self._bodies
            frame = frame.f_back
        return False
