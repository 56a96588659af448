"""The simulated driver: the same kernel and the same interpreters, on a virtual clock, in one thread.

Everything that time and chance decide in a real run is drawn from one seeded generator: how long messages and
tasks take, when executors die and what they had sent by then, which reports arrive twice or after the death
of their sender. Task bodies really run, in virtual order, so a whole program with dozens of deaths takes
milliseconds, and a seed that fails replays exactly.

Time passes while the program waits, and a little while it submits. When no event is left and somebody still
waits, or events go on without any task ending, the run is stuck: that is an error with the state of the
kernel, never a hang. The program itself must be single-threaded, and wait by `wait` only: no callback comes
from another thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import pickle
import random
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.core.scheduling import scheduler_named
from taskflow.data.replicas import Ledger
from taskflow.data.serialization import INLINE_LIMIT, decode_blob
from taskflow.data.store import Store
from taskflow.drivers.engine import Engine, Link
from taskflow.drivers.simulated_nodes import NO_NODE_FAULTS, Cluster, NodeFaults, Place, SimulatedNode
from taskflow.drivers.strands import OneThread, Strand
from taskflow.model.errors import CancelError, ExecutorDiedError, NotRunningError, TaskflowError, TimeOutError
from taskflow.model.policies import MAX_ATTEMPTS
from taskflow.node import nested
from taskflow.node.exceptions import encode_error
from taskflow.node.interpreter import Interpreter
from taskflow.wire.nested import O_GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskflow.core.graph import Datum, Task
    from taskflow.core.placement import Executor
    from taskflow.drivers.engine import AnyLatch
    from taskflow.drivers.simulated_services import SimulatedServices
    from taskflow.model.cluster import HttpService
    from taskflow.model.parameters import Direction
    from taskflow.observe.journal import Journal

PLAIN, WITH_INPUTS = 3, 4  #: lengths of the short forms of tasks, see `wire.messages`
SEND_AHEAD = 16  #: tasks that collect in an outbox before a submission sends them
STALL_S = 0.005  #: silence of a busy executor after which queued tasks are taken back for idle ones
OUTLIERS = 0.2  #: share of tasks that take ten times as long
MAX_BARREN_EVENTS = 20_000  #: so many events in a row without any task ending are going in circles


class StuckError(TaskflowError):
    """The program waits for something that cannot happen any more: an error of the runtime itself."""


@dataclasses.dataclass(frozen=True)
class Faults:
    """What goes wrong in a simulated run and how often.

    Probabilities are per task or message, times in seconds.

    ``death``: an executor dies before, during or after a task.
    ``idle_death``: it dies when a message reaches it.
    ``max_deaths``: as many at most.
    ``error``: an attempt of a task fails, before its body or after it, at most three times.
    ``fatal``: one task may kill several executors (and is then reported as failed).
    ``late`` and ``lost``: what a dying executor has sent arrives after its death is known, or never.
    ``duplicate``: a report arrives twice.
    ``delay``: of messages; ``restart``: until a dead executor is replaced.
    ``task_s``: mean duration of tasks. ``inline_limit``: bytes from which results are held or go to segments.
    ``steps``: probability that time passes during a submission.
    ``nodes``: those that there are besides home, with ``node_faults``; ``home``: whether home has executors, too;
    ``scheduler``: name of the policy that picks nodes.
    """

    death: float = 0.0
    idle_death: float = 0.0
    max_deaths: int = 100
    error: float = 0.0
    fatal: bool = False
    late: float = 0.0
    lost: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (20e-6, 200e-6)
    restart: tuple[float, float] = (1e-4, 1e-2)
    task_s: float = 1e-3
    inline_limit: int = INLINE_LIMIT
    steps: float = 0.25
    nodes: tuple[SimulatedNode, ...] = ()
    node_faults: NodeFaults = NO_NODE_FAULTS
    home: bool = True
    scheduler: str = "locality"


class SimulatedChannel(nested.Channel):
    """What the body of a nested task uses to talk with the master."""

    has_threads = False

    def __init__(self, engine: SimulatedEngine, link: SimulatedLink) -> None:
        super().__init__()
        self.interpreter = link.interpreter
        self._engine = engine
        self._link = link
        self.waits = False
        self.lent = False

    def flush(self) -> None:
        """See `nested.Channel.flush`."""
        operations = self._take_outbox()
        if operations:
            self._engine.post(self._link, [self.task_id, *operations])

    def end(self) -> None:
        """See `nested.Channel.end`."""
        super().end()
        self.lent = False

    def wait(
        self,
        arrived: Callable[[], bool],
        deadline: float | None,
        pause: Callable[[list[Any], float | None], bool],  # noqa: ARG002  no body is interrupted while it waits
    ) -> bool:
        """See `nested.Channel.wait`. The time of the deadline is the virtual one from now on."""
        engine = self._engine
        strand = Strand.current()
        if strand is None or strand is not self._link.strand:
            raise TaskflowError("in a simulated run only the task's own thread can wait for the tasks it has called")
        self.flush()
        late = None if deadline is None else engine.now + max(0.0, deadline - monotonic())
        if late is not None:
            engine.wake_at(late, self._link)
        engine.take_in(self._link)
        self.waits = True
        try:
            while not arrived():
                if late is not None and engine.now >= late:
                    return False
                with engine.bodies(engine.program):
                    strand.pause()
            return True
        finally:
            self.waits = False

    def give_back(self) -> None:
        """See `nested.ProcessChannel`: nothing may lie here while others have the computing unit."""
        queue = self._link.queue
        given = []
        while self.lent and queue:
            entry = queue.popleft()
            if type(entry) is list:
                self.interpreter.let_go(*entry)
            else:
                given.append(entry[0])
        if given:
            self.say((O_GIVEN, given))
            self.flush()


class SimulatedLink(Link):
    """One simulated executor process and both directions of its connection."""

    def __init__(
        self, engine: SimulatedEngine, executor: Executor, interpreter: Interpreter, place: Place | None
    ) -> None:
        super().__init__(executor)
        self.place = place  # of a cluster
        self.interpreter = interpreter
        self.channel = SimulatedChannel(engine, self)
        self.strand: Strand | None = None  # the body that runs, if it may pause
        self.queue: deque[Any] = deque()
        self.inbox: deque[tuple[Any, ...]] = deque()
        self.running = 0
        self.busy = False
        self.unwanted: set[int] = set()
        self.dead = False
        self.cut = False
        self.heard = 0.0
        # When the last message of each direction arrives: the next one cannot arrive before it.
        self.to_executor = 0.0
        self.to_master = 0.0
        self.answers = 0.0


class SimulatedEngine(Engine):
    """Runs tasks in this process, in virtual time.

    ``bodies`` makes the context in which task bodies run. ``check`` is called with the engine after every
    event.
    """

    def __init__(
        self,
        run_dir: str,
        segments: str,
        journal: Journal,
        workers: int,
        seed: int,
        faults: Faults | None = None,
        bodies: Callable[[Any], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
        *,
        checked: bool = False,
    ) -> None:
        super().__init__(run_dir, segments, journal)
        self.lock = OneThread()  # type: ignore[assignment]
        self._asides: list[Strand] = []
        self.segments = segments
        self.random = random.Random(seed)  # noqa: S311  chance that can be replayed, no secret
        self.seed = seed
        self.faults = faults or Faults()
        self.bodies = bodies
        self.checked = checked
        self.check: Callable[[SimulatedEngine], None] | None = None
        self.now = 0.0
        self.deaths = 0
        self.links: dict[int, SimulatedLink] = {}
        self.closing = False
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._victims: set[int] = set()
        self._failed_attempts: dict[int, int] = {}
        self._progress: tuple[int, ...] = ()
        self._barren = 0
        self._next_number = 0
        self.cluster: Cluster | None = None
        self.services: SimulatedServices | None = None
        if self.faults.nodes:
            self.keep_books(Ledger(segments))
            self.kernel.scatter(scheduler_named(self.faults.scheduler))
            if not self.faults.home:
                workers = 0
        self.kernel.home.size = workers
        if self.faults.nodes:
            Cluster(self, self.faults.nodes, self.faults.node_faults)
        for _ in range(workers):
            self.start_executor()

    def now_us(self) -> int:
        """Virtual microseconds since the run started."""
        return int(self.now * 1e6)

    # ------------------------------------------------------------------ the program's side

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
        """Enter a task; now and then let a little time pass."""
        kernel = self.kernel
        with self.lock:
            if self.closing:
                raise NotRunningError("the session has been stopped; start a new one before calling tasks")
            self.enter_released()
            if self.ledger is not None:
                accesses = self.with_arguments(task, accesses)
            kernel.submit(task, accesses)
            self.record(task)
            for number in list(kernel.dirty):
                executor = kernel.dirty[number]
                queued = len(executor.outbox)
                if queued == len(executor.inflight) or queued >= SEND_AHEAD or executor.publish:
                    del kernel.dirty[number]
                    link = self.links.get(number)
                    if link is not None:
                        self._send(link)
            if self.services is not None:
                self.services.start_all()
            if kernel.cancelled:
                self.record_cancelled()
            self._check()
            while self._events and self.random.random() < self.faults.steps:
                self._step()
        self.notify()
        if kernel.unfinished >= self.max_pending:
            self.throttle()

    def wait(self, latch: AnyLatch, timeout: float | None = None) -> bool:
        """Let virtual time pass until the latch is satisfied. Raises StuckError if it never will be."""
        deadline = None if timeout is None else self.now + timeout
        strand = Strand.current()
        while strand is not None:
            if latch.satisfied(self.kernel):
                return True
            strand.pause()
        while True:
            with self.lock:
                if self.closing:
                    raise NotRunningError("the session was stopped while a thread waited for its tasks")
                satisfied = latch.satisfied(self.kernel)
                self.flush()
                if satisfied:
                    return True
                if not self._events:
                    raise StuckError(f"no event is left, but {self._state(latch)}")
                if deadline is not None and self._events[0][0] > deadline:
                    self.now = deadline
                    return False
                self._step()
            self.notify()

    def flush(self) -> None:
        """Send every outbox and every recall."""
        kernel = self.kernel
        if kernel.wanting:
            self.start_wanted()
        if kernel.serving:
            kernel.serve()
        while kernel.dirty:
            number = next(iter(kernel.dirty))
            del kernel.dirty[number]
            link = self.links.get(number)
            if link is not None:
                self._send(link)
        for executor, count in kernel.recalls:
            link = self.links.get(executor.id)
            if link is not None:
                self.at(self.now + self.delay(link.place), self._recall, link, count)
        kernel.recalls.clear()
        for executor, task_id in kernel.cancels:
            link = self.links.get(executor.id)
            if executor.service and self.services is not None:
                self.services.cancel(executor, task_id)
            elif link is not None:
                self.at(self.now + self.delay(link.place), self._cancel, link, task_id)
        kernel.cancels.clear()
        if kernel.spans_over:
            self.end_spans()
        if self.services is not None:
            self.services.start_all()
        if self.cluster is not None:
            self.cluster.send_all()

    def kill(self, number: int) -> None:
        """Let an executor die now."""
        self._die(self.links[number])

    def close(self, *, cancel: bool) -> None:  # noqa: ARG002  nothing goes on by itself
        """Nothing happens any more. The executors hand in the journal's lines that they have kept back."""
        self.closing = True
        for link in self.links.values():
            link.interpreter.tidy()
            for line in link.interpreter.journal_lines:
                self.journal.write_raw(line)
        self._events.clear()
        if self.services is not None:
            self.services.close()
        links = list(self.links.values())
        self.links.clear()
        for strand in (*self._asides, *[link.strand for link in links if link.strand is not None]):
            strand.cut()

    # ------------------------------------------------------------------ nested tasks

    def tell(self, link: SimulatedLink, answers: list[Any]) -> None:
        """See `Engine.tell`."""
        link.to_executor = max(link.to_executor, self.now + self.delay(link.place))
        self.at(link.to_executor, self._hear, link, pickle.dumps(answers, 5))

    def _hear(self, link: SimulatedLink, data: bytes) -> None:
        """Answers reach the executor."""
        if link.dead:
            return
        for answer in pickle.loads(data):
            if answer[0]:
                link.channel.accept(answer)
            else:
                link.channel.lent = answer[1]
        self._go_on(link)

    def _go_on(self, link: SimulatedLink) -> None:
        """Something has come for a body that waits."""
        if link.dead or not link.channel.waits or link.strand is None:
            return
        self.take_in(link)
        link.strand.proceed()

    def take_in(self, link: SimulatedLink) -> None:
        """See what the master has said while a body waits, and send what it has asked for."""
        self._accept(link)
        link.channel.give_back()
        self._report(link)

    def post(self, link: SimulatedLink, message: list[Any]) -> None:
        """A body says something to the master."""
        if not link.dead:
            self._post(link, pickle.dumps(message, 5))

    def wake_at(self, time: float, link: SimulatedLink) -> None:
        """Have the body that waits look at the clock then."""
        self.at(time, self._go_on, link)

    def aside(self, work: Callable[[], None]) -> None:
        """See `Engine.aside`."""
        self._asides.append(Strand(work))

    def wake(self) -> None:
        """Something was changed outside the events: somebody may have what they wait for."""
        if Strand.current() is None:
            self._look_round()
            self.flush()

    def _look_round(self) -> None:
        """What somebody waits for may have come."""
        self.act()
        for strand in self._asides[:]:
            strand.proceed()
            if strand.ended:
                self._asides.remove(strand)

    # ------------------------------------------------------------------ time

    def at(self, time: float, event: Callable[..., None], *args: Any) -> None:
        """Have something happen then."""
        heapq.heappush(self._events, (time, next(self._order), event, args))

    def delay(self, place: Place | None = None) -> float:
        """How long a message to or from the node takes."""
        seconds = self.random.uniform(*self.faults.delay)
        if place is not None and place.model is not None:
            seconds += place.model.delay_s * self.random.uniform(1, 2)
        return seconds

    def _step(self) -> None:
        """Let the next event happen."""
        self.now, _, event, args = heapq.heappop(self._events)
        event(*args)
        if self.actions or self._asides:
            self._look_round()
        self.flush()
        kernel = self.kernel
        progress = (kernel.submitted, kernel.unfinished, kernel.failed_count, self.deaths)
        self._barren = self._barren + 1 if progress == self._progress else 0
        self._progress = progress
        if self._barren > MAX_BARREN_EVENTS:
            raise StuckError(f"{self._barren} events passed in which no task ended, and {self._state(None)}")
        self._check()

    def _check(self) -> None:
        if self.check is not None:
            self.check(self)

    def _state(self, latch: AnyLatch | None) -> str:
        """What a person needs to see when the run is stuck."""
        kernel = self.kernel
        when = f"seed {self.seed}, virtual time {self.now:.6f} s, {self.deaths} deaths"
        lines = [f"{kernel.unfinished} tasks are unfinished ({when})"]
        if latch is not None:
            lines.append(f"  waiting: {type(latch).__name__}")
            versions = getattr(latch, "versions", ())
            lines += [f"    {version!r} made by {version.producer!r}" for version in versions[:5] if not version.state]
        lines += [f"  ready: {task!r}" for task in kernel.waiting_tasks()][:6]
        for executor in kernel.executors.values():
            lines.append(f"  {executor!r}, recalling={executor.recalling}, outbox={executor.outbox}")
            for name, tasks in (
                ("in flight", executor.inflight.values()),
                ("local", executor.local),
                ("follows", executor.followers),
            ):
                for task in list(tasks)[:5]:
                    lines.append(f"    {name}: {task!r} reads {list(task.reads)[:4]}")
        lines += [f"  to be published: {version!r}" for version in list(kernel.publishing.values())[:5]]
        return "\n".join(lines)

    # ------------------------------------------------------------------ messages

    def _send(self, link: SimulatedLink) -> None:
        message = self.compose(link)
        if message is None:
            return
        link.to_executor = max(link.to_executor, self.now + self.delay(link.place))
        self.at(link.to_executor, self._deliver, link, pickle.dumps(message, 5))
        self._watch_silence(link)

    def _watch_silence(self, link: SimulatedLink) -> None:
        link.heard = self.now
        if len(link.executor.inflight) > 1:
            self.at(self.now + STALL_S, self._look_after, link, self.now)

    def _look_after(self, link: SimulatedLink, heard: float) -> None:
        if link.heard == heard and link.executor.alive:
            self.kernel.stalled(link.executor)

    def _deliver(self, link: SimulatedLink, data: bytes) -> None:
        """A message reaches the executor, which looks at it when it is between tasks."""
        if link.dead:
            return
        link.inbox.append(pickle.loads(data))
        if link.channel.waits:
            self.take_in(link)
        if self._may_die(self.faults.idle_death) and self._may_be_victim(link.running):
            self._die(link)
        elif not link.busy:
            self._proceed(link)

    def _report(self, link: SimulatedLink) -> None:
        if link.interpreter.report.empty:
            return
        data = pickle.dumps(link.interpreter.next_report(), 5)
        self._post(link, data)
        if self.chance(self.faults.duplicate):
            later = link.to_master + self.delay(link.place) * self.random.choice((0, 1, 20))
            self.at(later, self._arrive, link, data)

    def _post(self, link: SimulatedLink, data: bytes) -> None:
        link.to_master = max(link.to_master, self.now + self.delay(link.place))
        self.at(link.to_master, self._arrive, link, data)

    def _arrive(self, link: SimulatedLink, data: bytes) -> None:
        """A report reaches the master."""
        if link.cut:
            return
        self.hear(link, pickle.loads(data))
        self.kernel.settled(link.executor)
        self._watch_silence(link)

    def _recall(self, link: SimulatedLink, count: int) -> None:
        """The executor gives back tasks it has not begun, even while it runs one."""
        if link.dead:
            return
        given: list[int] = []
        kept: list[Any] = []
        while link.queue and len(given) < count:
            entry = link.queue.pop()
            if type(entry) is list:
                kept.append(entry)
            else:
                given.append(entry[0])
        link.queue.extend(reversed(kept))
        report = link.interpreter.report
        if not report.empty:
            self._post(link, pickle.dumps(report.snapshot(), 5))
        link.answers = max(link.answers, self.now + self.delay(link.place))
        self.at(link.answers, self._given_back, link, given)

    def _cancel(self, link: SimulatedLink, task_id: int) -> None:
        """The executor hears that a task is not wanted any more, whether it runs or has not begun."""
        if not link.dead:
            link.unwanted.add(task_id)

    def _given_back(self, link: SimulatedLink, given: list[int]) -> None:
        if link.cut:
            return
        self.kernel.given_back(link.executor, given)
        self.kernel.settled(link.executor)

    # ------------------------------------------------------------------ executors

    def start_executor(self, *, io: bool = False, node: int = 0) -> None:
        """A new executor is there at once."""
        number = self._next_number
        self._next_number += 1
        place = None if self.cluster is None else self.cluster.places[node]
        store = Store(self.segments if place is None else place.segments, f"x{number}")
        kind = Interpreter
        if self.checked:
            from taskflow.node.check import CheckedInterpreter

            kind = CheckedInterpreter
        interpreter = kind(
            store, f"{self.run_dir}/scratch/x{number}", number=number, inline_limit=self.faults.inline_limit
        )
        executor = self.kernel.executor_joined(number, io=io, node=node)
        link = self.links[number] = SimulatedLink(self, executor, interpreter, place)
        if place is not None:
            place.links.append(link)
            if place.dead:
                link.dead = link.cut = True  # nobody knows yet

    def open_service(self, name: str, places: Sequence[HttpService], capacity: int) -> None:
        """See `Engine.open_service`."""
        from taskflow.drivers.simulated_services import SimulatedServices

        if self.services is None:
            self.services = SimulatedServices(self, capacity)
        number = self._next_number
        self._next_number += 1
        self.services.open(name, number, places)

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return probability > 0 and self.random.random() < probability

    def _may_die(self, probability: float) -> bool:
        return self.deaths < self.faults.max_deaths and self.chance(probability)

    def _may_be_victim(self, task_id: int) -> bool:
        """Whether an executor may die while it runs the task: once only, unless ``fatal``."""
        if task_id and not self.faults.fatal:
            if task_id in self._victims:
                return False
            self._victims.add(task_id)
        return True

    def _accept(self, link: SimulatedLink) -> None:
        interpreter = link.interpreter
        while link.inbox:
            ack, functions, drops, movable, publish, tasks, _ = link.inbox.popleft()
            interpreter.define(functions)
            interpreter.movable.update(movable)
            if ack or drops:
                link.queue.append([ack, drops])
            interpreter.publish(publish)
            link.queue.extend(tasks)

    def _proceed(self, link: SimulatedLink) -> None:
        """What the executor does between two tasks."""
        while True:
            if not link.queue or self.chance(0.5):
                self._accept(link)
            if not link.queue:
                self._report(link)
                return
            entry = link.queue.popleft()
            if type(entry) is list:
                link.interpreter.let_go(*entry)
                continue
            if entry[0] in link.unwanted:
                link.unwanted.discard(entry[0])
                link.interpreter.report.skipped.append((entry[0], (0, 0)))
                continue
            if self.chance(0.3):
                self._report(link)
                link.interpreter.tidy()
            self._begin(link, entry)
            return

    def _begin(self, link: SimulatedLink, entry: tuple[Any, ...]) -> None:
        link.busy = True
        link.running = entry[0]
        duration = self.random.expovariate(1 / self.faults.task_s)
        if link.place is not None and link.place.model is not None:
            duration /= link.place.model.speed
        if self.chance(OUTLIERS):
            duration *= 10
        limit = link.interpreter.limits.get(entry[1], 0.0)
        if limit and duration > limit:
            error: BaseException = TimeOutError(f"the time of the task was over (time_out={limit:g})")
            self.at(self.now + limit, self._interrupt, link, entry, self.now, error)
            return
        fate = ""
        if self._may_die(self.faults.death):
            fate = self.random.choice(("during", "after", "told"))
            if fate == "during" and not self._may_be_victim(entry[0]):
                fate = "after"
        if fate == "during":
            self.at(self.now + duration * self.random.choice((0.0, 0.5)), self._die, link)
        else:
            self.at(self.now + duration, self._finish, link, entry, self.now, fate)
        if self.cluster is not None and link.place is not None:
            claim = link.executor.claim
            numbers = [link.place.number] if claim is None or claim.share is None else claim.share.span.numbers
            for number in numbers:
                self.cluster.may_die(self.cluster.places[number])

    def _interrupt(self, link: SimulatedLink, entry: tuple[Any, ...], start: float, error: BaseException) -> None:
        """The body of the running task ends with the error, which is not its own."""
        if link.dead:
            return
        link.interpreter.report.failed.append((entry[0], encode_error(error)))
        self._end(link, entry, start, "")

    def _finish(self, link: SimulatedLink, entry: tuple[Any, ...], start: float, fate: str) -> None:
        if link.dead:
            return
        if entry[0] in link.unwanted:
            link.unwanted.discard(entry[0])
            self._interrupt(link, entry, start, CancelError("the task was cancelled while it ran"))
            return
        if self.functions[entry[1]].nested:
            link.strand = Strand(lambda: self._run(link, entry, start, fate))
            link.strand.proceed()
        else:
            self._run(link, entry, start, fate)

    def _run(self, link: SimulatedLink, entry: tuple[Any, ...], start: float, fate: str) -> None:
        """Run the body, at the end of its virtual time."""
        interpreter = link.interpreter
        task_id, function_id = entry[0], entry[1]
        nested.channel = link.channel
        with self.bodies(None), self._spoilt(interpreter, task_id, function_id):
            if len(entry) == PLAIN or (len(entry) == WITH_INPUTS and interpreter.fill_in(entry[2], entry[3])):
                interpreter.run_plain(task_id, function_id, entry[2])
            elif len(entry) == WITH_INPUTS:
                interpreter.run(task_id, function_id, entry[2], None, entry[3], interpreter.returns[function_id], False)
            else:
                interpreter.run(*entry)
        link.strand = None
        if not link.dead and not self.closing:
            self._check_found(link, task_id)
            self._end(link, entry, start, fate)

    def _check_found(self, link: SimulatedLink, task_id: int) -> None:
        """A task that was sent to a node has found its data there."""
        failed = link.interpreter.report.failed
        if self.cluster is None or not failed or failed[-1][0] != task_id:
            return
        task = link.executor.inflight.get(task_id)
        error = decode_blob(failed[-1][1][0])
        wanted = task is not None and not task.cancelled and task_id not in link.unwanted
        if isinstance(error, FileNotFoundError) and wanted:
            raise TaskflowError(f"{task} was sent to executor {link.executor.id}, where its data are not: {error}")

    @contextlib.contextmanager
    def _spoilt(self, interpreter: Interpreter, task_id: int, function_id: int) -> Iterator[None]:
        """Let the attempt fail, if that is its fate: before its body begins, or when it has done all its work."""
        function = interpreter.functions.get(function_id)
        before = self._failed_attempts.get(task_id, 0)
        if function is None or before >= MAX_ATTEMPTS - 1 or not self.chance(self.faults.error):
            yield
            return
        self._failed_attempts[task_id] = before + 1
        begins = self.chance(0.7)

        def spoilt(*args: Any, **kwargs: Any) -> Any:
            if begins:
                function(*args, **kwargs)
            raise OSError(f"simulated failure {before + 1} of task {task_id}")

        interpreter.functions[function_id] = spoilt
        try:
            yield
        finally:
            interpreter.functions[function_id] = function

    def _end(self, link: SimulatedLink, entry: tuple[Any, ...], start: float, fate: str) -> None:
        """A task has ended, one way or another."""
        interpreter = link.interpreter
        task_id, function_id = entry[0], entry[1]
        link.busy = False
        link.running = 0
        report = interpreter.report
        report.ids.append(task_id)
        report.starts.append(start)
        report.ends.append(self.now)
        cost = report.costs.setdefault(function_id, [0, 0.0])
        cost[0] += 1
        cost[1] += self.now - start
        if fate == "told" or self.chance(0.4):
            self._report(link)
        if fate:
            self._die(link)
        else:
            self._proceed(link)

    def _die(self, link: SimulatedLink) -> None:
        """The executor is gone; the master learns of it later, before or after what was on its way."""
        if link.dead:
            return
        self.end(link)
        self.deaths += 1
        self.at(self.now + self.random.uniform(*self.faults.restart), self._replace, link)
        known = self.now + self.delay(link.place)
        if self.chance(self.faults.lost):
            link.cut = True
        elif not self.chance(self.faults.late):
            known = max(known, link.to_master, link.answers)
        self.at(known, self._bury, link)

    @staticmethod
    def end(link: SimulatedLink) -> None:
        """The executor does nothing any more."""
        link.dead = True
        strand, link.strand = link.strand, None
        if strand is not None and strand is not Strand.current():
            strand.cut()

    def _replace(self, link: SimulatedLink) -> None:
        executor = link.executor
        if not executor.resting and not (link.place is not None and link.place.dead):
            self.start_executor(io=executor.io, node=executor.crew.number)

    def _bury(self, link: SimulatedLink) -> None:
        executor = link.executor
        if executor.id not in self.links:
            return  # its node has been lost meanwhile
        del self.links[executor.id]
        self.journal.write({
            "e": "executor", "t": self.now_us(), "x": executor.id, "pid": 0, "state": "died",
            "why": "simulated death",
        })  # fmt: skip
        task = executor.inflight.get(link.running)
        what = f"executor {executor.id} died"
        if task is not None:
            what += f" while it ran task {task.id} {task.function.name} called at {task.location}"
        self.lose(link, link.running, ExecutorDiedError(what), what)
