"""Tasks that are requests to services. The process of the main program makes them, any number at a time.

To the kernel a service is an executor of a kind of its own: it is at home and apart from every team, has no computing
unit, and as many tasks in flight as the service and the *capacity* of all services together allow. All else is as
with other tasks: what they read is brought home, and how they end is reported.

Order: those with priority first, then as they were called. A service that is full is overtaken by others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from taskflow.core.graph import DONE, READY
from taskflow.core.placement import Executor

if TYPE_CHECKING:
    from taskflow.core.graph import Task
    from taskflow.core.master import Master

_OF_SERVICES = -2  #: number among those that the kernel has to serve


class Service:
    """One service and the tasks that wait for it. ``limit``: of requests at a time; None: the capacity is the limit."""

    __slots__ = ("executor", "limit", "queues")

    def __init__(self, executor: Executor, limit: int | None) -> None:
        self.executor = executor
        self.limit = limit
        self.queues: tuple[deque[Task], deque[Task]] = (deque(), deque())  # with priority, and without

    @property
    def is_full(self) -> bool:
        """Whether no request more may be made now."""
        return self.limit is not None and len(self.executor.inflight) >= self.limit

    def head(self) -> tuple[bool, int, deque[Task]] | None:
        """What the first task that still waits comes after, and its queue."""
        for place, queue in enumerate(self.queues):
            while queue and queue[0].state != READY:
                queue.popleft()  # cancelled
            if queue:
                return (bool(place), queue[0].id, queue)
        return None


class Services:
    """All services that tasks have been called for. ``outgoing``, a command: those with something in the outbox."""

    def __init__(self, kernel: Master, capacity: int) -> None:
        self.kernel = kernel
        self.capacity = capacity
        self.by_name: dict[str, Service] = {}
        self.outgoing: dict[int, Executor] = {}

    def open(self, name: str, executor_id: int, limit: int | None) -> Executor:
        """There is a service of that name."""
        executor = Executor(executor_id, self.kernel.home)
        executor.service = name
        executor.apart = True
        self.kernel.executors[executor_id] = executor
        self.by_name[name] = Service(executor, limit)
        return executor

    @property
    def in_flight(self) -> int:
        """How many requests are being made."""
        return sum([len(service.executor.inflight) for service in self.by_name.values()])

    def take(self, task: Task) -> None:
        """The task is ready. Whoever has called the kernel calls its `serve` in the end."""
        task.state = READY
        queue = self.by_name[task.function.service].queues[not task.priority]
        if queue and queue[0].id > task.id:
            queue.appendleft(task)  # it has been handed out before
        else:
            queue.append(task)
        self.serve_soon()

    def serve_soon(self) -> None:
        """Something has ended, or has come."""
        self.kernel.serving[_OF_SERVICES] = self

    def serve(self) -> None:
        """Start what can be started."""
        while self.in_flight < self.capacity:
            heads = [
                (*head[:2], service, head[2])
                for service in self.by_name.values()
                if not service.is_full and (head := service.head()) is not None
            ]
            if not heads:
                return
            _, _, service, queue = min(heads, key=lambda head: head[:2])
            executor = service.executor
            self.kernel.home._assign(queue.popleft(), executor)  # noqa: SLF001
            if self.kernel.dirty.pop(executor.id, None) is not None:
                self.outgoing[executor.id] = executor

    def waiting(self) -> list[Task]:
        """All tasks that wait here."""
        return [task for service in self.by_name.values() for queue in service.queues for task in queue]

    def forget_ended(self) -> None:
        """Take tasks that have been cancelled out of the queues."""
        for service in self.by_name.values():
            for queue in service.queues:
                kept = [task for task in queue if task.state < DONE]
                queue.clear()
                queue.extend(kept)
        self.serve_soon()

    def clear(self) -> None:
        """Forget all tasks."""
        for service in self.by_name.values():
            for queue in service.queues:
                queue.clear()
