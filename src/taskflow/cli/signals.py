"""Ctrl-C and SIGTERM, from the start of runtask to its end.

::

    HELD ──► RAISED ──► LAST CHANCE ──► AT ONCE
    starting  script     final barrier   shutdown

While the session starts, a signal is noted and raised once the session is complete; only the wait for the
nodes of a cluster can be interrupted. In the script it is raised as KeyboardInterrupt, which the script may
catch, as under ``python``. After the script it is raised once more, and during the shutdown it ends
everything at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from taskflow.cli import start

if TYPE_CHECKING:
    from types import FrameType

    from taskflow.runtime import Session

HELD, RAISED, LAST_CHANCE, AT_ONCE = range(4)

_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Signals:
    """The handler of both signals. Signals that are ignored (``nohup``, ``&``) stay ignored."""

    def __init__(self) -> None:
        self.phase = HELD
        self.session: Session | None = None
        self._held = False
        self._terminated = False
        self._installed: list[signal.Signals] = []
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) in (default, start.end):
                    signal.signal(number, self)
                    self._installed.append(number)

    def __repr__(self) -> str:
        return f"<Signals phase {self.phase}{', terminated' if self._terminated else ''}>"

    @property
    def exit_code(self) -> int:
        """Exit code of the run that was interrupted."""
        return 128 + (signal.SIGTERM if self._terminated else signal.SIGINT)

    @property
    def what(self) -> str:
        """What happened, in a word."""
        return "terminated" if self._terminated else "interrupted"

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  signature of a handler
        """Act on a signal, in the main thread."""
        if number == signal.SIGTERM:
            self._terminated = True
        if self.phase == HELD:
            self._held = True
            return
        if self.phase == AT_ONCE:
            self.end_at_once()
        if self.phase == LAST_CHANCE:
            self.phase = AT_ONCE
        raise KeyboardInterrupt

    def release(self) -> None:
        """Let signals through to the script, the one that was held back first."""
        self.phase = RAISED
        if self._held:
            self._held = False
            raise KeyboardInterrupt

    def hold(self) -> None:
        """Note the next signal, for `release`."""
        self.phase = HELD

    def shut_down(self) -> None:
        """From now on a signal ends everything. The handler comes first, before those of the session."""
        self.phase = AT_ONCE
        for number in self._installed:
            signal.signal(number, self)

    def restore(self) -> None:
        """Leave signals as they were found, for what the interpreter does at its end."""
        for number in self._installed:
            if signal.getsignal(number) is self:
                signal.signal(number, _DEFAULTS[number])

    def end_at_once(self) -> NoReturn:
        """End the executors and this process without any further care."""
        with contextlib.suppress(Exception):
            if self.session is not None:
                self.session.kill()
        os._exit(self.exit_code)
