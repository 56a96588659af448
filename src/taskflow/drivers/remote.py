"""The nodes of a run besides home, as the live driver sees them.

::

    keeper ── epoll ──► RemoteNode (one connection) ──► RemoteLink of each executor there ──► the engine, as for home
    door's thread ────► a connection that has proved itself becomes a RemoteNode
    a thread per place: starts the agent; starts it anew, later and later, after the node was lost

A *place* is a machine of the user's description. Each life of an agent there is a node of its own, with a number of its
own, so nothing of an earlier life can be taken for something of the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import sys
import threading
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from taskflow.drivers.engine import Link
from taskflow.launch.local import allow_files
from taskflow.launch.ssh_config import AwayError
from taskflow.model.errors import NodeLostError, TaskflowError
from taskflow.node import processes
from taskflow.wire.agent import CONTROL, DATA, FILE, NOTE, PING_S, AgentConfig, read_note
from taskflow.wire.channel import Cutter
from taskflow.wire.door import Door
from taskflow.wire.secure import SecureStream
from taskflow.wire.security import Hello, make_keys, make_token, same_token, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from taskflow.core.placement import Executor
    from taskflow.core.scheduling import Scheduler
    from taskflow.drivers.live import LiveEngine
    from taskflow.launch.process import AgentProcess
    from taskflow.model.cluster import Cluster, ClusterOptions, NodeSetup

    #: Makes an agent's configuration; given are the host and port (0: the usual one) by which the agent reaches home.
    ConfigOf = Callable[[str, int], AgentConfig]
    #: Starts the agent of a place and returns once it runs. Raises TaskflowError or OSError if it cannot be started.
    Launcher = Callable[[NodeSetup, ConfigOf], AgentProcess]


@dataclasses.dataclass(frozen=True)
class Machines:
    """What the engine has to know to use other machines.

    ``run``: the id of the run; ``launch`` starts agents; ``scheduler`` picks the node of a task, None: the usual one;
    ``words`` has messages call options as the user does.
    """

    run: str
    cluster: Cluster
    options: ClusterOptions
    launch: Launcher
    scheduler: Scheduler | None = None
    words: Callable[[str], str] = str


STALL_S = 0.005  #: as for executors at home, plus the way there and back
READY_S = 60.0  #: an agent that was started has so long to connect and to be ready
#: Pauses before an agent is started anew, on a node that was lost or could not be reached; the last repeats.
RETRY_S = (0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
RETURN_S = 2.5  #: tasks that only a lost node could run wait so long for a connection to it
BRIEF_S = 1.0  #: and so long if it did not let us in at once, or has been silent
LEAVE_S = 3.0  #: longest that executors may take to say what they have kept back
BRING_S = 1.0  #: longest that a node may take to begin sending what is worth keeping, when the run is given up
SILENT_S = 0.5  #: longest that the SSH connection to a node that has fallen silent is tried for its agent's end
END_S = 6.0  #: longest that agents may take to end


class RemoteLink(Link):
    """One executor of another node: as `LiveLink`, but its bytes go through the node's connection."""

    driven = False
    eof = False
    unsent = b""

    def __init__(self, executor: Executor, node: RemoteNode) -> None:
        super().__init__(executor)
        self.node = node
        self.receiver = Cutter(16384)  # there may be tens of thousands
        self.control = Cutter(4096)
        self.pid = 0
        self.killed = ""
        self.started = self.heard = monotonic()
        self.patience = self.stall_s

    @property
    def stall_s(self) -> float:
        """Silence after which queued tasks are taken back for idle executors."""
        return STALL_S + 2 * self.node.rtt_s

    @property
    def where(self) -> str:
        """For messages."""
        return f"on node {self.node.name}"

    @property
    def memory(self) -> int:
        """Bytes of memory of the node."""
        return int(self.node.facts.get("memory", 0))

    def ask(self, request: bytes) -> None:
        """Write to the executor's control thread."""
        self.node.write(CONTROL, self.executor.id, request)


