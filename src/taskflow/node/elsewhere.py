"""Starts programs of a task on the other nodes that the task has reserved, and sees to it that none survives it.

::

    first node                                                      another node
    mpirun ── launcher HOST command ──► Elsewhere ══ TLS, one ════► Elsewhere ──► /bin/sh -c command
              (its standard streams)                 connection                   (its standard streams)

The nodes that an attempt at a task has reserved are a *span*. The master tells the agent of each of them when it begins
and when it is over. Within a span every node may start programs on every other one: no keys of SSH are needed for that,
and no other way is open. One connection is one program. When it ends (the launcher was killed, the other agent is gone,
the network is cut, the span is over), all that the program has started is killed (see `node.processes`). A program that
ends well and leaves others behind, as the daemons of MPI do, keeps its connection until they or the span are gone.

The service is part of each agent; the master's machine has it in the process that serves its data (see `node.home`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shlex
import socket
import stat
import subprocess
import sys
import threading
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from taskflow.launch.spawn import MEMORY_VARIABLES, THREAD_VARIABLES, package_path
from taskflow.model.errors import TaskflowError
from taskflow.node import launcher, processes
from taskflow.node.environment import node_environment
from taskflow.node.exchange import Exchange
from taskflow.node.span import LAUNCHER_VARIABLE, PACKAGE_VARIABLE, PATH_VARIABLE, PYTHON_VARIABLE, SPAN_VARIABLE
from taskflow.wire.agent import NOTE, read_note
from taskflow.wire.secure import SecureStream
from taskflow.wire.security import HANDSHAKE_S, Hello

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from taskflow.data.connections import Address
    from taskflow.node.exchange import Frame

PROGRAM = "program"  #: the kind of connections (see `Hello`)

SOON_S = 10.0  #: a launcher may come before the master's word of its span; it is waited for so long
LOOK_S = 2.0  #: how often it is looked for what a program has left behind
OLD_SPANS = 1000  #: spans that are over and are remembered, for launchers that come too late
_REQUEST_BYTES = 64 << 20
_NODE_VARIABLES = frozenset(node_environment("", ""))


class RefusedError(TaskflowError):
    """A program is not started. The message says why."""


class LostError(RefusedError):
    """There is no way to another node, or not any more. Who has asked for a program there may wait for it for ever."""


class Span:
    """The nodes of one attempt at a task, by the names that its programs know them by."""

    def __init__(self, hosts: Mapping[str, Address]) -> None:
        self.hosts = hosts
        self.over = False
        self.streams: set[SecureStream] = set()  # one for each program that it has started here, or from here
        self.marks: set[str] = set()  # of the programs that have started others here

    def check(self, asking: int) -> None:
        """Raise RefusedError if a node is none of them."""
        if asking not in {number for _, _, number in self.hosts.values()}:
            raise RefusedError(f"node {asking} has no part in that task")

    def address_of(self, host: str) -> Address:
        """Where the agent of a host is. Raises RefusedError."""
        short = [name for name in self.hosts if name.partition(".")[0] == host.partition(".")[0]]
        name = host if host in self.hosts else short[0] if len(short) == 1 and not _is_address(host) else ""
        if not name:
            raise RefusedError(f"{host} is none of the nodes of this task, which are {', '.join(self.hosts)}")
        if not self.hosts[name][1]:
            raise RefusedError(
                f"programs on {host} cannot be started from other nodes: through a tunnel nothing leads to the machine "
                "of the main program. Let no tasks for several nodes run on it, or do without the tunnel"
            )
        return self.hosts[name]


class Elsewhere:
    """The service of one node. Any thread may call it.

    ``name``, ``number``: of the node; ``run_dir``: its folder; ``settings``: of its executors. ``dial`` connects to the
    agent at an address; ``timeout``: seconds of silence after which the other side of a connection counts as gone.
    """

    def __init__(
        self, name: str, number: int, settings: Mapping[str, Any], dial: Callable[[Address], ssl.SSLSocket],
        timeout: float, fallback: str,
    ) -> None:  # fmt: skip
        self.name = name
        self._number = number
        self._settings = settings
        self._run_dir = str(settings["run_dir"])
        self._dial = dial
        self._timeout = timeout
        self._changed = threading.Condition()
        self._spans: dict[str, Span] = {}
        self._over: dict[str, None] = {}
        self._count = 0
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._listener, path = _listen([self._run_dir, fallback])
        self.launcher = _write_launcher(self._run_dir, path)
        self._start(self._accept, "taskflow-launchers")

    def _start(self, body: Callable[..., None], name: str, *args: Any) -> None:
        def run() -> None:
            try:
                body(*args)
            finally:
                with self._changed:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._changed:
            self._threads.add(thread)
        thread.start()

    # ------------------------------------------------------------------ what the master says

    def hear(self, note: Mapping[str, Any]) -> None:
        """A note "span" or "span over" of the master."""
        if note["note"] == "span":
            hosts = {name: (str(host), int(port), int(number)) for name, (host, port, number) in note["hosts"].items()}
            with self._changed:
                self._spans[note["span"]] = Span(hosts)
                self._changed.notify_all()
        else:
            self._end(note["span"])

    def _end(self, name: str) -> None:
        with self._changed:
            span = self._spans.pop(name, None)
            self._over[name] = None
            while len(self._over) > OLD_SPANS:
                del self._over[next(iter(self._over))]
            self._changed.notify_all()
            if span is None:
                return
            span.over = True
            for stream in span.streams:
                _shut(stream)
        if span.marks:
            self._start(self._sweep, "taskflow-sweep", span)

    @staticmethod
    def _sweep(span: Span) -> None:
        for mark in span.marks:
            processes.end(mark, grace_s=0)

    def _await_span(self, name: str) -> Span:
        """A span of which the master may not have told us yet. Raises RefusedError."""
        with self._changed:
            self._changed.wait_for(lambda: name in self._spans or name in self._over or self._closed, SOON_S)
            span = self._spans.get(name)
            if span is None:
                state = "is over" if name in self._over else "is not known here"
                raise RefusedError(f"the task that asks for it {state} on node {self.name}")
            return span

    def _join(self, span: Span, stream: SecureStream) -> None:
        """From now on the connection ends with the span. Raises RefusedError."""
        with self._changed:
            if span.over or self._closed:
                raise RefusedError(f"the task that asks for it is over on node {self.name}")
            span.streams.add(stream)

    def close(self, patience: float = 2.0) -> None:
        """End everything, and return when it is gone, or after that many seconds."""
        with self._changed:
            self._closed = True
            names = list(self._spans)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for name in names:
            self._end(name)
        deadline = monotonic() + patience
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - monotonic()))

    # ------------------------------------------------------------------ programs from here

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if self._closed or error.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                    return
                threading.Event().wait(0.05)  # there are no descriptors left: who ends gives some back
                continue
            self._start(self._serve, "taskflow-launcher", client)

    def _serve(self, client: socket.socket) -> None:
        """What one launcher asks for, from the first to the last."""
        with client:
            try:
                client.settimeout(HANDSHAKE_S)
                host, command, cwd, environment, streams = _request(client)
            except OSError:
                return  # it was killed
            code = launcher.FAILED
            try:
                self._pass_on(client, host, command, cwd, environment, streams)
            except RefusedError as error:
                mark = environment.get(processes.VARIABLE, "").rpartition(":")[2]
                ends = isinstance(error, LostError) and mark
                _say(streams[2], f"taskflow: {error}{'; what waits for it here is ended' if ends else ''}")
                with contextlib.suppress(OSError):
                    client.send(bytes([code]))
                if ends:
                    processes.end(mark)
            finally:
                for file in streams:
                    with contextlib.suppress(OSError):
                        os.close(file)

    def _pass_on(
        self, client: socket.socket, host: str, command: str, cwd: str, environment: dict[str, str], streams: list[int]
    ) -> None:
        name = environment.get(SPAN_VARIABLE, "")
        if not name:
            raise RefusedError(f"nothing is started on {host}: this is no program of a task that has several nodes")
        span = self._await_span(name)
        where = span.address_of(host)
        try:
            stream = SecureStream(self._dial(where))
        except (OSError, TaskflowError) as error:
            raise LostError(
                f"nothing can be started on {host}: its agent cannot be reached from node {self.name} at {where[0]} "
                f"port {where[1]} ({error}). The nodes of a task have to reach each other; <MinPort> and <MaxPort> in "
                "project.xml say which ports are used"
            ) from None
        try:
            self._join(span, stream)
            stream.note("start", span=name, command=command, cwd=cwd, environment=_of_the_task(environment))
            self._carry(client, span, stream, host, command, streams)
        finally:
            stream.close()
            with self._changed:
                span.streams.discard(stream)

    def _carry(
        self, client: socket.socket, span: Span, stream: SecureStream, host: str, command: str, files: list[int]
    ) -> None:
        """Carry the streams of a launcher until the program has ended, and what it has left behind, too.

        Raises RefusedError if it could not be started, LostError if the way to it was cut.
        """
        exchange = Exchange(stream, self._timeout, sources={0: files[0]}, sinks={1: files[1], 2: files[2]})
        end: dict[str, Any] | None = None
        client_file = client.fileno()
        while not stream.ended:
            ready, notes = exchange.step([client_file] if end is None else [])
            for note in notes:
                if note["note"] == "failed":
                    raise RefusedError(f"{shlex.quote(command)[:200]} was not started on {host}: {note['why']}")
                end = note
            if ready:
                return  # the launcher was killed, and so is the program
            if end is not None and not exchange.busy:
                break
        if end is None:
            if span.over:
                raise RefusedError(f"the task is over, and so is what it has started on {host}")
            raise LostError(f"the connection to node {host} was lost ({stream.ended}), and what has been started there")
        with contextlib.suppress(OSError):  # it has just been killed
            client.send(bytes([end["code"]]))
        client.close()
        for number, file in enumerate(files[:]):  # a pipe that we hold open has no end for its reader
            if number < 2 or not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                files[number] = -1
        exchange.sources.clear()
        exchange.sinks.clear()
        left = bool(end["left"])
        while left and not stream.ended:
            _, notes = exchange.step([])
            left = not any(note["note"] == "gone" for note in notes)
        if left and not span.over:
            raise LostError(f"the connection to node {host} was lost ({stream.ended}), and what was left behind there")

    # ------------------------------------------------------------------ programs from elsewhere

    def admit(self, hello: Hello) -> str:
        """Whether a connection may come in: "" or why not. What it may start is seen when it says for which span."""
        return "" if hello.token == f"for node {self._number}" else "another node was meant"

    def enter(self, sock: ssl.SSLSocket, hello: Hello) -> None:
        """Start a program for a connection that has been admitted, in a thread of its own."""
        self._start(self._host, "taskflow-program", SecureStream(sock), hello.node)

    def _host(self, stream: SecureStream, asking: int) -> None:
        span: Span | None = None
        try:
            note, more = _first_note(stream)
            span = self._await_span(str(note["span"]))
            span.check(asking)
            self._join(span, stream)
            self._run(span, stream, note, more)
        except (RefusedError, OSError, KeyError) as error:
            why = f"{error.strerror}: {error.filename or ''}" if isinstance(error, OSError) else str(error)
            stream.note("failed", why=why)
            _let_read(stream)
        finally:
            stream.close()
            if span is not None:
                with self._changed:
                    span.streams.discard(stream)

    def _run(self, span: Span, stream: SecureStream, note: dict[str, Any], more: Sequence[Frame]) -> None:
        """Run a program until it has ended, and what it has left behind, too, or the connection has.

        ``more``: what came together with the note.
        """
        given = {str(name): str(value) for name, value in note["environment"].items()}
        with self._changed:
            self._count += 1
            mark = f"{processes.mark_of_owner(self._run_dir, os.getpid())}{self._count}/"
        asking = given.get(processes.VARIABLE, "").rpartition(":")[2]
        if asking:
            span.marks.add(asking)
        # By this folder the zygote sees that there may be something to be ended, if we cannot do it any more.
        os.makedirs(os.path.join(self._run_dir, processes.FOLDER), mode=0o700, exist_ok=True)
        process = subprocess.Popen(
            ["/bin/sh", "-c", str(note["command"])], cwd=self._folder(str(note["cwd"])),
            env=processes.marked(self._environment(given), mark), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        pipes = [_taken(pipe) for pipe in (process.stdin, process.stdout, process.stderr)]
        exchange = Exchange(stream, self._timeout, sources={1: pipes[1], 2: pipes[2]}, sinks={0: pipes[0]}, own=True)
        ended = os.eventfd(0, os.EFD_CLOEXEC)
        waiter = threading.Thread(target=_wait_for, args=[process, ended], name="taskflow-wait", daemon=True)
        waiter.start()
        left = True
        try:
            exchange.take(more)
            waited_for = [ended]
            while not stream.ended and (waited_for or exchange.sources):
                ready, _ = exchange.step(waited_for)
                if ready:
                    waited_for = []
                    waiter.join()
            if stream.ended:
                return
            code = process.returncode
            left = bool(processes.find(mark))
            stream.note("ended", code=code if code >= 0 else 128 - code, left=left)
            next_look = monotonic() + LOOK_S
            while not stream.ended:
                exchange.step([])
                if left and monotonic() > next_look:
                    next_look = monotonic() + LOOK_S
                    left = bool(processes.find(mark))
                    if not left:
                        stream.note("gone")
        finally:
            if left:
                processes.end(mark, process.pid, grace_s=0)
            waiter.join()
            os.close(ended)
            exchange.close()

    def _environment(self, given: dict[str, str]) -> dict[str, str]:
        """That of the executors here, and what the task has been given."""
        settings = self._settings
        path = [entry for entry in settings["path"] if not _is_installed(entry)]
        environment = {**dict.fromkeys(THREAD_VARIABLES, "1"), **MEMORY_VARIABLES, **os.environ}
        environment |= node_environment(settings["cwd"], settings["scratch"]) | given
        inherited = package_path().split(os.pathsep)
        search = os.pathsep.join(dict.fromkeys([*path, *inherited]))
        return environment | {
            "PYTHONPATH": search, PATH_VARIABLE: search, PACKAGE_VARIABLE: inherited[0],
            PYTHON_VARIABLE: sys.executable, "TASKFLOW_RUN_DIR": self._run_dir, LAUNCHER_VARIABLE: self.launcher,
        }  # fmt: skip

    def _folder(self, wanted: str) -> str:
        """Where a program begins: in the folder of who starts it, if that is here, too; else in one of our own."""
        if os.path.isdir(wanted) and os.access(wanted, os.X_OK):
            return wanted
        folder = os.path.join(self._settings["scratch"], "elsewhere")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return folder


# ---------------------------------------------------------------------- small things


def _listen(folders: Sequence[str]) -> tuple[socket.socket, str]:
    """A socket in the first of the folders whose disk has sockets, and its path."""
    problem: OSError | None = None
    for folder in folders:
        listener = socket.socket(socket.AF_UNIX)
        try:
            with contextlib.suppress(FileNotFoundError):  # of a process before us
                os.unlink(f"{folder}/launcher.sock")
            file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                listener.bind(f"/proc/self/fd/{file}/launcher.sock")  # the path itself may be too long for an address
            finally:
                os.close(file)
            listener.listen(128)
        except OSError as error:
            listener.close()
            problem = error
        else:
            return listener, f"{folder}/launcher.sock"
    raise TaskflowError(f"no socket for launchers can be made in {' or '.join(folders)}: {problem}")


def _write_launcher(folder: str, socket_path: str) -> str:
    """Write the program that is used like ssh. A script of the shell: paths of interpreters may be long."""
    path = f"{folder}/launcher"
    words = [os.path.realpath(sys.executable), "-I", "-S", os.path.abspath(launcher.__file__), socket_path]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    os.chmod(path, 0o700)
    return path


def _request(client: socket.socket) -> tuple[str, str, str, dict[str, str], list[int]]:
    """What a launcher says (see `node.launcher`): host, command, folder, environment, and its standard streams."""
    data, files, _, _ = socket.recv_fds(client, 4, 3)
    length = int.from_bytes(data, "big")
    body = bytearray()
    with contextlib.suppress(OSError):
        while len(body) < length <= _REQUEST_BYTES and (piece := client.recv(length - len(body))):
            body += piece
    if not length or len(body) < length or len(files) != 3:
        for file in files:
            os.close(file)
        raise ConnectionAbortedError("a launcher ended before it had said all")
    host, command, cwd, *environment = [os.fsdecode(bytes(part)) for part in body.split(b"\0")]
    variables = [entry.partition("=") for entry in environment]
    return host, command, cwd, {name: value for name, _, value in variables}, list(files)


def _of_the_task(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a task has been given, as far as they mean something on another node."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith("COMPSS_") and "BINDED" not in name and name not in _NODE_VARIABLES - _OF_ALL_NODES)
        or name in THREAD_VARIABLES
        or name in (SPAN_VARIABLE, processes.VARIABLE)
    }


#: Variables that every node has, and of which those of the task hold on all its nodes.
_OF_ALL_NODES = frozenset({"COMPSS_NUM_NODES", "COMPSS_HOSTNAMES", "COMPSS_NUM_THREADS"})


def _is_installed(entry: str) -> bool:
    """Whether the interpreter of this installation has an entry on its path by itself."""
    import sysconfig

    paths = sysconfig.get_paths()
    own = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return entry in own or os.path.dirname(entry) in own or entry.endswith(".zip")


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _first_note(stream: SecureStream) -> tuple[dict[str, Any], Sequence[Frame]]:
    """What is to be started, and what came after it. Raises RefusedError if it is not said soon."""
    deadline = monotonic() + HANDSHAKE_S
    poller = select.poll()
    poller.register(stream.fileno(), select.POLLIN)
    while not stream.ended and (left := deadline - monotonic()) > 0:
        frames = [(kind, number, bytes(data)) for kind, number, data in stream.receive()]
        for place, (kind, _, data) in enumerate(frames):
            if kind == NOTE:
                return read_note(data), frames[place + 1 :]
        poller.poll(left * 1000)
    raise RefusedError("it was not said what is to be started")


def _let_read(stream: SecureStream) -> None:
    """Wait until the other side, which has been told everything, closes the connection."""
    deadline = monotonic() + HANDSHAKE_S
    poller = select.poll()
    poller.register(stream.fileno(), select.POLLIN)
    while not stream.ended and (left := deadline - monotonic()) > 0:
        stream.flush()
        poller.poll(min(left, 0.1 if stream.unsent else left) * 1000)
        stream.receive()


def _shut(stream: SecureStream) -> None:
    """From another thread: whoever waits for this connection finds it at its end."""
    with contextlib.suppress(OSError, ValueError):
        socket.socket.shutdown(stream.socket, socket.SHUT_RDWR)


def _taken(pipe: IO[bytes] | None) -> int:
    """A descriptor of our own in place of a file that closes its own when it is forgotten."""
    assert pipe is not None
    with pipe:
        return os.dup(pipe.fileno())


def _wait_for(process: subprocess.Popen[bytes], ended: int) -> None:
    process.wait()
    os.eventfd_write(ended, 1)


def _say(file: int, text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(file, f"{text}\n".encode(errors="replace"))
