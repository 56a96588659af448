"""Starts agents on nodes over SSH, and whatever else is to run there once.

::

    main program                               node
    SSH: exec sh -c … ───────────────────────► sets the environment, finds a Python, becomes it
    standard input: `bootstrap`'s text ──────► runs it
        header, with the agent's configuration
        ◄──────────────── what archives it needs
        the archives ────────────────────────► kept by their hashes; becomes the agent
        stays open ──────────────────────────► its end tells the agent that the main program is gone

Nothing but Python 3.10 has to be there. What is secret travels on standard input only; a command line can be read by
everybody on the node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.abc
import importlib.util
import json
import os
import queue
import secrets
import shlex
import socket
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from taskflow.launch import bundle
from taskflow.launch.ssh import Attempt, Network
from taskflow.launch.ssh_config import AwayError, SshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.launch.bundle import Archive
    from taskflow.launch.ssh import Connection
    from taskflow.model.cluster import NodeSetup
    from taskflow.wire.agent import AgentConfig

START_S = 40.0  #: longest that it may take to connect to a node and to start an agent there
SLOWEST_BYTES_S = 100_000  #: what has to be sent gets more time, at this rate
LATER_S = 5.0  #: how long a process is given to end by itself
SAID_BYTES = 4096  #: so much of what a process writes is kept
MOST_AT_ONCE = 128  #: nodes that are being connected to
OLDEST = (3, 10)

_BROKEN = "was left alone: the SSH connection to it has broken"

T = TypeVar("T")

#: Runs the text on standard input up to a line "#", reading not a byte more. No character in it means anything to sh,
#: csh or fish.
_LOADER = (
    'import itertools as i;f=open(0,"rb",0,closefd=False);exec(b"".join(i.takewhile(b"#\\n".__ne__,f)),'
    '{"__name__":"__main__"})'
)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A node on which it could not be done. ``why``: a sentence for people. ``passes``: it may be otherwise soon."""

    setup: NodeSetup
    why: str
    passes: bool = False


class _Action(Generic[T]):
    """What is done for one node, in a thread of its own that may be given up."""

    def __init__(self, setup: NodeSetup, action: Callable[[NodeSetup, Attempt], T], limit: float) -> None:
        self.setup = setup
        self.action = action
        self.attempt = Attempt(limit)
        self.result: T | Failure | None = None
        self.done = threading.Event()
        threading.Thread(target=self._run, name=f"taskflow-ssh-{setup.name}", daemon=True).start()

    def _run(self) -> None:
        result: T | Failure
        try:
            result = self.action(self.setup, self.attempt)
        except SshError as error:
            result = Failure(self.setup, str(error), isinstance(error, AwayError))
        except Exception as error:  # noqa: BLE001  a fault of ours must not pass for a node that says nothing
            result = Failure(self.setup, f"{type(error).__name__}: {error}")
        if self.attempt.abandoned and not isinstance(result, Failure):
            close = getattr(result, "close", None)
            if close is not None:
                close()
        self.result = result
        self.done.set()

    def outcome(self) -> T | Failure:
        """Wait for the end, but no longer than there is time."""
        while not self.done.wait(max(self.attempt.deadline - monotonic(), 0.01)):
            if monotonic() >= self.attempt.deadline:  # it may have been put off
                self.attempt.abandon()
                self.done.wait(0.2)  # it may have been just done
                break
        if self.result is None or (self.attempt.abandoned and isinstance(self.result, Failure)):
            return Failure(self.setup, self.attempt.too_late, passes=True)
        return self.result


