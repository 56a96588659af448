"""What every driver does the same way: write tasks for executors, enter their reports, keep the run's files.

An engine owns the kernel. All its methods that touch the kernel are called with ``lock`` held, by whichever thread
has business: a thread that submits does the kernel's work for its task itself, so that errors appear at the call.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.core.failures import Verdict
from taskflow.core.graph import BLOB, FILE, HELD, LINKED, SEGMENT, VALUE, Datum, Held, Task, Version, Watch
from taskflow.core.master import Master, is_movable
from taskflow.data.files import OwnedPath, copy_any, remove_any
from taskflow.data.serialization import decode_blob
from taskflow.data.store import Segment, Snapshots, Store
from taskflow.launch.spawn import THREAD_VARIABLES
from taskflow.model.errors import PicklableStandIn, ProgramError, RemoteTraceback, TaskflowError
from taskflow.model.parameters import Direction
from taskflow.model.policies import OnFailure
from taskflow.node.environment import MEMORY_VARIABLE
from taskflow.wire.messages import (
    N_BLOB,
    N_DICT,
    N_LIST,
    N_LOCAL,
    N_PATH,
    N_READ,
    N_SEGMENT,
    N_VALUE,
    P_COPY,
    P_DIRECT,
    P_INOUT,
    P_OUT,
    P_SHARED,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from taskflow.core.claims import Claim
    from taskflow.core.crew import Crew
    from taskflow.core.graph import Group
    from taskflow.core.placement import Executor
    from taskflow.core.spanning import Span
    from taskflow.data.replicas import Ledger
    from taskflow.data.store import Descriptor
    from taskflow.drivers.nesting import Nest, Nests
    from taskflow.model.cluster import HttpService
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.requirements import Node
    from taskflow.observe.journal import Journal


class Link:
    """The driver's end of one executor: what it knows already, and which of its reports came last."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.known: set[int] = set()
        self.received = 0
        self.acknowledged = 0
        self.nests: dict[int, Nest] = {}  # tasks there that have called tasks: the one that runs, and unreported ones
        self.functions: dict[int, FunctionRecord] = {}  # by the numbers that the executor has given them


class Latch:
    """Waits for versions: satisfied once all of them can be read on the node, 0 being that of the main program."""

    __slots__ = ("lock", "node", "position", "versions")

    def __init__(self, versions: Sequence[Version], node: int = 0) -> None:
        self.versions = versions
        self.node = node
        self.position = 0
        self.lock: Any = None  # what is released when it is satisfied

    def satisfied(self, kernel: Master) -> bool:
        """Advance over what is there; have what is only held published."""
        versions = self.versions
        count = len(versions)
        while self.position < count:
            state = versions[self.position].state
            if not state:
                return False
            if state >= SEGMENT and not kernel.need(versions[self.position], self.node):
                for version in versions[self.position + 1 : self.position + 64]:
                    if version.state >= SEGMENT:
                        kernel.need(version, self.node)
                return False
            self.position += 1
        return True


class QuietLatch:
    """Waits until no task (of a group, or at all) is unfinished."""

    __slots__ = ("group", "lock")

    def __init__(self, group: Any = None) -> None:
        self.group = group
        self.lock: Any = None  # what is released when it is satisfied

    def satisfied(self, kernel: Master) -> bool:
        """Whether nothing is unfinished."""
        return not (kernel.unfinished if self.group is None else self.group.members)


class RoomLatch:
    """Waits until fewer than ``limit`` tasks that one task has called are unfinished."""

    __slots__ = ("children", "limit", "lock")

    def __init__(self, children: Group, limit: int) -> None:
        self.children = children
        self.limit = limit
        self.lock: Any = None

    def satisfied(self, kernel: Master) -> bool:  # noqa: ARG002  same signature as the other latches
        """Whether there is room for more."""
        return len(self.children.members) < self.limit


class BelowLatch:
    """Waits until fewer than ``limit`` tasks are unfinished (back-pressure on submission)."""

    __slots__ = ("limit", "lock")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock: Any = None  # what is released when it is satisfied

    def satisfied(self, kernel: Master) -> bool:
        """Whether there is room for more tasks."""
        return kernel.unfinished < self.limit


