"""The agent of a node: starts executors there and carries what they and the master say to each other.

::

    master ◄══ one TLS connection ══► agent ◄── socket pairs ──► executors
                                        ├────── socket pair ───► zygote, which forks them
                                        └── threads for transfers (`data.transfers`)

The streams travel as they are, so an executor behaves here as it does at home. One connection is one life of an agent:
when it breaks, or the master is silent for too long, the agent kills everything it has started, removes its folders and
ends. Its standard input, from which it reads its configuration, must stay open as long as it is wanted.

It is started with ``python -m taskflow.node.agent`` and needs nothing but the standard library and cloudpickle.
"""

from __future__ import annotations

import contextlib
import glob
import os
import select
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from taskflow.cluster.machine import describe_node, programs_here, usable_cores, usable_memory, visible_gpus
from taskflow.data.serve import DataServer, DataService, token_for
from taskflow.data.shares import Shares
from taskflow.data.transfers import Mover
from taskflow.launch import leftovers
from taskflow.launch.local import ExecutorHandle, LocalNode, allow_files, tail
from taskflow.launch.spawn import Zygote
from taskflow.model.errors import TaskflowError
from taskflow.node import processes
from taskflow.node.elsewhere import PROGRAM, Elsewhere
from taskflow.node.overdue import LOOK_S, Overdue
from taskflow.wire.agent import CONTROL, DATA, FILE, FRAME_BYTES, NOTE, PING_S, AgentConfig, pack_note, read_note
from taskflow.wire.secure import SecureStream
from taskflow.wire.security import HANDSHAKE_S, Hello, RunKeys, client_context, connect, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

HIGH_BYTES = 8 << 20  #: so much unsent for the master, and executors are not read any more
LOW_BYTES = 1 << 20  #: and so little, and they are again
ANSWER_S = 5.0  #: another node that has not answered for so long cannot be reached: data take another way
LEAVE_S = 2.0  #: longest that executors have to tell what they have kept back
BRING_BYTES = 64 << 20  #: so much of what programs have printed and of logs is sent home at the end, the smallest first
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Transfers(Protocol):
    """What moves data between nodes, in threads of its own; it reports with `Agent.report`."""

    def handle(self, note: dict[str, Any]) -> None:
        """Begin what a note of the master (get, put, drop) asks for. Does not wait."""

    def close(self) -> None:
        """Stop at once."""


class NodeTransfers:
    """The data server of the node, and what moves data for it."""

    def __init__(self, server: DataServer, mover: Mover) -> None:
        self._server = server
        self._mover = mover

    def handle(self, note: dict[str, Any]) -> None:
        """See `Transfers`."""
        self._mover.handle(note)

    def close(self) -> None:
        """See `Transfers`."""
        self._mover.close()
        self._server.close()


class AgentError(TaskflowError):
    """The agent cannot work here, or not any more. The message says why."""


