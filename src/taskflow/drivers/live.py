"""The live driver: executor processes, on this machine and (see `drivers.remote`) on other nodes.

::

    user's threads ── submit ──► [lock] kernel ──► outbox ──► data socket ──► executor
                                    ▲                                            │
    keeper thread: epoll ──► recv ──┘◄──────────────── data socket ◄─────────────┘
                        ├──► notes of the zygote (starts, deaths)
                        └──► connections of other nodes

Whoever submits does the kernel's work under the lock and sends at once to an executor that is idle. The keeper does
the rest when something arrives. A thread that waits while exactly one executor is busy takes that executor's socket
over from the keeper and blocks in ``recv`` itself: that saves a thread switch, the largest part of a round trip.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import struct
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.drivers.engine import AnyLatch, Engine, Link
from taskflow.launch.local import ExecutorHandle, LocalNode, describe_end, tail
from taskflow.model.errors import (
    ExecutorDiedError,
    MemoryLimitError,
    NodeLostError,
    NotRunningError,
    TaskflowError,
    TimeOutError,
)
from taskflow.model.policies import OnFailure
from taskflow.node.overdue import LOOK_S, Overdue, limits_memory
from taskflow.wire.agent import DATA, PING_S
from taskflow.wire.channel import Receiver, pack
from taskflow.wire.messages import C_CANCEL, C_RECALL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from taskflow.core.graph import Datum, Task
    from taskflow.core.placement import Executor
    from taskflow.core.spanning import Span
    from taskflow.drivers.remote import Machines, Nodes, RemoteLink, RemoteNode
    from taskflow.drivers.services import ServiceThread
    from taskflow.drivers.spans import Spans
    from taskflow.drivers.transfers import Carrier
    from taskflow.model.cluster import HttpService
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.parameters import Direction
    from taskflow.observe.journal import Journal

SEND_AHEAD = 128  #: tasks that collect in an outbox before a submitting thread sends them
PUMP_EVERY = 256  #: submissions after which the submitting thread looks for reports itself
STALL_S = 0.005  #: silence of a busy executor after which queued tasks are taken back for idle ones
USUAL = 1.5  #: a task that takes so many times what its function has taken so far is still none to wonder at
MAX_STALL_S = 1.0  #: and at most so long, when asking has had no effect before
SOON_S = 2.0  #: an executor that dies so soon after its start may not be able to live at all
MAX_RESTARTS_IN_A_ROW = 8  #: executors that may die so, per executor wanted, before the session is ended
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class LiveLink(Link):
    """One executor process of this machine."""

    node = None
    where = "on this machine"
    stall_s = STALL_S

    def __init__(self, executor: Executor, handle: ExecutorHandle) -> None:
        super().__init__(executor)
        self.handle = handle
        self.data = handle.data
        self.receiver = Receiver(handle.data)
        self.unsent = b""
        self.driven = False  # a waiting thread reads this socket, not the keeper
        self.eof = False
        self.started = self.heard = monotonic()
        self.killed = ""  # why it was killed, if it was by us: "time_out" or "cancelled"
        self.patience = STALL_S  # grows with each time it was asked in vain
        self.control = Receiver(handle.control)

    @property
    def pid(self) -> int:
        """The process; 0 while that is not known."""
        return self.handle.pid

    @property
    def memory(self) -> int:
        """Bytes of memory of the machine."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def ask(self, request: bytes) -> None:
        """Write to the executor's control thread."""
        with contextlib.suppress(OSError):
            self.handle.control.send(request)


def _out_of_memory(task: Task, link: LiveLink | RemoteLink, excess: int) -> str:
    """What is said of a task that had taken ``excess`` bytes when it was stopped."""
    claim = link.executor.claim
    amounts = dict(claim.demand.amounts) if claim is not None else {}
    return (
        f"task {task.id} {task.function.name}, called at {task.location}, was stopped: with the programs it had "
        f"started, it used {excess / 1e9:.3g} GB of memory, and its constraint memory_size allows "
        f"{amounts.get('memory_size', 0):g} GB (process {link.pid} {link.where}, attempt {task.attempt}). Ask for "
        f"more, or have it use less"
    )


