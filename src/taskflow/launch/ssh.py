"""Connections to nodes over SSH.

::

    Network ── reads the configuration once, keeps one connection to each jump host
      └─ connect ─► Connection ─┬─ run: a command there
                                └─ forward: a port there that leads to a port here

Whatever goes wrong raises SshError with a sentence for people: what happened to which host, the likely cause, what to
do. Nothing is ever asked, so no password is: keys come from files without a pass phrase and from the user's agent.
paramiko does the work; it is imported when the first connection is made.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
import socket
import subprocess
import threading
import time
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.launch.known_hosts import check, known_keys
from taskflow.launch.ssh_config import SSH_PORT, AwayError, Configuration, SshError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskflow.launch.ssh_config import Route
    from taskflow.model.cluster import NodeSetup

CONNECT_S = 20.0  #: for a host to answer at all, if the configuration says nothing
KEEP_ALIVE_S = 15  #: a connection on which nothing is said is kept known to what is in between
UNHEARD_MS = 30_000  #: what was sent is acknowledged within this time, or the connection is broken
LOOK_S = 1.0  #: paramiko's threads look so often whether they are to end
FAILED_S = 5.0  #: a jump host that could not be used is not tried again for so long: many may be waiting for it
TRIES = 4  #: a server that is overwhelmed by many at once hangs up on some of them
_WINDOW_BYTES = 4 << 20
_PIECE_BYTES = 1 << 16

_log = logging.getLogger("taskflow.ssh")
_log.addHandler(logging.NullHandler())


class Attempt:
    """One start of something on a node, by one thread, with a limit of time.

    ``stage``: what it is doing. Whatever it waits for can be cut off from outside by `abandon`.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.deadline = monotonic() + limit
        self.stage = "beginning"
        self.abandoned = False
        self._closers: list[Any] = []
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds for what takes a time-out: less than until the end, so that it can still say what it waited for."""
        return max(self.deadline - min(1.0, self.limit / 10) - monotonic(), 0.01)

    def owns(self, closer: Any) -> None:
        """Something to be called if the attempt is abandoned."""
        with self._lock:
            if not self.abandoned:
                self._closers.append(closer)
                return
        closer()
        raise SshError(self.too_late)

    def disowns(self, closer: Any) -> None:
        """It is not to be called any more."""
        with self._lock, contextlib.suppress(ValueError):
            self._closers.remove(closer)

    @contextlib.contextmanager
    def part(self) -> Iterator[Attempt]:
        """A part of it whose result may outlive it, within the same time."""
        part = Attempt(self.left)
        self.owns(part.abandon)
        try:
            yield part
        finally:
            self.disowns(part.abandon)

    def abandon(self) -> None:
        """The time is over: cut off what it waits for."""
        with self._lock:
            self.abandoned = True
            closers, self._closers = self._closers, []
        for closer in closers:
            with contextlib.suppress(Exception):  # it is only to end
                closer()

    @property
    def too_late(self) -> str:
        """For messages."""
        return f"it took longer than {self.limit:g} seconds; the last was {self.stage}"


class Connection:
    """An authenticated connection to a host. Any thread may use it."""

    def __init__(self, route: Route, transport: Any, via: Connection | None, home: str, proxy: Proxy | None) -> None:
        self.route = route
        self.transport = transport
        self.home = home  #: the address by which the host sees this machine, as far as that can be known
        self.users = 1  # how many connections go through it, and it itself
        self._via = via
        self._proxy = proxy
        self._forwards: dict[int, tuple[str, int]] = {}
        self._release: Any = None

    def __repr__(self) -> str:
        return f"<connection to {self.route.user}@{self.route.where}: {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return bool(self.transport.is_active())

    def run(self, command: str, attempt: Attempt) -> Any:
        """Start a command; the paramiko channel to it, with output and errors in one stream. Raises SshError."""
        import paramiko

        try:
            channel = self.transport.open_session(window_size=_WINDOW_BYTES, timeout=attempt.left)
            channel.set_combine_stderr(True)
            channel.exec_command(command)
        except paramiko.ChannelException as error:
            raise SshError(
                f"{self.route.where} lets {self.route.user} in, but refuses to run a command ({error.text}); its SSH"
                f" server may allow too few sessions (MaxSessions)"
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise SshError(f"{self.route.where} closed the connection when a command was to run: {error}") from error
        return channel

    def forward(self, port: int, host: str = "127.0.0.1") -> int:
        """A port on the node whose connections lead to a port here. Raises SshError if the server forbids that."""
        import paramiko

        try:
            there = int(self.transport.request_port_forward("127.0.0.1", 0, self._connected))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise SshError(
                f"the SSH server of {self.route.where} does not let a port be forwarded to this machine ({error});"
                f" --tunnel needs AllowTcpForwarding yes (or remote) in its sshd_config"
            ) from error
        self._forwards[there] = (host, port)
        return there

    def _connected(self, channel: Any, origin: Any, server: Any) -> None:  # noqa: ARG002  paramiko gives it
        """Somebody on the node connects to a forwarded port. In paramiko's thread, which must not wait."""
        target = self._forwards.get(server[1])
        if target is None:
            channel.close()
            return
        threading.Thread(target=_bridge, args=(channel, target), name="taskflow-forward", daemon=True).start()

    def close(self) -> None:
        """Close the connection; those to jump hosts are closed with the last that goes through them. Any thread."""
        if self._release is not None:
            self._release(self)
        else:
            self.shut()

    def shut(self) -> None:
        """Close it at once, whoever uses it."""
        _close(self.transport)
        if self._proxy is not None:
            self._proxy.close()
        if self._via is not None:
            self._via.close()

    def leave_to_parent(self) -> None:
        """In a forked child: close this process's copy of the socket. No lock is taken: who held it is not here."""
        if isinstance(self.transport.sock, socket.socket):
            self.transport.sock.close()
        if self._via is not None:
            self._via.leave_to_parent()