def on_each(
    setups: Sequence[NodeSetup], action: Callable[[NodeSetup, Attempt], T], limit: float = START_S
) -> list[T | Failure]:
    """Do something for all nodes at once, and give what came of each, in their order. None can hold up the others.

    ``limit``: seconds for each; it counts from its start, and at most `MOST_AT_ONCE` are under way.
    """
    results: list[T | Failure | None] = [None] * len(setups)
    numbers = iter(range(len(setups)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            results[number] = _Action(setups[number], action, limit).outcome()

    if len(setups) == 1:
        work()
    else:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(len(setups), MOST_AT_ONCE))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [result for result in results if result is not None]


class RemoteProcess:
    """A process on a node that was started with `bootstrap`. Any thread may use it.

    ``python``, ``executable``, ``pid``: of its interpreter.
    """

    def __init__(self, connection: Connection, channel: Any, mark: str) -> None:
        self.connection = connection
        self.python = ""
        self.executable = ""
        self.pid = 0
        self._channel = channel
        self._mark = mark.encode()
        self._said = b""
        self._how = ""
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._read, name="taskflow-ssh-output", daemon=True).start()

    def __repr__(self) -> str:
        return f"<process {self.pid} on {self.connection.route.where}: {self.ended() or 'runs'}>"

    @property
    def said(self) -> str:
        """The end of what it has written."""
        return self._said.decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Write to its standard input. Raises SshError if it has ended."""
        try:
            self._channel.sendall(data)
        except (OSError, EOFError) as error:
            raise SshError(f"{self.connection.route.where}: the process there ended: {self._last_words()}") from error

    def message(self, attempt: Attempt) -> dict[str, Any]:
        """What it tells us next. Raises SshError if that is a failure, or its end."""
        try:
            message = self._messages.get(timeout=attempt.left)
        except queue.Empty:
            raise SshError(attempt.too_late) from None
        if message is None:
            raise SshError(
                f"{self.connection.route.where}: nothing can be started there, the process {self.ended()};"
                f" {self._last_words()}"
            )
        return message

    def _last_words(self) -> str:
        said = self.said.strip()
        return f"it wrote: {said}" if said else "it wrote nothing"

    def _read(self) -> None:
        """Body of the thread that reads all it writes: our messages, and the rest, which is for people."""
        rest = b""
        try:
            while data := self._channel.recv(1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line + b"\n")
                if len(rest) > SAID_BYTES and self._mark not in rest:
                    self._take(rest)
                    rest = b""
        except (OSError, EOFError):
            pass  # `ended` tells what happened
        if rest:
            self._take(rest)
        self._channel.status_event.wait(1.0)  # it comes right after the end of the output
        if self._channel.exit_status != -1:
            self._how = f"exited with code {self._channel.exit_status}"
        else:
            self.connection.transport.join(0.3)  # if the connection has broken, its thread is just ending
            self._how = "was killed" if self.connection.is_open else _BROKEN
        self._ended.set()
        self._messages.put(None)

    def _take(self, line: bytes) -> None:
        before, mark, text = line.partition(self._mark)
        message = _message(text.decode(errors="replace").strip()) if mark else None
        if message is not None:
            self._messages.put(message)
            line = before
        self._said = (self._said + line)[-SAID_BYTES:]

    def ended(self) -> str:
        """How it ended; "" while it lives, as far as that is known."""
        if self._ended.is_set():
            return self._how
        return "" if self.connection.is_open else _BROKEN

    def wait(self, timeout: float) -> bool:
        """Wait for its end; whether it has ended."""
        return self._ended.wait(timeout)

    def forward(self, port: int, host: str = "127.0.0.1") -> int:
        """A port on the node whose connections lead to a port here. Raises SshError if that is forbidden there."""
        return self.connection.forward(port, host)

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: let go of the connection, which is the parent's."""
        self.connection.leave_to_parent()

    def close(self, patience: float = LATER_S) -> None:
        """It is not wanted any more: the end of its input tells it so, and if it does not end, it is killed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()
        if self.connection.is_open and not self._ended.wait(patience) and self.pid:
            with contextlib.suppress(SshError):  # the connection has broken: its silence ends the process
                self.connection.run(f"kill -9 {self.pid}", Attempt(patience))
                self._ended.wait(patience)
        self.connection.close()


def _message(text: str) -> dict[str, Any] | None:
    """What stands behind a mark: JSON from Python, words from the shell. None: something quotes our command."""
    what, _, detail = text.partition(" ")
    if what in _OF_THE_SCRIPT:
        return {"shell": what, "detail": detail}
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


#: What `_script` may say.
_OF_THE_SCRIPT = ("unreadable", "script-exit", "script-failed", "none")


@dataclasses.dataclass(frozen=True)
class Errand:
    """What is to run on a node: ``module:function`` called with a text, and the archives it needs.

    The word ``given`` in the text is replaced by the path of the program's archive. ``folders``: (what names it, path)
    of each folder that has to be there. ``title``: is shown in lists of processes. ``mark``: begins the lines that
    `RemoteProcess.message` is to give.
    """

    entry: str
    config: str
    archives: tuple[Archive, ...]
    given: str = "given"
    folders: tuple[tuple[str, str], ...] = ()
    title: str = ""
    functions: bool = False  # functions of the main program will be sent there
    mark: str = dataclasses.field(default_factory=lambda: f"taskflow-{secrets.token_hex(8)}")


def start(connection: Connection, setup: NodeSetup, errand: Errand, attempt: Attempt) -> RemoteProcess:
    """Start a process on a node. Raises SshError; the connection is closed then."""
    mark = errand.mark
    process = None
    try:
        attempt.stage = f"starting Python on {connection.route.where}"
        process = RemoteProcess(connection, connection.run(command(setup, errand), attempt), mark)
        header = {
            "mark": mark, "archives": [{"kind": each.kind, "digest": each.digest} for each in errand.archives],
            "working_dir": setup.working_dir, "folders": errand.folders, "entry": errand.entry,
            "config": errand.config, "given": errand.given,
        }  # fmt: skip
        with contextlib.suppress(SshError):  # what it has said before it ended is worth more
            process.write(_bootstrap() + b"\nmain()\n#\n" + json.dumps(header).encode() + b"\n")
        first = _heard(process, setup, attempt)
        process.python, process.executable, process.pid = first["python"], first["executable"], first["pid"]
        if errand.functions:
            _check_version(process)
        for archive in errand.archives:
            if archive.kind in first["needs"]:
                data = archive.pack()
                attempt.deadline += len(data) / SLOWEST_BYTES_S
                attempt.stage = f"sending the program's modules to {connection.route.where}"
                with contextlib.suppress(SshError):  # as above
                    process.write(b"%d\n" % len(data) + data)
        attempt.stage = f"starting the agent on {connection.route.where}"
        _heard(process, setup, attempt)
    except BaseException:
        if process is not None:
            process.close()
        else:
            connection.close()
        raise
    return process


def _heard(process: RemoteProcess, setup: NodeSetup, attempt: Attempt) -> dict[str, Any]:
    """The next message, if it is a good one. Raises SshError."""
    message = process.message(attempt)
    where = process.connection.route.where
    if "failed" in message:
        trace = f"\n{message['trace'].rstrip()}" if "trace" in message else ""
        raise SshError(f"{where}: {message['failed']}{trace}")
    if "shell" not in message:
        return message
    script, detail = setup.environment_script, message["detail"]
    process.wait(LATER_S)  # it ends now; what it wrote may come after what it told us
    said = process.said.strip()
    wrote = f"; it wrote: {said}" if said else ""
    what = message["shell"]
    if what == "unreadable":
        raise SshError(f"{where}: EnvironmentScript names {script}, which cannot be read there")
    if what == "script-exit":
        raise SshError(f"{where}: the EnvironmentScript {script} calls exit; let it use return instead{wrote}")
    if what == "script-failed":
        raise SshError(f"{where}: the EnvironmentScript {script} ended with exit code {detail}{wrote}")
    oldest = ".".join(map(str, OLDEST))
    if setup.interpreter:
        found = detail.partition(" (")[2].removesuffix(")")
        state = "is not there, or cannot be run"
        if found:
            state = f"is {found}" if found[:1].isdigit() else found[:SAID_BYTES]
        raise SshError(
            f"{where}: PythonInterpreter names {setup.interpreter}, which {state}; name a Python {oldest} or newer of"
            f" that node"
        )
    found = f"there are only {detail}" if detail else "there is none on the PATH"
    raise SshError(
        f"{where}: taskflow needs Python {oldest} or newer, and {found}; install one, or say where it is with"
        f" <PythonInterpreter> in project.xml"
    )


def _bootstrap() -> bytes:
    spec = importlib.util.find_spec("taskflow.launch.bootstrap")
    assert spec is not None
    assert isinstance(spec.loader, importlib.abc.InspectLoader)
    source = spec.loader.get_source(spec.name)
    assert source is not None
    return source.encode()


# ---------------------------------------------------------------------- the command line


def command(setup: NodeSetup, errand: Errand) -> str:
    """What the node's login shell, whichever it is, is given: one line, every word quoted."""
    shell = "bash" if setup.environment_script else "sh"
    locale = [f"{name}={value}" for name, value in sorted(os.environ.items()) if _is_locale(name)]
    words = ["exec", "env", *locale, shell, "-c", _script(setup, errand)]
    return " ".join(shlex.quote(word) for word in words)


