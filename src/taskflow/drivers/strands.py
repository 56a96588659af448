"""Pieces of work of a simulated run that stop in their middle, such as the body of a task that waits for its children.

Each has a thread of its own, but only one thread of the run goes on at any time: who lets a strand go on waits until
it pauses or ends. So everything happens in an order that the engine decides, and a seed replays exactly. Each has the
environment variables that it had when it paused, as the process of its own would have that it stands for.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_of_thread = threading.local()


class Cut(BaseException):
    """Raised where a strand has paused that is not to go on: its executor has died, or the run is over."""


class Strand:
    """Work that begins with the first `proceed`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._run, name="taskflow-strand", daemon=True)
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._cut = False
        self._environment: dict[str, str] | None = None
        self.begun = False
        self.ended = False

    @staticmethod
    def current() -> Strand | None:
        """The strand whose work calls this, if any does."""
        return getattr(_of_thread, "strand", None)

    def proceed(self) -> None:
        """Let it go on until it pauses or ends. Raises what the work raised."""
        outside = dict(os.environ)
        if self._environment is not None:
            _have_environment(self._environment)
        if self.begun:
            self._go.release()
        else:
            self.begun = True
            self._thread.start()
        self._stopped.acquire()
        self._environment = dict(os.environ)
        _have_environment(outside)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def pause(self) -> None:
        """Called by the work: stop here until the next `proceed`. Raises Cut if there is to be none."""
        self._stopped.release()
        self._go.acquire()
        if self._cut:
            raise Cut

    def cut(self) -> None:
        """Have it end where it has paused."""
        if self.begun and not self.ended:
            self._cut = True
            self.proceed()

    def _run(self) -> None:
        _of_thread.strand = self
        try:
            self._work()
        except Cut:
            pass
        except BaseException as error:  # noqa: BLE001  raised where the strand was let go on
            self._error = error
        finally:
            self.ended = True
            self._stopped.release()


def _have_environment(wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


class OneThread:
    """Stands for the lock of an engine whose threads go on one at a time."""

    def __enter__(self) -> None:
        """Nobody else can be in."""

    def __exit__(self, *_: object) -> None:
        """Nobody waits to get in."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ARG002  the signature of a lock
        """It is always free."""
        return True

    def release(self) -> None:
        """See `acquire`."""

    def locked(self) -> bool:
        """See `acquire`."""
        return False