class Folders:
    """The private folders of one life of an agent: made when it begins, removed when it ends."""

    def __init__(self, config: AgentConfig) -> None:
        base = os.path.expanduser(config.working_dir)
        mine = not base
        base = base or f"{tempfile.gettempdir()}/taskflow-{os.getuid()}"
        self._claims: list[int] = []  # open files, by which others see that we live
        try:
            os.makedirs(base, mode=0o700, exist_ok=True)
            if mine:
                _check_private(base)
            self.run = f"{base}/{config.run}"
            os.makedirs(self.run, mode=0o700, exist_ok=True)
            _check_private(self.run)
            # The number makes it new: what is left of an earlier life may just be on its way out.
            self.top = f"{self.run}/{_file_name(config.name)}-{config.node}"
            os.mkdir(self.top, mode=0o700)
            self.files = f"{self.top}/files"
            self.scratch = f"{self.top}/scratch"
            os.mkdir(self.files, mode=0o700)
            os.mkdir(self.scratch, mode=0o700)
        except OSError as error:
            raise AgentError(
                f"its folder cannot be made: {error}. Name another one with <WorkingDir> in project.xml, or make room"
            ) from error
        self.segments = f"/dev/shm/taskflow-{config.run}-n{config.node}"  # noqa: S108  made by us alone, or not used
        try:
            os.mkdir(self.segments, mode=0o700)
        except OSError:
            self.segments = f"{self.top}/segments"
            os.mkdir(self.segments, mode=0o700)
        self._claims += [leftovers.claim(folder) for folder in self.temporary(keep=config.keep)]
        # What others have left may be much, and is removed while we go on.
        threading.Thread(target=self._sweep, args=(base,), name="taskflow-sweep", daemon=True).start()

    @staticmethod
    def _sweep(base: str) -> None:
        leftovers.sweep("/dev/shm")  # noqa: S108  only what agents of this user have made there
        leftovers.sweep_below(base)

    def temporary(self, *, keep: bool) -> list[str]:
        """What is removed at the end."""
        return [self.segments] if keep else [self.segments, self.top]

    def remove(self, *, keep: bool) -> None:
        """Remove them, and the folder of the run if no other node of it is on this machine."""
        for folder in self.temporary(keep=keep):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(self.run)


def _listen(first: int, last: int) -> socket.socket:
    """A listening socket on the first free port of these; 0: on any."""
    problem: OSError | None = None
    for port in range(first, max(first, last) + 1):
        try:
            if socket.has_dualstack_ipv6():
                with contextlib.suppress(OSError):  # there may be no address of that kind after all
                    return socket.create_server(
                        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
                    )  # fmt: skip
            return socket.create_server(("", port), backlog=128)
        except OSError as error:
            problem = error
    raise AgentError(
        f"its data server cannot listen on a port of {first} to {last}: {problem}; see <MinPort> and <MaxPort>"
    )


