"""The executors of one node, and the tasks that are to run there."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from taskflow.core.claims import ONE_UNIT
from taskflow.core.graph import ASSIGNED, DONE, READY
from taskflow.core.lending import Lending
from taskflow.core.placement import booked_cost
from taskflow.model.requirements import demand_on, mismatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskflow.core.claims import Claim
    from taskflow.core.graph import Task
    from taskflow.core.master import Master
    from taskflow.core.placement import Executor
    from taskflow.model.functions import Demand, FunctionRecord
    from taskflow.model.requirements import Node


class Experience:
    """What has been learnt on nodes of one kind, by task function.

    ``means``: [executions, their seconds]. ``tried``: functions of which a task has been started.
    """

    def __init__(self) -> None:
        self.means: dict[int, list[float]] = {}
        self.tried: set[int] = set()


class Crew(Lending):
    """One node as the kernel sees it. A run on one machine has just the crew of number 0, *home*.

    ``size``: executors that there are meant to be. ``node``: what the node offers; None: whatever is asked for.
    ``round_trip_s``: how long a message there and back takes. ``cores``: processor cores that its executors are bound
    to, in the order of their slots; none: they are not. With several nodes (see `core.dispatch`): ``shelf``:
    tasks that wait for room here because their data are here; ``coming``: those whose data are on their way;
    ``full``: its executors accept nothing more for the time being; ``appetite``: tasks to give it at a time.
    ``experience`` is shared with nodes of its kind.
    """

    def __init__(
        self, kernel: Master, number: int = 0, node: Node | None = None, experience: Experience | None = None
    ) -> None:
        super().__init__(kernel, number)
        self.node = node
        self.experience = experience or Experience()
        self.alive = True
        self.members: dict[int, Executor] = {}
        self.size = 0
        self.round_trip_s = 0.0
        self.cores: Sequence[int] = ()
        self.full = False
        self.appetite = 1
        self.shelf: deque[Task] = deque()
        self.coming: dict[int, Task] = {}
        self._fitting: dict[int, bool] = {}
        self._demands: dict[int, Demand] = {}

    def __repr__(self) -> str:
        return f"<crew {self.number} of {self.size}{'' if self.alive else ', lost'}>"

    def _serve_soon(self) -> None:
        self.kernel.serving[self.number] = self

    def _queue(self, task: Task) -> None:
        if task.function.service:
            self.kernel.take_request(task)
        else:
            super()._queue(task)

    def _want(self) -> None:
        self.kernel.wanting[self.number] = self

    def _note_room(self) -> None:
        if self.kernel.dispatch is not None:
            self.kernel.dispatch.settled(self)

    def _bring_data(self, task: Task) -> None:
        if self.kernel.dispatch is not None:
            self.kernel.dispatch.stage(task, self)

    def is_far(self, round_trip_s: float) -> None:
        """Messages there and back take so long: its executors are fed further ahead."""
        self.ahead_s += round_trip_s - self.round_trip_s
        self.prefetch_s += 2 * (round_trip_s - self.round_trip_s)
        self.round_trip_s = round_trip_s

    # ------------------------------------------------------------------ members

    def join(self, executor: Executor) -> None:
        """The executor is ready for work."""
        taken = {member.slot for member in self.members.values() if not member.io}
        executor.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        self.members[executor.id] = executor
        self._enlist(executor)
        if self.constrained or self.share is not None:
            self.serve()
        if not executor.apart:
            self.fill(executor)
        self._set_ready_limit()

    def leave(self, executor: Executor) -> None:
        """The executor is dead. `lost` has to be called when its tasks have been dealt with."""
        self.members.pop(executor.id, None)
        self._strike_off(executor)
        self.ready_limit = 1

    def lost(self) -> None:
        """The tasks of an executor that died have gone elsewhere."""
        if self.units:
            self.balance()
        self.serve()
        for other in self.team:
            if not other.inflight:  # it may have been parked for a task of the dead one
                self.fill(other)

    def cores_of(self, executors: Iterable[Executor]) -> list[int]:
        """The processor cores of the node that are these executors'; nothing if tasks may use any."""
        cores = self.cores
        if not cores:
            return []
        return sorted({cores[executor.slot % len(cores)] for executor in executors})

    # ------------------------------------------------------------------ what has been learnt

    @property
    def name(self) -> str:
        """Name of the node."""
        return "" if self.node is None else self.node.name

    def learnt(self, function: FunctionRecord, count: int, seconds: float) -> None:
        """Tasks of the function took so long here in all."""
        mean = self.experience.means.setdefault(function.id, [0, 0.0])
        mean[0] += count
        mean[1] += seconds

    def duration_s(self, function: FunctionRecord) -> float:
        """How long a task of the function takes here, as far as is known."""
        count, seconds = self.experience.means.get(function.id, (0, 0.0))
        return seconds / count if count else booked_cost(function)

    def _begun(self, function: FunctionRecord) -> None:
        self.experience.tried.add(function.id)

    def _chosen(self, function: FunctionRecord) -> FunctionRecord:
        """The implementation to run: one not tried on such a node yet, else the one that takes least time there.

        If there is one for which nothing is lacking now, it is one of these.
        """
        if not function.implementations:
            return function
        fitting = [record for record in function.implementations if self._fits(record)] or function.implementations
        available = [record for record in fitting if not self._lacking(self.demand_of(record))] or fitting
        for record in available:
            if record.id not in self.experience.tried:
                return record
        return min(available, key=self._mean_s)

    def _mean_s(self, function: FunctionRecord) -> float:
        """Mean duration here; infinite if no task of the function has ended anywhere."""
        if function.id in self.experience.means:
            return self.duration_s(function)
        return float("inf") if function.mean_s is None else function.mean_s

    # ------------------------------------------------------------------ what fits here

    def fits(self, function: FunctionRecord) -> bool:
        """Whether tasks of the function can ever run on this node."""
        known = self._fitting.get(function.id)
        if known is None:
            records = function.implementations or (function,)
            known = self._fitting[function.id] = any(self._fits(record) for record in records)
        return known

    def _fits(self, function: FunctionRecord) -> bool:
        requirements = function.requirements
        demand = function.demand
        if not self.size:
            return False
        if demand is not None and demand.units > self.size:
            return False
        if requirements is None or self.node is None:
            return True
        return not mismatches(requirements, self.node, home=not self.number)

    def demand_of(self, function: FunctionRecord) -> Demand:
        """What a task of the function takes from this node."""
        demand = function.demand or ONE_UNIT
        if not demand.varies or self.node is None or function.requirements is None:
            return demand
        known = self._demands.get(function.id)
        if known is None:
            known = self._demands[function.id] = demand_on(function.requirements, self.node)
        return known

    def vacancy(self) -> int:
        """How many executors have nothing to do and nothing coming."""
        idle = 0
        for executor in self.team:
            if not executor.inflight:
                idle += 1
        return idle - len(self.coming)

    def room(self) -> tuple[int, bool]:
        """The `vacancy`, and whether tasks wait here behind others."""
        idle = 0
        queued = bool(self.ready or self.constrained)
        for executor in self.team:
            count = len(executor.inflight)
            if not count:
                idle += 1
            elif count > 1 or executor.local:
                queued = True
        return idle - len(self.coming), queued

    def has_enough_coming(self) -> bool:
        """Whether the data of so many tasks are on their way that those of more had better wait."""
        return len(self.coming) >= 2 * self.size

    def publish_first(self, task: Task) -> None:
        """Have what the task reads published, where it is in the memory of executors; it is ready again then."""
        self._publish_first(task, None)

    def begin(self, task: Task, claim: Claim) -> bool:
        """Start a task for several nodes, of which this claim is the one it runs in; whether its data allow it."""
        executor = claim.executor = claim.parked.pop(0)
        function = task.function
        self._assign(task, executor)
        if task.state == ASSIGNED and task.executor is executor:
            self._begun(function)
            return True
        claim.executor = None
        claim.parked.insert(0, executor)
        return False

    def is_full(self) -> bool:
        """Whether nothing more can be given to it for the time being."""
        return bool(self.ready) or self.has_enough_coming()

    def lacks(self, function: FunctionRecord) -> bool:
        """Whether a task of the function would have to wait for something besides computing units."""
        return bool(self._lacking(self.demand_of(function)))

    def could_start(self, task: Task) -> bool:
        """Whether the task could begin at once."""
        demand = self.demand_of(task.function)
        if self.constrained and not (task.parent and self.set_aside):
            return False
        if self._lacking(demand):
            return False
        if self.share is not None and not self._is_before(task, demand):
            return False
        if not demand.units:
            return any(not executor.inflight for executor in self.io_team)
        return self.vacancy() >= demand.units

    # ------------------------------------------------------------------ for other nodes

    def surrender(self, other: Crew, worth_moving: Callable[[Task, Crew, Crew], bool]) -> Task | None:
        """A task that waits here for its turn, and that the other crew could start at once, and sooner."""
        if self.ready and other.fits(self.ready[-1].function) and worth_moving(self.ready[-1], self, other):
            return self.ready.pop()
        for key, queue in self.constrained.items():
            task = queue[0]
            if (
                task.state == READY
                and worth_moving(task, self, other)
                and other.fits(task.function)
                and other.could_start(task)
            ):
                queue.popleft()
                if not queue:
                    del self.constrained[key]
                self._serve_soon()  # what was reserved for it is free
                return task
        return None

    def relieve(self, load_s: float) -> bool:
        """Have tasks given back that are queued on an executor with so many seconds of work; whether there are any."""
        busiest: Executor | None = None
        for executor in self.team:
            if executor.local and executor.local[-1].pin is None:
                self.kernel.requeue(executor.local.pop())
                return True
            waits = len(executor.inflight) > 1 and executor.load > load_s and not executor.recalling
            if waits and (busiest is None or executor.load > busiest.load):
                busiest = executor
        if busiest is None:
            return False
        self._take_back(busiest)
        return True

    # ------------------------------------------------------------------ tasks

    def waiting(self) -> list[Task]:
        """All tasks given to this node that no executor has."""
        tasks = [*self.ready, *self.urgent, *self.constrained_tasks(), *self.shelf, *self.coming.values()]
        for executor in self.members.values():
            tasks += executor.local
        return tasks

    def forget_ended(self) -> None:
        """Take tasks that have been cancelled out of the queues."""
        for queue in (self.ready, self.urgent, self.shelf):
            if queue:
                kept = [task for task in queue if task.state < DONE]
                queue.clear()
                queue.extend(kept)
        self.coming = {number: task for number, task in self.coming.items() if task.state < DONE}
        self.ready_limit = 1

    def clear(self) -> None:
        """Forget all tasks."""
        for queue in (self.ready, self.urgent, self.shelf):
            queue.clear()
        self.constrained.clear()
        self.share = None
        self.coming.clear()
