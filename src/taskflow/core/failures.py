"""What a failure does: dependants fail with it, tasks of a dead executor go elsewhere, lost results are made again."""

from __future__ import annotations

from typing import Any

from taskflow.core.accesses import member_ended
from taskflow.core.graph import (
    DONE,
    FAILED,
    FAILED_TASK,
    GONE,
    HELD,
    PENDING,
    SEGMENT,
    WAITING,
    WATCHING,
    Failure,
    Group,
    Task,
    Version,
    Watch,
)
from taskflow.core.lineage import is_lost
from taskflow.core.placement import Executor, Placing

MAX_DEATHS = 2  #: executors that may die of one task before it is reported


class Failing(Placing):
    """The part of the kernel that deals with tasks that fail, executors that die and results that are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Failure] = []
        self.unfinished = 0
        self.failed_count = 0
        self.rerun_count = 0
        self.cancelled: list[tuple[int, int]] = []
        self.notices: list[Watch] = []

    def _enter(self, task: Task) -> None:
        """Count what the task misses and go on from there (`core.master`)."""
        raise NotImplementedError

    def _after(self, task: Task, *, held: bool = False) -> None:
        """Let go of what an ended task used (`core.master`)."""
        raise NotImplementedError

    def _arrived(self, version: Version) -> None:
        """The version can be read, or has failed (`core.master`)."""
        raise NotImplementedError

    def failed(self, executor: Executor, task_id: int, error: BaseException) -> bool:
        """A task raised. Returns whether the report counted (a stale one does not)."""
        task = executor.inflight.pop(task_id, None)
        if task is None:
            return False
        executor.load -= task.cost
        self._fail_anew(task, error)
        return True

    def _fail_anew(self, task: Task, error: BaseException) -> None:
        failure = Failure(error, task.id)
        self.failures.append(failure)
        self.failed_count += 1
        for group in task.groups:
            group.failures.append(failure)
        self._fail(task, failure)

    def skipped(self, executor: Executor, task_id: int, key: tuple[int, int]) -> None:
        """A task could not run: the executor does not have the input ``key``, or not any more."""
        task = executor.inflight.pop(task_id, None)
        if task is not None:
            executor.load -= task.cost
            task.executor = None
            for version in task.reads:
                if version.state == HELD and version.value.executor is executor and version.key == key:
                    self.consumed(version)
            self._requeue(task)

    def _fail(self, task: Task, failure: Failure) -> None:
        """End the task and, one after the other, all that need its results."""
        doomed = [task]
        while doomed:
            task = doomed.pop()
            if task.state >= DONE:
                continue
            task.state = FAILED_TASK
            if task.id != failure.task_id:
                self.cancelled.append((task.id, failure.task_id))
            self.unfinished -= 1
            for version in task.writes:
                if version is None:
                    task.failure = failure  # a result of an earlier run may get lost yet
                    continue
                version.state = FAILED
                version.value = failure
                version.producer = None
                whole = version if version.group is None else member_ended(version, failure)
                if whole is not None and whole.waiters is not None:
                    for waiter in whole.waiters:
                        waiter.missing -= 1
                        if waiter.state == WAITING:
                            doomed.append(waiter)
                        elif waiter.state == WATCHING:
                            self.notices.append(waiter)
                    whole.waiters = None
            task.deletes = None
            self._after(task)

    def unseen_failure(self, group: Group | None = None) -> Failure | None:
        """The first failure (of the group, or of all) that the main program has not been told of.

        First in the order of the calls, as in a sequential run: which one came first in time is chance.
        """
        failures = self.failures if group is None else group.failures
        while failures and failures[0].seen:
            failures.pop(0)
        unseen = [failure for failure in failures if not failure.seen]
        return min(unseen, key=lambda failure: failure.task_id, default=None)

    def abandon(self, error: BaseException) -> None:
        """The run is over: whatever has not ended failed with the error, so that nobody waits for it in vain."""
        while True:
            tasks = [*self.ready, *self.urgent]
            self.ready.clear()
            self.urgent.clear()
            for executor in self.executors.values():
                tasks += [*executor.inflight.values(), *executor.local, *executor.followers]
                executor.inflight.clear()
                executor.local.clear()
                executor.followers.clear()
            if not tasks:
                return
            for task in tasks:
                self._fail(task, Failure(error, task.id))

    def executor_joined(self, executor_id: int) -> Executor:
        """A new executor is ready for work."""
        executor = Executor(executor_id)
        self.executors[executor_id] = executor
        self.team.append(executor)
        self.ready_limit = 1
        self.fill(executor)
        self._set_ready_limit()
        return executor

    def executor_lost(self, executor: Executor, running: int, error: BaseException) -> list[Task]:
        """The executor died while it ran task ``running`` (0: none). Its tasks go elsewhere.

        The task that was running is tried once more, and reported with ``error`` if an executor dies of it again.
        Returns the tasks that were running or queued there.
        """
        executor.alive = False
        del self.executors[executor.id]
        self.team.remove(executor)
        self.ready_limit = 1
        tasks = list(executor.inflight.values())
        executor.inflight.clear()
        executor.outbox.clear()
        for task in tasks:
            task.executor = None
            task.state = WAITING
        for version in list(self.publishing.values()):
            if is_lost(version):
                self._recover(version)
        for task in tasks:
            if task.state != WAITING:
                continue
            if task.id == running:
                task.deaths += 1
                if task.deaths >= MAX_DEATHS:
                    self._fail_anew(task, error)
                    continue
            else:
                self.rerun_count += 1
            self._requeue(task)
        orphans = list(executor.local)
        executor.local.clear()
        executor.followers.clear()
        for task in orphans:
            self._requeue(task)
        return tasks

    def _requeue(self, task: Task) -> None:
        """Put back a task that had been handed out (or waited for the data of an executor that died).

        ``missing`` counts the versions it still waits for; some that were there may have been lost meanwhile.
        """
        task.state = WAITING
        for version in task.reads:
            if is_lost(version):
                self._recover(version)
                if task.state >= DONE:
                    return  # the attempt failed another of its inputs, and with it the task
            if version.state == FAILED:
                self._fail(task, version.value)
                return
            if version.state != PENDING or (version.waiters is not None and task in version.waiters):
                continue
            task.missing += 1
            version.add_waiter(task)
        if not task.missing:
            if task.exclusive is not None and all(group.busy is task for group, _ in task.exclusive):
                for group, _ in task.exclusive:
                    group.busy = None
            self._make_ready(task)

    def _recover(self, version: Version) -> None:
        """Run the producer of a lost version again; the version is pending then, or failed."""
        producer = version.producer
        assert producer is not None, f"{version} is lost and nothing is known of its making"
        self.publishing.pop(version.key, None)
        if producer.failure is not None:
            version.state = FAILED
            version.value = producer.failure
            version.producer = None
            self._arrived(version)
            return
        version.state = PENDING
        version.value = None
        if not isinstance(producer.writes, list):
            producer.writes = list(producer.writes)
        producer.writes[version.index] = version
        if producer.state == DONE:
            producer.state = WAITING
            producer.executor = None
            producer.missing = 0
            self.unfinished += 1
            self.rerun_count += 1
            for read in producer.reads:
                read.readers += 1
            self._enter(producer)

    def consumed(self, version: Version) -> None:
        """A held version was used up in place by its last reader."""
        if version.state == HELD:
            version.state = GONE
            version.value = None
            if version.waiters:
                self._recover(version)  # a task that runs again for lost results has asked for it meanwhile

    def published(self, version: Version, segment: Any) -> None:
        """A held version is now in a shared segment."""
        self.publishing.pop(version.key, None)
        if version.state == HELD:
            version.state = SEGMENT
            version.value = segment
            version.producer = None
            self._arrived(version)

    def unpublishable(self, executor: Executor, key: tuple[int, int]) -> None:
        """The executor no longer has what it was asked to publish: make it again."""
        version = self.publishing.get(key)
        if version is None or (version.state == HELD and version.value.executor is not executor):
            return
        if version.state == HELD or version.state == GONE:
            self._recover(version)
        else:
            del self.publishing[key]
