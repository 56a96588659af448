"""The kernel's state machine: events in (method calls), commands out (lists that a driver empties).

Events:    submit · completed · failed · skipped · cancel_group · cancel_all · dropped · published · unpublishable ·
           given_back · executor_joined · executor_lost · released · need · stalled
Commands:  ``dirty``: executors that have something in ``outbox``, ``movable``, ``publish``;
           ``recalls``: (executor, n) give back up to n tasks that have not begun;
           ``unlink``: files whose deletion was declared by a task that has ended;
           ``cancels``: (executor, task id): what it runs, or has queued, is not wanted any more;
           ``cancelled``: (task id, id of the task because of which), for the journal;
           ``notices``: watches whose version has been made or failed;
           ``links``: (version, source) left open by a task that has ended, for `take_over`.

Callers serialise the calls (the live driver by one lock); the kernel itself knows no threads.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from taskflow.core.accesses import member_ended, register
from taskflow.core.failures import Failing
from taskflow.core.graph import (
    DONE,
    FAILED,
    FILE,
    GONE,
    HELD,
    LINKED,
    READY,
    SEGMENT,
    VALUE,
    WAITING,
    WATCHING,
    Task,
    Version,
    Watch,
    last_good,
)
from taskflow.core.lineage import is_lost, retain
from taskflow.core.placement import Executor, booked_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.core.graph import AccessGroup, Datum
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.parameters import Direction


class Master(Failing):
    """The whole state of a run: what `Placing` and `Failing` keep, and the tasks that come and end."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted = 0
        self.unlink: list[str] = []
        self.links: list[tuple[Version, Version]] = []
        self.linked: dict[Version, Version] = {}  # those that have not been taken over

    # ------------------------------------------------------------------ submission

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]] = ()) -> None:
        """A task was called. Raises DeletedDataError, and changes nothing, if it uses deleted data."""
        if accesses:
            register(task, accesses)
        self.submitted += 1
        self.unfinished += 1
        for group in task.groups:
            group.members[task.id] = task
        if task.reads:
            for version in task.reads:
                version.readers += 1
            self._enter(task, new=True)
        else:
            self._make_ready(task)
        if self.constrained:
            self.serve()

    def submit_plain(self, task: Task) -> bool:
        """As `submit` for a task that reads nothing and is in no group; whether tasks were handed out."""
        self.submitted += 1
        self.unfinished += 1
        task.state = READY
        ready = self.ready
        ready.append(task)
        if len(ready) >= self.ready_limit:
            self.spread()
            return True
        return False

    def _enter(self, task: Task, *, new: bool = False) -> None:
        """Count what the task still misses; make it ready, send it ahead, fail it, or let it wait.

        A ``new`` task may name versions that have been cancelled before: it gets what their data are now.
        """
        missing = 0
        for version in task.reads:
            state = version.state
            if state > SEGMENT and state != FILE:  # held, failed or gone
                if state != FAILED and is_lost(version):
                    self._recover(version)
                    if task.state >= DONE:
                        return  # the attempt failed another of its inputs, and with it the task
                    state = version.state
                if state == FAILED:
                    if new and version.value.settled and last_good(version) is not version:
                        self._read_instead(task, version)
                        self._enter(task, new=True)
                        return
                    self._fail(task, version.value)
                    return
            if not state:
                missing += 1
                version.add_waiter(task)
        task.missing = missing
        if not missing:
            self._make_ready(task)
            return
        task.state = WAITING
        executor = self._maker_of_missing(task)
        if executor is not None:
            if not executor.followers and executor.accepts(booked_cost(task.function)):
                self._assign(task, executor)
            else:
                executor.followers.append(task)

    @staticmethod
    def _read_instead(task: Task, cancelled: Version) -> None:
        """Have the task read the last version that was not cancelled."""
        good = last_good(cancelled)
        reads = [good if version is cancelled else version for version in task.reads]
        count = sum(version is cancelled for version in task.reads)
        cancelled.readers -= count
        good.readers += count
        for version in reads:  # what has been entered on the way is entered again
            if version.waiters is not None and task in version.waiters:
                version.waiters = [waiter for waiter in version.waiters if waiter is not task]
        task.reads = reads

    # ------------------------------------------------------------------ completion

    def completed_plain(self, executor: Executor, results: dict[int, Any]) -> None:
        """Tasks with at most one output ended, their values plain: the fast lane, a batch at a time."""
        inflight = executor.inflight
        for task_id, value in results.items():
            task = inflight.pop(task_id, None)
            if task is None:
                continue
            executor.load -= task.cost
            task.state = DONE
            for version in task.writes:
                if version is None:
                    continue
                version.state = VALUE
                version.value = value
                version.producer = None
                if version.group is not None:
                    whole = member_ended(version, None)
                    if whole is not None:
                        self._arrived(whole)
                elif version.waiters is not None:
                    self._arrived(version)
            task.writes = ()
            if task.reads or task.groups or task.exclusive is not None or task.deletes is not None:
                self._after(task)
            self.unfinished -= 1

    def completed(self, executor: Executor, task_id: int, outputs: Sequence[tuple[int, Any]]) -> None:
        """A task ended; ``outputs`` are (state, value) in the order of its writes. Stale reports are dropped."""
        task = executor.inflight.pop(task_id, None)
        if task is None:
            return
        executor.load -= task.cost
        self._publish_outputs(task, outputs)

    def _publish_outputs(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        task.state = DONE
        held = False
        arrived: list[Version] = []
        links: list[tuple[Version, Version]] = []
        for version, (state, value) in zip(task.writes, outputs, strict=True):
            if version is None:
                held = True  # the task ran again for other results; this one may be held, and need its record
                continue
            if state == LINKED:
                version.producer = None
                links.append((version, value))
                continue
            version.state = state
            version.value = value
            if state == HELD:
                held = True
                task.function.returns_held = True
            else:
                version.producer = None
            whole = version if version.group is None else member_ended(version, None)
            if whole is not None and whole.waiters is not None:
                arrived.append(whole)
        self.unfinished -= 1
        if links:
            self._link(task, links)
        self._after(task, held=held)
        # Not before: those who wait may find another result of the task lost, and have it run again.
        for version in arrived:
            self._arrived(version)

    def _link(self, task: Task, links: list[tuple[Version, Version]]) -> None:
        """The task has ended, and left some of its outputs to tasks that it has called."""
        kept: list[tuple[AccessGroup, int]] = []
        for version, source in links:
            if version.group is not None and version.group.commutative and task.exclusive is not None:
                # The next member starts from what this one has left, so it has to wait for that.
                kept += [entry for entry in task.exclusive if entry[0] is version.group]
            self.links.append((version, source))
            self.linked[version] = source
        if kept and task.exclusive is not None:
            task.exclusive = [entry for entry in task.exclusive if entry not in kept] or None

    def take_over(self, version: Version, source: Version) -> bool:
        """Let the version, left open by a task that has ended, be what ``source`` is; False: that is not there yet."""
        if not self.need(source):
            return False
        group = version.group
        del self.linked[version]
        source = last_good(source)
        version.state, version.value = source.state, source.value
        whole: Version | None = version
        if group is not None:
            whole = member_ended(version, source.value if source.state == FAILED else None)
            if group.commutative:
                group.busy = None
                self._offer(group)
        if whole is not None:
            self._arrived(whole)
        return True

    def _after(self, task: Task, *, held: bool = False) -> None:
        """Let go of what an ended task used."""
        for version in task.reads:
            version.readers -= 1
        if task.exclusive is not None:
            self._release(task)
        if held:
            retain(task)
        else:
            task.reads = ()
            task.writes = ()
        if task.groups:
            for group in task.groups:
                group.members.pop(task.id, None)
            task.groups = ()
        if task.deletes is not None:
            self.unlink.extend(task.deletes)
            task.deletes = None
        if task.replaced is not None:
            task.replaced = None

    def _arrived(self, version: Version) -> None:
        """The version can be read: tasks that missed it miss one less."""
        waiters = version.waiters
        version.waiters = None
        if waiters is None:
            return
        failure = version.value if version.state == FAILED else None
        for task in waiters:
            task.missing -= 1
            if task.state != WAITING:
                if task.state == WATCHING:
                    self.notices.append(task)
                continue
            if failure is not None:
                self._fail(task, failure)
            elif not task.missing:
                self._make_ready(task)

    def learnt(self, function: FunctionRecord, count: int, seconds: float) -> None:
        """Tasks of the function took so long in all."""
        function.attempts += count
        function.busy_s += seconds
        if function.calls:
            return  # how long it waits says nothing: see `core.lending`
        mean = seconds / count
        old = function.mean_s
        function.mean_s = mean if old is None else old + (mean - old) * (0.2 if count < 8 else 0.6)

    # ------------------------------------------------------------------ commutative groups

    def _acquire(self, task: Task) -> bool:
        """Take the data of all the task's commutative groups, or queue for the first that is taken."""
        assert task.exclusive is not None
        for group, _ in task.exclusive:
            if group.busy is not None and group.busy is not task:
                group.queue.append(task)
                task.state = WAITING
                return False
        reads = list(task.reads)
        lost = False
        for group, index in task.exclusive:
            group.busy = task
            reads[index].readers -= 1
            reads[index] = group.latest
            group.latest.readers += 1
            lost = lost or is_lost(group.latest)
        task.reads = reads
        if lost:
            for group, _ in task.exclusive:
                group.busy = None
            self._enter(task)
            return False
        return True

    def _release(self, task: Task) -> None:
        assert task.exclusive is not None
        groups = [group for group, _ in task.exclusive]
        task.exclusive = None
        for group in groups:
            if group.busy is task:
                group.busy = None
            self._offer(group)

    def _offer(self, group: AccessGroup) -> None:
        """Let those who wait for the datum of a commutative group try again."""
        waiting, group.queue = group.queue, deque()
        for waiter in waiting:
            if waiter.state == WAITING and not waiter.missing:
                self._make_ready(waiter)

    # ------------------------------------------------------------------ the main program

    def released(self, version: Version) -> None:
        """Nobody in the main program can name the version any more."""
        version.exposed = False
        if version.readers != 1:
            return
        holder: Executor | None = None
        if version.state == HELD:
            holder = version.value.executor
        elif not version.state and version.producer is not None and version.producer.function.returns_held:
            holder = version.producer.executor
        if holder is not None and holder.alive:
            holder.movable.append(version.key)
            self.dirty[holder.id] = holder

    def need(self, version: Version) -> bool:
        """Whether the main program can read the version now; if not, see to it that it will."""
        state = version.state
        if not state:
            return False
        if state == FAILED:
            version.value.settled = True
            good = last_good(version)
            return good is version or self.need(good)
        if state == HELD or state == GONE:
            if is_lost(version):
                self._recover(version)
                return version.state == FAILED
            self._request(version)
            return False
        return True

    def watch(self, version: Version, watch: Watch) -> bool:
        """Have the watch noticed when the version has been made or failed; False if it has already."""
        if version.state:
            return False
        version.add_waiter(watch)
        return True


def is_movable(version: Version) -> bool:
    """Whether the one task about to read the version may consume it in place."""
    return not version.exposed and version.readers == 1