def _is_locale(name: str) -> bool:
    return name in ("LANG", "LANGUAGE") or name.startswith("LC_")


def _script(setup: NodeSetup, errand: Errand) -> str:
    mark = errand.mark
    parts = ["old=$(command -v python3)"]
    if setup.environment_script:
        path = setup.environment_script
        script = _there(path if path.startswith(("/", "~/")) else f"~/{path}")
        parts += [
            f"if [ -r {script} ]; then :; else echo {mark} unreadable; exit 3; fi",
            f"trap 'echo {mark} script-exit' EXIT",
            f". {script} </dev/null >&2 || {{ code=$?; trap - EXIT; echo {mark} script-failed $code; exit 3; }}",
            "trap - EXIT; set +eu",
        ]
    for variable, folders in (
        ("PYTHONPATH", setup.pythonpath), ("LD_LIBRARY_PATH", setup.library_path), ("CLASSPATH", setup.classpath),
    ):  # fmt: skip
        if folders:
            value = ":".join(_there(folder) for folder in folders)
            parts.append(f"{variable}={value}${{{variable}:+:${variable}}}; export {variable}")
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    become = f"-c {shlex.quote(_LOADER)} taskflow {shlex.quote(errand.title)}"
    # Functions of the main script travel as the bytecode of this version, so others come second.
    if setup.interpreter:
        candidates = [_there(setup.interpreter)]
    else:
        names = [sys.executable, f"python{own}", "python3", *(f"python3.{minor}" for minor in range(16, 9, -1))]
        candidates = [shlex.quote(name) for name in names]
    if setup.environment_script and not setup.interpreter:
        # A script that brings a Python of its own is obeyed.
        parts.append('if [ "$(command -v python3)" = "$old" ]; then first=; else first=python3; fi')
    else:
        parts.append("first=")
    try_each = [
        'f=$(command -v "$p") || continue',
        'why=; v=$("$p" -ESc "import sys; print(sys.version.split()[0])" 2>/dev/null </dev/null) || v=',
        'if [ -z "$v" ]; then why=$("$p" -ESc "" 2>&1 </dev/null); why=$(set -f; echo $why); fi',  # in one line
        f'case $v in {own}.*) exec "$p" {become};; 3.1[0-9].*|3.[2-9][0-9].*) [ -n "$spare" ] || spare=$p;; esac',
        'case $tried in *"$f "*) ;; *) tried="${tried:+$tried, }$f (${v:-does not work${why:+: $why}})";; esac',
    ]
    parts += [
        f"tried=; spare=; for p in $first {' '.join(candidates)}; do {'; '.join(try_each)}; done",
        f'if [ -n "$spare" ]; then exec "$spare" {become}; fi; echo {mark} none "$tried"; exit 127',
    ]
    return "; ".join(parts)