class RemoteNode:
    """One life of an agent. All methods are called with the engine's lock held."""

    def __init__(self, number: int, place: Place, stream: SecureStream, poller: select.epoll) -> None:
        self.number = number
        self.place = place
        self.name = place.setup.name
        self.stream = stream
        self.links: dict[int, RemoteLink] = {}
        self.facts: dict[str, Any] = {}
        self.ready = False
        self.left = False  # its executors have said all, and what is worth keeping has come
        self.file: IO[bytes] | None = None  # that is just coming
        self.last_words = ""
        self.unfit = False  # nothing can run there
        self.is_full = False  # there was no room for data that tasks needed there, and the user has been told
        self.barren_deaths = 0
        self.joined = monotonic()
        self._poller = poller
        self._events = select.EPOLLIN

    def __repr__(self) -> str:
        state = self.stream.ended or ("ready" if self.ready else "starting")
        return f"<node {self.number} {self.name}: {state}, {len(self.links)} executors>"

    @property
    def rtt_s(self) -> float:
        """Seconds that a message takes to the node and back; 0 while that is not known."""
        return self.stream.rtt_s

    @property
    def peer(self) -> str:
        """The address that it has here; "" if it is this machine, or seems to be."""
        host = str(self.stream.socket.getpeername()[0]).removeprefix("::ffff:")
        return "" if host == "::1" or host.startswith("127.") else host

    @property
    def own_address(self) -> str:
        """The address of this machine by which the node has found it."""
        return str(self.stream.socket.getsockname()[0]).removeprefix("::ffff:")

    def write(self, kind: int, number: int, data: bytes) -> None:
        """Send bytes of an executor's stream."""
        self.stream.send_stream(kind, number, data)
        if self.stream.unsent:
            self.mind()

    def note(self, what: str, **fields: Any) -> None:
        """Send a note."""
        self.stream.note(what, **fields)
        if self.stream.unsent:
            self.mind()

    def mind(self) -> None:
        """Wait for room in the connection as long as something is unsent."""
        events = select.EPOLLIN | (select.EPOLLOUT if self.stream.unsent else 0)
        if events != self._events and not self.stream.ended:
            self._events = events
            self._poller.modify(self.stream.fileno(), events)


class Place:
    """A machine of the user's description, and how it stands with the agent there."""

    def __init__(self, setup: NodeSetup) -> None:
        self.setup = setup
        self.number = 0  # of the present life, or the one that is being started
        self.token = ""
        self.node: RemoteNode | None = None
        self.process: AgentProcess | None = None
        self.problem = ""  # why the last start failed
        self.starting = True  # for the first time, or since it was lost, and it is not known yet what comes of it
        self.reached = False  # the present start has got through to it
        self.failures = 0  # starts that have failed, since it was lost
        self.was_here = False
        self.given_up = False
        self.lost_at = 0.0  # since when it is missed; 0: it is not
        self.silent = False  # the last life ended without a word: its process can hardly be reached

    @property
    def is_here(self) -> bool:
        """Whether tasks can run there."""
        return self.node is not None and self.node.ready

    @property
    def may_come(self) -> bool:
        """Whether tasks that no other node can run should wait for it."""
        if self.is_here or self.given_up:
            return False
        if self.reached or not self.lost_at:
            return self.starting or self.reached
        return monotonic() - self.lost_at <= (BRIEF_S if self.failures or self.silent else RETURN_S)

    def missed(self) -> None:
        """It is lost, or could not be reached."""
        self.lost_at = self.lost_at or monotonic()


