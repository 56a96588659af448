"""What a failure does: the task is tried again, or its policy decides; lost results are made again.

===================  ==========================================================================================
policy               when no attempt is left
===================  ==========================================================================================
RETRY, FAIL          the task and all that need its results fail; the main program is told where it waits
CANCEL_SUCCESSORS    all that need its results are cancelled; what the task had written to files stays
IGNORE               the task counts as done; its results are defaults, what it had written, or what was before
COMPSsException      (raised in a group, whatever the policy) the unfinished tasks of all its groups are cancelled
===================  ==========================================================================================

What a cancelled task would have written stays what it was before: see `core.graph.last_good`.
"""

from __future__ import annotations

import errno
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from taskflow.core.accesses import member_ended
from taskflow.core.graph import (
    ASSIGNED,
    DONE,
    FAILED,
    FAILED_TASK,
    GONE,
    HELD,
    PENDING,
    READY,
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
from taskflow.core.placement import Executor
from taskflow.model.errors import COMPSsException, TimeOutError
from taskflow.model.policies import OnFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskflow.core.crew import Crew
    from taskflow.core.dispatch import Dispatch
    from taskflow.core.services import Services

MAX_DEATHS = 2  #: executors that may die of one task before it is reported
MAX_LOSSES = 4  #: nodes that may be lost while they run a task before it is blamed


class Verdict(Enum):
    """What became of a task whose attempt failed."""

    RETRIED = "retried"
    FAILED = "failed"
    IGNORED = "ignored"
    SUCCESSORS_CANCELLED = "successors cancelled"
    GROUPS_CANCELLED = "groups cancelled"


class Failing:
    """The part of the kernel that deals with tasks that fail, executors that die and results that are lost."""

    def __init__(self) -> None:
        self.executors: dict[int, Executor] = {}
        self.publishing: dict[tuple[int, int], Version] = {}
        self.dirty: dict[int, Executor] = {}
        self.recalls: list[tuple[Executor, int]] = []
        self.failures: list[Failure] = []
        self.unfinished = 0
        self.failed_count = 0
        self.rerun_count = 0
        self.ignored_count = 0
        self.cancelled_count = 0
        self.cancelled: list[tuple[int, int]] = []
        self.cancels: list[tuple[Executor, int]] = []
        self.cancellations: list[Failure] = []  # that the main program has not waited for yet
        self.notices: list[Watch] = []

    crews: dict[int, Crew]
    dispatch: Dispatch | None
    services: Services | None
    door: Crew | Dispatch
    home: Crew

    def make_ready(self, task: Task) -> None:
        """All that the task reads is there (`core.master`)."""
        raise NotImplementedError

    def serve(self) -> None:
        """Start tasks with a demand (`core.master`)."""
        raise NotImplementedError

    def _enter(self, task: Task, *, new: bool = False) -> None:
        """Count what the task misses and go on from there (`core.master`)."""
        raise NotImplementedError

    def _after(self, task: Task, *, held: bool = False) -> None:
        """Let go of what an ended task used (`core.master`)."""
        raise NotImplementedError

    def _arrived(self, version: Version) -> None:
        """The version can be read, or has failed (`core.master`)."""
        raise NotImplementedError

    def _publish_outputs(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        """The task is done, and these are its results (`core.master`)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ attempts

    def failed(
        self, executor: Executor, task_id: int, error: BaseException, outputs: Sequence[Any] = ()
    ) -> Verdict | None:
        """A task raised. Returns what becomes of it, None if the report does not count (it is stale, or was cancelled).

        ``outputs``: for a task with the policy IGNORE what its results are to be, as (state, value); with
        CANCEL_SUCCESSORS the same for what it had written to files, and None for other results.
        """
        task = executor.inflight.pop(task_id, None)
        if task is None:
            return None
        executor.load -= task.cost
        if task.cancelled:
            self.gone(task)
            return None
        if task.severed:
            return self._begin_anew(task)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._avoid_full(task, executor.crew)
        return self._end_attempt(task, error, outputs)

    def _avoid_full(self, task: Task, crew: Crew) -> None:
        """The disk of the node is full: another attempt is worth while elsewhere only."""
        demand = task.function.demand
        if self.dispatch is not None and (demand is None or demand.hosts == 1):
            self.dispatch.avoid(task, crew)

    def _end_attempt(self, task: Task, error: BaseException, outputs: Sequence[Any]) -> Verdict:
        policy = task.function.policy
        task.failed_attempts += 1
        if isinstance(error, COMPSsException):
            if any(group.name for group in task.groups):
                self._raise_in_groups(task, error)
                return Verdict.GROUPS_CANCELLED
        elif task.failed_attempts < policy.attempts:
            task.executor = None
            self.rerun_count += 1
            self.requeue(task)
            return Verdict.RETRIED
        elif policy is OnFailure.IGNORE:
            failure = Failure(error, task.id)
            self.ignored_count += 1
            for version in task.writes:
                if version is not None:
                    version.ignored = failure
            self._publish_outputs(task, outputs)
            return Verdict.IGNORED
        elif policy is OnFailure.CANCEL_SUCCESSORS:
            self.failed_count += 1
            writes = task.writes
            self._fail(task, self._cancellation(error, task.id, task.groups))
            for version, made in zip(writes, outputs, strict=True):
                if version is not None and made is not None:
                    version.previous = Version.output(version.datum_id, version.number, None, 0)
                    version.previous.state, version.previous.value = made
            return Verdict.SUCCESSORS_CANCELLED
        self.fail_anew(task, error)
        return Verdict.FAILED

    def fail_anew(self, task: Task, error: BaseException) -> None:
        """The task fails with the error, whatever its policy, and all that need its results."""
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
            if task.cancelled:
                self.gone(task)
                return
            task.executor = None
            for version in task.reads:
                if version.state == HELD and version.value.executor is executor and version.key == key:
                    self.consumed(version)
            self.requeue(task)

    def _fail(self, task: Task, failure: Failure) -> None:
        """End the task and, one after the other, all that need its results."""
        doomed = [task]
        while doomed:
            task = doomed.pop()
            if task.state >= DONE:
                continue
            if task.state == ASSIGNED and task.executor is not None and task.id in task.executor.inflight:
                self._withdraw(task, task.executor)
            task.state = FAILED_TASK
            if task.id != failure.task_id:
                self.cancelled.append((task.id, failure.task_id))
                self.cancelled_count += 1
                for group in () if failure.cancelled else task.groups:
                    if group.failures[-1:] != [failure]:
                        group.failures.append(failure)  # a member has not been run: who waits for the group is to know
            self.unfinished -= 1
            for index, version in enumerate(task.writes):
                if version is None:
                    task.failure = failure  # a result of an earlier run may get lost yet
                    continue
                if failure.cancelled:
                    _keep_previous(task, index, version)
                version.state = FAILED
                version.value = failure
                version.producer = None
                whole = version if version.group is None else member_ended(version, failure)
                if whole is not None and whole.waiters is not None:
                    for waiter in whole.waiters:
                        waiter.missing -= 1
                        if waiter.state == WAITING or (failure.cancelled and waiter.state == ASSIGNED):
                            doomed.append(waiter)
                        elif waiter.state == WATCHING:
                            self.notices.append(waiter)
                    whole.waiters = None
            task.deletes = None
            self._after(task)

    # ------------------------------------------------------------------ cancellation

    def _raise_in_groups(self, task: Task, error: BaseException) -> None:
        """A member raised COMPSsException: the barrier of each of its groups will, and the other members end."""
        failure = self._cancellation(error, task.id, task.groups)
        members: dict[int, Task] = {}
        for group in task.groups:
            if not group.name:
                continue  # no group of the program's, but all that one task has called
            if group.exception is None:
                group.exception = error
            members.update(group.members)
        self._fail(task, failure)
        self.cancel(members.values(), failure)

    def _cancellation(self, error: BaseException, task_id: int, groups: Iterable[Group]) -> Failure:
        failure = Failure(error, task_id, cancelled=True)
        self.cancellations.append(failure)
        for group in groups:
            group.cancellations.append(failure)
        return failure

    def settle(self, group: Group | None = None) -> None:
        """The main program has waited (for the group, or for all): it may use the data of what was cancelled again."""
        cancellations = self.cancellations if group is None else group.cancellations
        for failure in cancellations:
            failure.settled = True
        cancellations.clear()

    def cancel(self, tasks: Iterable[Task], failure: Failure) -> None:
        """Cancel tasks and what needs their results. One that is running is interrupted; its results do not count."""
        for task in list(tasks):
            if not task.cancelled:
                self._fail(task, failure)
        for executor in self.executors.values():
            executor.local = deque(task for task in executor.local if task.state < DONE)
        for crew in self.crews.values():
            crew.forget_ended()
        if self.dispatch is not None:
            self.dispatch.forget_ended()
        if self.services is not None:
            self.services.forget_ended()
        for executor in list(self.executors.values()):
            executor.crew.settled(executor)

    def cancel_group(self, group: Group, error: BaseException) -> None:
        """Cancel the unfinished tasks of a group, without telling its barriers."""
        failure = Failure(error, 0, cancelled=True)
        failure.settled = True
        self.cancel(group.members.values(), failure)

    def cancel_all(self, error: BaseException) -> None:
        """Cancel every unfinished task."""
        failure = Failure(error, 0, cancelled=True)
        failure.settled = True
        tasks = self.waiting_tasks()
        for executor in self.executors.values():
            tasks += [*executor.inflight.values(), *executor.followers]
        self.cancel(tasks, failure)

    def waiting_tasks(self) -> list[Task]:
        """All tasks that could run and that no executor has."""
        tasks = [] if self.dispatch is None else self.dispatch.waiting()
        for crew in self.crews.values():
            tasks += crew.waiting()
        if self.services is not None:
            tasks += self.services.waiting()
        return tasks

    def _withdraw(self, task: Task, executor: Executor) -> None:
        """A task handed to an executor is cancelled: take it back, or leave a stand-in until the executor reports.

        So barriers wait until it has really ended, and nothing of it touches a file behind the program's back.
        """
        if task in executor.outbox:
            executor.outbox.remove(task)
            del executor.inflight[task.id]
            executor.load -= task.cost
            return
        stand_in = Task(task.id, task.function, ())
        stand_in.cancelled = True
        stand_in.state = ASSIGNED
        stand_in.executor = executor
        stand_in.cost = task.cost
        stand_in.writes = [None] * len(task.writes)  # type: ignore[list-item]
        stand_in.groups, task.groups = task.groups, ()
        stand_in.targets = task.targets
        for group in stand_in.groups:
            group.members[task.id] = stand_in
        executor.inflight[task.id] = stand_in
        self.unfinished += 1
        self.cancels.append((executor, task.id))

    def dropped(self, executor: Executor, task_ids: Iterable[int]) -> None:
        """The executor has thrown away cancelled tasks that it had not begun."""
        for task_id in task_ids:
            task = executor.inflight.pop(task_id, None)
            if task is not None:
                executor.load -= task.cost
                self.gone(task)

    def gone(self, stand_in: Task) -> None:
        """The executor has let go of a cancelled task."""
        stand_in.state = DONE
        self.unfinished -= 1
        self._after(stand_in)

    # ------------------------------------------------------------------ what the main program is told

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
            tasks = self.waiting_tasks()
            if self.dispatch is not None:
                self.dispatch.clear()
            for crew in self.crews.values():
                crew.clear()
            if self.services is not None:
                self.services.clear()
            for executor in self.executors.values():
                tasks += [*executor.inflight.values(), *executor.followers]
                executor.inflight.clear()
                executor.local.clear()
                executor.followers.clear()
            if not tasks:
                return
            for task in tasks:
                self._fail(task, Failure(error, task.id))

    # ------------------------------------------------------------------ executors

    def executor_joined(self, executor_id: int, *, io: bool = False, node: int = 0) -> Executor:
        """A new executor of the node is ready for work; ``io``: for tasks that need no computing unit."""
        crew = self.crews[node]
        executor = Executor(executor_id, crew, io=io)
        self.executors[executor_id] = executor
        crew.join(executor)
        if self.dispatch is not None:
            self.dispatch.settled(crew)
        return executor

    def executor_lost(
        self, executor: Executor, running: int, error: BaseException, outputs: Sequence[Any] = ()
    ) -> Verdict | None:
        """The executor died while it ran task ``running`` (0: none). Its tasks go elsewhere.

        The task that was running is tried once more if its policy is RETRY, and fails with ``error`` if an executor
        dies of it again. An executor that was killed for a task's time-out (``error`` says so) counts as an attempt of
        that task. Returns what becomes of the task; ``outputs`` as for `failed`.
        """
        verdict: Verdict | None = None
        executor.alive = False
        del self.executors[executor.id]
        executor.crew.leave(executor)
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
            if task.cancelled:
                self.gone(task)
                continue
            if task.state != WAITING:
                continue
            if task.id == running:
                verdict = self._end_fatal_attempt(task, error, outputs)
                continue
            self.rerun_count += 1
            self.requeue(task)
        orphans = list(executor.local)
        executor.local.clear()
        executor.followers.clear()
        for task in orphans:
            self.requeue(task)
        executor.crew.lost()
        if self.dispatch is not None:
            self.dispatch.settled(executor.crew)
        self.serve()
        return verdict

    # ------------------------------------------------------------------ nodes

    def node_lost(self, number: int, error: BaseException) -> None:
        """The node is gone, with all its executors and data. Its tasks go elsewhere, and lost results are made again.

        A task that was running on several nodes when they were lost fails with ``error``: it may be why.
        """
        crew = self.crews.pop(number, None)
        if crew is None or self.dispatch is None:
            return
        crew.alive = False
        crew.size = 0
        tasks = crew.waiting()
        crew.clear()
        severed = self.dispatch.forget(crew)
        running: list[Task] = []
        for executor in crew.members.values():
            executor.alive = False
            del self.executors[executor.id]
            self.dirty.pop(executor.id, None)
            inflight = list(executor.inflight.values())
            executor.inflight.clear()
            executor.outbox.clear()
            executor.followers.clear()
            for task in inflight:
                task.executor = None
                task.state = WAITING
            running += inflight[:1]
            tasks += inflight
        for version in list(self.publishing.values()):
            if is_lost(version):
                self._recover(version)
        for task in (*running, *severed):
            task.losses += 1
        for task in severed:
            self._sever(task, error)
        for task in tasks:
            if task.cancelled:
                self.gone(task)
            elif task.losses >= MAX_LOSSES and task.state < DONE:
                self.fail_anew(task, error)
            elif task.state == READY or (task.state == WAITING and task.executor is None):
                self.rerun_count += 1
                self.requeue(task)
        self.serve()

    def _sever(self, task: Task, error: BaseException) -> None:
        """One of the nodes of a task that runs on another one is lost: its attempt is ended, and does not count."""
        executor = task.executor
        if task.state != ASSIGNED or executor is None or executor.inflight.get(task.id) is not task:
            return  # it has just ended, or is cancelled
        if task.losses >= MAX_LOSSES:
            self.fail_anew(task, error)
        elif task in executor.outbox:
            executor.outbox.remove(task)
            del executor.inflight[task.id]
            executor.load -= task.cost
            self._begin_anew(task)
        elif not task.severed:
            task.severed = True
            self.cancels.append((executor, task.id))
            return
        executor.crew.settled(executor)

    def _begin_anew(self, task: Task) -> Verdict:
        """The attempt of the task is over, which is not its fault."""
        task.executor = None
        self.rerun_count += 1
        self.requeue(task)
        return Verdict.RETRIED

    def end_secured(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        """The results of a task that had to be safe are."""
        self._publish_outputs(task, outputs)

    def fail_version(self, version: Version, error: BaseException) -> None:
        """The version cannot be had."""
        failure = Failure(error, version.producer_id)
        self.failures.append(failure)
        version.state = FAILED
        version.value = failure
        version.producer = None
        self._arrived(version)

    def _end_fatal_attempt(self, task: Task, error: BaseException, outputs: Sequence[Any]) -> Verdict:
        """The executor died of the task."""
        if task.severed:
            return self._begin_anew(task)
        if isinstance(error, TimeOutError):
            return self._end_attempt(task, error, outputs)
        task.deaths += 1
        if task.function.policy is OnFailure.RETRY:
            if task.deaths < MAX_DEATHS:
                self.requeue(task)
                return Verdict.RETRIED
            self.fail_anew(task, error)
            return Verdict.FAILED
        return self._end_attempt(task, error, outputs)

    def requeue(self, task: Task) -> None:
        """Put back a task that had been handed out (or waited for the data of an executor that died).

        ``missing`` counts the versions it still waits for; some that were there may have been lost meanwhile.
        """
        task.state = WAITING
        if task.severed:
            task.severed = False
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
            self.make_ready(task)

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
            producer.severed = False
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
            if self.dispatch is None or self.dispatch.is_safe(SEGMENT, segment):
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


def _keep_previous(task: Task, index: int, version: Version) -> None:
    """The version will not be made: its datum stays what it was."""
    previous = None if task.replaced is None else task.replaced.get(index)
    if previous is None:
        previous = next((read for read in task.reads if read.datum_id == version.datum_id), None)
    if previous is not None:
        version.previous = previous
        previous.exposed = True