def _check_private(folder: str) -> None:
    """In a folder that all may write to, somebody else could have been there first."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise AgentError(f"{folder} is there and belongs to somebody else; name another folder with <WorkingDir>")
    if status.st_mode & 0o077:
        os.chmod(folder, 0o700)


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name)[:80] or "node"


class Relay:
    """One executor: what is to be written to it, and what is known of it."""

    def __init__(self, number: int, handle: ExecutorHandle) -> None:
        self.number = number
        self.handle = handle
        self.unsent = {DATA: bytearray(), CONTROL: bytearray()}
        self.sockets = {DATA: handle.data, CONTROL: handle.control}
        self.open = {DATA: True, CONTROL: True}
        self.killed = ""  # why, if it was by us
        self.cancelled: dict[int, float] = {}  # tasks that it was told to end, and when

    def give(self, kind: int, data: bytes | bytearray | memoryview) -> None:
        """Write to the executor, or keep what it does not take: a slow reader holds nobody up."""
        unsent = self.unsent[kind]
        if data is not unsent and unsent:
            unsent += data
            return
        try:
            sent = self.sockets[kind].send(data, _SEND_FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:
            unsent.clear()
            return  # it has ended: the zygote says how
        if data is unsent:
            del unsent[:sent]
        elif sent < len(data):
            unsent += memoryview(data)[sent:]


class Agent:
    """One life of an agent."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.asked_to_end = False
        self.ending = ""  # why, once it is to end
        self.folders: Folders | None = None
        self.transfers: Transfers | None = None
        self.elsewhere: Elsewhere | None = None
        self.relays: dict[int, Relay] = {}
        self.overdue = Overdue()
        self._log = 2
        self._data_port = 0
        self._told_of: list[str] = []  # logs of executors that have died
        self._leaving = 0.0  # when the executors have had their time to say what is left
        self._paused = False
        self._events = select.EPOLLIN
        self._next_beat = 0.0
        self._buffer = bytearray(FRAME_BYTES)
        self._view = memoryview(self._buffer)
        self._reports: deque[dict[str, Any]] = deque()  # of other threads
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.master: tuple[str, int] = ("", 0)  # where the main program was found
        self.poller = select.epoll()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.settings: dict[str, Any] = {}
        os.environ.update(config.environment)
        for variable, value in config.prepended.items():
            os.environ[variable] = os.pathsep.join(filter(None, [value, os.environ.get(variable)]))
        self._zygote = Zygote()  # it starts while we connect
        self.node: LocalNode | None = None
        self.stream: SecureStream | None = None

    # ------------------------------------------------------------------ the beginning

    def run(self) -> int:
        """Live; return the exit code. Nothing that was started is left behind, whatever happens."""
        code = 0
        try:
            self._watch_signals()
            self._make_folders()
            self._meet_master()
            self._settle_in()
            self._serve()
            if not self.asked_to_end:
                self._complain(self.ending)
                code = 1
        except AgentError as error:
            self._complain(str(error))
            code = 1
        except BaseException as error:  # noqa: BLE001  the last words, and then the end
            self._complain(f"the agent failed: {type(error).__name__}: {error}\n{traceback.format_exc()}")
            code = 1
        finally:
            self._clean_up()
        return code

    def _watch_signals(self) -> None:
        def stop(number: int, frame: Any) -> None:  # noqa: ARG001  a signal's handler
            self.ending = f"it got {signal.Signals(number).name}"
            os.eventfd_write(self._wake, 1)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGHUP, stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._watch(self._wake, self._read_wake)
        with contextlib.suppress(PermissionError):  # a file, or /dev/null: it says nothing about the master
            self._watch(0, self._read_input)

    def _watch(self, file: int, handler: Callable[[int], None]) -> None:
        self.poller.register(file, select.EPOLLIN)
        self.handlers[file] = handler

    def _meet_master(self) -> None:
        """Connect; the master answers with a welcome, which tells the time of the run."""
        config = self.config
        context = client_context(RunKeys(config.certificate, config.key))
        hello = Hello(config.run, "control", config.node, config.token)
        problems: list[str] = []
        for address in config.addresses:
            try:
                self.stream = SecureStream(connect(address, context, hello))
            except (OSError, TaskflowError) as error:
                problems.append(f"{address[0]} port {address[1]}: {error}")
                continue
            self.master = address
            said_at = monotonic()
            welcome = self._await_welcome()
            heard = monotonic()
            # The master read its clock between our hello and now.
            self.settings["epoch"] = (said_at + heard) / 2 - float(welcome["time"])
            return
        raise AgentError(
            "it cannot reach the main program at "
            + "; ".join(problems)
            + ". If a firewall is in between, --tunnel sends everything through the SSH connection"
        )

    def _await_welcome(self) -> dict[str, Any]:
        assert self.stream is not None
        deadline = monotonic() + HANDSHAKE_S
        poller = select.poll()
        poller.register(self.stream.fileno(), select.POLLIN)
        while (left := deadline - monotonic()) > 0:
            poller.poll(left * 1000)
            for kind, _, data in self.stream.receive():
                if kind == NOTE:
                    note = read_note(data)
                    if note["note"] == "welcome":
                        return note
            if self.stream.ended:
                raise AgentError(f"the main program did not let it in: {self.stream.ended}")
        raise AgentError(f"the main program did not answer within {HANDSHAKE_S:g} seconds")

    def _settle_in(self) -> None:
        """Have the zygote prepare itself, tell the master what there is."""
        assert self.stream is not None
        assert self.folders is not None
        config, folders = self.config, self.folders
        wanted = [os.path.join(folders.top, os.path.expanduser(entry)) for entry in config.path]
        first = [entry for entry in wanted if os.path.exists(entry)]
        self.settings.update({
            "run_dir": folders.top,
            "segments": folders.segments,
            "scratch": folders.scratch,
            "temporary": folders.temporary(keep=config.keep),
            "run_folder": folders.run,
            "path": [*first, *(os.path.abspath(entry or ".") for entry in sys.path if entry not in first)],
            "argv": config.argv,
            "cwd": config.cwd if os.path.isdir(config.cwd) else folders.scratch,
            "node": config.name,
            "roots": {root: os.path.join(folders.top, os.path.expanduser(it)) for root, it in config.roots.items()},
            "pycompss": config.pycompss,
            "check": config.check,
        })  # fmt: skip
        self._start_zygote(self._zygote)
        self.transfers, self._data_port = self._prepare_transfers(folders)
        self._watch(self.stream.fileno(), self._hear)
        self.stream.note("ready", **self.facts())
        self.log(f"agent of node {config.name} of run {config.run}, process {os.getpid()}, is ready")
        self._next_beat = monotonic() + PING_S

    def _make_folders(self) -> None:
        """Make the folders, and unpack the program: before the master expects us to answer."""
        self.folders = folders = Folders(self.config)
        self._log = os.open(f"{folders.top}/agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self.config.program:
            from taskflow.launch.bundle import unpack

            try:
                unpack(self.config.program, f"{folders.top}/app")
            except OSError as error:
                raise AgentError(f"the modules of the program cannot be unpacked in {folders.top}: {error}") from error

    def _prepare_transfers(self, folders: Folders) -> tuple[Transfers, int]:
        """What moves data to this node and from it, and the port at which others get them."""
        config = self.config
        keys = RunKeys(config.certificate, config.key)
        shares = Shares(folders.segments, [folders.files])
        service = DataService(shares, config.node)
        context = client_context(keys)

        def dial_for_program(address: tuple[str, int, int]) -> ssl.SSLSocket:
            host, port, number = address
            hello = Hello(config.run, PROGRAM, config.node, token_for(number))
            return connect((host or self.master[0], port), context, hello, ANSWER_S)

        try:
            self.elsewhere = Elsewhere(
                config.name, config.node, self.settings, dial_for_program, config.timeout, folders.segments
            )
        except TaskflowError as error:
            raise AgentError(str(error)) from error
        server = DataServer(
            _listen(config.min_port, config.max_port), server_context(keys), config.run, service,
            {PROGRAM: self.elsewhere},
        )  # fmt: skip

        def dial(address: tuple[str, int, int]) -> ssl.SSLSocket:
            host, port, number = address
            where = (host or self.master[0], port or self.master[1])
            hello = Hello(config.run, "data", config.node, token_for(number))
            return connect(where, context, hello, ANSWER_S if number else HANDSHAKE_S)

        return NodeTransfers(server, Mover(shares, dial, self.report, f"n{config.node}")), server.port

    def facts(self) -> dict[str, Any]:
        """What the master should know of the node."""
        assert self.folders is not None
        system = os.uname()
        return {
            "pid": os.getpid(),
            "host": system.nodename,
            "python": sys.version.split()[0],
            "machine": system.machine,
            "cores": usable_cores(),
            "cpus": sorted(os.sched_getaffinity(0)),
            "memory": usable_memory(),
            "gpus": visible_gpus(),
            "programs": programs_here(),
            "offer": describe_node(usable_cores(), self.folders.files).facts,
            "folder": self.folders.top,
            "files": self.folders.files,
            "segments": self.folders.segments,
            "data_port": self._data_port,
            "launcher": self.elsewhere.launcher if self.elsewhere is not None else "",
        }

    def _start_zygote(self, zygote: Zygote | None) -> None:
        self.node = LocalNode(self.settings, zygote)
        self._watch(self.node.socket.fileno(), self._read_zygote)

    # ------------------------------------------------------------------ the loop

    def _serve(self) -> None:
        assert self.stream is not None
        self._hear(select.EPOLLIN)  # what has come with the welcome
        while not self.ending:
            for file, event in self.poller.poll(self._patience()):
                handler = self.handlers.get(file)
                if handler is not None:
                    handler(event)
            if self.stream.unsent or self._paused or self._events != select.EPOLLIN:
                self._mind_sending()
            if monotonic() >= self._next_beat:
                self._beat()
            if self.overdue.watching:
                self._look_for_overdue()
            if self._leaving and (not self.relays or monotonic() > self._leaving):
                self._leaving = 0.0
                self._bring()

    def _patience(self) -> float:
        wait = self._next_beat - monotonic()
        if self.overdue.watching or self._leaving:
            wait = min(wait, LOOK_S)
        return max(wait, 0.0)

    def _mind_sending(self) -> None:
        """Wait for room if there is something unsent; read no more from executors while that is much."""
        assert self.stream is not None
        unsent = len(self.stream.unsent)
        events = select.EPOLLIN | (select.EPOLLOUT if unsent else 0)
        if events != self._events and not self.stream.ended:
            self._events = events
            self.poller.modify(self.stream.fileno(), events)
        if self._paused != (unsent > (LOW_BYTES if self._paused else HIGH_BYTES)):
            self._paused = not self._paused
            for relay in self.relays.values():
                self._mind(relay, DATA)

    def _beat(self) -> None:
        assert self.stream is not None
        self._next_beat = monotonic() + PING_S
        silence = self.stream.beat()
        if silence <= self.config.timeout:
            return
        # A main program that computes for long in one call cannot answer, but its system still acknowledges.
        if self.config.tunnel or self.stream.acknowledged_s() > self.config.timeout:
            self.ending = f"the main program has been silent for {silence:.0f} seconds"

    def _look_for_overdue(self) -> None:
        forgotten = monotonic() - 60
        watched = []
        for relay in self.relays.values():
            for task_id in [task_id for task_id, since in relay.cancelled.items() if since < forgotten]:
                del relay.cancelled[task_id]
            watched.append((relay, relay.handle, relay.cancelled))
        for relay, why in self.overdue.find(watched):
            self._kill(relay, why)

    @staticmethod
    def _kill(relay: Relay, why: str) -> None:
        if relay.handle.pid and not relay.killed:
            relay.killed = why
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(relay.handle.pid, signal.SIGKILL)

    # ------------------------------------------------------------------ from the master

    def _hear(self, event: int) -> None:
        stream = self.stream
        assert stream is not None
        if event & select.EPOLLOUT:
            stream.flush()
        for kind, number, data in stream.receive():
            if kind == DATA or kind == CONTROL:
                relay = self.relays.get(number)
                if relay is not None:
                    relay.give(kind, data)
                    if relay.unsent[kind]:
                        self._mind(relay, kind)
            elif kind == NOTE:
                self._obey(read_note(data))
        if stream.ended:
            self.ending = self.ending or f"the main program is gone: {stream.ended}"

    def _obey(self, note: dict[str, Any]) -> None:
        what = note["note"]
        if what == "start":
            self._start_executor(note["executor"], note["cores"])
        elif what == "end":
            self.asked_to_end = True
            self.ending = "the run is over"
        elif what in ("span", "span over"):
            assert self.elsewhere is not None
            self.elsewhere.hear(note)
        elif what == "limits":
            self.overdue.limits = True
        elif what == "leave":
            self._leaving = monotonic() + LEAVE_S
            for relay in self.relays.values():
                with contextlib.suppress(OSError):
                    relay.handle.data.shutdown(socket.SHUT_WR)
        elif what == "bring":
            self._bring()
        elif what == "cancelled":
            if note["executor"] in self.relays:  # else it has just ended
                self.relays[note["executor"]].cancelled[note["task"]] = monotonic()
                self.overdue.cancelled(note["task"])
        elif what == "wanted":
            if note["executor"] in self.relays:
                self.relays[note["executor"]].cancelled.pop(note["task"], None)
        elif self.transfers is not None:
            self.transfers.handle(note)
        else:
            raise AgentError(f"the main program wrote what this agent does not understand: {what!r}")

    def _start_executor(self, number: int, cores: str) -> None:
        assert self.node is not None
        try:
            allow_files(256)  # for this one, and for transfers
            handle = self.node.start_executor(number, cores)
        except (OSError, TaskflowError) as error:
            self._tell_end(number, 0, {"status": None, "max_rss_kb": 0, "problem": f"could not be started: {error}"})
            return
        self.relays[number] = relay = Relay(number, handle)
        for kind, sock in relay.sockets.items():
            self._watch(sock.fileno(), lambda event, kind=kind: self._attend(relay, kind, event))  # type: ignore[misc]

    # ------------------------------------------------------------------ from and to executors

    def _mind(self, relay: Relay, kind: int) -> None:
        """Wait for what matters of one of an executor's streams."""
        events = select.EPOLLOUT if relay.unsent[kind] else 0
        if relay.open[kind] and not (self._paused and kind == DATA):
            events |= select.EPOLLIN
        with contextlib.suppress(FileNotFoundError):  # it has hung up
            self.poller.modify(relay.sockets[kind].fileno(), events)

    def _attend(self, relay: Relay, kind: int, event: int) -> None:
        if event & select.EPOLLOUT:
            relay.give(kind, relay.unsent[kind])
            if not relay.unsent[kind]:
                self._mind(relay, kind)
        if event & ~select.EPOLLOUT and relay.open[kind]:
            self._pass_on(relay, kind)

    def _pass_on(self, relay: Relay, kind: int) -> bool:
        """Send on what an executor has said; whether there may be more."""
        assert self.stream is not None
        try:
            count = relay.sockets[kind].recv_into(self._view, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count:
            self.stream.send(kind, relay.number, self._view[:count])
            return True
        relay.open[kind] = False
        with contextlib.suppress(FileNotFoundError):
            self.poller.unregister(relay.sockets[kind].fileno())
        return False

    def _read_zygote(self, _: int) -> None:
        assert self.node is not None
        assert self.stream is not None
        notes = self.node.notes()
        if notes is None:
            self._replace_zygote()
            return
        for note in notes:
            number = note["executor"]
            if "pid" in note:
                relay = self.relays.get(number)
                if relay is not None:
                    relay.handle.pid = note["pid"]
                self.stream.note("started", executor=number, pid=note["pid"])
            else:
                self._enter_end(number, note)

    def _enter_end(self, number: int, end: dict[str, Any]) -> None:
        """An executor has ended: everything it has said goes first, then how it ended."""
        relay = self.relays.pop(number, None)
        if relay is None:
            return
        for kind in (DATA, CONTROL):
            while relay.open[kind] and self._pass_on(relay, kind):
                pass
            self.handlers.pop(relay.sockets[kind].fileno(), None)
        handle = relay.handle
        known = {"running": handle.running, "killed": relay.killed, "excess": handle.excess}
        self._tell_end(number, handle.pid, {**end, **known})
        relay.handle.close()

    def _tell_end(self, number: int, pid: int, end: dict[str, Any]) -> None:
        assert self.stream is not None
        assert self.folders is not None
        log = f"{self.folders.top}/executor-{number}.log"
        fields = {"running": 0, "killed": "", "excess": 0, "problem": "", **end, "executor": number, "pid": pid}
        said = tail(log) or self._zygote.said.splitlines()[-20:]
        if not self._leaving:
            self._told_of.append(log)
        self.stream.note("ended", **fields, tail=said, log=log)

    def _replace_zygote(self) -> None:
        """The zygote has ended, and all executors with it: the next ones come from another."""
        assert self.node is not None
        said = self._zygote.said.strip()
        self.log(f"the process that starts executors has ended; it wrote: {said}")
        self.handlers.pop(self.node.socket.fileno(), None)
        self.node.close(timeout=0.1)
        for number, relay in list(self.relays.items()):
            self._kill(relay, "")
            problem = "ended with the process that had started it"
            self._enter_end(number, {"status": None, "max_rss_kb": 0, "problem": problem})
        # The zygote removes what is temporary when it ends.
        assert self.folders is not None
        if not os.path.isdir(self.folders.scratch) or not os.path.isdir(self.folders.segments):
            raise AgentError(f"the process that starts executors has ended, and the node's data with it: {said}")
        self._zygote = Zygote()
        self._start_zygote(self._zygote)

    # ------------------------------------------------------------------ other threads, signals, input

    def report(self, note: dict[str, Any]) -> None:
        """Send a note to the master. For any thread."""
        self._reports.append(note)
        os.eventfd_write(self._wake, 1)

    def _read_wake(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._reports:
            note = self._reports.popleft()
            if self.stream is not None:
                self.stream.send(NOTE, 0, pack_note(note))

    def _read_input(self, _: int) -> None:
        if not os.read(0, 65536):
            self.handlers.pop(0, None)
            self.poller.unregister(0)
            self.ending = self.ending or "its standard input was closed, so whoever started it is gone"

    # ------------------------------------------------------------------ the end

    def _bring(self) -> None:
        """Send home what programs have printed, and the logs of executors that have died, then say that that is all."""
        assert self.stream is not None
        assert self.folders is not None
        stream, top = self.stream, self.folders.top
        found = [path for path in glob.glob(f"{glob.escape(top)}/{processes.FOLDER}/*") if os.path.isfile(path)]
        found += [path for path in self._told_of if os.path.exists(path)]
        left = BRING_BYTES
        for size, path in sorted([(os.path.getsize(path), path) for path in found]):
            if not size:
                continue
            count = min(size, left)
            left -= count
            stream.note("file", name=os.path.relpath(path, top), bytes=count, size=size)
            with open(path, "rb") as file:
                file.seek(size - count)  # the end says more
                while count and (data := file.read(min(count, FRAME_BYTES))) and self._is_taken(stream):
                    count -= len(data)
                    stream.send(FILE, 0, data)
        stream.note("left")

    def _is_taken(self, stream: SecureStream) -> bool:
        """Wait until there is room for more; False if the master does not take it."""
        deadline = monotonic() + self.config.timeout
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLOUT)
        while len(stream.unsent) > LOW_BYTES and not stream.ended and (left := deadline - monotonic()) > 0:
            poller.poll(left * 1000)
            stream.flush()
        return len(stream.unsent) <= LOW_BYTES and not stream.ended

    def log(self, text: str) -> None:
        """Write a line into the agent's log."""
        with contextlib.suppress(OSError):  # a full disk is told of where it matters
            os.write(self._log, f"{time.strftime('%H:%M:%S')} {text}\n".encode(errors="replace"))

    def _complain(self, why: str) -> None:
        """Say why the agent ends: to the master, into the log, and to whoever has started it."""
        self.log(why)
        if self._log != 2:
            with contextlib.suppress(OSError):
                os.write(2, f"taskflow agent of node {self.config.name}: {why}\n".encode(errors="replace"))
        if self.stream is not None and not self.stream.ended:
            self.stream.note("gone", why=why)

    def _clean_up(self) -> None:
        if self.transfers is not None:
            self.transfers.close()
        for relay in self.relays.values():
            self._kill(relay, "the agent ended")
            relay.handle.close()
        if self.elsewhere is not None:
            self.elsewhere.close()
        if self.node is not None:
            self.node.close()
        else:
            self._zygote.socket.close()
            self._zygote.process.kill()
            self._zygote.process.wait()
        if self.folders is not None:
            self.folders.remove(keep=self.config.keep)
        if self.stream is not None:
            self._say_the_rest(self.stream)
            self.stream.close()  # the master takes this for the sign that all is gone

    @staticmethod
    def _say_the_rest(stream: SecureStream) -> None:
        deadline = monotonic() + 1
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLOUT)
        while stream.unsent and not stream.ended and (left := deadline - monotonic()) > 0:
            poller.poll(left * 1000)
            stream.flush()


def main(line: str = "") -> None:
    """Read the configuration, which is on standard input if it is not given; live; leave no thread to wait for."""
    try:
        config = AgentConfig.read(line.encode() or sys.stdin.buffer.readline())
    except (ValueError, TypeError, KeyError) as error:
        sys.stderr.write(f"taskflow agent: the configuration cannot be used: {error}\n")
        sys.exit(2)
    code = Agent(config).run()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