class Nodes:
    """All nodes besides home. Methods are called with the engine's lock held, if nothing else is said."""

    def __init__(self, engine: LiveEngine, machines: Machines) -> None:
        self.engine = engine
        self.run = machines.run
        self.options = machines.options
        self.launch = machines.launch
        self.words = machines.words
        self.places = [Place(setup) for setup in machines.cluster.nodes]
        self.nodes: dict[int, RemoteNode] = {}
        self.closing = False
        self.refusals = 0
        self._left_out = 0  # bytes of files that were worth keeping, and too large
        self.changed = threading.Condition(engine.lock)
        self._next_number = 1
        self._next_beat = monotonic() + PING_S
        allow_files(256 + 8 * len(self.places))  # connections for control, SSH and data, and then some
        self.keys = make_keys()
        listener = _listen(self.options.listen)
        self.door = Door(listener, server_context(self.keys), self.run, self._admit, self._enter, self._refused)

    # ------------------------------------------------------------------ starting agents

    def start(self) -> None:
        """Start the agents of all places at once. Without the lock, and without waiting."""
        for place in self.places:
            self._begin(place)

    def _begin(self, place: Place) -> None:
        thread = threading.Thread(
            target=self._tend, args=(place,), name=f"taskflow-node-{place.setup.name}", daemon=True
        )
        thread.start()

    def await_first(self) -> None:
        """Wait until tasks can run somewhere. Raises NodeLostError if no node could be started.

        Without the lock.
        """
        with self.changed:
            while not any(place.is_here for place in self.places):
                if not any(place.starting for place in self.places):
                    problems = "\n".join(f"  {place.setup.name}: {place.problem}" for place in self.places)
                    raise NodeLostError(f"none of the nodes could be started:\n{problems}")
                if self.engine.crash is not None:
                    raise NodeLostError("the runtime failed while the nodes were started") from self.engine.crash
                self.changed.wait(1.0)

    def _tend(self, place: Place) -> None:
        """Body of a place's thread: have an agent started, and if that fails try again, with longer and longer pauses.

        The first start is tried again only if what went wrong may pass.
        """
        while not self.closing:
            if place.lost_at:
                pause = RETRY_S[min(place.failures, len(RETRY_S) - 1)]
                with self.changed:
                    if self.changed.wait_for(lambda: self.closing, pause):
                        return
                self._end_process(place)
            problem = ""
            passes = place.was_here
            try:
                self._start_agent(place)
            except Exception as error:  # noqa: BLE001  whatever it is, it is told
                problem = self.words(str(error)) or type(error).__name__
                passes |= isinstance(error, (AwayError, ConnectionError, TimeoutError))
            with self.changed:
                place.reached = False
                place.problem = problem
                if self.closing:
                    return
                place.starting = False
                if not problem:
                    return
                place.failures += 1
                place.missed()
                place.given_up = not passes
                self._journal(place.number, place.setup.name, "failed", problem)
                self.changed.notify_all()
                if not place.was_here and place.failures == 1 and self._goes_on:
                    again = "\n  It is tried again now and then." if passes else ""
                    self.warn(f"node {place.setup.name} could not be started: {problem}{again}")
                self.engine.nodes_changed()
                if not passes:
                    return

    @property
    def _goes_on(self) -> bool:
        """Whether tasks can run somewhere, or may soon."""
        return bool(self.engine.kernel.home.size) or any(place.starting or place.is_here for place in self.places)

    def _start_agent(self, place: Place) -> None:
        """Start an agent and wait until it is ready. Raises TaskflowError and OSError. Without the lock."""
        with self.engine.lock:
            place.number = number = self._next_number
            self._next_number += 1
            place.token = make_token()
            place.reached = False
        process = self.launch(place.setup, lambda host, port: self._config(place, host, port))
        with self.engine.lock:
            place.process = process
            closing = self.closing
        if closing:  # nobody else knows of it
            self._end_process(place)
            return
        deadline = monotonic() + READY_S
        ended = ""
        while not self.closing:
            with self.changed:
                if self.changed.wait_for(lambda: place.is_here or self.closing, 0.1):
                    return
                if ended:  # and what it said has had its time to arrive
                    break
            ended = process.ended()
            if monotonic() > deadline:
                ended = f"was started, and was not ready within {READY_S:g} seconds"
        node = place.node
        said = (node.last_words if node is not None and node.number == number else "") or process.said.strip()
        self._end_process(place)
        raise TaskflowError(f"the agent {ended}" + (f"; it said:\n    {said}" if said else ""))

    def _config(self, place: Place, host: str, port: int) -> AgentConfig:
        """The configuration of the agent of a place, which has been reached."""
        place.reached = True
        engine = self.engine
        setup = place.setup
        settings = engine.settings
        environment = dict(self.options.variables)
        if setup.library_path:
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(setup.library_path)
        if setup.classpath:
            environment["CLASSPATH"] = os.pathsep.join(setup.classpath)
        return AgentConfig(
            run=self.run, node=place.number, name=setup.name, token=place.token,
            certificate=self.keys.certificate, key=self.keys.key, addresses=[(host, port or self.door.port)],
            timeout=self.options.node_timeout, tunnel=self.options.tunnel, working_dir=setup.working_dir,
            keep=self.options.keep_working_dir, path=[*setup.pythonpath, *_own_modules(settings["path"])],
            argv=settings["argv"], cwd=setup.app_dir or settings["cwd"], pycompss=settings["pycompss"],
            check=settings["check"], environment=environment, prepended=_prepended(self.options),
            min_port=setup.min_port, max_port=setup.max_port,
        )  # fmt: skip

    @staticmethod
    def _end_process(place: Place) -> None:
        """See to it that nothing of an earlier life is left. Without the lock."""
        process, place.process = place.process, None
        if process is not None:
            process.close(SILENT_S if place.silent else END_S - 1)

    # ------------------------------------------------------------------ who comes in

    def _admit(self, hello: Hello) -> str:
        """In the door's thread: "" or why a connection is refused."""
        with self.engine.lock:
            if hello.kind == "data" and self.options.tunnel and self.engine.carrier is not None:
                return self.engine.carrier.service.admit(hello)
            if hello.kind != "control":
                return f"a connection for {hello.kind[:20]!r} has nothing to do here"
            place = next((place for place in self.places if place.number == hello.node), None)
            if place is None or not place.token or not same_token(hello.token, place.token):
                return f"its token is not the one of node {hello.node}"
            place.token = ""  # it is good for one connection
        return ""

    def _enter(self, sock: ssl.SSLSocket, hello: Hello) -> None:
        """In the door's thread: a connection has proved itself."""
        engine = self.engine
        with engine.lock:
            if self.closing:
                sock.close()
                return
            if hello.kind == "data" and engine.carrier is not None:
                engine.carrier.service.enter(sock, hello)
                return
            place = next(place for place in self.places if place.number == hello.node)
            place.node = node = RemoteNode(hello.node, place, SecureStream(sock), engine.poller)
            self.nodes[node.number] = node
            engine.by_file[sock.fileno()] = (node, "node")
            engine.poller.register(sock.fileno(), select.EPOLLIN)
            node.note("welcome", time=monotonic() - engine.epoch)
            node.stream.ping()
            self.attend(node, select.EPOLLIN)  # TLS may hold what epoll knows nothing of

    def _refused(self, address: str, why: str) -> None:
        """In the door's thread: somebody was turned away."""
        with self.engine.lock:
            self.refusals += 1
            if self.refusals <= 100 and not self.closing:  # whoever knocks for ever must not fill the disk
                self.engine.journal.write({"e": "refused", "t": self.engine.now_us(), "from": address, "why": why})

    # ------------------------------------------------------------------ what nodes say

    def attend(self, node: RemoteNode, event: int) -> None:
        """Something has happened to the connection of a node."""
        stream = node.stream
        if event & select.EPOLLOUT:
            stream.flush()
        take = self.engine.take
        links = node.links
        for kind, number, data in stream.receive():
            if kind == DATA:
                link = links.get(number)
                if link is not None:
                    take(link, link.receiver.feed(data))
            elif kind == NOTE:
                self._hear(node, read_note(data))
            elif kind == CONTROL:
                link = links.get(number)
                if link is not None:
                    self.engine.take_answers(link, link.control.feed(data))
        if stream.ended:
            self.lose(node, stream.ended)
        else:
            node.mind()

    def _hear(self, node: RemoteNode, note: dict[str, Any]) -> None:
        what = note["note"]
        if what == "started":
            link = node.links.get(note["executor"])
            if link is not None:
                link.pid = note["pid"]
            self.engine.journal.write({
                "e": "executor", "t": self.engine.now_us(), "x": note["executor"], "pid": note["pid"],
                "node": node.number, "state": "started",
            })  # fmt: skip
        elif what == "ended":
            link = node.links.get(note["executor"])
            if link is not None and not self.engine.closing:
                link.killed = note["killed"]
                self.engine.replace(link, note)
        elif what == "ready":
            self._ready(node, note)
        elif what == "left":
            node.left = True
        elif what == "gone":
            node.last_words = note["why"]
        else:
            self.engine.hear_node(node, note)

    def _ready(self, node: RemoteNode, facts: dict[str, Any]) -> None:
        """The node's agent can start executors. Called with the lock held, unless the run is over."""
        if self.engine.closing:
            return
        place = node.place
        node.facts = facts
        node.ready = True
        place.was_here = True
        place.silent = False
        place.lost_at = 0.0
        place.failures = 0
        self._journal(node.number, node.name, "joined", "", host=facts["host"], python=facts["python"])
        if self.engine.overdue.limits:
            node.note("limits")
        self.engine.node_joined(node)
        self.changed.notify_all()

    def hosts_of(self, numbers: Sequence[int]) -> list[str]:
        """By which names or addresses these nodes, or home, reach each other: no two have the same."""
        others = [self.nodes[number] for number in numbers if number]
        names: list[str] = []
        for number in numbers:
            if number:
                node = self.nodes[number]
                host = node.place.setup.host
                shared = sum(other.place.setup.host == host for other in others) > 1
                names.append(node.name if shared else host)
            else:
                names.append(others[0].own_address if others else os.uname().nodename)
        return names

    def tell_all(self, what: str, **fields: Any) -> None:
        """Send a note to all nodes."""
        for node in self.nodes.values():
            if node.ready:
                node.note(what, **fields)

    # ------------------------------------------------------------------ nodes that are lost

    def beat(self) -> None:
        """From the keeper, whenever it looks round: signs of life, and who has given none."""
        now = monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + PING_S
        for node in list(self.nodes.values()):
            silence = node.stream.beat()
            if node.stream.ended:
                self.lose(node, node.stream.ended)
            elif silence > self.options.node_timeout:
                node.place.silent = True
                self.lose(node, f"nothing has been heard from it for {silence:.0f} seconds")
            else:
                node.mind()
                crew = self.engine.kernel.crews.get(node.number)
                if crew is not None:
                    crew.is_far(node.rtt_s)
        if not (self.coming or all(place.is_here for place in self.places)):
            self.engine.nodes_changed()

    @property
    def coming(self) -> list[str]:
        """Names of the nodes that may be there soon: they are being started, or were lost a moment ago."""
        return [place.setup.name for place in self.places if place.may_come]

    def lose(self, node: RemoteNode, why: str) -> None:
        """A node is lost: its tasks go elsewhere, and its agent is started anew if that may help."""
        if self.nodes.pop(node.number, None) is None:
            return
        engine = self.engine
        engine.by_file.pop(node.stream.fileno(), None)
        with contextlib.suppress(OSError, ValueError):
            engine.poller.unregister(node.stream.fileno())
        node.stream.close()
        place = node.place
        if place.node is node and node.ready:
            place.node = None
        if not node.ready or self.closing:
            self.changed.notify_all()
            return  # whoever starts it tells why that failed
        error = NodeLostError(self._certificate(node, why))
        self._journal(node.number, node.name, "lost", why)
        place.missed()
        place.starting = not node.unfit
        place.given_up = node.unfit
        engine.node_lost(node, error)
        if self.options.shutdown_in_node_failure:
            engine.give_up(NodeLostError(self.words(f"the run ends, as --shutdown_in_node_failure demands: {error}")))
            return
        self.warn(f"{error}\n  Its tasks run elsewhere." + ("" if node.unfit else " Its agent is started anew."))
        if not node.unfit:
            self._begin(place)
        self.changed.notify_all()

    @staticmethod
    def _certificate(node: RemoteNode, why: str) -> str:
        """What is known of a node's end."""
        host = node.facts["host"]
        lines = [f"node {node.name}{'' if host == node.name else f' ({host})'} is lost: {why}"]
        if node.last_words:
            lines.append(f"  the last words of its agent: {node.last_words}")
        process = node.place.process
        if process is not None:
            ended = process.ended()
            if ended:
                lines.append(f"  its agent {ended}")
            said = process.said.strip()
            if said and said not in node.last_words:
                lines.append("  the last lines its agent wrote:")
                lines += [f"    {line}" for line in said.splitlines()[-10:]]
        lines.append(
            f"  it had been there for {monotonic() - node.joined:.0f} seconds with {len(node.links)} executors"
        )
        return "\n".join(lines)

    def _journal(self, number: int, name: str, state: str, why: str, **fields: Any) -> None:
        self.engine.journal.write({
            "e": "node", "t": self.engine.now_us(), "node": number, "name": name, "state": state, "why": why, **fields,
        })  # fmt: skip

    @staticmethod
    def warn(text: str) -> None:
        """Tell the user at once."""
        if sys.stderr is not None:
            sys.stderr.write(f"taskflow: {text}\n")

    # ------------------------------------------------------------------ the end

    def take_leave(self, *, at_once: bool) -> None:
        """Let the executors tell what they have kept back, and have what is worth keeping sent home.

        ``at_once``: executors may be in the middle of something, and are not waited for. The keeper has stopped.
        Without the lock.
        """
        self.tell_all("bring" if at_once else "leave")
        self._wait_for(lambda node: node.left or not node.ready, BRING_S if at_once else LEAVE_S)
        for node in self.nodes.values():
            if node.file is not None:
                node.file.close()
        if self._left_out:
            self.warn(
                f"{self._left_out / 2**20:,.0f} MiB of what programs have printed on nodes were not sent here: "
                f"{self.words('--keep-workingdir')} keeps all of it there"
            )

    def close(self) -> None:
        """End all agents, and return when they are gone. The keeper has stopped. Without the lock."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.door.close()
        for node in self.nodes.values():
            node.note("end")
        self._wait_for(lambda node: bool(node.stream.ended), END_S)
        for node in self.nodes.values():
            node.stream.close()
            if node.ready:
                self._journal(node.number, node.name, "left", "")
        self.nodes.clear()
        closers = [threading.Thread(target=self._end_process, args=(place,), daemon=True) for place in self.places]
        for closer in closers:
            closer.start()
        deadline = monotonic() + END_S
        for closer in closers:
            closer.join(max(0.0, deadline - monotonic()))
        # A node that is just being connected to is not waited for: an agent there finds its input at its end.
        self._tell_of_absent()

    def _tell_of_absent(self) -> None:
        """Say once more, where it is not overlooked, which nodes have never been there."""
        absent = [place.setup.name for place in self.places if place.problem and not place.was_here]
        if absent and (self.engine.kernel.home.size or any(place.was_here for place in self.places)):
            self.warn(f"{len(absent)} of the {len(self.places)} nodes could not be used: {', '.join(absent)}")

    def _take_file(self, node: RemoteNode, note: dict[str, Any]) -> None:
        """A file of the node's folder is about to come."""
        if node.file is not None:
            node.file.close()
            node.file = None
        self._left_out += note["size"] - note["bytes"]
        folder, name = self.engine.run_dir, os.path.basename(note["name"])
        if os.path.dirname(note["name"]) == processes.FOLDER:  # a log has a name of its own: there is one executor 3
            folder, name = os.path.join(folder, processes.FOLDER), f"{node.name}-{name}".replace(os.sep, "-")
        path = os.path.join(folder, name)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            node.file = open(path, "wb")  # noqa: SIM115  it is written to as it comes
        except OSError as error:
            self.warn(f"what a program has printed on node {node.name} cannot be kept: {error}")

    def _keep(self, node: RemoteNode, data: memoryview) -> None:
        if node.file is None:
            return
        try:
            node.file.write(data)
        except OSError as error:
            self.warn(f"what a program has printed on node {node.name} cannot be kept whole: {error}")
            node.file = None

    def _wait_for(self, done: Callable[[RemoteNode], bool], seconds: float) -> None:
        """Read from all nodes, with nobody else doing so, until it is true of each of them or the time is over.

        What they send meanwhile gives them more time.
        """
        deadline = monotonic() + seconds
        poller = select.poll()
        nodes = [node for node in self.nodes.values() if not (node.stream.ended or done(node))]
        waiting = {node.stream.fileno(): node for node in nodes}
        for file in waiting:
            poller.register(file, select.POLLIN)
        while waiting and (left := deadline - monotonic()) > 0:
            for file, node in list(waiting.items()):
                events = select.POLLIN | (select.POLLOUT if node.stream.unsent else 0)
                poller.modify(file, events)
            for file, _ in poller.poll(min(left, PING_S) * 1000):
                node = waiting[file]
                node.stream.flush()
                if self._hear_leaving(node):
                    deadline = monotonic() + seconds
                if done(node) or node.stream.ended:
                    del waiting[file]
                    poller.unregister(file)

    def _hear_leaving(self, node: RemoteNode) -> bool:
        """Whether files are coming."""
        files = False
        for kind, number, data in node.stream.receive():
            link = node.links.get(number)
            if kind == DATA and link is not None:
                for message in link.receiver.feed(data):
                    if type(message) is tuple and message[9]:
                        self.engine.journal.write_raw(message[9])
            elif kind == NOTE:
                note = read_note(data)
                if note["note"] == "file":
                    self._take_file(node, note)
                elif note["note"] in {"left", "gone"}:  # nothing else counts any more: not even that it is ready
                    self._hear(node, note)
            elif kind == FILE:
                files = True
                self._keep(node, data)
        return files

    def kill(self) -> None:
        """Hang up, without any lock: agents end when they see that. For a signal's handler."""
        self.closing = True
        for node in list(self.nodes.values()):
            with contextlib.suppress(OSError, ValueError):
                node.stream.socket.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: close this process's copies of all connections."""
        self.closing = True
        self.door.leave_to_parent()
        for node in self.nodes.values():
            node.stream.socket.close()
        for place in self.places:
            if place.process is not None:
                place.process.leave_to_parent()