class ReadersLatch:
    """Waits until no pending task reads the version."""

    __slots__ = ("lock", "version")

    def __init__(self, version: Version) -> None:
        self.version = version
        self.lock: Any = None  # what is released when it is satisfied

    def satisfied(self, kernel: Master) -> bool:  # noqa: ARG002  same signature as the other latches
        """Whether nobody reads it."""
        return not self.version.readers


def _written(task: Task) -> Iterator[tuple[int | str, tuple[Any, ...]]]:
    """The nodes of what a task writes besides what it returns, in the order of its outputs, each with its parameter."""
    if not task.params or type(task.params[0]) is int:
        return
    for where, node in task.params:
        yield from ((where, written) for written in _written_in(node))


def _written_in(node: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    kind = node[0]
    if kind == N_LIST:
        for item in node[1]:
            yield from _written_in(item)
    elif kind == N_DICT:
        for key, value in node[1]:
            if key[-1]:
                yield key
            yield from _written_in(value)
    elif kind == N_PATH:
        if node[3] >= 0:
            yield node
    elif node[-1]:
        yield node


def _is_directory(task: Task, index: int) -> bool:
    """Whether the file that is this output of a task is a directory."""
    for place, (_, node) in enumerate(_written(task), start=task.returns):
        if place == index:
            return bool(node[0] == N_PATH and node[4])
    return False


def _environment(task_id: int, executor: Executor, claim: Claim) -> dict[str, str]:
    """Environment variables that tell a task what it has of the node that it runs on."""
    threads = str(max(claim.demand.units, 1))
    environment = dict.fromkeys((*THREAD_VARIABLES, "COMPSS_NUM_THREADS", "COMPSS_NUM_CPUS"), threads)
    environment["COMPSS_TASK_ID"] = str(task_id)
    crew = executor.crew
    cores = crew.cores_of([executor, *claim.parked])
    if cores and claim.demand.units:
        environment["COMPSS_BINDED_CPUS"] = ",".join(map(str, cores))
    for name, amount in claim.demand.amounts:
        if name == "memory_size":
            environment[MEMORY_VARIABLE] = str(int(amount * 1e9))
    for kind, indexes in claim.devices.items():
        numbers = crew.devices[kind]
        text = ",".join([str(numbers[index]) for index in indexes])
        environment |= dict.fromkeys(_device_variables(kind, indexes, crew.node), text)
    return environment


def _device_variables(kind: str, indexes: list[int], node: Node | None) -> tuple[str, ...]:
    """Environment variables that tell drivers and tasks which devices of the type they have."""
    if kind != "GPU":
        return (f"COMPSS_BINDED_{kind}S",)
    if node is not None and _OF_AMD.search(node.processor_of(kind, indexes[0]).name):
        # Not the others, too: libraries of AMD heed them as well, but count what this one has left from 0.
        return ("ROCR_VISIBLE_DEVICES", "COMPSS_BINDED_GPUS")
    return ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "COMPSS_BINDED_GPUS")


_OF_AMD = re.compile(r"\b(AMD|ATI|Radeon|Instinct|MI[0-9]{2,3}[AX]?)\b", re.IGNORECASE)


AnyLatch = Latch | QuietLatch | BelowLatch | ReadersLatch | RoomLatch


def _place(executor: Executor) -> str:
    """Where the task has run, for messages; with the node in runs on several."""
    if executor.service:
        return f"by a request to the service {executor.service}"
    name = executor.crew.name
    return f"on executor {executor.id}" + (f" of node {name}" if name and executor.crew.number else "")


