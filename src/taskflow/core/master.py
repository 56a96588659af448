"""The kernel's state machine: events in (method calls), commands out (lists that a driver empties).

Events:    submit · completed · failed · skipped · cancel_group · cancel_all · dropped · published · unpublishable ·
           given_back · executor_joined · executor_lost · released · need · stalled
Commands:  ``dirty``: executors that have something in ``outbox``, ``movable``, ``publish``;
           ``services.outgoing``: the same for services;
           ``recalls``: (executor, n) give back up to n tasks that have not begun;
           ``unlink``: files whose deletion was declared by a task that has ended;
           ``cancels``: (executor, task id): what it runs, or has queued, is not wanted any more;
           ``cancelled``: (task id, id of the task because of which), for the journal;
           ``notices``: watches whose version has been made or failed;
           ``spans_over``: tasks for several nodes that have ended there, one way or another;
           ``links``: (version, source) left open by a task that has ended, for `take_over`.

Callers serialise the calls (the live driver by one lock); the kernel itself knows no threads.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any

from taskflow.core.accesses import member_ended, register
from taskflow.core.crew import Crew, Experience
from taskflow.core.dispatch import Dispatch
from taskflow.core.failures import Failing
from taskflow.core.graph import (
    ASSIGNED,
    DONE,
    FAILED,
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
from taskflow.core.lineage import evict, is_lost, retain
from taskflow.core.placement import ALONE_S, FOLLOW_LIMIT, booked_cost
from taskflow.core.services import Services
from taskflow.model.policies import OnFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskflow.core.graph import AccessGroup, Datum
    from taskflow.core.placement import Executor
    from taskflow.core.scheduling import Scheduler
    from taskflow.core.spanning import Span
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.parameters import Direction
    from taskflow.model.requirements import Node


class Master(Failing):
    """The whole state of a run: what `Placing` and `Failing` keep, and the tasks that come and end."""

    def __init__(self) -> None:
        super().__init__()
        self.serving: dict[int, Crew | Dispatch | Services] = {}
        self.wanting: dict[int, Crew] = {}
        self.home = Crew(self)
        self.crews = {0: self.home}
        self.dispatch: Dispatch | None = None
        self.services: Services | None = None
        self.door: Crew | Dispatch = self.home  # whoever takes plain tasks
        self._experience: dict[Node | None, Experience] = {}
        self.freed_by: Crew | None = None  # where the task has run whose end is being entered
        self.submitted = 0
        self.unlink: list[str] = []
        self.spans_over: list[Span] = []
        self.links: list[tuple[Version, Version]] = []
        self.linked: dict[Version, Version] = {}  # those that have not been taken over

    # ------------------------------------------------------------------ nodes

    def node_joined(self, number: int, node: Node | None = None, *, size: int = 0) -> Crew:
        """A node is there, and ``size`` executors of it will join. 0 is home, which is there from the beginning."""
        if number == 0:
            self.home.node = node
            self.home.size = size
            return self.home
        if self.dispatch is None:
            self.scatter()
        kind = None if node is None else dataclasses.replace(node, name="")
        experience = self._experience.setdefault(kind, Experience())
        crew = self.crews[number] = Crew(self, number, node, experience)
        crew.size = size
        if node is not None:
            crew.offer(node.amounts, node.devices)
        return crew

    def scatter(self, scheduler: Scheduler | None = None) -> None:
        """There will be several nodes."""
        tasks = self.home.waiting()
        self.home.clear()
        self.dispatch = self.door = Dispatch(self, scheduler)
        for task in tasks:
            self.dispatch.take(task)

    # ------------------------------------------------------------------ services

    def open_service(self, name: str, executor_id: int, *, limit: int | None, capacity: int) -> Executor:
        """There is a service of that name, and tasks that are requests to it may come.

        ``limit``: of requests at a time; ``capacity``: that of all services, said by the first one.
        """
        if self.services is None:
            self.services = Services(self, capacity)
        return self.services.open(name, executor_id, limit)

    def take_request(self, task: Task) -> None:
        """The task is a request to a service, and ready."""
        assert self.services is not None
        self.services.take(task)

    # ------------------------------------------------------------------ submission

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]] = ()) -> None:
        """A task was called. Raises DeletedDataError, and changes nothing, if it uses deleted data."""
        if accesses:
            register(task, accesses)
        if task.function.spread and self.dispatch is not None:
            self._spread(task, self.dispatch)
        self._admit(task)
        if self.serving:
            self.serve()

    def _admit(self, task: Task) -> None:
        self.submitted += 1
        self.unfinished += 1
        for group in task.groups:
            group.members[task.id] = task
        if task.reads:
            self.freed_by = None
            for version in task.reads:
                version.readers += 1
            self._enter(task, new=True)
        else:
            self.make_ready(task)

    def _spread(self, task: Task, dispatch: Dispatch) -> None:
        """Say where a distributed task runs; have a replicated one run on every other node, too.

        Its results are those of the task itself. Barriers wait for all.
        """
        numbers = dispatch.turns(task.function)
        if not numbers:
            return
        task.pin = numbers[0]
        copies, task.copies = task.copies or [], []
        if task.function.spread == "distributed" or task.exclusive is not None:
            return
        for number, copy in zip(numbers[1:], copies, strict=False):
            copy.pin = number
            copy.reads = list(task.reads)
            copy.writes = [None] * len(task.writes)  # type: ignore[list-item]
            copy.groups = task.groups
            task.copies.append(copy)
            self._admit(copy)

    def submit_plain(self, task: Task) -> bool:
        """As `submit` for a task that reads nothing and is in no group; whether tasks were handed out."""
        self.submitted += 1
        self.unfinished += 1
        task.state = READY
        door = self.door
        ready = door.ready
        ready.append(task)
        if len(ready) >= door.ready_limit:
            door.spread()
            return True
        return False

    def _enter(self, task: Task, *, new: bool = False) -> None:
        """Count what the task still misses; make it ready, send it ahead, fail it, or let it wait.

        A ``new`` task may name versions that have been cancelled before: it gets what their data are now.
        """
        missing = 0
        for version in task.reads:
            state = version.state
            if state >= SEGMENT:
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
            self.make_ready(task)
            return
        task.state = WAITING
        executor = self.maker_of_missing(task)
        if executor is not None:
            if not executor.followers and executor.accepts(booked_cost(task.function)):
                executor.crew._assign(task, executor)  # noqa: SLF001
            else:
                executor.followers.append(task)

    def make_ready(self, task: Task) -> None:
        """All that the task reads is there: it may run as soon as there is room, and nobody else has its data."""
        if task.exclusive is not None and not self._acquire(task):
            return
        if self.dispatch is None:
            self.home.take(task)
        else:
            self.dispatch.take(task)

    def serve(self) -> None:
        """Start tasks with a demand. To be called in the end, not from within other decisions: it changes teams."""
        serving = self.serving
        while serving:
            serving.popitem()[1].serve()

    def maker_of_missing(self, task: Task) -> Executor | None:
        """The one executor on which all missing inputs of the task are being made, if there is one."""
        if task.missing > FOLLOW_LIMIT or task.exclusive is not None or task.priority:
            return None
        if task.function.demand is not None:
            return None
        if task.function.policy is OnFailure.IGNORE:
            return None  # see `_is_out_of_reach`
        maker: Executor | None = None
        for version in task.reads:
            state = version.state
            if not state:
                producer = version.producer
                if producer is None or producer.executor is None or producer.state != ASSIGNED:
                    return None
                executor = producer.executor
            elif state == HELD:
                executor = version.value.executor
            else:
                continue
            if version is self.publishing.get(version.key) or (maker is not None and executor is not maker):
                return None
            maker = executor
        if maker is None or maker.apart or (self.dispatch is not None and not self.dispatch.allows(task, maker.crew)):
            return None
        return maker

    def request(self, version: Version) -> None:
        """Have the executor that holds the version publish it."""
        key = version.key
        if key not in self.publishing:
            self.publishing[key] = version
            holder = version.value.executor
            holder.publish.append(key)
            self.dirty[holder.id] = holder

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
        self.freed_by = executor.crew
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
        if self.dispatch is not None:
            self.freed_by = executor.crew
            if self.dispatch.secure(task, outputs):
                return
        self._publish_outputs(task, outputs)

    def _publish_outputs(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        task.state = DONE
        dispatch = self.dispatch
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
            if state == HELD or (state >= SEGMENT and dispatch is not None and not dispatch.is_safe(state, value)):
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
            if not version.readers and version.producer is not None and not version.exposed:
                evict(version)
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
                self.make_ready(task)

    @staticmethod
    def calls(function: FunctionRecord) -> None:
        """A task of the function has called others.

        From now on its tasks are given to idle executors only, and nothing is queued behind them: it would have to go
        elsewhere when they wait, and many would have begun before the first can go on.
        """
        function.calls = True
        function.mean_s = ALONE_S

    def lend(self, executor: Executor) -> None:
        """The task that the executor runs waits for tasks it has called: others have its computing unit meanwhile."""
        crew = executor.crew
        if not crew.units:
            crew.units = crew.size
        crew.lend(executor)

    def regain(self, executor: Executor) -> None:
        """The task that the executor runs goes on."""
        executor.crew.regain(executor)

    def learnt(self, function: FunctionRecord, count: int, seconds: float, crew: Crew | None = None) -> None:
        """Tasks of the function took so long in all, on the node of the crew."""
        if crew is not None and self.dispatch is not None:
            crew.learnt(function, count, seconds)
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
                self.make_ready(waiter)

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

    def need(self, version: Version, node: int = 0) -> bool:
        """Whether the version can be read on the node (0: by the main program) now; if not, see to it that it will."""
        state = version.state
        if not state:
            return False
        if state == FAILED:
            version.value.settled = True
            good = last_good(version)
            return good is version or self.need(good, node)
        if state >= SEGMENT and is_lost(version):
            self._recover(version)
            return version.state == FAILED
        if state == HELD:
            self.request(version)
            return False
        return self.dispatch is None or state < SEGMENT or self.dispatch.brought(version, node)

    def settled(self, executor: Executor) -> None:
        """A batch of reports from the executor has been entered: give it more work."""
        if executor.service and self.services is not None:
            self.services.serve_soon()
        executor.crew.settled(executor)

    def given_back(self, executor: Executor, task_ids: Iterable[int]) -> None:
        """The executor returns tasks it has not begun (answer to a recall; ids are the last of its queue)."""
        executor.crew.given_back(executor, task_ids)

    def stalled(self, executor: Executor) -> None:
        """The executor has been silent for long."""
        executor.crew.stalled(executor)

    def watch(self, version: Version, watch: Watch) -> bool:
        """Have the watch noticed when the version has been made or failed; False if it has already."""
        if version.state:
            return False
        version.add_waiter(watch)
        return True


def is_movable(version: Version) -> bool:
    """Whether the one task about to read the version may consume it in place."""
    return not version.exposed and version.readers == 1
