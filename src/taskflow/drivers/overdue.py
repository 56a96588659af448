"""Which executors are to be killed because the task they run does not heed that its time is over, or its cancellation.

An executor interrupts the body of a task itself (`node.alarm`), but native code may not come back to Python for long.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.drivers.live import LiveLink

GRACE_S = 1.0  #: time a body has to end after it has been interrupted
LOOK_S = 0.1  #: how often executors are looked at while some task has a limit


class Overdue:
    """Keeps the time of what must end. ``limits``: some task function has a time-out."""

    def __init__(self) -> None:
        self.limits = False
        self._cancelled: dict[int, int] = {}  # task id: when it was cancelled

    @property
    def watching(self) -> bool:
        """Whether executors have to be looked at every `LOOK_S` seconds while they work."""
        return self.limits or bool(self._cancelled)

    def cancelled(self, task_id: int) -> None:
        """The executor has been told that the task is cancelled."""
        self._cancelled[task_id] = monotonic_ns()

    def find(self, links: Iterable[LiveLink]) -> list[tuple[LiveLink, str]]:
        """The executors to be killed now, each with the reason: "time_out" or "cancelled"."""
        now = monotonic_ns()
        grace = int(GRACE_S * 1e9)
        found: list[tuple[LiveLink, str]] = []
        pending: dict[int, int] = {}
        for link in links:
            deadline = link.handle.deadline_ns
            running = link.handle.running
            if deadline and now > deadline + grace:
                found.append((link, "time_out"))
            for task in link.executor.inflight.values():
                since = self._cancelled.get(task.id) if task.cancelled else None
                if since is None:
                    continue
                pending[task.id] = since
                if task.id == running and now > since + grace:
                    found.append((link, "cancelled"))
        self._cancelled = pending
        return found