def _there(path: str) -> str:
    """A path on the node, quoted."""
    return '"$HOME"' + shlex.quote(path[1:]) if path.startswith("~/") else shlex.quote(path)


# ---------------------------------------------------------------------- agents


class Launcher:
    """Starts the agents of a run. Any thread may call it; calls for several nodes run side by side.

    ``config``: the file of ``--ssh-config``. ``tunnel``: agents connect through SSH. ``home_disks``: (name of a shared
    disk, where it is mounted here). ``warn`` is told what a limit has cut off of the program's modules, once.
    """

    def __init__(
        self, config: str = "", *, tunnel: bool = False, listen: str = "",
        home_disks: Sequence[tuple[str, str]] = (), warn: Callable[[str], None] | None = None, limit: float = START_S,
    ) -> None:  # fmt: skip
        self._config = config
        self._tunnel = tunnel
        self._listen = listen
        self._home_disks = dict(home_disks)
        self._warn = warn or (lambda _: None)
        self._limit = limit
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._package: Archive | None = None
        self._programs: dict[tuple[str, ...], Archive] = {}

    def __call__(self, setup: NodeSetup, config_of: Callable[[str, int], AgentConfig]) -> RemoteProcess:
        """Start the agent of a node; ``config_of`` gets host and port (0: the usual one) of home as seen from there.

        Raises SshError.
        """
        (result,) = on_each([setup], lambda setup, attempt: self._start(setup, config_of, attempt), self._limit)
        if isinstance(result, Failure):
            raise (AwayError if result.passes else SshError)(result.why)
        return result

    @property
    def network(self) -> Network:
        """The connections, made when first needed. Raises SshError if the configuration cannot be read."""
        with self._lock:
            if self._network is None:
                self._network = Network(self._config)
            return self._network

    def package(self) -> Archive:
        """The archive that every node needs."""
        with self._lock:
            if self._package is None:
                self._package = bundle.package_archive()
            return self._package

    def _start(self, setup: NodeSetup, config_of: Callable[[str, int], AgentConfig], attempt: Attempt) -> RemoteProcess:
        connection = self.network.connect(setup, attempt)
        try:
            errand = self._errand(setup, connection, config_of)
        except BaseException:
            connection.close()
            raise
        return start(connection, setup, errand, attempt)

    def _errand(self, setup: NodeSetup, connection: Connection, config_of: Callable[[str, int], AgentConfig]) -> Errand:
        if self._tunnel:
            usual = config_of("127.0.0.1", 0).addresses[0][1]
            config = config_of("127.0.0.1", connection.forward(usual, self._listen or "127.0.0.1"))
        else:
            config = config_of(connection.home or own_address(), 0)
        archives = [self.package()]
        path = list(setup.pythonpath)
        folders: list[tuple[str, str]] = []
        roots = bundle.program_roots(entry for entry in config.path if entry not in setup.pythonpath)
        archive = ""
        there: dict[str, str] = {}
        if setup.app_dir:
            path.append(setup.app_dir)
            there = dict.fromkeys(roots[:1], setup.app_dir)
            folders.append(("AppDir", setup.app_dir))
        else:
            there.update({root: _on_shared_disk(root, self._home_disks, dict(setup.disks)) for root in roots})
            sent = [root for root in roots if not there[root]]
            if sent:
                program = self._program(tuple(sent))
                archives.append(program)
                archive = "given"
                there.update({root: f"app/{inside}" for root, inside in zip(sent, program.roots, strict=True)})
            path += [there[root] for root in roots]
        given = secrets.token_hex(8)
        config = dataclasses.replace(
            config, path=path, roots=there, program=archive and given,
            cwd=_on_shared_disk(config.cwd, self._home_disks, dict(setup.disks)) or config.cwd,
            environment={name: value for name, value in config.environment.items() if name not in _OF_THE_SHELL},
        )  # fmt: skip
        title = f"agent of {setup.name} in run {config.run}"
        text = config.pack().decode()
        return Errand("taskflow.node.agent:main", text, tuple(archives), given, tuple(folders), title, functions=True)

    def _program(self, roots: tuple[str, ...]) -> Archive:
        with self._lock:
            program = self._programs.get(roots)
            if program is not None:
                return program
            program = self._programs[roots] = bundle.program_archive(roots)
        for sentence in program.left_out:
            self._warn(sentence)
        return program