def _joined(output: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Neighbours of one stream in one piece: a notebook makes a message of each."""
    pieces: list[tuple[int, list[str]]] = []
    for stream, text in output:
        if pieces and pieces[-1][0] == stream:
            pieces[-1][1].append(text)
        else:
            pieces.append((stream, [text]))
    return [(stream, "".join(texts)) for stream, texts in pieces]


def _discard(stream: int, text: str) -> None:
    """Where printed text goes before anybody has said where."""


class Engine:
    """Base of the drivers. Subclasses provide `flush`, `wait` and `close`."""

    def __init__(self, run_dir: str, segments: str, journal: Journal) -> None:
        self.kernel = Master()
        self.io_count = 0  # executors of each node for tasks that need no computing unit; 0: there was no such task
        self.lock = threading.Lock()
        self.run_dir = run_dir
        self.files_dir = f"{run_dir}/files"
        self.files_dirs = {0: self.files_dir}  # of each node
        self._names: dict[str, int] = {}  # how often each base name has been used in them
        self.store = Store(segments, "m")
        self.snapshots = Snapshots(self.store)
        self.ledger: Ledger | None = None  # in a run with several nodes
        self.journal = journal
        self.told = False  # why the run has ended before its time: the main program knows
        self.epoch = monotonic()
        self.functions: dict[int, FunctionRecord] = {}
        self.held: weakref.WeakValueDictionary[tuple[int, int], Version] = weakref.WeakValueDictionary()
        self.output: Callable[[int, str], None] = _discard
        self.released: deque[Version] = deque()  # versions that the main program can no longer name
        self.max_pending = self.pending_limit = 1 << 60  # the former is 0 while a signal is held back
        self.deliver: Callable[[], None] = lambda: None  # acts on that signal; see taskflow.interrupts
        self.links: dict[int, Any] = {}
        self.program: Any = None  # the session
        self.actions: list[tuple[AnyLatch, Callable[[], None]]] = []  # what is to be done: see `when`

    def add_function(self, record: FunctionRecord, about: dict[str, Any]) -> None:
        """Make a task function known, to the journal too, ``about`` being more to write there. With the lock held."""
        self.functions[record.id] = record
        self.journal.write({
            "e": "fn", "fn": record.id, "name": record.name, "module": record.module, "file": record.file,
            "line": record.line, **about,
        })  # fmt: skip

    def now_us(self) -> int:
        """Microseconds since the run started, for the journal."""
        return int((monotonic() - self.epoch) * 1e6)

    # ------------------------------------------------------------------ to be provided

    def flush(self) -> None:
        """Send what the kernel has decided. Called with the lock held."""
        raise NotImplementedError

    def wait(self, latch: AnyLatch, timeout: float | None = None) -> bool:
        """Wait, without the lock, until the latch is satisfied; False if the time (seconds) ran out first."""
        raise NotImplementedError

    def close(self, *, cancel: bool) -> None:
        """End all executors."""
        raise NotImplementedError

    @property
    def coming(self) -> Collection[str]:
        """Names of nodes that may join soon."""
        return ()

    def start_io(self, count: int) -> None:
        """See to it that each node has executors for tasks that need no computing unit."""
        with self.lock:
            if not self.io_count:
                self.io_count = count
                for crew in list(self.kernel.crews.values()):
                    self.start_io_of(crew)

    def start_io_of(self, crew: Crew) -> None:
        """Start those of one node, if such tasks have been called. Called with the lock held."""
        for _ in range(self.io_count if crew.size else 0):
            self.start_executor(io=True, node=crew.number)

    def start_executor(self, *, io: bool = False, node: int = 0) -> None:
        """Start one executor of the node. Called with the lock held."""
        raise NotImplementedError

    def open_service(self, name: str, places: Sequence[HttpService], capacity: int) -> None:
        """See to it that tasks can be requests to a service; it is the same wherever it is. Called with the lock held.

        ``capacity``: requests at a time, to all services together.
        """
        raise NotImplementedError

    def start_wanted(self) -> None:
        """Start the executors that the kernel wants. Called with the lock held."""
        wanting = self.kernel.wanting
        while wanting:
            number, crew = wanting.popitem()
            wanted, crew.wanted = crew.wanted, 0
            for _ in range(wanted):
                self.start_executor(node=number)

    def tell(self, link: Any, answers: list[Any]) -> None:
        """Answer the body that runs on an executor. Called with the lock held."""
        raise NotImplementedError

    def when(self, latch: AnyLatch, then: Callable[[], None]) -> None:
        """Call ``then``, with the lock held, once the latch is satisfied. Called with the lock held."""
        self.actions.append((latch, then))

    def forget(self, latch: AnyLatch) -> None:
        """The latch of a call of `when` does not matter any more. Called with the lock held."""
        self.actions = [action for action in self.actions if action[0] is not latch]

    def act(self) -> None:
        """Do what has waited for latches that are satisfied now. Called with the lock held."""
        acted = True
        while acted:  # what follows from one may be what another waits for
            acted = False
            for action in self.actions[:]:
                latch, then = action
                if action in self.actions and latch.satisfied(self.kernel):
                    self.actions.remove(action)
                    then()
                    acted = True

    def aside(self, work: Callable[[], None]) -> None:
        """Do work that may wait for tasks, without waiting for it."""
        raise NotImplementedError

    @functools.cached_property
    def nests(self) -> Nests:
        """The tasks that call tasks."""
        from taskflow.drivers.nesting import Nests

        return Nests(self)

    # ------------------------------------------------------------------ tasks with several nodes

    def begin_span(self, span: Span) -> dict[str, str]:
        """A task with several nodes is about to be sent: what it finds of them in its environment."""
        numbers = span.numbers
        names = self.hosts_of(numbers)
        self.journal.write({"e": "span", "t": self.now_us(), "id": span.task.id, "nodes": numbers})
        return {"COMPSS_NUM_NODES": str(len(names)), "COMPSS_HOSTNAMES": ",".join(names)}

    def end_spans(self) -> None:
        """Tasks with several nodes have ended: nothing of them may be left on any. Called with the lock held."""
        self.kernel.spans_over.clear()

    def hosts_of(self, numbers: Sequence[int]) -> list[str]:
        """By which names or addresses these nodes reach each other."""
        return [self.kernel.crews[number].name or os.uname().nodename for number in numbers]

    # ------------------------------------------------------------------ the end

    def end_at_once(self) -> None:
        """End all executors at once and take no lock: for a signal's handler that ends this process right after."""

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: let go of what would keep executors alive after their master."""

    # ------------------------------------------------------------------ data of several nodes

    def keep_books(self, ledger: Ledger) -> None:
        """There will be several nodes: from now on values are handles that know where there are copies."""
        self.ledger = ledger
        self.store.handle = ledger.segment

    def own_file(self, path: str, *, directory: bool) -> Any:
        """The value of the version that lies at the user's path."""
        return path if self.ledger is None else self.ledger.own(path, directory=directory)

    def made_file(self, path: str, number: int = 0, *, directory: bool) -> OwnedPath:
        """The value of a version that a task has made at a path of a node; the file goes with it."""
        return OwnedPath(path) if self.ledger is None else self.ledger.made(path, number, directory=directory)

    def made_segment(self, descriptor: Descriptor, number: int) -> Segment:
        """The value of a version that is in a segment of the node."""
        if self.ledger is None:
            return Segment(self.store.directory, descriptor)
        return self.ledger.segment(descriptor, number)

    def with_arguments(
        self, task: Task, accesses: Sequence[tuple[Datum, Direction]], number: int = 0
    ) -> Sequence[tuple[Datum, Direction]]:
        """The accesses of a task that was called on the node, for a run with several nodes.

        The segments of its arguments are data like others, which have to be where the task runs. Files that tasks may
        write at the same time are written by one after the other: these may be on different nodes.
        """
        made: list[tuple[Datum, Direction]] = []
        if task.params and type(task.params[0]) is not int:
            task.params = tuple([(where, self._with_datum(node, made, number)) for where, node in task.params])
        if any(direction is Direction.CONCURRENT for _, direction in accesses):
            accesses = [
                (datum, Direction.COMMUTATIVE if direction is Direction.CONCURRENT else direction)
                for datum, direction in accesses
            ]
        return [*accesses, *made] if made else accesses

    def _with_datum(
        self, node: tuple[Any, ...], made: list[tuple[Datum, Direction]], number: int
    ) -> tuple[Any, ...]:  # fmt: skip
        """The node, its segments known to the ledger, each with a datum in ``made`` that stands for it."""
        kind = node[0]
        if kind == N_LIST:
            return (N_LIST, [self._with_datum(item, made, number) for item in node[1]])
        if kind == N_DICT:
            pairs = [
                (self._with_datum(key, made, number), self._with_datum(item, made, number)) for key, item in node[1]
            ]
            return (N_DICT, pairs)
        if kind != N_SEGMENT:
            return node
        segment = node[1]
        if type(segment) is Segment:  # of a task that calls tasks
            segment = self.made_segment(segment.give_away(), number)
        version = Version(next(self.program.datum_ids))
        version.number = 0  # users know nothing of it
        version.state, version.value, version.exposed = SEGMENT, segment, False
        made.append((Datum(version), Direction.IN))
        return (N_SEGMENT, segment, *node[2:])

    # ------------------------------------------------------------------ submission

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
        """Enter a task; what can start is sent at once."""
        raise NotImplementedError

    def submit_plain(self, task: Task) -> None:
        """As `submit` for a task with nothing but plain arguments, outside groups: the fast lane."""
        self.submit(task, ())

    def throttle(self) -> None:
        """Too many tasks are pending: wait until some have ended. Or a signal came while the kernel was at work."""
        self.deliver()
        if self.kernel.unfinished >= self.pending_limit:
            self.wait(BelowLatch(max(1, self.pending_limit * 9 // 10)))

    def wake(self) -> None:
        """Have whoever waits for events look round."""

    def enter_released(self) -> None:
        """Tell the kernel what the main program has dropped. Called with the lock held."""
        released = self.released
        kernel = self.kernel
        while released:
            kernel.released(released.popleft())

    def record(self, task: Task) -> None:
        """Write the task into the journal, and its copies."""
        for copy in task.copies or ():
            self.record(copy)
        if not task.reads and not task.groups:
            self.journal.submitted(task.id, task.function.id, 0)
            return
        # Formatted by hand: the general encoder would cost more than the kernel's work for the task.
        dependencies = ",".join([
            f'[{version.producer_id},"d{version.datum_id}v{version.number}"]'
            if version.group is None
            else json.dumps(self._producer(version))
            for version in task.reads
            if version.number
        ])  # fmt: skip
        groups = ""
        if task.groups:
            if task.parent:
                groups = f',"parent":{task.parent}'
            names = [group.name for group in task.groups if group.name]
            if names:
                groups += ',"groups":' + json.dumps(names)
        self.journal.write_raw(
            f'{{"e":"task","t":{self.now_us()},"id":{task.id},"fn":{task.function.id},"deps":[{dependencies}]{groups}}}'
            .encode()
        )  # fmt: skip

    @staticmethod
    def _producer(version: Version) -> tuple[int, str]:
        group = version.group
        return (version.producer_id if group is None else group.latest.producer_id, version.label)

    # ------------------------------------------------------------------ writing tasks for executors

    def compose(self, link: Link) -> tuple[Any, ...] | None:
        """The next message to an executor, or None if there is nothing to say."""
        executor = link.executor
        number = executor.crew.number
        drops = executor.drops[:]
        del executor.drops[: len(drops)]
        if not (executor.outbox or drops or executor.movable or executor.publish):
            return None
        outbox, executor.outbox = executor.outbox, []
        movable, executor.movable = executor.movable, []
        publish, executor.publish = executor.publish, []
        functions: list[tuple[int, str, tuple[Any, ...], int, float]] = []
        tasks: list[tuple[Any, ...]] = []
        known = link.known
        for task in outbox:
            function = task.function
            if function.id not in known:
                known.add(function.id)
                definition = function.definition
                if function.nested:
                    settings = (function.id, self.program.nesting)
                    definition = ("through", "taskflow.nested", "Body", definition, settings)
                functions.append((function.id, function.name, definition, function.returns, function.time_out))
            params = task.params
            if params:
                if type(params[0]) is int:
                    tasks.append(self._with_inputs(task))
                    continue
            elif task.kwargs is None and task.returns == function.returns and task.returns < 2:
                tasks.append((task.id, function.id, task.args))
                continue
            tasks.append((
                task.id, function.id, task.args, task.kwargs,
                tuple([(where, self._node(task, node, number)) for where, node in params]),
                task.returns, task.durable,
            ))  # fmt: skip
            if executor.claim is not None:
                environment = _environment(task.id, executor, executor.claim)
                if executor.claim.share is not None:
                    environment |= self.begin_span(executor.claim.share.span)
                tasks[-1] = (*tasks[-1], environment)
        ack = 0
        if link.received > link.acknowledged:
            ack = link.acknowledged = link.received
        return (ack, functions, drops, movable, publish, tasks, not self.kernel.door.ready)

    def _with_inputs(self, task: Task) -> tuple[Any, ...]:
        """A task whose arguments are plain values and futures: ``params`` are the places of the futures."""
        args = list(task.args)
        inputs = []
        for place, version in zip(task.params, task.reads, strict=True):
            if version.state == VALUE:
                args[place] = version.value
            else:
                inputs.append((place, self._read(version, False)))
        if not inputs:
            return (task.id, task.function.id, args)
        if task.durable:
            return (task.id, task.function.id, args, None, inputs, task.returns, True)
        return (task.id, task.function.id, args, inputs)

    def _node(self, task: Task, node: tuple[Any, ...], number: int) -> tuple[Any, ...]:
        """The argument as an executor of the node ``number`` understands it."""
        kind = node[0]
        if kind == N_READ:
            return self._read(task.reads[node[1]], node[2])
        if kind == N_BLOB:
            return (N_BLOB, node[1], [self._read(task.reads[index], False) for index in node[2]], node[3])
        if kind == N_SEGMENT:
            hidden = [self._read(task.reads[index], False) for index in node[2]]
            return (N_SEGMENT, node[1].descriptor, hidden, node[3])
        if kind == N_LIST:
            return (N_LIST, [self._node(task, item, number) for item in node[1]])
        if kind == N_DICT:
            pairs = [(self._node(task, key, number), self._node(task, value, number)) for key, value in node[1]]
            return (N_DICT, pairs)
        if kind == N_PATH:
            return self._path(task, node, number)
        return node

    @staticmethod
    def _read(version: Version, writes: bool) -> tuple[Any, ...]:
        state = version.state
        if state == VALUE:
            return (N_VALUE, version.value, writes)
        if state == BLOB:
            return (N_BLOB, version.value, (), writes)
        if state == SEGMENT:
            return (N_SEGMENT, version.value.descriptor, (), writes)
        # Held by the executor, or made by a task that is queued there before this one.
        return (N_LOCAL, version.key, is_movable(version), writes)

    def _path(self, task: Task, node: tuple[Any, ...], number: int) -> tuple[Any, ...]:
        _, direction, read, write, directory, name = node
        source: Any = None
        if read >= 0:
            version = task.reads[read]
            source = version.key if version.state != FILE else self._path_at(version, number)
        if write < 0:
            if read >= 0 and is_movable(version) and type(version.value) is OwnedPath:
                owned = os.path.basename(source) == name
                return (N_PATH, P_DIRECT if owned else P_COPY, source, name, directory, False)
            return (N_PATH, P_COPY, source, name, directory, False)
        written = task.writes[write]
        mode = {Direction.OUT: P_OUT, Direction.CONCURRENT: P_SHARED}.get(direction, P_INOUT)
        if mode == P_SHARED and written.group is not None and written.group.commutative:
            mode = P_INOUT  # see `with_arguments`
        if mode == P_SHARED and written.group is not None:
            whole = written.group.version  # all members write one file
            target = whole.__dict__.get("path") or whole.__dict__.setdefault("path", self.new_path(name))
        else:
            target = self.new_path(name, number)
        if task.targets is None:
            task.targets = {}
        task.targets[write] = target
        return (N_PATH, mode, source, target, directory, True)

    def _path_at(self, version: Version, number: int) -> str:
        """Where the file of a version is on the node."""
        return str(version.value if self.ledger is None else version.value.path_at(number))

    def new_path(self, name: str, number: int = 0) -> str:
        """A path of that base name, on the node, that nothing has ever had.

        Folders are shared by files of different names: a folder for each would cost more than the file.
        """
        count = self._names[name] = self._names.get(name, 0) + 1
        return f"{self.files_dirs[number]}/{count}/{name}"

    # ------------------------------------------------------------------ entering reports

    def hear(self, link: Link, message: Any) -> None:
        """Enter what an executor has sent: a report, or what a task there that calls tasks has to say."""
        if type(message) is list:
            self.nests.enter(link, message)
        else:
            self.enter(link, message)
            if link.nests:
                self.nests.settle(link)

    def lose(self, link: Link, running: int, error: TaskflowError, what: str) -> None:
        """Enter the death of an executor while it ran task ``running`` (0: none); ``what`` is for the journal."""
        executor = link.executor
        task = executor.inflight.get(running)
        outputs = [] if task is None else self._outputs_of_failed(task)
        attempt = 0 if task is None else task.attempt
        verdict = self.kernel.executor_lost(executor, running, error, outputs)
        if link.nests:
            self.nests.lost(link)
        if task is not None and verdict is not None:
            self._note_failure(task, executor, attempt, verdict, what)

    def enter(self, link: Link, message: tuple[Any, ...]) -> None:
        """Enter one report of an executor. Stale or repeated parts have no effect."""
        number, plain, rich, failed, skipped, published, gone, consumed, costs, journal, output = message
        kernel = self.kernel
        executor = link.executor
        if not executor.alive or 0 < number <= link.received:
            return
        if number:
            link.received = number
        for stream, text in _joined(output):
            self.output(stream, text)
        for function_id, (count, seconds) in costs.items():
            kernel.learnt(self.functions[function_id], count, seconds, executor.crew)
        if plain:
            kernel.completed_plain(executor, plain)
        for task_id, outputs in rich.items():
            task = executor.inflight.get(task_id)
            if task is not None:
                kernel.completed(executor, task_id, self._adopt(executor, task, outputs))
        # What happened to held results comes after their making, which the same report may tell.
        for key, descriptor in published.items():
            version = self.held.get(key)
            if version is not None and version.state == HELD and version.value.executor is executor:
                kernel.published(version, self.made_segment(descriptor, executor.crew.number))
        for key in consumed:
            version = self.held.get(key)
            if version is not None and version.state == HELD and version.value.executor is executor:
                kernel.consumed(version)
        for key in gone:
            kernel.unpublishable(executor, key)
        for task_id, encoded in failed:
            task = executor.inflight.get(task_id)
            if task is not None and not task.cancelled:
                self._fail(executor, task, encoded)
            elif task is not None:
                kernel.dropped(executor, [task_id])
        for task_id, missing in skipped:
            kernel.skipped(executor, task_id, missing)
        if journal:
            self.journal.write_raw(journal)
        if kernel.cancelled:
            self.record_cancelled()
        if kernel.unlink:
            for path in kernel.unlink:
                remove_any(path)
            kernel.unlink.clear()

    def _adopt(self, executor: Executor, task: Task, outputs: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """Give each output a handle whose end frees what is stored."""
        adopted: list[tuple[int, Any]] = []
        number = executor.crew.number
        for index, (state, value) in enumerate(outputs):
            handle: Any = value
            if state == SEGMENT:
                handle = self.made_segment(value, number)
            elif state == HELD:
                version = task.writes[index]
                if version is not None:
                    handle = Held(executor, (task.id, index), value)
                    self.held[(task.id, index)] = version
                elif not self._has(executor, (task.id, index)):
                    executor.drops.append((task.id, index))  # made again by the way, and not needed
            elif state == FILE:
                path, nbytes = value
                handle = self._adopt_path(task, index, path, number, nbytes)
            elif state == LINKED:
                handle = self.nests.source_of(self.links[executor.id], task.id, value)
            adopted.append((state, handle))
        return adopted

    def _has(self, executor: Executor, key: tuple[int, int]) -> bool:
        """Whether a version relies on the executor holding the value."""
        version = self.held.get(key)
        return version is not None and version.state == HELD and version.value.executor is executor

    def _adopt_path(self, task: Task, index: int, path: str, number: int = 0, nbytes: int = 0) -> OwnedPath:
        version = task.writes[index]
        group = None if version is None else version.group  # None: nobody wants it, so it goes with its handle
        if group is not None and isinstance(group.latest.value, OwnedPath) and group.latest.value.path == path:
            return group.latest.value  # members of a concurrent group share one file
        if self.ledger is None:
            return OwnedPath(path)
        return self.ledger.made(path, number, directory=_is_directory(task, index), nbytes=nbytes)

    def _fail(self, executor: Executor, task: Task, encoded: tuple[Any, ...]) -> None:
        blob, text, *of_a_child = encoded
        try:
            error = decode_blob(blob)
        except Exception as problem:  # noqa: BLE001  the exception's class does not load here
            error = PicklableStandIn(f"{text.strip().splitlines()[-1]} (not loadable here: {problem})")
        if not isinstance(error, BaseException):
            error = PicklableStandIn(repr(error))
        function = task.function
        error.__cause__ = RemoteTraceback(
            f'\n"""\nin task {task.id} {function.name}, called at {task.location}, {_place(executor)}:\n{text}"""'
        )
        attempt = task.attempt
        if of_a_child or (isinstance(error, ProgramError) and error.is_final):
            # The child has been tried as often as can be; or it is of no use.
            task.failed_attempts = task.function.policy.attempts
        verdict = self.kernel.failed(executor, task.id, error, self._outputs_of_failed(task))
        if verdict is not None:
            self._note_failure(task, executor, attempt, verdict, text.strip().splitlines()[-1][:500])

    def _note_failure(self, task: Task, executor: Executor, attempt: int, verdict: Verdict, what: str) -> None:
        """What the journal and the next attempt need to know of a failed one."""
        self.journal.write({
            "e": "failed", "t": self.now_us(), "id": task.id, "x": executor.id, "attempt": attempt,
            "final": verdict is not Verdict.RETRIED, "outcome": verdict.value, "error": what,
        })  # fmt: skip
        if verdict is Verdict.RETRIED and task.targets:
            for index, target in task.targets.items():
                version = task.writes[index]
                if version is None or version.group is None:  # members of a concurrent group share one file
                    self._remove_output(task, index, target, executor.crew.number)
            task.targets = None

    def _remove_output(self, task: Task, index: int, path: str, number: int) -> None:
        """Remove what a failed attempt of the task has written to a path of the node."""
        if number and self.ledger is not None:
            self.ledger.drop(number, path, directory=_is_directory(task, index))
        else:
            remove_any(path)

    # ------------------------------------------------------------------ tasks whose failure is no failure

    def _outputs_of_failed(self, task: Task) -> list[tuple[int, Any] | None]:
        """What the results of a failed task are, in the order of its writes, as far as its policy says.

        Under IGNORE a default that was declared, else what it has written to files, else what was there before, else
        None. Under CANCEL_SUCCESSORS what it has written to files.
        """
        policy = task.function.policy
        ignoring = policy is OnFailure.IGNORE
        if not ignoring and policy is not OnFailure.CANCEL_SUCCESSORS:
            return []
        defaults = task.function.defaults if ignoring else {}
        returned = defaults.get("returns", ())
        outputs: list[tuple[int, Any] | None] = [
            (returned[index] if index < len(returned) else (VALUE, None)) if ignoring else None
            for index in range(task.returns)
        ]
        for where, node in _written(task):
            if node[0] == N_PATH:
                outputs.append(self._file_of_failed(task, len(outputs), node, defaults.get(where), make=ignoring))
            elif not ignoring:
                outputs.append(None)
            elif where in defaults:
                outputs.append(defaults[where])
            elif node[0] == N_READ:
                version = task.reads[node[1]]
                outputs.append((version.state, version.value))
            else:
                outputs.append((VALUE, None))
        return outputs

    def _file_of_failed(
        self, task: Task, index: int, node: tuple[Any, ...], default: str | None, *, make: bool
    ) -> tuple[int, Any] | None:
        _, _, read, _, directory, name = node
        target = (task.targets or {}).get(index) or self.new_path(name)
        number = 0 if task.executor is None else task.executor.crew.number
        if number and task.targets and index in task.targets:
            self._remove_output(task, index, target, number)  # from here nobody can see what the task has written
            target = self.new_path(name)
        if default is not None:
            remove_any(target)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            copy_any(default, target, directory=directory)
        elif not os.path.lexists(target):
            if not make:
                return None
            if read >= 0 and number and not task.reads[read].value.at(0):
                task.reads[read].kept = task.writes[index].kept = True  # two versions have the file now
                return (FILE, task.reads[read].value)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            if read >= 0:
                copy_any(str(task.reads[read].value), target, directory=directory)
            elif directory:
                os.mkdir(target)
            else:
                with open(target, "xb"):
                    pass
        return (FILE, self._adopt_path(task, index, target))

    def record_cancelled(self) -> None:
        """Write into the journal what the kernel has cancelled."""
        by_cause: dict[int, list[int]] = {}
        for task_id, cause in self.kernel.cancelled:
            by_cause.setdefault(cause, []).append(task_id)
        self.kernel.cancelled.clear()
        for cause, ids in by_cause.items():
            why = f"task {cause} failed" if cause else "the program cancelled them"
            self.journal.write({"e": "cancelled", "t": self.now_us(), "ids": ids, "why": why})

    # ------------------------------------------------------------------ notices

    def notify(self) -> None:
        """Call the watches whose versions have been made or failed. Called without the lock."""
        while True:
            with self.lock:
                notices = self.take_notices()
            if not notices:
                return
            for watch in notices:
                watch.callback()

    def take_notices(self) -> list[Watch]:
        """Watches to call once the lock is released."""
        notices = self.kernel.notices
        if notices:
            self.kernel.notices = []
        return notices
