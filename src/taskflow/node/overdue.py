"""Which executors are to be killed because of the task that they run.

It does not heed that its time is over, or its cancellation: an executor interrupts the body of a task itself
(`node.alarm`), but native code may not come back to Python for long. Or it has taken more memory than it may. The
master looks after the executors of its own machine, the agent of a node after those there.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, TypeVar

from taskflow.node import memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.launch.local import ExecutorHandle
    from taskflow.model.functions import FunctionRecord

GRACE_S = 1.0  #: time a body has to end after it has been interrupted
LOOK_S = 0.1  #: how often executors are looked at while some task has a limit

T = TypeVar("T")


class Overdue:
    """Keeps the time of what must end. ``limits``: some task function has a limit of time or of memory."""

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

    def find(self, executors: Iterable[tuple[T, ExecutorHandle, Iterable[int]]]) -> list[tuple[T, str]]:
        """The executors to be killed now, each with the reason: "time_out", "cancelled" or "memory_size".

        Given are, for each executor, what to call it, its handle, and the ids of cancelled tasks that may be there yet.
        What is in none of them is forgotten.
        """
        now = monotonic_ns()
        grace = int(GRACE_S * 1e9)
        found: list[tuple[T, str]] = []
        pending: dict[int, int] = {}
        for executor, handle, cancelled in executors:
            deadline = handle.deadline_ns
            running = handle.running
            if deadline and now > deadline + grace:
                found.append((executor, "time_out"))
            allowed, before = handle.memory
            if allowed and handle.pid:
                excess = memory.excess(handle.pid, allowed, before)
                if excess and handle.memory == (allowed, before):
                    handle.excess = excess
                    found.append((executor, "memory_size"))
            for task_id in cancelled:
                since = self._cancelled.get(task_id)
                if since is None:
                    continue
                pending[task_id] = since
                if task_id == running and now > since + grace:
                    found.append((executor, "cancelled"))
        self._cancelled = pending
        return found


def limits_memory(record: FunctionRecord) -> bool:
    """Whether tasks of the function are killed if they take too much memory."""
    return record.demand is not None and any(name == "memory_size" for name, _ in record.demand.amounts)
