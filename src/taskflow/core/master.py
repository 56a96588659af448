"""The kernel's state machine: events in (method calls), commands out (lists that a driver empties).

Events:    submit · completed · failed · skipped · published · unpublishable · given_back · executor_joined ·
           executor_lost · released · need · stalled
Commands:  ``dirty``: executors that have something in ``outbox``, ``movable``, ``publish``;
           ``recalls``: (executor, n) give back up to n tasks that have not begun;
           ``unlink``: files whose deletion was declared by a task that has ended;
           ``cancelled``: (task id, failed task id), for the journal;
           ``notices``: watches whose version has been made or failed.

Callers serialise the calls (the live driver by one lock); the kernel itself knows no threads.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from taskflow.core.accesses import member_ended, register
from taskflow.core.graph import (
    ASSIGNED,
    DONE,
    FAILED,
    FAILED_TASK,
    FILE,
    GONE,
    HELD,
    PENDING,
    READY,
    SEGMENT,
    VALUE,
    WAITING,
    WATCHING,
    Failure,
    Group,
    Task,
    Version,
    Watch,
)
from taskflow.core.lineage import MAX_GENERATION, generation_of, is_lost, retain
from taskflow.core.placement import (
    AHEAD_S,
    CHUNK_S,
    MAX_QUEUED,
    PREFETCH_S,
    SPREAD_EVERY,
    UNKNOWN_S,
    Executor,
    booked_cost,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskflow.core.graph import Datum
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.parameters import Direction

MAX_DEATHS = 2  #: executors that may die of one task before it is reported
FOLLOW_LIMIT = 4  #: a task missing more inputs than this is not sent ahead to the executor that makes them
BALANCE_S = 0.0005  #: work worth taking back from a busy executor for an idle one


class Master:
    """The whole state of a run: executors, ready tasks, unfinished counts."""

    def __init__(self) -> None:
        self.executors: dict[int, Executor] = {}
        self.team: list[Executor] = []  # the executors, in the order they are handed tasks
        self.next_in_team = 0
        self.chunk = CHUNK_S  # seconds of work that the executor whose turn it is may still be given in a row
        self.ready_limit = 1  # so many ready tasks are worth handing out
        self.ready: deque[Task] = deque()
        self.urgent: deque[Task] = deque()
        self.publishing: dict[tuple[int, int], Version] = {}
        self.failures: list[Failure] = []
        self.submitted = 0
        self.unfinished = 0
        self.failed_count = 0
        self.rerun_count = 0
        self.dirty: dict[int, Executor] = {}
        self.recalls: list[tuple[Executor, int]] = []
        self.unlink: list[str] = []
        self.cancelled: list[tuple[int, int]] = []
        self.notices: list[Watch] = []

    # ------------------------------------------------------------------ submission

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]] = ()) -> None:
        """A task was called. Raises DeletedDataError, and changes nothing, if it uses deleted data."""
        if accesses:
            register(task, accesses)
        self.submitted += 1
        self.unfinished += 1
        for group in task.groups:
            group.unfinished += 1
        if task.reads:
            for version in task.reads:
                version.readers += 1
            self._enter(task)
        else:
            self._make_ready(task)

    def _enter(self, task: Task) -> None:
        """Count what the task still misses; make it ready, send it ahead, fail it, or let it wait."""
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
                    self._fail(task, version.value)
                    return
            if not state:
                missing += 1
                if version.waiters is None:
                    version.waiters = [task]
                else:
                    version.waiters.append(task)
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

    def _maker_of_missing(self, task: Task) -> Executor | None:
        """The one executor on which all missing inputs of the task are being made, if there is one."""
        if task.missing > FOLLOW_LIMIT or task.exclusive is not None or task.priority:
            return None
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
        return maker

    # ------------------------------------------------------------------ placement

    def _make_ready(self, task: Task) -> None:
        if task.exclusive is not None and not self._acquire(task):
            return
        task.state = READY
        if task.reads:
            home = self._home_of(task)
            if home is not None:
                if home.accepts(booked_cost(task.function)):
                    self._assign(task, home)
                else:
                    home.local.append(task)
                    self._offer_local()
                return
        if task.priority:
            self.urgent.append(task)
            for executor in self.team:
                if not executor.inflight:
                    self.fill(executor)
            return
        self.ready.append(task)
        if len(self.ready) >= self.ready_limit:
            self.spread()

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

    def spread(self) -> None:
        """Hand ready tasks to the executors in turn, a chunk at a time, until they have no room."""
        team = self.team
        ready = self.ready
        size = len(team)
        refused = 0
        while ready and refused < size:
            executor = team[self.next_in_team % size]
            if not executor.inflight:
                self.chunk = CHUNK_S
            elif self.chunk <= 0.0:
                self.next_in_team = (self.next_in_team + 1) % size
                self.chunk = CHUNK_S
                executor = team[self.next_in_team]
            spent = self._take_ready(executor, self.chunk)
            if spent:
                self.chunk -= spent
                refused = 0
            else:
                self.chunk = 0.0
                refused += 1
        self._set_ready_limit()

    def _set_ready_limit(self) -> None:
        if self.ready:
            self.ready_limit = 1 << 60  # all are full: `settled` hands out the rest
        elif all(executor.inflight for executor in self.team):
            self.ready_limit = SPREAD_EVERY
        else:
            self.ready_limit = 1

    def _take_ready(self, executor: Executor, budget: float) -> float:
        """Give the executor the first ready tasks, up to ``budget`` seconds of work; return how many seconds.

        The loop that hands out independent tasks, so it does what `_assign` does without calling it.
        """
        ready = self.ready
        inflight = executor.inflight
        outbox = executor.outbox
        spent = 0.0
        load = executor.load
        while ready:
            task = ready[0]
            mean = task.function.mean_s
            cost = UNKNOWN_S if mean is None else mean or 1e-9
            queued = len(inflight)
            if queued > 1:
                if load + cost > AHEAD_S or queued >= MAX_QUEUED:
                    break
            elif queued == 1 and (cost >= PREFETCH_S or load >= PREFETCH_S):
                break
            ready.popleft()
            spent += cost
            if task.reads:
                executor.load = load
                self._assign(task, executor)
                load = executor.load
            else:
                load += cost
                task.state = ASSIGNED
                task.executor = executor
                task.cost = cost
                inflight[task.id] = task
                outbox.append(task)
            if spent >= budget:
                break
        executor.load = load
        if spent:
            self.dirty[executor.id] = executor
        return spent

    def _home_of(self, task: Task) -> Executor | None:
        """The executor that holds most of the task's input, if any is held."""
        best: Executor | None = None
        most = 0
        for version in task.reads:
            if version.state == HELD and version.value.nbytes > most and version.value.executor.alive:
                most = version.value.nbytes
                best = version.value.executor
        return best

    def _offer_local(self) -> None:
        """Tasks wait for the executor that has their data: let an idle one have them instead."""
        for executor in self.team:
            if not executor.inflight:
                self.fill(executor)

    def _assign(self, task: Task, executor: Executor) -> None:
        for version in task.reads:
            state = version.state
            if state == HELD:
                if version.value.executor is not executor or version.key in self.publishing:
                    self._publish_first(task, executor)
                    return
            elif state > FILE or not (state or task.missing):
                self._requeue(task)  # an input was lost or failed since the task became ready
                return
        cost = booked_cost(task.function)
        task.state = ASSIGNED
        task.executor = executor
        task.cost = cost
        if task.reads and not task.durable:
            generation = generation_of(task)
            if generation > 1:
                task.generation = generation
                task.durable = generation >= MAX_GENERATION
        executor.inflight[task.id] = task
        executor.load += cost
        executor.outbox.append(task)
        self.dirty[executor.id] = executor
        for version in task.writes:
            if version is not None and version.waiters is not None:
                for waiter in version.waiters:
                    if waiter.state == WAITING and self._maker_of_missing(waiter) is executor:
                        executor.followers.append(waiter)

    def _publish_first(self, task: Task, executor: Executor) -> None:
        """Data the task needs are in another executor's memory: have them published, then it is ready again."""
        if any(is_lost(version) for version in task.reads):
            self._requeue(task)
            return
        task.state = WAITING
        for version in task.reads:
            if version.state == HELD and (version.value.executor is not executor or version.key in self.publishing):
                self._request(version)
                task.missing += 1
                if version.waiters is None:
                    version.waiters = [task]
                else:
                    version.waiters.append(task)

    def _request(self, version: Version) -> None:
        key = version.key
        if key not in self.publishing:
            self.publishing[key] = version
            holder = version.value.executor
            holder.publish.append(key)
            self.dirty[holder.id] = holder

    def fill(self, executor: Executor) -> None:
        """Give the executor work up to what it accepts."""
        urgent, ready, followers, local = self.urgent, self.ready, executor.followers, executor.local
        while True:
            if urgent:
                task = urgent[0]
                if executor.inflight and not executor.accepts(booked_cost(task.function)):
                    return
                urgent.popleft()
                self._assign(task, executor)
            elif followers:
                task = followers[0]
                if task.state != WAITING or self._maker_of_missing(task) is not executor:
                    followers.popleft()
                elif executor.accepts(booked_cost(task.function)):
                    followers.popleft()
                    self._assign(task, executor)
                else:
                    return
            elif local:
                if not executor.accepts(booked_cost(local[0].function)):
                    return
                self._assign(local.popleft(), executor)
            elif ready:
                if not self._take_ready(executor, AHEAD_S):
                    return
            else:
                break
        if not executor.inflight:
            self._find_work(executor)

    def _find_work(self, idle: Executor) -> None:
        """Nothing is ready: take over what waits for another executor, or have queued tasks given back."""
        busiest: Executor | None = None
        for other in self.team:
            if other is idle:
                continue
            if other.local:
                self._assign(other.local.pop(), idle)
                return
            if len(other.inflight) > 1 and other.load > BALANCE_S and (busiest is None or other.load > busiest.load):
                busiest = other
        if busiest is not None:
            self._take_back(busiest)

    def _take_back(self, executor: Executor) -> None:
        """Return half of what is queued on the executor: what was not sent at once, the rest by a recall.

        Not worth it if all that is queued waits for what runs there anyway.
        """
        queued = list(executor.inflight.values())[1:]
        if executor.recalling or all(task.missing for task in queued):
            return
        wanted = (len(queued) + 1) // 2
        taken: list[Task] = []
        while executor.outbox and len(taken) < wanted:
            taken.append(executor.outbox.pop())
        if taken:
            self.given_back(executor, [task.id for task in taken])
        else:
            executor.recalling = True
            self.recalls.append((executor, wanted))

    def unbalanced(self) -> bool:
        """Whether an executor has nothing to do while tasks are queued on another."""
        idle = queued = False
        for executor in self.team:
            if not executor.inflight:
                idle = True
            elif len(executor.inflight) > 1 and not executor.recalling:
                queued = True
        return idle and queued

    def stalled(self, executor: Executor) -> None:
        """The executor has been silent for long.

        If others are idle, have it send what it has done, and let them have what is queued behind its running task.
        """
        if len(executor.inflight) > 1 and not executor.recalling and self.unbalanced():
            self._take_back(executor)
            if not executor.recalling:
                executor.recalling = True
                self.recalls.append((executor, 0))

    def given_back(self, executor: Executor, task_ids: Iterable[int]) -> None:
        """The executor returns tasks it has not begun (answer to a recall; ids are the last of its queue)."""
        executor.recalling = False
        tasks = [task for task in map(executor.inflight.pop, task_ids, _nones()) if task is not None]
        for task in tasks:
            executor.load -= task.cost
        for place, other in enumerate(self.team):
            if not other.inflight:
                self.next_in_team = place  # or they might go back to where they came from
        for task in sorted(tasks, key=_by_id):
            task.executor = None
            self._requeue(task)
        for idle in self.team:
            if not idle.inflight:
                self._take_ready(idle, AHEAD_S)

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
        task.state = DONE
        held = False
        for version, (state, value) in zip(task.writes, outputs, strict=True):
            if version is None:
                held = True  # the task ran again for other results; this one may be held, and need its record
                continue
            version.state = state
            version.value = value
            if state == HELD:
                held = True
                task.function.returns_held = True
            else:
                version.producer = None
            if version.group is not None:
                whole = member_ended(version, None)
                if whole is not None:
                    self._arrived(whole)
            elif version.waiters is not None:
                self._arrived(version)
        self.unfinished -= 1
        self._after(task, held=held)

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
                group.unfinished -= 1
            task.groups = ()
        if task.deletes is not None:
            self.unlink.extend(task.deletes)
            task.deletes = None

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

    def settled(self, executor: Executor) -> None:
        """A batch of reports from the executor has been entered: give it more work."""
        if not executor.inflight:
            executor.load = 0.0
        if executor.alive:
            self.fill(executor)
        if self.ready:
            self.spread()
        else:
            self._set_ready_limit()

    def learnt(self, function: FunctionRecord, count: int, seconds: float) -> None:
        """Tasks of the function took so long in all."""
        mean = seconds / count
        old = function.mean_s
        function.mean_s = mean if old is None else old + (mean - old) * (0.2 if count < 8 else 0.6)

    def consumed(self, version: Version) -> None:
        """A held version was used up in place by its last reader."""
        if version.state == HELD:
            version.state = GONE
            version.value = None

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

    # ------------------------------------------------------------------ failure

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
            if version.waiters is None:
                version.waiters = [task]
            else:
                version.waiters.append(task)
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
        if version.waiters is None:
            version.waiters = [watch]
        else:
            version.waiters.append(watch)
        return True

    def unseen_failure(self, group: Group | None = None) -> Failure | None:
        """The first failure (of the group, or of all) that the main program has not been told of."""
        failures = self.failures if group is None else group.failures
        while failures:
            failure = failures[0]
            if not failure.seen:
                return failure
            failures.pop(0)
        return None

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

    def cancel_pending(self) -> list[int]:
        """Forget every task that has not been handed to an executor; return their ids (the run is ending)."""
        ids = [task.id for task in (*self.ready, *self.urgent)]
        for executor in self.team:
            ids += [task.id for task in (*executor.local, *executor.followers)]
            executor.local.clear()
            executor.followers.clear()
        self.ready.clear()
        self.urgent.clear()
        return ids


def is_movable(version: Version) -> bool:
    """Whether the one task about to read the version may consume it in place."""
    return not version.exposed and version.readers == 1


def _nones() -> Iterable[None]:
    while True:
        yield None


def _by_id(task: Task) -> int:
    return task.id
