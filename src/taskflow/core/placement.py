"""Where tasks run on their node: how far ahead an executor is fed, and which executor gets a task.

An executor runs its queue in order. It is fed ahead by *time*: up to `AHEAD_S` seconds of booked work, so thousands of
microsecond tasks travel in one frame while a long task is queued nowhere but where it runs. Durations are learnt per
function; an unknown one is booked at `UNKNOWN_S`, which lets just one task be queued behind another.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from taskflow.core.claims import Claim, Claiming, Share
from taskflow.core.graph import ASSIGNED, FILE, HELD, READY, SEGMENT, WAITING, Task, Version
from taskflow.core.lineage import MAX_GENERATION, generation_of, is_lost
from taskflow.model.policies import OnFailure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.core.crew import Crew
    from taskflow.core.master import Master
    from taskflow.model.functions import FunctionRecord

AHEAD_S = 0.005  #: seconds of booked work up to which an executor is given more
UNKNOWN_S = 0.003  #: what a task of a function that has never run is booked at
PREFETCH_S = 0.03  #: a second task is queued behind a first one only if shorter than this
ALONE_S = 10.0  #: what a task is booked at behind which nothing is to be queued
CHUNK_S = 0.0001  #: consecutive tasks go to one executor until this much work is booked, then to the next, so that
#: neighbours in the program (the two leaves of one pair, say) meet where their successor can follow at once
MAX_QUEUED = 4000  #: tasks on one executor, however short they are
SPREAD_EVERY = 32  #: ready tasks that collect before they are handed out, while every executor has work
FOLLOW_LIMIT = 4  #: a task missing more inputs than this is not sent ahead to the executor that makes them
BALANCE_S = 0.0005  #: work worth taking back from a busy executor for an idle one


class Executor:
    """The kernel's picture of one executor.

    ``inflight``: tasks handed to it, in the order it runs them. ``outbox``: those of them that the driver has not sent.
    ``followers``: waiting tasks whose missing inputs are all made by tasks in flight here. ``local``: ready tasks
    whose data live here. ``drops``, ``movable``, ``publish``: keys of held results that it may forget, that their only
    reader may consume, and that others need. ``apart``: it is not of the team, and gets no tasks but those of its
    ``claim`` (see `core.claims`); ``io``: it is for tasks that need no computing unit;
    ``resting`` and ``lent``: see `core.lending`. ``slot``: its place among the executors of its node. ``service``: the
    name of what it stands for, if it is no process (see `core.services`).
    """

    __slots__ = (
        "alive", "apart", "claim", "crew", "drops", "followers", "id", "inflight", "io", "lent", "load", "local",
        "movable", "outbox", "publish", "recalling", "resting", "service", "slot",
    )  # fmt: skip

    def __init__(self, id: int, crew: Crew, *, io: bool = False) -> None:
        self.id = id
        self.crew = crew
        self.alive = True
        self.inflight: dict[int, Task] = {}
        self.outbox: list[Task] = []
        self.load = 0.0
        self.followers: deque[Task] = deque()
        self.local: deque[Task] = deque()
        self.drops: list[tuple[int, int]] = []
        self.movable: list[tuple[int, int]] = []
        self.publish: list[tuple[int, int]] = []
        self.recalling = False
        self.io = io
        self.apart = False
        self.claim: Claim | None = None
        self.resting = False
        self.lent = False
        self.slot = 0
        self.service = ""

    def __repr__(self) -> str:
        state = "alive" if self.alive else "dead"
        return f"<executor {self.id} {state}, {len(self.inflight)} tasks, {self.load:.6f} s>"

    def accepts(self, cost: float) -> bool:
        """Whether a task booked at ``cost`` seconds should be queued here now."""
        queued = len(self.inflight)
        if queued == 0:
            return True
        if queued == 1:
            prefetch_s = self.crew.prefetch_s
            return cost < prefetch_s and self.load < prefetch_s
        return self.load + cost <= self.crew.ahead_s and queued < MAX_QUEUED


def booked_cost(function: FunctionRecord) -> float:
    """Seconds a task of this function is booked at."""
    mean = function.mean_s
    return UNKNOWN_S if mean is None else mean


class Placing(Claiming):
    """The part of a crew that hands tasks to executors.

    ``ready`` and ``urgent`` (tasks with priority) wait for room. ``ahead_s`` and ``prefetch_s``: as `AHEAD_S` and
    `PREFETCH_S`, and more where messages take long.
    """

    units: int

    def __init__(self, kernel: Master, number: int = 0) -> None:
        super().__init__()
        self.number = number
        self.kernel = kernel
        self.ahead_s = AHEAD_S
        self.prefetch_s = PREFETCH_S
        self.team: list[Executor] = []  # the executors, in the order they are handed tasks
        self.next_in_team = 0
        self.chunk = CHUNK_S  # seconds of work that the executor whose turn it is may still be given in a row
        self.ready_limit = 1  # so many ready tasks are worth handing out
        self.ready: deque[Task] = deque()
        self.urgent: deque[Task] = deque()
        # Commands of the whole kernel: see `core.master`.
        self.dirty = kernel.dirty
        self.recalls = kernel.recalls
        self.publishing = kernel.publishing

    def take(self, task: Task) -> None:
        """The task is to run here as soon as there is room: all that it reads is there."""
        if task.function.demand is not None:
            self._queue(task)
            return
        task.state = READY
        if task.reads:
            home = self._home_of(task)
            if home is not None and home.crew is not self:
                home = None
            if home is not None and home.apart:
                if home.claim is not None and home.claim.executor is home and not (home.inflight or home.io):
                    home.local.append(task)  # it is about to be of the team again
                    return
            elif home is not None:
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
        if task.parent:
            self.ready.appendleft(task)  # depth first, or every task that waits for its children would have begun
        else:
            self.ready.append(task)
        if len(self.ready) >= self.ready_limit:
            self.spread()

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
        ahead_s, prefetch_s = self.ahead_s, self.prefetch_s
        spent = 0.0
        load = executor.load
        while ready:
            task = ready[0]
            mean = task.function.mean_s
            cost = UNKNOWN_S if mean is None else mean or 1e-9
            queued = len(inflight)
            if queued > 1:
                if load + cost > ahead_s or queued >= MAX_QUEUED:
                    break
            elif queued == 1 and (cost >= prefetch_s or load >= prefetch_s):
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

    def _home_of(self, task: Task | Share) -> Executor | None:
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
        dispatch = self.kernel.dispatch
        for version in task.reads:
            state = version.state
            if state == HELD:
                if self._is_out_of_reach(version, task, executor):
                    self._publish_first(task, executor)
                    return
            elif state > FILE or not (state or task.missing):
                self.kernel.requeue(task)  # an input was lost or failed since the task became ready
                return
            elif dispatch is not None and state >= SEGMENT and not dispatch.is_at(version, self.number):
                if not task.missing:  # or it waits for the rest of its data, and is not sent ahead
                    self._bring_data(task)
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
                    if waiter.state == WAITING and self.kernel.maker_of_missing(waiter) is executor:
                        executor.followers.append(waiter)

    def _is_out_of_reach(self, version: Version, task: Task, executor: Executor | None) -> bool:
        """Whether the held version has to be published before the task can run on the executor."""
        return (
            version.value.executor is not executor
            or version.key in self.publishing
            or task.function.policy is OnFailure.IGNORE  # if it fails, the value from before is needed
        )

    def _publish_first(self, task: Task, executor: Executor | None) -> None:
        """Data the task needs are in another executor's memory: have them published, then it is ready again."""
        if any(is_lost(version) for version in task.reads):
            self.kernel.requeue(task)
            return
        task.state = WAITING
        for version in task.reads:
            if version.state == HELD and self._is_out_of_reach(version, task, executor):
                self.kernel.request(version)
                task.missing += 1
                version.add_waiter(task)

    def settled(self, executor: Executor) -> None:
        """A batch of reports from the executor has been entered: give it more work."""
        if not executor.inflight:
            executor.load = 0.0
        claim = executor.claim
        if claim is not None and claim.executor is executor and not executor.inflight:
            self.after_claim(claim)
        elif self.constrained or self.share is not None:
            self.serve()
        if executor.alive and not executor.apart:
            self.fill(executor)
        if self.units:
            self.balance()
        if self.ready:
            self.spread()
        else:
            self._set_ready_limit()
        if self.constrained:
            self._serve_soon()
        if self.kernel.dispatch is not None:
            self._note_room()

    def _note_room(self) -> None:
        """Tell the dispatch that something has ended here (`core.crew`)."""
        raise NotImplementedError

    def _bring_data(self, task: Task) -> None:
        """What the task reads is not all on this node (`core.crew`)."""
        raise NotImplementedError

    def balance(self) -> None:
        """See to it that as many computing units are at work as there are (`core.lending`)."""
        raise NotImplementedError

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
                if task.state != WAITING or self.kernel.maker_of_missing(task) is not executor:
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
            self._recall(executor, wanted)

    def _recall(self, executor: Executor, count: int) -> None:
        executor.recalling = True
        self.recalls.append((executor, count))

    def unbalanced(self) -> bool:
        """Whether an executor has nothing to do while tasks are queued on another."""
        dispatch = self.kernel.dispatch
        idle, queued = dispatch is not None and dispatch.has_idle(), False
        for executor in self.team:
            if not executor.inflight:
                idle = True
            elif len(executor.inflight) > 1 and not executor.recalling:
                queued = True
        return idle and queued

    def stalled(self, executor: Executor) -> None:
        """The executor has been silent for long.

        Have it send what it has done: a result must not wait for the end of the task behind it. If others are idle, let
        them have what is queued behind its running task.
        """
        if len(executor.inflight) > 1 and not executor.recalling:
            if self.unbalanced():
                self._take_back(executor)
            if not executor.recalling:
                self._recall(executor, 0)

    def given_back(self, executor: Executor, task_ids: Iterable[int]) -> None:
        """The executor returns tasks it has not begun (answer to a recall; ids are the last of its queue)."""
        executor.recalling = False
        self._take_in(executor, task_ids)

    def _take_in(self, executor: Executor, task_ids: Iterable[int]) -> None:
        tasks = [task for task in map(executor.inflight.pop, task_ids, _nones()) if task is not None]
        for task in tasks:
            executor.load -= task.cost
            if task.cancelled:
                self.kernel.gone(task)
        for place, other in enumerate(self.team):
            if not other.inflight:
                self.next_in_team = place  # or they might go back to where they came from
        for task in sorted(tasks, key=_by_id):
            if not task.cancelled:
                task.executor = None
                self.kernel.requeue(task)
        for idle in self.team:
            if not idle.inflight:
                self._take_ready(idle, AHEAD_S)


def _nones() -> Iterable[None]:
    while True:
        yield None


def _by_id(task: Task) -> int:
    return task.id
