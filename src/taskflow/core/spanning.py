"""Tasks that have several nodes at once: how they come by them, and what becomes of the nodes.

One such task at a time *collects* nodes, so two of them never wait for each other: of those for which there are enough
nodes the first one called, priority before that. It has a *share* in as many crews as it needs nodes. A crew serves a
share as it serves a task of its own with that demand, in the order of the calls; what has been called before goes
first, also if it waits in the dispatch. So neither small tasks nor these starve. Two rules:

* Executors are kept idle for it only while nothing else (memory, devices) is lacking on any of its nodes. Otherwise
  what it lacks might belong to a task that waits for one that it has called, and that one for the executors.
* A share that is not served yet moves to a node that could serve it at once.

When all shares have what they need, the task runs on the node that has most of its data. It is over when its executor
there has nothing in flight. If another of its nodes is lost meanwhile, the attempt is ended, and does not count.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from taskflow.core.claims import Share, turn_of
from taskflow.core.graph import HELD, READY, SEGMENT
from taskflow.core.moving import weights_of
from taskflow.model.errors import NoNodeError
from taskflow.model.requirements import Mismatch, lacking_nodes, mismatches, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.core.crew import Crew
    from taskflow.core.dispatch import Dispatch
    from taskflow.core.graph import Task
    from taskflow.model.functions import FunctionRecord

DRAWING_BYTES = 65536  #: data smaller than this draw a task nowhere
LOOK_AT = 8  #: times as many crews as a task needs are looked at for those where it would begin soonest


class Span:
    """A task that has several nodes, or is collecting them.

    ``shares``: by the number of the node. ``main``: the node that it runs on, once that is known. ``able``: other crews
    in which something has ended. ``over``: it gives back what it has.
    """

    __slots__ = ("able", "begun", "main", "over", "shares", "spanning", "task")

    def __init__(self, task: Task, spanning: Spanning) -> None:
        self.task = task
        self.spanning = spanning
        self.shares: dict[int, Share] = {}
        self.main: int | None = None
        self.able: dict[int, Crew] = {}
        self.begun = False
        self.over = False

    def __repr__(self) -> str:
        state = "over" if self.over else "running" if self.begun else "collecting"
        return f"<span of task {self.task.id}, {state}: {list(self.shares.values())}>"

    @property
    def numbers(self) -> list[int]:
        """The nodes, the one that the task runs on first."""
        return sorted(self.shares, key=lambda number: (number != self.main, number))

    @property
    def waiting(self) -> list[Share]:
        """The shares that have not been served."""
        return [share for share in self.shares.values() if share.claim is None]

    def may_gather(self) -> bool:
        """Whether executors may be kept idle for it: nothing else is lacking on any of its nodes."""
        return len(self.shares) >= hosts_of(self.task.function) and not any(
            share.lacks for share in self.shares.values()
        )

    def gives_way(self, crew: Crew) -> bool:
        """Whether something that was called before it can have the executors of the crew."""
        return self.spanning.dispatch.has_earlier(self.task, crew)

    def end(self) -> None:
        """The task has ended, or goes back to the queue: its nodes are given back before anything is served."""
        self.spanning.end(self)

    def lend(self) -> None:
        """The task waits for others that it has called: they may have the computing units of all its nodes."""
        for share in self._others():
            crew = share.crew
            if share.claim is not None and share.claim in crew.claims:
                if not crew.units:
                    crew.units = crew.size
                crew.put_aside(share.claim)
                crew.balance()
                self.spanning.dispatch.has_changed(crew)

    def regain(self) -> None:
        """The task goes on."""
        for share in self._others():
            if share.claim is not None and share.claim in share.crew.set_aside:
                share.crew.take_up(share.claim)
                share.crew.balance()
                self.spanning.dispatch.has_changed(share.crew)

    def _others(self) -> list[Share]:
        return [share for number, share in self.shares.items() if number != self.main]


class Spanning:
    """The part of a dispatch that serves tasks for several nodes.

    ``queue``: those that wait, in their order. ``collecting``: the one that collects nodes.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.kernel = dispatch.kernel
        self.queue: list[Task] = []
        self.collecting: Span | None = None
        self._over: list[Span] = []
        self._unchecked: list[Task] = []  # it is not known whether there are enough nodes for them
        self._none_checked = False  # nor for any other
        self._known = (0, 0)  # the nodes for which the counts are right
        self._counts: dict[int, int] = {}  # nodes that can run a part of such a task, by function
        self._tried: set[int] = set()  # implementations that have been chosen
        self._next_place = 0

    # ------------------------------------------------------------------ tasks that come

    def take(self, task: Task) -> None:
        """The task is ready: all that it reads has been made."""
        span = self.collecting
        if span is not None and span.task is task:
            self.end(span)  # its data have got lost, or it is to run elsewhere
        if task.function.implementations:
            task.function = self._implementation(task.function)
            if hosts_of(task.function) == 1:
                self.dispatch.take(task)
                return
        if any(version.state == HELD for version in task.reads):
            self.kernel.home.publish_first(task)  # before anything is kept idle for it
            return
        task.state = READY
        if span is not None and not span.over and turn_of(task) < turn_of(span.task) and self._can_be(task):
            self._withdraw(span)  # this one goes first
        self._enqueue(task)

    def _withdraw(self, span: Span) -> None:
        """Have a task that collects nodes wait again."""
        for share in span.shares.values():
            share.crew.coming.pop(span.task.id, None)
        self.end(span)
        self._enqueue(span.task)

    def _enqueue(self, task: Task) -> None:
        bisect.insort(self.queue, task, key=turn_of)
        if self.dispatch.expecting:
            self._none_checked = True
        else:
            self._unchecked.append(task)
        self.dispatch.serve_soon()

    def _implementation(self, function: FunctionRecord) -> FunctionRecord:
        """The one to run: of those for which there are enough nodes one not tried yet, else the quickest."""
        records = function.implementations
        fitting = [record for record in records if self._count(record) >= hosts_of(record)] or list(records)
        for record in fitting:
            if record.id not in self._tried:
                self._tried.add(record.id)
                return record
        return min(fitting, key=lambda record: float("inf") if record.mean_s is None else record.mean_s)

    def _look_at_nodes(self) -> None:
        """Forget what is known of other nodes than those that there are."""
        crews = self.kernel.crews
        nodes = (len(crews), next(reversed(crews)))  # numbers are used once
        if nodes != self._known:
            self._known = nodes
            self._counts.clear()
            self._none_checked = True

    def _count(self, function: FunctionRecord) -> int:
        """How many nodes can run a part of such a task."""
        self._look_at_nodes()
        count = self._counts.get(function.id)
        if count is None:
            count = sum([crew.fits(function) for crew in self.kernel.crews.values()])
            self._counts[function.id] = count
        return count

    def _can_be(self, task: Task) -> bool:
        """Whether there are nodes for the task, and the one that a plan says."""
        return self._count(task.function) >= hosts_of(task.function) and self._planned_for(task) is not None

    def waiting(self) -> list[Task]:
        """All tasks that wait here."""
        tasks = [task for task in self.queue if task.state == READY]
        span = self.collecting
        if span is not None and span.task.state == READY:
            main = self.kernel.crews.get(-1 if span.main is None else span.main)
            if main is None or span.task.id not in main.coming:
                tasks.append(span.task)
        return tasks

    def clear(self) -> None:
        """Forget all tasks."""
        self.queue.clear()
        if self.collecting is not None:
            self.end(self.collecting)

    # ------------------------------------------------------------------ collecting

    def serve(self) -> None:
        """Go on collecting nodes, and start what has them all. Not called from within other decisions."""
        while True:
            while self._over:
                self._release(self._over.pop())
            span = self.collecting
            if span is None:
                span = self.collecting = self._next()
                if span is None:
                    return
            if span.task.state != READY:
                self.end(span)  # it was cancelled, or some of its data are lost
            elif self._collect(span):
                self._begin(span)
            elif not span.over and span.task.state == READY:
                return

    def _next(self) -> Span | None:
        """The first task for which there are enough nodes collects them now."""
        queue = self.queue
        place = 0
        while place < len(queue):
            task = queue[place]
            if task.state == READY and not self._can_be(task):
                place += 1
                continue
            del queue[place]
            if task.state == READY:  # or it was cancelled
                return Span(task, self)
        return None

    def _planned_for(self, task: Task) -> str | None:
        """Name of the node that a plan has the task run on, "" if there is none; None if that node cannot do it now."""
        name = self.dispatch.scheduler.node_for(task.id)
        if name is None:
            return ""
        crews = self.kernel.crews.values()
        return name if any(crew.name == name and crew.fits(task.function) for crew in crews) else None

    def _collect(self, span: Span) -> bool:
        """Get nearer to having all nodes; whether the task can begin."""
        task = span.task
        if not self._choose(span):
            self._withdraw(span)  # a node was lost, and there are too few now
            return False
        self._improve(span)
        if any(share.lacks for share in span.shares.values()):
            for share in span.shares.values():
                if share.claim is not None:
                    self._let_go(share)
                    share.crew.share = share
        for share in span.waiting:
            share.crew.serve()
        if span.waiting:
            return False
        if span.main is None:
            weights = weights_of(task)
            span.main = max(span.shares, key=lambda number: (weights.get(number, 0.0), -number))
        main = span.shares[span.main]
        if not self._has_data(task, main.crew):
            return False
        return main.claim is not None and bool(main.claim.parked)

    def _has_data(self, task: Task, crew: Crew) -> bool:
        """Whether all that the task reads is at the node; what is not is brought there."""
        dispatch = self.dispatch
        if task.id in crew.coming:
            return False
        for version in task.reads:
            if version.state >= SEGMENT and version.state != HELD and not dispatch.is_at(version, crew.number):
                dispatch.stage(task, crew)
                return False
        return True

    def _choose(self, span: Span) -> bool:
        """Take part in as many crews as there have to be: those that can serve it soonest. False: there are too few."""
        missing = hosts_of(span.task.function) - len(span.shares)
        if missing <= 0:
            return True
        task = span.task
        crews = self.kernel.crews
        fitting = [crew for crew in crews.values() if crew.number not in span.shares and crew.fits(task.function)]
        if len(fitting) < missing:
            return False
        if span.main is None:
            main = self._drawn_to(task, [*fitting, *[crews[number] for number in span.shares]])
            if main is not None:
                span.main = main.number
                if main in fitting:
                    fitting.remove(main)
                    self._join(span, main)
                    missing -= 1
        span.able.clear()
        for crew in self._soonest(task, fitting, missing):
            self._join(span, crew)
        if span.main is not None:
            self._has_data(task, crews[span.main])  # they come while nodes are collected
        return True

    def _soonest(self, task: Task, crews: Sequence[Crew], count: int) -> Sequence[Crew]:
        """So many of the crews, those that can serve the task at once first; of many others only some are looked at."""
        found: list[Crew] = []
        vacant = self.dispatch.vacant
        for crew in crews:
            if len(found) == count:
                return found
            if crew.number in vacant and crew.could_start(task):
                found.append(crew)
        others = [crew for crew in crews if crew not in found]
        self._next_place = first = (self._next_place + count) % max(1, len(others))
        others = (others[first:] + others[:first])[: LOOK_AT * count]
        others.sort(key=lambda crew: (crew.lacks(task.function), self.dispatch.wait_s(crew)))
        return [*found, *others[: count - len(found)]]

    def _drawn_to(self, task: Task, crews: Sequence[Crew]) -> Crew | None:
        """That of the crews on whose node the task has to run, or had better; None: on any."""
        planned = self._planned_for(task)
        weights: dict[int, float] = {}
        for crew in crews:
            if crew.number == task.pin or (planned and crew.name == planned):
                return crew
        if self.dispatch.scheduler.locality and task.reads:
            weights = weights_of(task)
        best = max(crews, key=lambda crew: weights.get(crew.number, 0.0))
        return best if weights.get(best.number, 0.0) >= DRAWING_BYTES else None

    @staticmethod
    def _join(span: Span, crew: Crew) -> None:
        span.shares[crew.number] = crew.share = Share(span, crew)

    def _improve(self, span: Span) -> None:
        """Have shares that are not served move to crews that could serve them at once."""
        task = span.task
        able, span.able = span.able, {}
        for crew in able.values():
            if crew.number in span.shares or not crew.alive or not crew.fits(task.function):
                continue
            if crew.share is not None or not crew.could_start(task) or span.gives_way(crew):
                continue
            for share in span.waiting:
                number = share.crew.number
                if number == span.main:
                    if task.id in share.crew.coming or not self.dispatch.is_worth_moving(task, share.crew, crew):
                        continue  # (the latter is so if it may run on this node only)
                    span.main = None
                del span.shares[number]
                self._leave(share)
                self._join(span, crew)
                break

    def _begin(self, span: Span) -> None:
        """All nodes are there: the task runs."""
        assert span.main is not None
        main = span.shares[span.main]
        assert main.claim is not None
        if main.crew.begin(span.task, main.claim):
            span.begun = True
            self.collecting = None

    # ------------------------------------------------------------------ giving back

    def end(self, span: Span) -> None:
        """The task has ended, is cancelled, or begins anew: its nodes are free as soon as anything is served."""
        if span.over:
            return
        span.over = True
        if self.collecting is span:
            self.collecting = None
        self._over.append(span)
        self.dispatch.serve_soon()

    def _release(self, span: Span) -> None:
        if span.begun:
            self.kernel.spans_over.append(span)
        for share in span.shares.values():
            if not share.crew.alive:
                continue
            if share.crew.share is share:
                self._leave(share)
            elif share.claim is not None and (span.main != share.crew.number or not span.begun):
                self._let_go(share)

    def _let_go(self, share: Share) -> None:
        """The share has nothing any more."""
        claim, share.claim = share.claim, None
        assert claim is not None
        crew = share.crew
        crew.after_claim(claim)
        if crew.units:
            crew.balance()
        self.dispatch.has_changed(crew)

    def _leave(self, share: Share) -> None:
        """The share does not wait any more."""
        share.crew.share = None
        share.crew.serve()  # what was reserved for it is free
        self.dispatch.has_changed(share.crew)

    def forget(self, crew: Crew) -> list[Task]:
        """The node is lost; returns the tasks that ran on others and had it, too."""
        severed: list[Task] = []
        span = self.collecting
        if span is not None and span.shares.pop(crew.number, None) is not None and span.main == crew.number:
            span.main = None
        for claim in (*crew.claims, *crew.set_aside):
            if claim.share is None or not claim.share.span.begun or claim.share.span.over:
                continue
            span = claim.share.span
            del span.shares[crew.number]
            if claim.executor is None:
                severed.append(span.task)
            else:
                self.end(span)
        self.dispatch.serve_soon()
        return severed

    def give_up(self) -> None:
        """No more nodes will come: tasks for which those that are left are too few fail."""
        if self.queue:
            self._look_at_nodes()
        unchecked, self._unchecked = self._unchecked, []
        if self._none_checked:
            self._none_checked = False
            unchecked = list(self.queue)
        for task in unchecked:
            if task.state == READY and not self._can_be(task):
                self.kernel.fail_anew(task, NoNodeError(self._why_never(task)))

    def _why_never(self, task: Task) -> str:
        hosts = hosts_of(task.function)
        where = f"task {task.id} {task.function.name}, called at {task.location}, cannot run"
        if self._planned_for(task) is None:
            planned = self.dispatch.scheduler.node_for(task.id)
            return f"{where}: the plan says on {planned}, which is not there or does not satisfy its constraints"
        crews = [crew for crew in self.kernel.crews.values() if crew.size]
        found = [(crew.name or f"node {crew.number}", _why_not(task.function, crew)) for crew in crews]
        fit = sum(1 for _, reasons in found if not reasons)
        return (
            f"{where}: it needs {hosts} nodes at once, and"
            f" of the {len(found)} that are left {fit} satisf{'ies' if fit == 1 else 'y'} its constraints:\n"
            f"{table([*lacking_nodes(hosts, found), *found])}"
        )


def _why_not(function: FunctionRecord, crew: Crew) -> Sequence[Mismatch]:
    if function.requirements is not None and crew.node is not None:
        found = mismatches(function.requirements, crew.node, home=not crew.number)
        if found:
            return found
    units = 1 if function.demand is None else function.demand.units
    return [] if units <= crew.size else [Mismatch("computing_units", str(units), str(crew.size))]


def hosts_of(function: FunctionRecord) -> int:
    """How many nodes a task of the function has at once."""
    return 1 if function.demand is None else function.demand.hosts