class LiveEngine(Engine):
    """Drives executor processes: ``workers`` of this machine, and those of the nodes of ``machines``."""

    def __init__(
        self,
        run_dir: str,
        segments: str,
        journal: Journal,
        workers: int,
        settings: dict[str, Any],
        machines: Machines | None = None,
    ) -> None:
        super().__init__(run_dir, segments, journal)
        zygote = settings.pop("zygote", None)
        self.settings = {
            **settings, "run_dir": run_dir, "segments": segments, "temporary": [segments], "epoch": self.epoch,
        }  # fmt: skip
        self.node = LocalNode(self.settings, zygote)
        self.links: dict[int, LiveLink | RemoteLink] = {}
        self.by_file: dict[int, tuple[Any, str]] = {}
        self.latches: list[AnyLatch] = []
        self.poller = select.epoll()
        self.wake_file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.poller.register(self.wake_file, select.EPOLLIN)
        self.poller.register(self.node.socket, select.EPOLLIN)
        self.overdue = Overdue()
        self.closing = False  # nothing is begun any more
        self._closed = False
        self.patient = False  # the keeper does not sleep for ever: see `_patience`
        self.crash: BaseException | None = None
        self.ends: dict[int, dict[str, Any]] = {}
        self.dying: dict[int, tuple[LiveLink, float]] = {}
        self._next_number = 0
        self._barren_deaths = 0
        self.kernel.home.size = workers
        for _ in range(workers):
            self.start_executor()
        self.nodes: Nodes | None = None
        self.carrier: Carrier | None = None
        self.spans: Spans | None = None
        self.services: ServiceThread | None = None
        if machines is not None:
            self._prepare_nodes(machines)
        self.keeper = threading.Thread(target=self._keep, name="taskflow-keeper", daemon=True)
        self.keeper.start()
        if self.nodes is not None:
            self._await_nodes(self.nodes)

    def start_executor(self, *, io: bool = False, node: int = 0) -> None:
        """Have an executor process started. It can be sent tasks at once."""
        number = self._next_number
        self._next_number += 1
        if node:
            self._start_remote(number, node, io=io)
            return
        handle = self.node.start_executor(number)
        executor = self.kernel.executor_joined(number, io=io, node=node)
        link = LiveLink(executor, handle)
        self.links[number] = link
        self.by_file[link.data.fileno()] = (link, "data")
        self.by_file[handle.control.fileno()] = (link, "control")
        self.poller.register(link.data, select.EPOLLIN)
        self.poller.register(handle.control, select.EPOLLIN)

    def open_service(self, name: str, places: Sequence[HttpService], capacity: int) -> None:
        """See `Engine.open_service`. One thread makes the requests to all services."""
        from taskflow.drivers.services import ServiceThread

        if self.services is None:
            self.services = ServiceThread(self, capacity)
        number = self._next_number
        self._next_number += 1
        self.services.open(name, number, places)

    def leave_to_parent(self) -> None:
        """Close this process's copies of all connections."""
        self.closing = True
        self.node.socket.close()
        for link in self._local_links():
            link.handle.data.close()
            link.handle.control.close()
        if self.nodes is not None:
            self.nodes.leave_to_parent()
        if self.carrier is not None:
            self.carrier.leave_to_parent()

    def end_at_once(self) -> None:
        """End the executors at once and take no lock: for a signal's handler that ends this process right after."""
        for link in self._local_links():
            if link.handle.pid:
                with contextlib.suppress(OSError):
                    os.killpg(link.handle.pid, signal.SIGKILL)
        if self.nodes is not None:
            self.nodes.kill()
        self.node.kill()

    def _local_links(self) -> list[LiveLink]:
        return [link for link in self.links.copy().values() if link.node is None]

    def add_function(self, record: FunctionRecord, about: dict[str, Any]) -> None:
        """As `Engine.add_function`; whether it has a limit of time decides how the keeper works."""
        super().add_function(record, about)
        if record.time_out or limits_memory(record):
            self.overdue.limits = True
            if self.nodes is not None:
                self.nodes.tell_all("limits")

    # ------------------------------------------------------------------ other nodes

    def _prepare_nodes(self, machines: Machines) -> None:
        from taskflow.data.replicas import Ledger
        from taskflow.drivers.remote import Nodes
        from taskflow.drivers.spans import Spans
        from taskflow.drivers.transfers import Carrier

        self.kernel.home.node = machines.cluster.home
        self.kernel.scatter(machines.scheduler)
        if machines.scheduler is not None and machines.scheduler.plan is not None:
            self.submit_plain = super().submit_plain  # type: ignore[method-assign]  # the fast lane knows no plan
        ledger = Ledger(self.store.directory, machines.cluster.home_disks)
        self.keep_books(ledger)
        self.nodes = Nodes(self, machines)
        self.carrier = Carrier(self, self.nodes, ledger)
        self.spans = Spans(self.nodes, self.carrier)

    def _await_nodes(self, nodes: Nodes) -> None:
        """Have the agents started. The program begins as soon as tasks can run somewhere."""
        nodes.start()
        if self.kernel.home.size:
            return
        try:
            nodes.await_first()
        except BaseException:
            self.close(cancel=True)
            raise

    def _start_remote(self, number: int, node: int, *, io: bool) -> None:
        from taskflow.drivers.remote import RemoteLink

        assert self.nodes is not None
        remote = self.nodes.nodes[node]
        executor = self.kernel.executor_joined(number, io=io, node=node)
        remote.note("start", executor=number, cores=",".join(map(str, executor.crew.cores_of([executor]))))
        self.links[number] = remote.links[number] = RemoteLink(executor, remote)

    def node_joined(self, node: RemoteNode) -> None:
        """The agent of a node is ready. Called with the lock held."""
        if self.carrier is not None:
            self.carrier.join(node)
        setup = node.place.setup
        offer = setup.node if setup.described else setup.node.found(node.facts["offer"])
        if not offer.is_unit_count_known:
            offer = offer.with_units(node.facts["cores"])
        offer = dataclasses.replace(offer, programs=frozenset(node.facts["programs"]))
        crew = self.kernel.node_joined(node.number, offer, size=offer.executors)
        crew.is_far(node.rtt_s)
        if offer.executors == len(node.facts["cpus"]):  # all of them are ours, so ours do not crowd a few
            crew.cores = node.facts["cpus"]
        devices: dict[str, Sequence[int]] = dict(offer.devices)
        visible = node.facts["gpus"]
        if len(visible) >= len(devices.get("GPU", ())) > 0:
            devices["GPU"] = visible[: len(devices["GPU"])]
        crew.offer(offer.amounts, devices)
        for _ in range(offer.executors):
            self.start_executor(node=node.number)
        self.start_io_of(crew)
        self.nodes_changed()
        self.after_events()

    def node_lost(self, node: RemoteNode, error: TaskflowError) -> None:
        """The node, and all it had, is gone. Called with the lock held."""
        links = list(node.links.values())
        for link in links:
            self.links.pop(link.executor.id, None)
        if self.carrier is not None:
            self.carrier.lose(node.number)
        self.nodes_changed()  # first: what the kernel does with its tasks depends on whether others may be coming
        self.kernel.node_lost(node.number, error)
        for link in links:
            if link.nests:
                self.nests.lost(link)
        self.after_events()

    def nodes_changed(self) -> None:
        """Tasks that no node can run wait as long as others may be coming. Called with the lock held."""
        dispatch = self.kernel.dispatch
        assert dispatch is not None
        assert self.nodes is not None
        dispatch.expecting = bool(self.nodes.coming)
        if not dispatch.expecting:
            self.kernel.serving[-1] = dispatch
            self.wake()

    @property
    def coming(self) -> Collection[str]:
        """See `Engine`."""
        return () if self.nodes is None else self.nodes.coming

    def hear_node(self, node: RemoteNode, note: dict[str, Any]) -> None:
        """The agent of a node has said something about data. Called with the lock held."""
        if self.carrier is None or note["note"] not in ("moved", "unmoved"):
            raise TaskflowError(f"the agent of node {node.name} wrote what is not understood here: {note}")
        self.carrier.enter(node, note)

    # ------------------------------------------------------------------ submission

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
        """Enter a task in the kernel; send it at once if its executor is idle."""
        kernel = self.kernel
        with self.lock:
            if self.closing:
                raise NotRunningError(self._why_closed())
            if self.released:
                self.enter_released()
            if self.ledger is not None:
                accesses = self.with_arguments(task, accesses)
            kernel.submit(task, accesses)
            self.record(task)
            self._send_some()
            if self.carrier is not None:
                self.carrier.go()
            if self.overdue.limits and not self.patient:
                self.patient = True
                self.wake()
            if kernel.cancelled:
                self.record_cancelled()
            if not kernel.submitted % PUMP_EVERY:
                self._pump(0)
        if kernel.notices:
            self.notify()
        if kernel.unfinished >= self.max_pending:
            self.throttle()

    def submit_plain(self, task: Task) -> None:
        """The fast lane: see `Engine.submit_plain`."""
        kernel = self.kernel
        with self.lock:
            if self.closing:
                raise NotRunningError(self._why_closed())
            self.journal.submitted(task.id, task.function.id, 0)
            if kernel.submit_plain(task):
                if self.released:
                    self.enter_released()
                self._send_some()
            if not kernel.submitted % PUMP_EVERY:
                self._pump(0)
        if kernel.unfinished >= self.max_pending:
            self.throttle()

    def _send_some(self) -> None:
        """Send what an idle executor should have now, and what has collected; the rest goes with the next report."""
        dirty = self.kernel.dirty
        if dirty:
            for number in list(dirty):
                executor = dirty[number]
                queued = len(executor.outbox)
                if queued == len(executor.inflight) or queued >= SEND_AHEAD or executor.publish or executor.movable:
                    del dirty[number]
                    self._send(self.links[number])
        if self.services is not None:
            self.services.start_all()

    def _why_closed(self) -> str:
        if isinstance(self.crash, NodeLostError):
            return str(self.crash)
        if self.crash is not None:
            return f"the runtime failed and was stopped: {type(self.crash).__name__}: {self.crash}"
        return "the session has been stopped; start a new one before calling tasks"

    def flush(self) -> None:
        """Send every outbox."""
        if self.kernel.wanting:
            self.start_wanted()
        if self.kernel.serving:
            self.kernel.serve()
        dirty = self.kernel.dirty
        while dirty:
            number, executor = dirty.popitem()
            link = self.links.get(number)
            if link is not None and executor.alive:
                self._send(link)
        recalls = self.kernel.recalls
        if recalls:
            for executor, count in recalls:
                link = self.links.get(executor.id)
                if link is not None:
                    link.ask(C_RECALL + struct.pack("<I", count))
            recalls.clear()
        if self.kernel.cancels:
            self._send_cancels()
        if self.kernel.spans_over:
            self.end_spans()
        if self.carrier is not None:
            self.carrier.go()
        if self.services is not None:
            self.services.start_all()

    def hosts_of(self, numbers: Sequence[int]) -> list[str]:
        """See `Engine.hosts_of`."""
        assert self.nodes is not None
        return self.nodes.hosts_of(numbers)

    def begin_span(self, span: Span) -> dict[str, str]:
        """See `Engine.begin_span`; its programs can reach all of these nodes."""
        assert self.spans is not None
        executor = span.task.executor
        node = None if executor is None else self.links[executor.id].node
        if span.task.losses and node is not None and executor is not None:  # it may have been told to end the task
            node.note("wanted", executor=executor.id, task=span.task.id)
        hosts = list(zip(self.hosts_of(span.numbers), span.numbers, strict=True))
        return {**super().begin_span(span), **self.spans.begin(span, hosts)}

    def end_spans(self) -> None:
        """See `Engine.end_spans`."""
        assert self.spans is not None
        for span in self.kernel.spans_over:
            self.spans.end(span)
        super().end_spans()

    def _send_cancels(self) -> None:
        cancels = self.kernel.cancels
        for executor, task_id in cancels:
            link = self.links.get(executor.id)
            if executor.service and self.services is not None:
                self.services.cancel(executor, task_id)
            elif link is not None:
                link.ask(C_CANCEL + struct.pack("<I", task_id))
                if link.node is None:
                    self.overdue.cancelled(task_id)
                else:
                    link.node.note("cancelled", executor=executor.id, task=task_id)
        cancels.clear()
        self.wake()  # the keeper has to see to it that they end

    def _send(self, link: LiveLink | RemoteLink) -> None:
        message = self.compose(link)
        if message is None:
            return
        queued = len(link.executor.inflight)
        if queued == len(message[5]):
            link.heard = monotonic()
        if queued > 1 and not self.patient:
            self.patient = True
            self.wake()  # the keeper must not sleep for ever now
        self._write(link, pack(message))

    def _write(self, link: LiveLink | RemoteLink, data: bytes) -> None:
        if link.node is not None:
            link.node.write(DATA, link.executor.id, data)
            return
        if link.unsent:
            link.unsent += data
            return
        try:
            sent = link.data.send(data, _SEND_FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:
            link.eof = True  # its end is noticed by the keeper, with all it said before
            return
        if sent < len(data):
            link.unsent = data[sent:]
            self._watch_file(link)

    def _watch_file(self, link: LiveLink) -> None:
        events = 0 if link.driven else select.EPOLLIN
        if link.unsent:
            events |= select.EPOLLOUT
        try:  # noqa: SIM105  twice per round trip: suppress would cost a microsecond
            self.poller.modify(link.data, events)
        except (OSError, ValueError):
            pass  # it has been closed: that, too, is noticed elsewhere

    # ------------------------------------------------------------------ the keeper

    def _keep(self) -> None:
        """Body of the keeper thread."""
        try:
            timeout = -1.0
            while not self.closing:
                events = self.poller.poll(timeout)
                with self.lock:
                    if self.closing:
                        return
                    if self.released:
                        self.enter_released()
                    self._handle(events)
                    if self.nodes is not None:
                        self.nodes.beat()
                    self.after_events()
                    timeout = self._patience()
                    if timeout < 0:
                        self.journal.flush()
                    if self.nodes is not None and not 0 <= timeout < PING_S:
                        timeout = PING_S
                if self.kernel.notices:
                    self.notify()
        except BaseException as error:  # noqa: BLE001  whatever it is, nobody may wait for a dead keeper
            self.give_up(error)

    def wake(self) -> None:
        """Have the keeper look round."""
        if not self.closing:
            os.eventfd_write(self.wake_file, 1)

    def _patience(self) -> float:
        """How long the keeper may sleep: for ever, unless a busy executor should be looked after.

        One with several tasks may have done some of them and be silent because it is in the middle of a long one.
        """
        if self.dying:
            return 0.05
        now = monotonic()
        timeout = -1.0
        for link in self.links.values():
            queued = len(link.executor.inflight)
            if queued > 1:
                wait = max(STALL_S / 2, link.heard + link.patience - now)
                timeout = wait if timeout < 0 else min(wait, timeout)
            elif queued and self.overdue.watching and timeout < 0:
                timeout = LOOK_S
        if self.overdue.watching and timeout > LOOK_S:
            timeout = LOOK_S
        self.patient = timeout >= 0
        return timeout

    def _handle(self, events: list[tuple[int, int]]) -> None:
        for file, event in events:
            if file == self.wake_file:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(file)
                continue
            known = self.by_file.get(file)
            if known is None:
                self._read_notes()
                continue
            link, what = known
            if what != "data":
                if what == "control":
                    self._read_control(link)
                elif self.nodes is not None:
                    self.nodes.attend(link, event)
                continue
            if event & select.EPOLLOUT and link.unsent:
                data, link.unsent = link.unsent, b""
                self._write(link, data)
                self._watch_file(link)
            if event & ~select.EPOLLOUT and not link.driven:
                self._read_data(link)
        if not events:
            self._look_after_stalled()
        if self.overdue.watching:
            self._look_for_overdue()
        if self.dying:
            self._bury()

    def _look_for_overdue(self) -> None:
        watched = []
        for link in self._local_links():
            cancelled = [task.id for task in link.executor.inflight.values() if task.cancelled or task.severed]
            watched.append((link, link.handle, cancelled))
        for link, why in self.overdue.find(watched):
            self._kill(link, why)

    @staticmethod
    def _kill(link: LiveLink, why: str) -> None:
        """End an executor, with all processes its task has started. Another takes its place once it is gone."""
        if link.handle.pid and not link.killed:
            link.killed = why
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(link.handle.pid, signal.SIGKILL)

    def _look_after_stalled(self) -> None:
        now = monotonic()
        for link in self.links.values():
            if len(link.executor.inflight) > 1 and now - link.heard >= link.patience:
                link.patience = min(2 * link.patience, MAX_STALL_S)
                self.kernel.stalled(link.executor)

    def _read_data(self, link: LiveLink) -> None:
        """Take in everything the executor has sent, without waiting."""
        while True:
            try:
                messages = link.receiver.receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                messages = None
            if not self._take(link, messages) or not link.receiver.full:
                return

    def _take(self, link: LiveLink, messages: list[Any] | None) -> bool:
        """Enter received messages; None is the end of the executor."""
        if messages is None:
            self._lost(link)
            return False
        if messages:
            self._barren_deaths = 0
            self.take(link, messages)
        return True

    def take(self, link: LiveLink | RemoteLink, messages: list[Any]) -> None:
        """Enter received messages. Called with the lock held."""
        if messages:
            inflight = link.executor.inflight
            before = len(inflight)
            for message in messages:
                self.hear(link, message)
            link.heard = monotonic()
            if len(inflight) < before:
                link.patience = link.stall_s
                running = next(iter(inflight.values()), None)
                if running is not None and running.cost * USUAL > link.stall_s:
                    link.patience = min(running.cost * USUAL, MAX_STALL_S)  # it is silent because its task takes long
            self.kernel.settled(link.executor)

    def take_answers(self, link: LiveLink | RemoteLink, answers: list[Any]) -> None:
        """Enter what an executor's control thread has answered. Called with the lock held."""
        for given in answers:
            self.kernel.given_back(link.executor, given)
            self.kernel.settled(link.executor)

    def _read_control(self, link: LiveLink) -> None:
        try:
            answers = link.control.receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            answers = None
        if answers is None:
            with contextlib.suppress(OSError, KeyError):
                self.poller.unregister(link.handle.control)
                del self.by_file[link.handle.control.fileno()]
            return
        self.take_answers(link, answers)

    def after_events(self) -> None:
        """Send what has been decided; wake those who have what they wait for."""
        if self.actions:
            self.act()  # before anything is sent: an executor that rests from now on should not get it
        self.flush()
        if self.latches:
            kernel = self.kernel
            for latch in self.latches[:]:
                if latch.satisfied(kernel) and latch.lock is not None:
                    self.latches.remove(latch)
                    latch.lock.release()
            if kernel.dirty:
                self.flush()

    def _pump(self, timeout: float) -> None:
        """A submitting thread does the keeper's work in passing."""
        events = self.poller.poll(timeout)
        if events:
            self._handle(events)
            self.after_events()

    def give_up(self, error: BaseException) -> None:
        """The runtime itself failed, or may not go on: everybody who waits gets that error."""
        self.crash = error
        self.closing = True
        latches, self.latches = self.latches, []
        for latch in latches:
            if latch.lock is not None:
                latch.lock.release()

    # ------------------------------------------------------------------ nested tasks

    def tell(self, link: LiveLink | RemoteLink, answers: list[Any]) -> None:
        """See `Engine.tell`."""
        self._write(link, pack(answers))

    def aside(self, work: Callable[[], None]) -> None:
        """See `Engine.aside`."""
        threading.Thread(target=work, name="taskflow-aside", daemon=True).start()

    # ------------------------------------------------------------------ waiting

    def wait(self, latch: AnyLatch, timeout: float | None = None) -> bool:
        """Wait until the latch is satisfied. Raises the runtime's own failure, if that is what happened."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            with self.lock:
                self._check()
                if latch.satisfied(self.kernel):
                    if self.kernel.dirty:
                        self.flush()
                    return True
                self.flush()
                link = self._only_busy() if deadline is None else None
                if link is not None:
                    link.driven = True
                    self._watch_file(link)
                else:
                    latch.lock = threading.Lock()
                    latch.lock.acquire()
                    self.latches.append(latch)
                    os.eventfd_write(self.wake_file, 1)
            if link is not None:
                if self._drive(link, latch):
                    return True
                continue
            assert latch.lock is not None
            try:
                arrived = latch.lock.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic()))
            except BaseException:
                self._withdraw(latch)
                raise
            if not arrived:
                self._withdraw(latch)
                return latch.satisfied(self.kernel)
            with self.lock:
                self._check()
                if latch.satisfied(self.kernel):
                    return True

    def _withdraw(self, latch: AnyLatch) -> None:
        with self.lock:
            if latch in self.latches:
                self.latches.remove(latch)

    def _check(self) -> None:
        if isinstance(self.crash, NodeLostError):  # as the user has demanded: nothing is wrong with the runtime
            self.told = True
            raise NodeLostError(self._why_closed())
        if self.crash is not None:
            self.told = True
            raise NotRunningError(self._why_closed()) from self.crash
        if self.closing:
            raise NotRunningError("the session was stopped while a thread waited for its tasks")

    def _only_busy(self) -> LiveLink | None:
        """The executor to wait for directly: the only one with work, if no other thread reads its socket."""
        busy: LiveLink | RemoteLink | None = None
        for link in self.links.values():
            if link.executor.inflight or link.executor.publish:
                if busy is not None:
                    return None
                busy = link
        if (
            busy is None
            or busy.node is not None
            or busy.driven
            or busy.unsent
            or busy.eof
            or self.latches
            or self.actions
            or self.dying
            or self.overdue.watching
            or (self.services is not None and self.services.busy)
        ):
            return None
        if len(busy.executor.inflight) > 1 or busy.executor.recalling:
            return None  # others may be idle: the keeper must be free to balance. What is given back ends elsewhere
        return busy

    def _drive(self, link: LiveLink, latch: AnyLatch) -> bool:
        """Read one executor's socket in this thread until the latch is satisfied or others become busy."""
        done = False
        try:
            while True:
                try:
                    messages = link.receiver.receive()
                except OSError:
                    messages = None
                with self.lock:
                    self._check()
                    if messages is None:
                        return False  # the keeper sees the end, too
                    self._take(link, messages)
                    self.flush()
                    done = latch.satisfied(self.kernel)
                    if done:
                        if self.kernel.dirty:
                            self.flush()
                        return True
                    executor = link.executor
                    if len(executor.inflight) != 1 or executor.recalling:
                        return False
                    if self._busy_elsewhere(link) or self.kernel.notices or self.latches or self.actions:
                        return False
        finally:
            with self.lock:
                link.driven = False
                self._watch_file(link)
            if self.kernel.notices:
                self.notify()

    def _busy_elsewhere(self, link: LiveLink) -> bool:
        if self.services is not None and self.services.busy:
            return True
        return any(other is not link and other.executor.inflight for other in self.links.values())

    # ------------------------------------------------------------------ executors that end

    def _lost(self, link: LiveLink) -> None:
        """The executor's socket closed. Its certificate needs the zygote's note, which comes at about the same time."""
        number = link.executor.id
        if number in self.dying or number not in self.links:
            return
        link.eof = True
        with contextlib.suppress(OSError, KeyError):
            self.poller.unregister(link.data)
        self.dying[number] = (link, monotonic() + 1.0)
        self._read_notes()

    def _read_notes(self) -> None:
        notes = self.node.notes()
        if notes is None:
            with contextlib.suppress(OSError, KeyError, ValueError):
                self.poller.unregister(self.node.socket)
            self._restart_zygote()
            return
        for note in notes:
            number = note["executor"]
            if "pid" in note:
                link = self._local(number)
                if link is not None:
                    link.handle.pid = note["pid"]
                self.journal.write({
                    "e": "executor", "t": self.now_us(), "x": number, "pid": note["pid"], "state": "started",
                })  # fmt: skip
            else:
                self.ends[number] = note
                link = self._local(number)
                if link is not None and number not in self.dying:
                    if not link.driven:
                        self._read_data(link)
                    self._lost(link)

    def _local(self, number: int) -> LiveLink | None:
        link = self.links.get(number)
        return link if link is not None and link.node is None else None

    def _restart_zygote(self) -> None:
        if self.closing:
            return
        self.node.close(timeout=0.1)
        self.node = LocalNode(self.settings)
        self.poller.register(self.node.socket, select.EPOLLIN)

    def _bury(self) -> None:
        """Enter the deaths whose circumstances are known (or will not be known any more)."""
        for number, (link, deadline) in list(self.dying.items()):
            if number not in self.ends and monotonic() < deadline:
                continue
            if link.driven:
                continue
            del self.dying[number]
            log = f"{self.run_dir}/executor-{number}.log"
            known = {"running": link.handle.running, "excess": link.handle.excess}
            end = {"status": None, **self.ends.pop(number, {}), **known}
            self.by_file = {file: known for file, known in self.by_file.items() if known[0] is not link}
            with contextlib.suppress(OSError, KeyError, ValueError):
                self.poller.unregister(link.handle.control)
            link.handle.close()
            self.replace(link, {**end, "tail": tail(log), "log": log})

    def replace(self, link: LiveLink | RemoteLink, end: dict[str, Any]) -> None:
        """An executor has ended: its tasks go elsewhere, and another takes its place. Called with the lock held.

        ``end`` has what is known: see the note "ended" of `wire.agent`.
        """
        executor = link.executor
        number = executor.id
        how = end.get("problem") or "ended (how is not known)"
        if end["status"] is not None:
            how = describe_end(end["status"])
        running = end["running"]
        if running < 0:  # it was loading a function: that is the fault of the first task that calls it
            running = next((task.id for task in executor.inflight.values() if task.function.id == -running), 0)
        self.journal.write({
            "e": "executor", "t": self.now_us(), "x": number, "pid": link.pid, "state": "died", "why": how,
        })  # fmt: skip
        del self.links[number]
        node = link.node
        if node is not None:
            del node.links[number]
        task = executor.inflight.get(running)
        error: TaskflowError = ExecutorDiedError(self._certificate(link, task, how, end))
        if task is not None and link.killed == "time_out":
            error = TimeOutError(
                f"task {task.id} {task.function.name}, called at {task.location}, ran longer than its "
                f"time_out={task.function.time_out:g} seconds and did not heed it: its executor was ended"
            )
        elif task is not None and link.killed == "memory_size":
            error = MemoryLimitError(_out_of_memory(task, link, end.get("excess", 0)))
        self._count_barren(link, error)
        if not executor.resting and (node is None or not node.stream.ended):
            self.start_executor(io=executor.io, node=0 if node is None else node.number)
        what = "memory_size" if link.killed == "memory_size" else "time_out" if link.killed else f"executor {how}"
        self.lose(link, running, error, what)

    def _count_barren(self, link: LiveLink | RemoteLink, error: TaskflowError) -> None:
        """Executors that die again and again as soon as they are started must not keep the run busy for ever."""
        if link.killed or monotonic() - link.started > SOON_S:
            return
        if link.node is not None:
            link.node.barren_deaths += 1
            if link.node.barren_deaths > MAX_RESTARTS_IN_A_ROW * max(1, len(link.node.links)):
                link.node.unfit = True
                link.node.stream.end(f"its executors die as soon as they are started: {error}")
            return
        self._barren_deaths += 1
        if self._barren_deaths > MAX_RESTARTS_IN_A_ROW * max(1, len(self._local_links())):
            raise ExecutorDiedError(f"executors die as soon as they are started: {error}")

    def _certificate(self, link: LiveLink | RemoteLink, task: Task | None, how: str, end: dict[str, Any]) -> str:
        """What is known of an executor's death, for the person whose task it was running."""
        lines = [f"executor {link.executor.id} (process {link.pid} {link.where}) {how}"]
        if task is not None:
            lines.append(
                f"  while it ran task {task.id} {task.function.name}, called at {task.location} "
                f"(attempt {task.attempt} of {2 if task.function.policy is OnFailure.RETRY else 1})"
            )
        if end.get("max_rss_kb"):
            used = end["max_rss_kb"] / 1024
            lines.append(f"  its largest memory use was {used:,.0f} MiB of the machine's {link.memory / 2**20:,.0f}")
        if end["tail"]:
            lines.append("  the last lines it wrote:")
            lines += [f"    {line}" for line in end["tail"]]
        lines.append(f"  full log: {end['log']}")
        if self.nodes is not None and link.node is not None:
            lines[-1] += f" {link.where}, and when the run has ended {self.run_dir}/{os.path.basename(end['log'])}"
        return "\n".join(lines)

    # ------------------------------------------------------------------ the end

    def _take_leave(self) -> None:
        """Let idle executors tell what they have kept back: the journal's last lines."""
        local = self._local_links()
        for link in local:
            with contextlib.suppress(OSError):
                link.data.shutdown(socket.SHUT_WR)
        if self.nodes is not None:
            self.nodes.take_leave(at_once=False)
        for link in local:
            link.data.settimeout(1.0)
            with contextlib.suppress(OSError):
                while (messages := link.receiver.receive()) is not None:
                    for message in messages:
                        if message[9]:
                            self.journal.write_raw(message[9])

    def close(self, *, cancel: bool) -> None:
        """Stop the keeper and end every executor process."""
        with self.lock:
            if self._closed:
                return
            self.closing = self._closed = True
            os.eventfd_write(self.wake_file, 1)
        if threading.current_thread() is not self.keeper:
            self.keeper.join(5)
        if self.services is not None:
            self.services.close()
        if not cancel:
            self._take_leave()
        elif self.nodes is not None:
            self.nodes.take_leave(at_once=True)
        for link in self._local_links():
            link.handle.close()
        self.links.clear()
        if self.nodes is not None:
            self.nodes.close()
        if self.carrier is not None:
            self.carrier.close()
        self.node.close()
        self.poller.close()
        os.close(self.wake_file)
        latches, self.latches = self.latches, []
        for latch in latches:
            if latch.lock is not None:
                latch.lock.release()