def _listen(address: str) -> socket.socket:
    """A listening socket on a port that the system chooses; on all addresses if none is named."""
    try:
        if address:
            family = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((address, 0), family=family, backlog=128)
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # there may be no address of that kind after all
                return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        return socket.create_server(("", 0), backlog=128)
    except OSError as error:
        raise TaskflowError(
            f"nodes cannot be waited for on {address or 'any address'}: {error}; see --listen"
        ) from None


#: Folders of programs that every node has, in an order of its own.
_OF_THE_SYSTEM = ("/bin", "/usr/bin", "/usr/local/bin")


def _prepended(options: ClusterOptions) -> dict[str, str]:
    """What nodes put before their own variables: also the programs of the virtual environment that is active here.

    A launcher of MPI that is installed in it, say; a node that has no such folder does not mind.
    """
    prepended = dict(options.prepended)
    folder = os.path.dirname(sys.executable)
    if folder in os.environ.get("PATH", "").split(os.pathsep) and folder not in _OF_THE_SYSTEM:
        known = prepended.get("PATH", "").split(os.pathsep)
        prepended["PATH"] = os.pathsep.join(filter(None, [*known, *({folder} - {*known})]))
    return prepended


def _own_modules(path: list[str]) -> list[str]:
    """Where the program's own modules are: a node has an interpreter, and packages, of its own."""
    prefixes = tuple(f"{prefix}{os.sep}" for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix})
    return [entry for entry in path if not f"{entry}{os.sep}".startswith(prefixes)]
