"""Holds signals back while the runtime is at work: an exception in the middle of it would leave it half-way.

::

    Ctrl-C ──► handler ── runtime at rest? ── yes ──► the handler found at the start
                  ▲            │ no
                  ├── again ── a thread, every millisecond
                  └── again ── the end of the next submission

At rest is the main thread when it is in the program's own code, or waits for tasks. A program that submits
tasks in a loop is hardly ever seen at rest: other threads run while it sends, which is in the middle of the
runtime's work. So a signal that is held back makes the limit of pending tasks 0. Every submission looks at
that limit at its end, and calls `Engine.throttle`, which delivers the signal: this costs nothing as long as
there is none.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from taskflow.drivers.engine import Engine

RETRY_S = 0.001
PATIENCE_S = 1.0  #: after this time only the kernel's lock still holds a signal back

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: Functions of the runtime in which a thread waits.
_WAITING = frozenset({"wait", "receive"})


class InterruptGuard:
    """Guards one session from Ctrl-C, and from SIGTERM if that has a handler in Python."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._previous: dict[int, Any] = {}
        self._found: dict[int, Any] = {}  # handlers of signals that the program asked for
        self._late = 0  # the signal that is held back; 0: none
        self._since = 0.0  # when it came
        self._gate = threading.Lock()  # held while the thread makes a try: then nothing is delivered
        self._insisting = False
        self._tried = False  # the thread's last try has not come in yet
        self._echo = False  # that try will come in although the signal has been delivered
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                previous = signal.getsignal(number)
                if callable(previous):
                    self._previous[number] = previous
                    signal.signal(number, self._came)
            engine.deliver = self._deliver_late

    def __repr__(self) -> str:
        return f"<InterruptGuard of {len(self._previous)} signals{', holding one' if self._late else ''}>"

    def alarm(self, seconds: float, act: Callable[[int, FrameType | None], None]) -> None:
        """Call ``act`` in the main thread once so many seconds are over and the runtime is at rest.

        It may raise. The handler that the program may have for SIGALRM is put back with the others.
        """
        self._found.setdefault(signal.SIGALRM, signal.getsignal(signal.SIGALRM))
        self._previous[signal.SIGALRM] = act
        signal.signal(signal.SIGALRM, self._came)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _came(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals, in the main thread."""
        if number == signal.SIGINT:  # perhaps a try
            self._tried = False
            if self._echo:
                self._echo = False
                return
        if not self._late:
            self._since = time.monotonic()
        self._late = max(self._late, number)  # SIGTERM is the greater one, and the stronger
        if not self._at_rest(frame) or not self._deliver(frame):
            self._engine.max_pending = 0
            if not self._insisting:
                self._insisting = True
                _thread.start_new_thread(self._insist, ())

    def _at_rest(self, frame: FrameType | None) -> bool:
        if self._engine.lock.locked():
            return False
        if frame is None or not frame.f_code.co_filename.startswith(_PACKAGE):
            return True
        name = frame.f_code.co_name
        return name in _WAITING or (name != "__del__" and time.monotonic() - self._since > PATIENCE_S)

    def _deliver_late(self) -> None:
        """At the end of a submission: the runtime is at rest."""
        if self._late and threading.current_thread() is threading.main_thread():
            self._deliver(None)

    def _deliver(self, frame: FrameType | None) -> bool:
        """Act on the signal, which usually raises an exception. False: this is not the moment."""
        if not self._gate.acquire(blocking=False):
            return False
        self._insisting = False
        self._echo = self._tried
        number, self._late = self._late, 0
        self._engine.max_pending = self._engine.pending_limit
        self._gate.release()
        previous = self._previous.get(number)
        if previous is not None:
            previous(number, frame)
        return True

    def _insist(self) -> None:
        """Body of the thread that tries again. `interrupt_main` can play SIGINT only, whatever it was."""
        while True:
            time.sleep(RETRY_S)
            with self._gate:
                if not self._insisting:
                    return
                if not self._tried:
                    self._tried = True
                    _thread.interrupt_main()

    def restore(self) -> None:
        """Put back the handlers found at the start, except where the program has set its own."""
        if threading.current_thread() is threading.main_thread():
            if signal.SIGALRM in self._found:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, previous in {**self._previous, **self._found}.items():
                if signal.getsignal(number) == self._came:
                    signal.signal(number, previous)
        self._engine.deliver = lambda: None
        self._insisting = False
