"""Tasks that need more than one computing unit of their node, or other things than that: what they take, and when.

An executor stands for one computing unit. A task that needs several runs on one executor while others are *parked*:
they get nothing to do. So that it does not wait for ever, executors are *reserved* for it: they get no new work, give
back what they have not begun, and are at its disposal once they are idle. Other things are counted: memory, storage,
bandwidth, GPUs. A task that needs no unit (``@IO``) runs on an executor apart from the team.

Order: for each kind of thing, first come, first served; a task that waits for one kind is overtaken only by tasks
that do not need that kind. Plain tasks and these take turns in the order of the calls. So nobody starves.

Tasks with a demand run alone on their executor: what they hold is free again as soon as it has nothing in flight,
however they ended. They pay for that with a round trip each; tasks without a demand pay nothing.

A task for several nodes has a *share* of each (see `core.spanning`). A share waits for its turn as a task would.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from taskflow.core.graph import ASSIGNED, READY
from taskflow.model.functions import Demand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskflow.core.crew import Crew
    from taskflow.core.graph import Task
    from taskflow.core.placement import Executor
    from taskflow.core.spanning import Span
    from taskflow.model.functions import FunctionRecord

ONE_UNIT = Demand()
TINY = 1e-9  #: what sums of fractions may be wrong by


class Claim:
    """What one task has of the node until its executor is idle again.

    ``executor``: what runs the task; None if that is on another node, or not known yet. ``parked``: executors that stay
    idle for it; ``missing`` of them have died and not been replaced yet. ``unparked`` of them rest (see
    `core.lending`). ``share``: what the claim is for, if the task has several nodes.
    """

    __slots__ = ("demand", "devices", "executor", "missing", "parked", "share", "unparked")

    def __init__(self, demand: Demand, executor: Executor | None, devices: dict[str, list[int]]) -> None:
        self.demand = demand
        self.executor = executor
        self.parked: list[Executor] = []
        self.devices = devices
        self.missing = 0
        self.unparked = 0
        self.share: Share | None = None

    def __repr__(self) -> str:
        where = "no executor" if self.executor is None else f"executor {self.executor.id}"
        return f"<claim of {self.demand} on {where}>"


class Share:
    """What a task for several nodes is to have of one of them: served as if it were a task of that node.

    ``claim``: what it has, once it has it.
    """

    __slots__ = ("claim", "crew", "span")

    state = READY
    reads = ()
    parent = 0

    def __init__(self, span: Span, crew: Crew) -> None:
        self.span = span
        self.crew = crew
        self.claim: Claim | None = None

    def __repr__(self) -> str:
        return f"<share of {self.span.task!r} in {self.crew!r}: {self.claim!r}>"

    @property
    def id(self) -> int:
        """That of the task."""
        return self.span.task.id

    @property
    def priority(self) -> bool:
        """That of the task."""
        return self.span.task.priority

    @property
    def function(self) -> FunctionRecord:
        """That of the task."""
        return self.span.task.function

    @property
    def lacks(self) -> bool:
        """Whether something is lacking at the node besides computing units."""
        return self.claim is None and self.crew.lacks(self.function)


class Claiming:
    """The part of a crew that serves tasks with a demand.

    ``constrained``: those that are ready, in one queue for each function record and priority. ``free``: what is left
    of the node's amounts; what the node does not know is without limit. ``set_aside``: claims of tasks that wait for
    others, which have their computing units. ``share``: one that waits; there is never more than one.
    """

    team: list[Executor]
    ready: deque[Task]
    urgent: deque[Task]
    ready_limit: int

    def __init__(self) -> None:
        self.io_team: list[Executor] = []
        self.reserved: list[Executor] = []
        self.reserved_for: Task | Share | None = None
        self.share: Share | None = None
        self.claims: list[Claim] = []
        self.set_aside: list[Claim] = []
        self.resting: list[Executor]
        self.constrained: dict[tuple[int, bool], deque[Task]] = {}
        self.whole: dict[str, float] = {}
        self.free: dict[str, float] = {}
        self.devices: dict[str, Sequence[int]] = {}
        self.free_devices: dict[str, list[int]] = {}

    def spread(self) -> None:
        """Hand out ready tasks (`core.placement`)."""
        raise NotImplementedError

    def fill(self, executor: Executor) -> None:
        """Give an executor work (`core.placement`)."""
        raise NotImplementedError

    def _serve_soon(self) -> None:
        """See to it that `serve` is called (`core.crew`)."""
        raise NotImplementedError

    def _chosen(self, function: FunctionRecord) -> FunctionRecord:
        """The implementation to run (`core.crew`)."""
        raise NotImplementedError

    def _begun(self, function: FunctionRecord) -> None:
        """A task of the function has been started (`core.crew`)."""
        raise NotImplementedError

    def _assign(self, task: Task, executor: Executor) -> None:
        """Hand the task to the executor, if its data allow it (`core.placement`)."""
        raise NotImplementedError

    def _home_of(self, task: Task | Share) -> Executor | None:
        """The executor that has most of the task's data (`core.placement`)."""
        raise NotImplementedError

    def _take_in(self, executor: Executor, task_ids: Iterable[int]) -> None:
        """Tasks in flight on the executor have not begun and go elsewhere (`core.placement`)."""
        raise NotImplementedError

    def _recall(self, executor: Executor, count: int) -> None:
        """Ask the executor for tasks that it has not begun (`core.placement`)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what there is

    def demand_of(self, function: FunctionRecord) -> Demand:
        """What a task of the function takes from this node (`core.crew`)."""
        raise NotImplementedError

    def offer(self, amounts: dict[str, float], devices: Mapping[str, Sequence[int]]) -> None:
        """What the node has besides computing units. Said once, before the first task that needs any of it.

        ``devices``: the numbers, on the node, of those of each type. Here they are spoken of by index.
        """
        self.whole = dict(amounts)
        self.free = dict(amounts)
        self.devices = dict(devices)
        self.free_devices = {kind: list(range(len(numbers))) for kind, numbers in devices.items()}

    def _enlist(self, executor: Executor) -> None:
        """An executor is there to be given work: as one of the team, or in the place of one that died parked."""
        if executor.io:
            executor.apart = True
            self.io_team.append(executor)
            return
        for claim in self.claims:
            if claim.missing:
                claim.missing -= 1
                self._park(claim, executor)
                return
        executor.apart = False
        self.team.append(executor)
        self.ready_limit = 1

    @staticmethod
    def _park(claim: Claim, executor: Executor) -> None:
        executor.apart = True
        executor.claim = claim
        claim.parked.append(executor)

    def _strike_off(self, executor: Executor) -> None:
        """The executor is dead: no list has it any more, and what it held for a task that it ran is free."""
        claim = executor.claim
        if claim is not None and claim.executor is executor:
            self._end_claim(claim)
            return
        for members in (self.team, self.reserved, self.io_team, self.resting):
            if executor in members:
                members.remove(executor)
        if claim is not None:
            claim.parked.remove(executor)
            claim.missing += 1
            # One that has begun nothing can take its place at once. There is one if it has been replaced already.
            for other in self.team:
                if len(other.outbox) == len(other.inflight):
                    self._reserve([other], keep=0)
                    self.reserved.remove(other)
                    claim.missing -= 1
                    self._park(claim, other)
                    return

    # ------------------------------------------------------------------ waiting

    def _queue(self, task: Task) -> None:
        """A task with a demand is ready. Whoever has called the kernel calls its `serve` in the end."""
        task.state = READY
        self._serve_soon()
        queue = self.constrained.setdefault((task.function.id, task.priority), deque())
        if queue and queue[0].id > task.id:
            queue.appendleft(task)  # it has been handed out before
        else:
            queue.append(task)

    def constrained_tasks(self) -> list[Task]:
        """Those that wait to be served."""
        return [task for queue in self.constrained.values() for task in queue]

    def _heads(self) -> list[Task | Share]:
        """The first task of each queue, and the share, in the order in which they are to be served."""
        heads: list[Task | Share] = []
        if self.share is not None and not self.share.span.over:
            heads.append(self.share)
        for key, queue in list(self.constrained.items()):
            while queue and queue[0].state != READY:
                queue.popleft()  # cancelled
            if queue:
                heads.append(queue[0])
            else:
                del self.constrained[key]
        heads.sort(key=turn_of)
        return heads

    def serve(self) -> None:
        """Start what can be started; reserve executors for the first task that lacks some.

        Not called from within the kernel's other decisions: it changes the team.
        """
        while (self.constrained or self.share is not None or self.reserved) and self._start_one():
            pass

    def _start_one(self) -> bool:
        """Start the first task that may start; whether there was one, or something else has changed."""
        taken: set[str] = set()  # what an earlier task waits for
        kept: set[str] = set()  # the same, but a task that was called by a task goes first
        reserving = False
        for task in self._heads():
            function = self._chosen(task.function)
            demand = self.demand_of(function)
            kinds = _kinds(demand)
            if not taken.isdisjoint(kinds) or not (task.parent or kept.isdisjoint(kinds)):
                continue
            lacking = self._lacking(demand)
            if lacking:
                # What is lacking may be what a task has that waits for one it has called; the share's, on another node.
                (kept if self.set_aside or task is self.share else taken).update(lacking)
                continue
            if task is self.share and not task.span.may_gather():
                kept.update(kinds - {"units"})
                continue
            if not demand.units:
                executors = [executor for executor in self.io_team if not executor.inflight][:1]
            elif self._is_turn_of(task):
                executors = self._gather(task, demand.units)
                reserving = True
            else:
                executors = []
            if executors and task is self.share:
                self._hold(task, demand, executors)
                return True
            if executors and not isinstance(task, Share):
                self._start(task, function, demand, executors)
                return True
            taken.update(kinds)
        if not reserving and self.reserved:
            self.reserved_for = None
            self._let_go(self.reserved)
        return False

    def _lacking(self, demand: Demand) -> list[str]:
        lacking = [name for name, amount in demand.amounts if amount > self.free.get(name, amount) + TINY]
        if demand.devices:
            free = {kind: list(indexes) for kind, indexes in self.free_devices.items()}
            lacking += [device[0] for device in demand.devices if _pick(free, *device) is None]
        return lacking

    def _is_turn_of(self, task: Task | Share) -> bool:
        """Plain tasks that were called before it, and urgent ones, go first; not those that had to give way to it."""
        if task.priority or task is self.reserved_for:
            return True
        if self.urgent or (self.ready and self.ready[0].id < task.id):
            return False
        return not isinstance(task, Share) or not task.span.gives_way(task.crew)

    def _is_before(self, task: Task, demand: Demand) -> bool:
        """Whether the task may be served before the share that waits here."""
        share = self.share
        if share is None or share.span.over or task.parent or turn_of(task) <= turn_of(share):
            return True
        wanted = _kinds(self.demand_of(share.function))
        if not share.span.may_gather():
            wanted -= {"units"}
        return wanted.isdisjoint(_kinds(demand))

    # ------------------------------------------------------------------ executors

    def _gather(self, task: Task | Share, units: int) -> list[Executor]:
        """So many idle executors, the one with the task's data first; or none yet, and some are reserved."""
        pool = [*self.reserved, *self.team]
        if len(pool) < units:
            return []  # another task with a demand has to end first
        home = self._home_of(task) if task.reads else None
        kept = set(self.reserved)
        self.reserved_for = task
        # Idle ones first, then those that are on their way to it.
        pool.sort(key=lambda executor: (bool(executor.inflight), executor is not home, executor not in kept,
                                        executor.load))  # fmt: skip
        chosen, rest = pool[:units], pool[units:]
        spare = [executor for executor in rest if executor in kept]
        self._reserve([executor for executor in chosen if executor not in kept])
        if spare:
            self._let_go(spare)
        return [] if any(executor.inflight for executor in chosen) else chosen

    def _reserve(self, executors: list[Executor], keep: int = 1) -> None:
        """Give the executors nothing more, and have them give back all but ``keep`` of their tasks.

        Not the first, which may have begun, and was called before the task that is to run here.
        """
        for executor in executors:
            self.team.remove(executor)
            executor.apart = True
            self.reserved.append(executor)
        for executor in executors:
            if executor.local:
                self.ready.extend(executor.local)  # their data are fetched from it
                executor.local.clear()
                self.spread()
            unsent = executor.outbox[max(0, len(executor.outbox) - len(executor.inflight) + keep) :]
            if unsent:
                del executor.outbox[-len(unsent) :]
                self._take_in(executor, [task.id for task in unsent])
            if len(executor.inflight) > 1 and not executor.recalling:
                self._recall(executor, len(executor.inflight) - 1)

    def _let_go(self, executors: list[Executor]) -> None:
        """Reserved executors are not needed: they are of the team again."""
        for executor in list(executors):
            self.reserved.remove(executor)
            self._enlist(executor)
            if not executor.apart:
                self.fill(executor)

    # ------------------------------------------------------------------ running

    def _start(self, task: Task, function: FunctionRecord, demand: Demand, executors: list[Executor]) -> None:
        self.constrained[task.function.id, task.priority].popleft()
        executor = executors[0]
        task.function = function
        if task is self.reserved_for:
            self.reserved_for = None
        self._assign(task, executor)
        if task.state != ASSIGNED or task.executor is not executor:
            return  # some of its data have to come first
        self._begun(function)
        self._claim(demand, executor, executors)

    def _hold(self, share: Share, demand: Demand, executors: list[Executor]) -> None:
        """The share has what it needs of this node; its task begins when it has that of all."""
        self.share = None
        if share is self.reserved_for:
            self.reserved_for = None
        share.claim = self._claim(demand, None, executors)
        share.claim.share = share

    def _claim(self, demand: Demand, executor: Executor | None, executors: list[Executor]) -> Claim:
        devices: dict[str, list[int]] = {}
        for kind, count, choice in demand.devices:
            devices.setdefault(kind, []).extend(_pick(self.free_devices, kind, count, choice) or ())
        for name, amount in demand.amounts:
            if name in self.free:
                self.free[name] -= amount
        claim = Claim(demand, executor, devices)
        self.claims.append(claim)
        for other in executors:
            if not other.io:
                self.reserved.remove(other)
            if other is executor:
                other.claim = claim
            else:
                self._park(claim, other)
        return claim

    def _end_claim(self, claim: Claim) -> list[Executor]:
        """What the task had is free; returns the executors that can be given work."""
        (self.claims if claim in self.claims else self.set_aside).remove(claim)
        for kind, indexes in claim.devices.items():
            self.free_devices[kind] = sorted([*self.free_devices[kind], *indexes])
        for name, amount in claim.demand.amounts:
            if name in self.free:
                self.free[name] += amount
        if not self.claims and not self.set_aside:
            self.free = dict(self.whole)  # no rounding error outlasts the tasks that made it
        back = [executor for executor in claim.parked if executor.alive]
        first = claim.executor
        if first is not None:
            first.claim = None
            if first.alive:
                back.insert(0, first)
            elif first.io:
                self.io_team.remove(first)
            elif first.resting:
                self.resting.remove(first)
            if claim.share is not None:
                claim.share.span.end()
        for executor in back:
            executor.claim = None
            if not executor.io and not executor.resting:
                self._enlist(executor)
        return back

    def after_claim(self, claim: Claim) -> None:
        """The task has ended: its executors get the next work."""
        back = self._end_claim(claim)
        self.serve()
        for executor in back:
            if not executor.apart:
                self.fill(executor)


def turn_of(task: Task | Share) -> tuple[bool, int]:
    """By what tasks that wait are sorted: priority, then the order of the calls."""
    return (not task.priority, task.id)


def _kinds(demand: Demand) -> set[str]:
    kinds = {name for name, _ in demand.amounts}
    kinds.add("units" if demand.units else "io")
    kinds.update([device[0] for device in demand.devices])
    return kinds


def _pick(free: dict[str, list[int]], kind: str, count: int, choice: tuple[int, ...]) -> list[int] | None:
    """Take so many free devices of the kind, of those that will do; None, and take nothing, if there are too few."""
    picked = [index for index in free.get(kind, ()) if not choice or index in choice][:count]
    if len(picked) < count:
        return None
    for index in picked:
        free[kind].remove(index)
    return picked
