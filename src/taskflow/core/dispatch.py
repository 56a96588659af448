"""Which node a task runs on, and when the data that it reads are brought there. Used as soon as there are several.

A task that is ready is given to the crew of a node (`give`). What it reads has to be *at* the node: if something is
not, the task waits there for it (`stage`), while the executors of the node work on others. Nodes are given tasks as
long as their executors accept them; what no node has room for waits here:

``ready``     tasks that can run anywhere, and that no data draw to some node
shelves       (of crews) tasks that are drawn to a node by their data, or by what ran there before
kinds         tasks with a demand or requirements, a queue for each task function
spanning      tasks that have several nodes at once (`core.spanning`)
``urgent``    tasks with priority

Nothing here takes longer the more nodes there are: crews that could take something are kept in dictionaries, and are
struck off them when it turns out that they cannot.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from taskflow.core.claims import turn_of
from taskflow.core.graph import DONE, HELD, READY, SEGMENT, Task
from taskflow.core.moving import Moving, places_of, weights_of
from taskflow.core.placement import BALANCE_S, SPREAD_EVERY, booked_cost
from taskflow.core.scheduling import Scheduler
from taskflow.core.spanning import DRAWING_BYTES, Spanning
from taskflow.model.errors import NoNodeError
from taskflow.model.requirements import mismatches, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskflow.core.crew import Crew
    from taskflow.core.master import Master
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.requirements import Requirements

FEED = 32  #: tasks for each executor that a crew is given at a time, at most
LOOK_AT = 4  #: crews that one without work looks at for something to take over


class Kind:
    """The tasks of one function that cannot run just anywhere. ``able``: crews that may be able to start one now."""

    __slots__ = ("able", "function", "last", "queue")

    def __init__(self, function: FunctionRecord) -> None:
        self.function = function
        self.queue: deque[Task] = deque()
        self.able: dict[int, Crew] = {}
        self.last: Crew | None = None  # one that has ended something since, and may reserve executors for the first

    def head(self) -> Task | None:
        """The first task that still waits."""
        queue = self.queue
        while queue and queue[0].state != READY:
            queue.popleft()
        return queue[0] if queue else None


class Dispatch(Moving):
    """The part of the kernel that knows several nodes.

    ``expecting``: nodes may join yet, so that a task that fits nowhere now waits for them.
    """

    def __init__(self, kernel: Master, scheduler: Scheduler | None = None) -> None:
        super().__init__()
        self.kernel = kernel
        self.scheduler = scheduler or Scheduler()
        self.expecting = True
        self.ready: deque[Task] = deque()
        self.ready_limit = 1
        self.urgent: deque[Task] = deque()
        self.kinds: dict[tuple[int, bool], Kind] = {}
        self.spanning = Spanning(self)
        self.vacant: dict[int, Crew] = {}  # with an executor that has nothing to do
        self.open: dict[int, Crew] = {}  # others that accept more
        self.loaded: dict[int, Crew] = {}  # with tasks that wait behind others
        self.shelved: dict[int, Crew] = {}  # with something on their shelf
        self._changed: dict[int, Crew] = {}
        self._may_spare = False  # some crew may have something for those without work that it had not before
        self._turns: dict[int, int] = {}
        for crew in kernel.crews.values():
            self.settled(crew)

    # ------------------------------------------------------------------ tasks that are ready

    def allows(self, task: Task, crew: Crew) -> bool:
        """Whether the task may run on a node: what it demands, a plan or a pin may say that it may not."""
        if task.pin is not None:
            return task.pin == crew.number
        planned = self.scheduler.node_for(task.id)
        if planned is not None and planned != crew.name:
            return False
        return task.function.requirements is None or crew.fits(task.function)

    def take(self, task: Task) -> None:
        """The task is ready: all that it reads has been made."""
        task.state = READY
        function = task.function
        if function.demand is not None and function.demand.hosts > 1:
            self.spanning.take(task)
            return
        scheduler = self.scheduler
        if task.pin is not None:
            crew = self.kernel.crews.get(task.pin)
            if crew is not None and crew.fits(function):
                self._give_there(task, crew)
                return
            task.pin = None  # the node is lost
        if function.demand is not None or function.requirements is not None or scheduler.plan is not None:
            self._queue(task)
            return
        if task.priority:
            self.urgent.append(task)
            self.serve_soon()
            return
        crew = self._drawn_to(task)
        if crew is not None:
            self._give_there(task, crew)
            return
        if task.parent:
            self.ready.appendleft(task)
        else:
            self.ready.append(task)
        if len(self.ready) >= self.ready_limit:
            self.spread()

    def _give_there(self, task: Task, crew: Crew) -> None:
        """Give the task to this crew, or put it on its shelf."""
        if not (crew.full or crew.shelf):
            self.give(task, crew)
            return
        if self.scheduler.successors:
            crew.shelf.appendleft(task)
        else:
            crew.shelf.append(task)
        self.shelved[crew.number] = crew
        if self.vacant:
            self._may_spare = True  # somebody has nothing to do, and may take it over
            self.serve_soon()

    def turns(self, function: FunctionRecord) -> list[int]:
        """The numbers of all nodes that the function's tasks can run on, another one first each time."""
        numbers = sorted(crew.number for crew in self.kernel.crews.values() if crew.fits(function))
        if not numbers:
            return []
        turn = self._turns[function.id] = self._turns.get(function.id, -1) + 1
        return numbers[turn % len(numbers) :] + numbers[: turn % len(numbers)]

    def serve_soon(self) -> None:
        """See to it that `serve` is called."""
        self.kernel.serving[-1] = self

    def has_changed(self, crew: Crew) -> None:
        """Tasks have been taken from the crew; it is settled when other decisions have been made."""
        self._changed[crew.number] = crew
        self.serve_soon()

    def _queue(self, task: Task) -> None:
        if task.function.service:
            self.give(task, self.kernel.home)
            return
        key = (task.function.id, task.priority)
        kind = self.kinds.get(key)
        if kind is None:
            kind = self.kinds[key] = Kind(task.function)
            kind.able = {crew.number: crew for crew in self.kernel.crews.values() if crew.fits(task.function)}
        if kind.queue and kind.queue[0].id > task.id:
            kind.queue.appendleft(task)
        else:
            kind.queue.append(task)
        self.serve_soon()

    def _drawn_to(self, task: Task) -> Crew | None:
        """The crew whose node has most of what the task reads, or has just made the last of it."""
        scheduler = self.scheduler
        if scheduler.lookahead:
            return self._soonest(task)
        if scheduler.locality and task.reads:
            best: Crew | None = None
            most = float(DRAWING_BYTES)
            for number, weight in weights_of(task).items():
                crew = self.kernel.crews.get(number)
                if weight >= most and crew is not None and crew.size:
                    most, best = weight, crew
            if best is not None:
                return best
        crew = self.kernel.freed_by if task.reads else None
        if crew is not None and crew.alive and crew.size and (scheduler.successors or crew.vacancy() > 0):
            return crew
        return None

    def _soonest(self, task: Task) -> Crew | None:
        """Where the task will probably end first: when there is room, its data are there, and it has run."""
        crews: dict[int, Crew] = dict(itertools.islice(self.vacant.items(), LOOK_AT))
        crews |= dict(itertools.islice(self.open.items(), LOOK_AT))
        sizes: list[tuple[float, dict[int, float]]] = []
        for version in task.reads:
            where = dict(places_of(version))
            if where:
                sizes.append((max(where.values()), where))
                for number in where:
                    if number in self.kernel.crews:
                        crews[number] = self.kernel.crews[number]
        best: Crew | None = None
        soonest = 0.0
        for crew in crews.values():
            if not crew.size:
                continue
            moved = sum(nbytes for nbytes, where in sizes if crew.number not in where)
            until = self.wait_s(crew) + moved / self.bytes_per_s + crew.duration_s(task.function)
            if best is None or until < soonest:
                best, soonest = crew, until
        return best

    def wait_s(self, crew: Crew) -> float:
        """Seconds until a task given to the crew now would begin, as far as can be known."""
        if crew.vacancy() > 0:
            return 0.0
        load = sum([executor.load for executor in crew.team])
        load += sum([booked_cost(task.function) for task in itertools.islice(crew.shelf, 64)])
        return load / max(1, crew.size)

    # ------------------------------------------------------------------ handing out

    def give(self, task: Task, crew: Crew) -> None:
        """Have the crew run the task, now or once its data are there."""
        for version in task.reads:
            if version.state >= SEGMENT and version.state != HELD and not self.is_at(version, crew.number):
                self.stage(task, crew)
                break
        else:
            self._enter(task, crew)
        self._note_room(crew)

    def _enter(self, task: Task, crew: Crew) -> None:
        demand = task.function.demand
        if demand is not None and demand.hosts > 1:
            return  # it begins when it has all its nodes
        crew.take(task)
        if crew.ready:
            crew.spread()
            crew.full = crew.is_full()
        executor = task.executor
        if executor is not None and executor.followers:
            crew.fill(executor)  # the tasks after it in a chain go there, too

    def spread(self) -> None:
        """Hand the tasks that can run anywhere to crews: to those without work first."""
        ready = self.ready
        while ready:
            crew = next(iter(self.vacant.values()), None) or next(iter(self.open.values()), None)
            if crew is None:
                self.ready_limit = 1 << 60  # all are full: what is settled takes the rest
                return
            self._feed(crew)
            self._note_room(crew)
        self.ready_limit = 1 if self.vacant else SPREAD_EVERY

    def _feed(self, crew: Crew) -> None:
        """Give the crew a number of tasks; those that its executors do not accept are ours again."""
        ready = self.ready
        count = crew.vacancy()
        if count <= 0:
            first = ready[-1 if self.scheduler.lifo else 0]
            if booked_cost(first.function) >= crew.prefetch_s:
                crew.full = True  # a task as long as that is queued behind no other
                return
            count = crew.appetite
        count = min(count, len(ready))
        for _ in range(count):
            if crew.has_enough_coming():
                break
            task = ready.pop() if self.scheduler.lifo else ready.popleft()
            if task.state != READY:
                continue  # cancelled
            if task.reads and any(
                version.state >= SEGMENT and version.state != HELD and not self.is_at(version, crew.number)
                for version in task.reads
            ):
                self.stage(task, crew)
            else:
                crew.take(task)
        crew.spread()
        left = crew.ready
        crew.full = crew.is_full()
        # Twice what it has accepted: handing out what it does not accept takes time, too.
        crew.appetite = min(2 * max(1, count - len(left)), FEED * len(crew.team))
        if left:
            if self.scheduler.lifo:
                ready.extend(reversed(left))
            else:
                ready.extendleft(reversed(left))
            left.clear()

    def _note_room(self, crew: Crew) -> None:
        """Keep the books of who could be given more. Crews take turns, so it goes to their end."""
        number = crew.number
        self.vacant.pop(number, None)
        self.open.pop(number, None)
        if not crew.alive or not (crew.team or crew.constrained):
            self.loaded.pop(number, None)
            return
        vacancy, queued = crew.room()
        if not queued:
            self.loaded.pop(number, None)
        elif number not in self.loaded:
            self.loaded[number] = crew
            if self.vacant:
                self._may_spare = True
                self.serve_soon()
        if not crew.team:
            return
        if vacancy > 0:
            self.vacant[number] = crew
            self.ready_limit = 1
        elif not crew.full:
            self.open[number] = crew

    def settled(self, crew: Crew) -> None:
        """Something has ended on the crew's node: it may have room."""
        if not crew.alive:
            return
        crew.full = crew.is_full()
        for kind in self.kinds.values():
            if crew.fits(kind.function):
                kind.able[crew.number] = crew
                kind.last = crew
                if kind.queue:
                    self.serve_soon()
        span = self.spanning.collecting
        if span is not None:
            span.able[crew.number] = crew
            self.serve_soon()
        elif self.spanning.queue:
            self.serve_soon()
        while self.urgent and self._has_room(crew):
            task = self.urgent.popleft()
            if task.state == READY:
                self.give(task, crew)
        while crew.shelf and self._has_room(crew):
            task = crew.shelf.popleft()
            if task.state == READY:
                self.give(task, crew)
        if not crew.shelf:
            self.shelved.pop(crew.number, None)
        while self.ready and crew.team and not crew.full:
            self._feed(crew)
        self._note_room(crew)
        if crew.number in self.vacant:
            self._find_work(crew)
        elif self.vacant and crew.number in self.loaded and self.scheduler.plan is None:
            self._take_over(next(iter(self.vacant.values())), crew)
        if not self.ready:
            self.ready_limit = 1 if self.vacant else SPREAD_EVERY

    @staticmethod
    def _has_room(crew: Crew) -> bool:
        return bool(crew.team) and not crew.full

    def serve(self) -> None:
        """Start tasks of certain kinds where they can be started. Not called from within other decisions."""
        while self._changed:
            self.settled(self._changed.popitem()[1])
        for kind in sorted(self.kinds.values(), key=_by_head):
            while (head := kind.head()) is not None:
                crew = self._able(kind, head)
                if crew is None:
                    break
                kind.queue.popleft()
                self.give(head, crew)
                crew.serve()
        self.spanning.serve()
        while self.urgent:
            crew = next(iter(self.vacant.values()), None) or next(iter(self.open.values()), None)
            if crew is None:
                break
            task = self.urgent.popleft()
            if task.state == READY:
                self.give(task, crew)
        if self._may_spare:
            self._may_spare = False
            for crew in list(itertools.islice(self.vacant.values(), LOOK_AT)):
                self._find_work(crew)
        if not self.expecting:
            self._give_up()

    def _able(self, kind: Kind, task: Task) -> Crew | None:
        """A crew that can start the task now, or else one that has room for it to wait."""
        planned = self.scheduler.node_for(task.id)
        if planned is not None:
            crew = next((crew for crew in self.kernel.crews.values() if crew.name == planned), None)
            return crew if crew is not None and crew.fits(kind.function) else None
        crew = self._drawn_to(task) if task.reads else None
        if crew is not None and crew.fits(kind.function) and crew.could_start(task):
            return crew
        able = kind.able
        while able:
            number, crew = next(iter(able.items()))
            del able[number]
            if crew.alive and crew.could_start(task):
                able[number] = crew  # at the end: they take turns
                return crew
        # Nobody can start it at once. One has executors reserved for it, or plain tasks would always be ahead of it.
        last, kind.last = kind.last, None
        if last is not None and last.alive and not last.constrained and not last.coming:
            return last
        return None

    def has_earlier(self, task: Task, crew: Crew) -> bool:
        """Whether something waits here that was called before the task, or is urgent, and that the crew could run."""
        if task.priority:
            return False
        if self.urgent or (self.ready and self.ready[0].id < task.id and not self.scheduler.lifo):
            return True
        if crew.shelf and crew.shelf[0].id < task.id:
            return True
        for kind in self.kinds.values():
            head = kind.head()
            if head is None or turn_of(head) > turn_of(task):
                continue
            if self.allows(head, crew) and not crew.lacks(kind.function):
                return True
        return False

    # ------------------------------------------------------------------ balance

    def has_idle(self) -> bool:
        """Whether some node has an executor without work."""
        return bool(self.vacant)

    def _find_work(self, crew: Crew) -> None:
        """The crew has executors without work: let it take over what waits for others."""
        for other in list(itertools.islice(self.shelved.values(), LOOK_AT)):
            while other.shelf and other is not crew and crew.vacancy() > 0:
                task = other.shelf[-1]
                if task.state == READY and not self.is_worth_moving(task, other, crew):
                    break
                other.shelf.pop()
                if task.state == READY:
                    self.give(task, crew)
            if not other.shelf:
                self.shelved.pop(other.number, None)
        if crew.vacancy() <= 0 or self.scheduler.plan is not None:
            return  # what a plan has given to others stays there
        for other in self._some_loaded(crew):
            if self._take_over(crew, other):
                return

    def _take_over(self, crew: Crew, other: Crew) -> bool:
        """Let the crew have what waits for the other; whether there is something."""
        surrendered = other.surrender(crew, self.is_worth_moving)
        if surrendered is not None:
            self.give(surrendered, crew)
            crew.serve()
            return True
        return other.relieve(BALANCE_S + 2 * max(crew.round_trip_s, other.round_trip_s))

    def _some_loaded(self, crew: Crew) -> Iterator[Crew]:
        """A few others on which tasks wait, others each time."""
        loaded = self.loaded
        for _ in range(min(LOOK_AT, len(loaded))):
            if not loaded:
                return
            number, other = next(iter(loaded.items()))
            del loaded[number]
            loaded[number] = other  # at the end
            if other is not crew:
                yield other

    def is_worth_moving(self, task: Task, home: Crew, crew: Crew) -> bool:
        """Whether the task would begin sooner on the crew although its data have to be brought there."""
        if not self.allows(task, crew):
            return False
        nbytes = 0.0
        for version in task.reads:
            where = dict(places_of(version))
            if where and crew.number not in where:
                nbytes += max(where.values())
        return nbytes / self.bytes_per_s + crew.round_trip_s < self.wait_s(home)

    # ------------------------------------------------------------------ nodes that are lost

    def forget(self, crew: Crew) -> list[Task]:
        """The node is lost: its data are gone, and nothing is to be given to it. Its tasks are dealt with elsewhere.

        Returns the tasks that run on other nodes and had this one, too.
        """
        number = crew.number
        for books in (self.vacant, self.open, self.loaded, self.shelved):
            books.pop(number, None)
        for kind in self.kinds.values():
            kind.able.pop(number, None)
            if kind.last is crew:
                kind.last = None
        self._forget_data(number)
        return self.spanning.forget(crew)

    def _give_up(self) -> None:
        """No more nodes will come: tasks that fit none of those that are left fail."""
        crews = self.kernel.crews.values()
        for kind in self.kinds.values():
            if kind.queue and not any(crew.fits(kind.function) for crew in crews):
                tasks, kind.queue = kind.queue, deque()
                self._fail_all(tasks)
            elif self.scheduler.plan is not None:
                self._fail_unplannable(kind)
        self.spanning.give_up()
        if (self.ready or self.urgent) and not any(crew.size for crew in crews):
            tasks = deque([*self.urgent, *self.ready])
            self.ready.clear()
            self.urgent.clear()
            self._fail_all(tasks)

    def _fail_unplannable(self, kind: Kind) -> None:
        """Fail the tasks that a plan sends to nodes that are not there, or can never run them."""
        for task in list(kind.queue):
            planned = self.scheduler.node_for(task.id)
            if planned is None or task.state != READY:
                continue
            if not any(crew.name == planned and crew.fits(task.function) for crew in self.kernel.crews.values()):
                kind.queue.remove(task)
                where = f"task {task.id} {task.function.name}, called at {task.location}"
                why = f"the plan says on {planned}, which is not there or does not satisfy its constraints"
                self.kernel.fail_anew(task, NoNodeError(f"{where}, cannot run: {why}"))
                self.serve_soon()  # it was ahead of others

    def _fail_all(self, tasks: deque[Task]) -> None:
        left = [crew for crew in self.kernel.crews.values() if crew.size]
        what = f"none of the {len(left)} nodes that are left satisfies its constraints" if left else "no node is left"
        what += why_not(tasks[0].function.requirements, left)  # they are of one function, if they have constraints
        for task in tasks:
            if task.state == READY:
                where = f"task {task.id} {task.function.name}, called at {task.location}"
                self.kernel.fail_anew(task, NoNodeError(f"{where}, cannot run: {what}"))

    # ------------------------------------------------------------------ all tasks

    def waiting(self) -> list[Task]:
        """All tasks that wait here."""
        tasks = [*self.ready, *self.urgent]
        for kind in self.kinds.values():
            tasks += kind.queue
        return [*tasks, *self.spanning.waiting(), *self._being_secured()]

    def forget_ended(self) -> None:
        """Take tasks that have been cancelled out of the queues."""
        self.serve_soon()  # something may have been kept for them
        for queue in (self.ready, self.urgent, *[kind.queue for kind in self.kinds.values()]):
            kept = [task for task in queue if task.state < DONE]
            queue.clear()
            queue.extend(kept)
        for key, waiting in self._awaiting.items():
            self._awaiting[key] = [task for task in waiting if task.state < DONE]
        self.ready_limit = 1

    def clear(self) -> None:
        """Forget all tasks."""
        self.ready.clear()
        self.urgent.clear()
        self.kinds.clear()
        self.spanning.clear()
        self._securing.clear()
        self._awaiting.clear()


def why_not(requirements: Requirements | None, crews: list[Crew]) -> str:
    """A table of what keeps tasks with these requirements from running on the nodes, after a colon; "" without one."""
    found = [
        (crew.name, mismatches(requirements, crew.node, home=not crew.number))
        for crew in crews
        if requirements is not None and crew.node is not None
    ]
    return f":\n{table(found)}" if found else ""


def _by_head(kind: Kind) -> tuple[bool, int]:
    task = kind.head()
    return (True, 0) if task is None else turn_of(task)