#: Variables that the command line has set, as additions to what was there.
_OF_THE_SHELL = ("LD_LIBRARY_PATH", "CLASSPATH")


def _check_version(process: RemoteProcess) -> None:
    """Before anything that is the program's is sent. Raises SshError."""
    problem = version_problem(process)
    if problem:
        raise SshError(f"{process.connection.route.where}: {problem}")


def version_problem(process: RemoteProcess) -> str:
    """Why functions cannot travel between the interpreters here and there; "" if they can."""
    if _minor(process.python) == sys.version_info[:2]:
        return ""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (
        f"{process.executable} is Python {process.python}, and the main program runs on {sys.version.split()[0]};"
        f" functions cannot travel between two such versions: install Python {own} there, or name one with"
        f" <PythonInterpreter> in project.xml"
    )


def _minor(version: str) -> tuple[int, ...]:
    return tuple([int(number) for number in version.split(".")[:2]])


def _on_shared_disk(path: str, here: dict[str, str], there: dict[str, str]) -> str:
    """Where a path of this machine is on the node, through a disk that both have; "" if it is on none."""
    for disk, mount in here.items():
        if disk in there and f"{path}/".startswith(f"{mount.rstrip('/')}/"):
            return f"{there[disk].rstrip('/')}{path[len(mount.rstrip('/')) :]}"
    return ""


def own_address() -> str:
    """A name of this machine, when all that is known of the way to the node is a command."""
    return socket.getfqdn()