class Network:
    """Makes connections. ``config``: the file of ``--ssh-config``, "" for the user's own. Any thread may use it."""

    def __init__(self, config: str = "") -> None:
        self._configuration = Configuration(config)
        self._jumps: dict[tuple[Any, ...], _Jump] = {}
        self._lock = threading.Lock()

    def connect(self, setup: NodeSetup, attempt: Attempt) -> Connection:
        """Connect to a node. Raises SshError."""
        attempt.stage = "reading the SSH configuration"
        return self._connect(self._configuration.route(setup), attempt, ())

    def _connect(self, route: Route, attempt: Attempt, above: tuple[tuple[Any, ...], ...]) -> Connection:
        """``above``: the hosts that are reached through this one."""
        via = None
        jumps = [self._configuration.route_of_jump(spec) for spec in route.jumps]
        # As OpenSSH does: no host is reached through itself, which "Host *" with ProxyJump would ask for.
        jumps = [jump for jump in jumps if _place(jump) != _place(route) and _place(jump) not in above]
        chain = (*above, _place(route))
        for jump in jumps:
            via = self._jump(jump, via, attempt, chain)
        try:
            return self._reach(route, via, attempt)
        except BaseException:
            if via is not None:
                via.close()
            raise

    def _jump(
        self, route: Route, via: Connection | None, attempt: Attempt, above: tuple[tuple[Any, ...], ...]
    ) -> Connection:
        """The connection to a jump host, shared with all who go the same way. ``via``: ours, if it is not needed."""
        way = (*_way_to(via), _place(route))
        with self._lock:
            jump = self._jumps.setdefault(way, _Jump())
        with jump.lock:  # whoever comes second waits for the first
            known = jump.connection
            if known is not None and known.is_open:
                with self._lock:
                    known.users += 1
                if via is not None:
                    via.close()
                return known
            try:
                jump.check()
                attempt.stage = f"connecting to the jump host {route.where}"
                with attempt.part() as part:
                    made = self._reach(route, via, part) if via is not None else self._connect(route, part, above)
            except BaseException as error:
                if via is not None:
                    via.close()
                if not isinstance(error, SshError):
                    raise
                if monotonic() >= jump.failed + FAILED_S:
                    jump.failed, jump.problem = monotonic(), error
                raise _like(error, f"the jump host on the way to it cannot be used: {error}") from error
            made._release = self._leave  # noqa: SLF001  its own
            jump.connection = made
            return made

    def _leave(self, connection: Connection) -> None:
        """One that went through a jump host does not any more."""
        with self._lock:
            connection.users -= 1
            last = connection.users == 0
            if last:
                for jump in self._jumps.values():
                    if jump.connection is connection:
                        jump.connection = None
        if last:
            connection.shut()

    def _reach(self, route: Route, via: Connection | None, attempt: Attempt) -> Connection:
        """Connect and prove both sides, once more if the server hangs up before it has said a word."""
        for number in range(1, TRIES + 1):
            try:
                return self._reach_once(route, via, attempt)
            except _HungUpError as error:
                if number == TRIES or attempt.left < 1:
                    raise AwayError(str(error)) from error
                time.sleep(min(attempt.left, random.uniform(0.5, 1) * 0.2 * 2**number))  # noqa: S311  no secret
        raise AssertionError("unreachable")

    def _reach_once(self, route: Route, via: Connection | None, attempt: Attempt) -> Connection:
        sock, home, proxy = self._open(route, via, attempt)
        transport = None
        try:
            transport = _transport(sock, attempt)
            # Keys of kinds that paramiko cannot ask for say nothing about the one that it gets.
            kinds = {"ssh-rsa", *transport.get_security_options().key_types}
            known = [entry for entry in known_keys(route.known_hosts, route.known_as) if entry.kind in kinds]
            plain = known_keys(route.known_hosts, route.key_name.lower()) if route.port != SSH_PORT else []
            _prefer(transport, [entry.kind for entry in known or plain])
            _negotiate(route, transport, attempt, proxy)
            key = transport.get_remote_server_key()
            # As OpenSSH does: a key known for the host without a port is good for every port.
            if not any(entry.key == key.asbytes() and not entry.revoked for entry in plain):
                check(route, known, key.get_name(), key.asbytes())
            attempt.stage = f"proving who we are to {route.where}"
            _authenticate(route, transport, attempt)
        except BaseException:
            if transport is not None:
                _close(transport)
            sock.close()
            if proxy is not None:
                proxy.close()
            raise
        transport.set_keepalive(KEEP_ALIVE_S)
        sock.settimeout(LOOK_S)
        return Connection(route, transport, via, home, proxy)

    def _open(self, route: Route, via: Connection | None, attempt: Attempt) -> tuple[Any, str, Proxy | None]:
        """Something to send bytes to the host through, our address as seen from there, and the proxy in between."""
        import paramiko

        attempt.stage = f"connecting to {route.where}"
        if via is not None:
            try:
                channel = via.transport.open_channel(
                    "direct-tcpip", (route.host, route.port), ("127.0.0.1", 0), timeout=attempt.left
                )
            except paramiko.ChannelException as error:
                hint = (
                    "its SSH server forbids forwarding: AllowTcpForwarding yes (or local) in its sshd_config allows it"
                    if error.code == 1
                    else "check name and port, and that it can be reached from there"
                )
                raise SshError(
                    f"the jump host {via.route.where} cannot connect to {route.host} port {route.port}"
                    f" ({error.text}): {hint}"
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise SshError(f"the jump host {via.route.where} closed the connection: {error}") from error
            return channel, via.home, None
        if route.proxy:
            proxy = Proxy(route.proxy)
            attempt.owns(proxy.close)
            return proxy.socket, "", proxy
        sock = _connect_to(route, attempt)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
        return sock, str(sock.getsockname()[0]), None


class _Jump:
    """A jump host: the connection that all share, and the lock of who makes it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        self.failed = -FAILED_S
        self.problem = SshError()

    def check(self) -> None:
        """Raise SshError if it has just been tried in vain."""
        if monotonic() < self.failed + FAILED_S:
            raise _like(self.problem, str(self.problem))


def _like(error: SshError, text: str) -> SshError:
    """As the error, in other words: it passes if that one may."""
    return (AwayError if isinstance(error, AwayError) else SshError)(text)


class _HungUpError(AwayError):
    """The server closed the connection before it said anything: it may be overwhelmed for the moment."""


class Proxy:
    """The command of ``ProxyCommand``, whose input and output lead to the host."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.socket, far = socket.socketpair()
        self._said = os.memfd_create("taskflow-proxy", os.MFD_CLOEXEC)
        shell = os.environ.get("SHELL") or "/bin/sh"
        # The user's own command from the user's own configuration, which is written for the user's shell.
        self._process = subprocess.Popen(
            [shell, "-c", f"exec {command}"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=self._said,
            start_new_session=True,
        )
        far.close()

    @property
    def said(self) -> str:
        """The end of what it wrote on standard error."""
        size = os.fstat(self._said).st_size
        return os.pread(self._said, 1000, max(0, size - 1000)).decode(errors="replace").strip()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _place(route: Route) -> tuple[Any, ...]:
    return route.host, route.port, route.user


def _way_to(via: Connection | None) -> tuple[Any, ...]:
    return () if via is None else (id(via),)


def _close(transport: Any) -> None:
    """Close a transport at once: its thread may be waiting for the socket."""
    with contextlib.suppress(OSError, EOFError, AttributeError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()


def _connect_to(route: Route, attempt: Attempt) -> socket.socket:
    """A TCP connection. Raises SshError."""
    try:
        found = socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        named = "" if route.alias == route.host else f" (HostName of {route.alias} in the SSH configuration)"
        passes = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        raise (AwayError if passes else SshError)(
            f"the name {route.host!r}{named} cannot be resolved ({_reason(error)}): check the spelling, or give its"
            f" address with HostName in the SSH configuration"
        ) from error
    problems: list[OSError] = []
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(min(attempt.left, route.connect_timeout or CONNECT_S))
            attempt.owns(sock.close)
            sock.connect(address)
        except OSError as error:
            sock.close()
            problems.append(error)
        else:
            return sock
    last = problems[-1]
    if isinstance(last, TimeoutError) or last.errno in (errno.EHOSTUNREACH, errno.EHOSTDOWN):
        raise AwayError(
            f"{route.where} does not answer: the machine is off, the address is wrong, or a firewall drops what is"
            f" sent to it; try `ping {route.host}`"
        ) from last
    if isinstance(last, ConnectionRefusedError):
        raise AwayError(
            f"{route.where} refuses the connection: the machine is there, but no SSH server listens on that port;"
            f" start sshd, or give its port (Port in the SSH configuration)"
        ) from last
    raise AwayError(
        f"{route.where} cannot be reached: {_reason(last)}; check the address, and the network of this machine"
    ) from last


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _transport(sock: Any, attempt: Attempt) -> Any:
    import paramiko

    if not logging.getLogger("taskflow").isEnabledFor(5):
        _log.setLevel(logging.CRITICAL)  # what goes wrong is told by our errors; paramiko's log has tracebacks
    transport = paramiko.Transport(sock)
    attempt.owns(lambda: _close(transport))
    transport.set_log_channel(_log.name)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = attempt.left
    return transport


def _prefer(transport: Any, kinds: list[str]) -> None:
    """Ask for a kind of host key that is known: a host has several."""
    options = transport.get_security_options()
    wanted: list[str] = []
    for kind in kinds:
        wanted += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    there = list(options.key_types)
    first = [kind for kind in dict.fromkeys(wanted) if kind in there]
    options.key_types = [*first, *(kind for kind in there if kind not in first)]


def _negotiate(route: Route, transport: Any, attempt: Attempt, proxy: Proxy | None) -> None:
    """Agree on keys with the server. Raises SshError."""
    import paramiko

    attempt.stage = f"waiting for the SSH server of {route.where}"
    done = threading.Event()
    transport.start_client(event=done)
    finished = done.wait(min(attempt.left, route.connect_timeout or attempt.left))
    if finished and transport.is_active():
        return
    error = transport.get_exception()
    said = f"; the ProxyCommand {proxy.command!r} wrote: {proxy.said}" if proxy is not None and proxy.said else ""
    if not finished:
        raise SshError(
            f"{route.where} accepts connections, but its SSH server says nothing: it hangs or is overloaded, or"
            f" something else listens there{said}"
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        raise SshError(
            f"the SSH server of {route.where} and paramiko have no method in common ({error}); one of the two is too"
            f" old and should be updated"
        )
    text = str(error or "the connection was closed")
    if "Indecipherable" in text or "Invalid SSH banner" in text:
        raise SshError(f"what answers on {route.where} is no SSH server; check the port{said}")
    if not transport.remote_version:
        raise _HungUpError(
            f"{route.where} closes the connection before it says anything: its SSH server refuses this machine, or"
            f" more connections at once (MaxStartups, PerSourcePenalties in its sshd_config){said}"
        )
    raise SshError(f"the SSH server of {route.where} closed the connection while keys were agreed on: {text}{said}")


# ---------------------------------------------------------------------- who we are


def _authenticate(route: Route, transport: Any, attempt: Attempt) -> None:
    """Prove who we are with one key after the other. Raises SshError that names all that were tried."""
    agent = _agent(attempt) if route.agent else None
    try:
        _try_keys(route, transport, agent)
    finally:
        if agent is not None:
            attempt.disowns(agent.close)
            agent.close()


def _try_keys(route: Route, transport: Any, agent: Any) -> None:
    import paramiko

    tried: list[str] = []
    useless: list[str] = []
    for label, key in _keys(route, useless, agent):
        tried.append(label)
        try:
            missing = transport.auth_publickey(route.user, key)
        except paramiko.BadAuthenticationType as error:
            methods = ", ".join(error.allowed_types)
            raise SshError(
                f"{route.where} does not accept keys from {route.user}, only {methods}; taskflow asks for no passwords:"
                f" allow PubkeyAuthentication in its sshd_config"
            ) from error
        except paramiko.AuthenticationException as error:
            if transport.is_active():
                continue
            raise SshError(_hung_up(route, tried)) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if transport.is_active():
                useless.append(f"{label}: {error}")
                continue
            raise SshError(_hung_up(route, tried)) from error
        if not missing:
            return
        raise SshError(
            f"{route.where} wants more than a key from {route.user} ({', '.join(missing)}), which nobody is asked for;"
            f" connect in a way that does not need it (AuthenticationMethods in its sshd_config)"
        )
    notes = f" Not usable: {'; '.join(useless)}." if useless else ""
    if not tried:
        raise SshError(
            f"there is no key to prove to {route.where} that we are {route.user}.{notes} Make one with `ssh-keygen -t"
            f" ed25519`, and take it there with `{_copy_id(route)}`"
        )
    raise SshError(
        f"{route.where} does not let {route.user} in with any of these keys: {', '.join(tried)}.{notes} Is {route.user}"
        f" the right user (User in the SSH configuration)? `{_copy_id(route)}` takes a key there; on the host, the"
        f" home folder, ~/.ssh and ~/.ssh/authorized_keys must not be writable for others"
    )


def _hung_up(route: Route, tried: list[str]) -> str:
    return (
        f"{route.where} hung up after {len(tried)} key{'s' * (len(tried) != 1)} ({', '.join(tried)}); if these are too"
        f" many for it, name the right one with IdentityFile, and IdentitiesOnly yes, in the SSH configuration"
    )


def _copy_id(route: Route) -> str:
    port = "" if route.port == SSH_PORT else f"-p {route.port} "
    return f"ssh-copy-id {port}{route.user}@{route.host}"


def _keys(route: Route, useless: list[str], agent: Any) -> Iterator[tuple[str, Any]]:
    """Keys to try, as OpenSSH orders them: the agent's that are named, its others, those in files.

    ``useless`` gets a line for each that cannot be used and that the user may be counting on.
    """
    held = {} if agent is None else {key.asbytes(): key for key in agent.get_keys()}
    public = {file: _public(file) for file in route.identities}
    for file in route.identities:
        key = held.pop(public[file], None) if public[file] else None
        if key is not None:
            yield f"{file} (from the agent)", key
            public[file] = b""
    if not route.only:
        for key in held.values():
            yield f"{key.comment or key.get_name()} (from the agent)", key
    for file, half in public.items():
        if half != b"":
            problem, key = _load(file)
            if key is not None:
                yield file, key
            elif problem and (route.named or problem != "there is no such file"):
                useless.append(f"{file}: {problem}")


def _agent(attempt: Attempt) -> Any:
    """The user's agent, None if there is none, or none that answers: the files are still there."""
    import paramiko

    if not os.environ.get("SSH_AUTH_SOCK"):
        return None
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError, EOFError):
        return None
    attempt.owns(agent.close)
    return agent


def _public(file: str) -> bytes | None:
    """The public half next to a private key, by which the agent's copy is found; None if there is none."""
    import base64

    try:
        with open(file if file.endswith(".pub") else f"{file}.pub", encoding="utf-8") as stream:
            return base64.b64decode(stream.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _load(file: str) -> tuple[str, Any]:
    """("", key) of a file, or (why it cannot be used, None)."""
    import paramiko

    try:
        mode = os.stat(file).st_mode
        if mode & 0o077 and os.stat(file).st_uid == os.getuid():
            return f"others can read it, so it is not used; `chmod 600 {file}`", None
        return "", paramiko.PKey.from_path(file)
    except FileNotFoundError:
        return "there is no such file", None
    except OSError as error:
        return f"cannot be read ({_reason(error)})", None
    except paramiko.PasswordRequiredException:
        return f"is locked with a pass phrase; `ssh-add {file}` gives it to the agent", None
    except TypeError as error:  # as cryptography says it
        if "password" in str(error).lower():
            return f"is locked with a pass phrase; `ssh-add {file}` gives it to the agent", None
        return f"is no private key ({error})", None
    except Exception as error:  # noqa: BLE001  paramiko and cryptography raise many kinds for a damaged file
        return f"is no private key that can be read ({str(error) or type(error).__name__})", None


# ---------------------------------------------------------------------- forwarding


def _bridge(channel: Any, target: tuple[str, int]) -> None:
    """Carry bytes both ways between a channel and a port here until one side ends."""
    try:
        sock = socket.create_connection(target, timeout=10)
    except OSError as error:
        _log.warning("port %s, to which a node's connection leads: %s", target[1], error)
        _close_channel(channel)
        return
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outward = threading.Thread(target=_pump, args=(sock, channel), name="taskflow-forward-out", daemon=True)
    outward.start()
    _pump(channel, sock)
    outward.join()
    _close_channel(channel)
    sock.close()


def _close_channel(channel: Any) -> None:
    with contextlib.suppress(OSError, EOFError):  # the connection it belongs to may have ended first
        channel.close()


def _pump(source: Any, sink: Any) -> None:
    """From one to the other until it ends or the other does; then neither waits for the other any more."""
    try:
        while data := source.recv(_PIECE_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except (OSError, EOFError):
        for each in (source, sink):
            with contextlib.suppress(OSError, EOFError):
                each.shutdown(socket.SHUT_RDWR)
