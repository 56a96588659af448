"""How a host is reached: what the user's SSH configuration says of it, and what the description of the node says."""

from __future__ import annotations

import dataclasses
import getpass
import glob
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import TaskflowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.model.cluster import NodeSetup

SSH_PORT = 22
DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
MOST_INCLUDES = 16  #: files that include each other, one inside the other
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?")


class SshError(TaskflowError):
    """A node cannot be reached, or nothing can be started there. The message is for people: what, why, what to do."""


class AwayError(SshError):
    """A node cannot be reached now. That may pass: it, or its SSH server, may be just starting."""


@dataclasses.dataclass(frozen=True)
class Route:
    """How to reach a host.

    ``alias``: what the user calls it; ``host``, ``port``, ``user``: whom to connect to. ``key_name``: under which name
    its key is looked up. ``identities``: files with private keys to try; ``named``: the user has named them, so it is
    worth a word if one is missing; ``only``: no other keys than these; ``agent``: ask the user's agent for keys.
    ``known_hosts``: files with keys of hosts; the first is the one to add keys to. ``jumps``: the hosts to go through,
    one after the other; or ``proxy``: the command whose input and output lead there.
    """

    alias: str
    host: str
    port: int
    user: str
    key_name: str
    identities: tuple[str, ...]
    named: bool
    only: bool
    agent: bool
    known_hosts: tuple[str, ...]
    jumps: tuple[str, ...]
    proxy: str
    connect_timeout: float | None

    @property
    def where(self) -> str:
        """For messages."""
        known_as = "" if self.alias == self.host else f"{self.alias}, which is "
        return f"{known_as}{self.host} port {self.port}"

    @property
    def known_as(self) -> str:
        """Its name in files of known hosts."""
        name = self.key_name.lower()
        return name if self.port == SSH_PORT else f"[{name}]:{self.port}"

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes two connections to a jump host the same."""
        return self.host, self.port, self.user, self.jumps, self.proxy


class Configuration:
    """The user's SSH configuration: ``file``, or if that is "" ``~/.ssh/config`` and then the system's.

    Raises SshError if it cannot be read.
    """

    def __init__(self, file: str = "") -> None:
        import paramiko

        self.file = file
        self._config = paramiko.SSHConfig()
        if file:
            if not os.path.exists(os.path.expanduser(file)):
                raise SshError(f"the SSH configuration {file} does not exist; --ssh-config names it")
            files = [os.path.expanduser(file)]
        else:
            found = (os.path.expanduser("~/.ssh/config"), "/etc/ssh/ssh_config")
            files = [name for name in found if os.path.exists(name)]
        for name in files:
            lines = _lines_of(name, 0)
            try:
                self._config.parse(lines)
            except Exception as error:  # paramiko raises its own errors, ValueError, IndexError...
                raise SshError(f"the SSH configuration {name} cannot be understood: {error}") from error

    def route(self, setup: NodeSetup) -> Route:
        """How to reach a node. Raises SshError for a configuration that makes no sense."""
        route = self._route(setup.host, setup.user, setup.port)
        if setup.identities:
            files = tuple([os.path.expanduser(name) for name in setup.identities])
            route = dataclasses.replace(route, identities=files, named=True, only=True)
        if setup.known_hosts:
            files = (os.path.expanduser(setup.known_hosts), *SYSTEM_KNOWN_HOSTS)
            route = dataclasses.replace(route, known_hosts=files)
        return route

    def route_of_jump(self, spec: str) -> Route:
        """How to reach a host that ``ProxyJump`` names: ``[user@]host[:port]``. Raises SshError."""
        found = _JUMP.fullmatch(spec.strip())
        if found is None:
            raise SshError(f"ProxyJump names {spec!r} in the SSH configuration; it should be [user@]host[:port]")
        return self._route(found["host"].strip("[]"), found["user"] or "", int(found["port"] or 0))

    def _route(self, alias: str, user: str, port: int) -> Route:
        try:
            said = self._config.lookup(alias)
        except Exception as error:  # as above; and what Match exec runs may fail in any way
            raise SshError(f"the SSH configuration of {alias} cannot be understood: {error}") from error
        host = said.get("hostname", alias)
        user = user or said.get("user") or getpass.getuser()
        port = port or _number(said, "port", SSH_PORT, int, alias)
        key_name = said.get("hostkeyalias", host)
        expand = _expander(alias, host, port, user, key_name)
        identities = [os.path.expanduser(name) for name in said.get("identityfile", ()) if name.lower() != "none"]
        proxy, jumps = _way(said)
        timeout = _number(said, "connecttimeout", 0.0, float, alias)
        known_hosts = [expand(name) for name in _words(said.get("userknownhostsfile")) or USER_KNOWN_HOSTS]
        everywhere = [expand(name) for name in _words(said.get("globalknownhostsfile")) or SYSTEM_KNOWN_HOSTS]
        return Route(
            alias=alias, host=host, port=port, user=user, key_name=key_name,
            identities=tuple(identities or [os.path.expanduser(name) for name in DEFAULT_IDENTITIES]),
            named=bool(identities), only=said.get("identitiesonly", "no").lower() == "yes",
            agent=said.get("identityagent", "").lower() != "none",
            known_hosts=tuple([name for name in (*known_hosts, *everywhere) if name.lower() != "none"]),
            jumps=jumps, proxy=proxy, connect_timeout=timeout or None,
        )  # fmt: skip


def _way(said: Any) -> tuple[str, tuple[str, ...]]:
    """The command or the hosts to go through. Whichever of the two is said first counts."""
    for name in said:
        value = said[name]
        if name == "proxyjump":
            if value.lower() == "none":
                return "", ()
            return "", tuple([jump.strip() for jump in value.split(",")])
        if name == "proxycommand":
            return value or "", ()  # paramiko makes None of "none"
    return "", ()


def _number(said: Any, name: str, default: Any, kind: Callable[[str], Any], alias: str) -> Any:
    text = said.get(name)
    if text is None or text == "none":
        return default
    try:
        return kind(text)
    except ValueError:
        raise SshError(f"the SSH configuration of {alias}: {name} is {text!r}, which is no number") from None


def _words(text: str | None) -> list[str]:
    return shlex.split(text) if text else []


def _expander(alias: str, host: str, port: int, user: str, key_name: str) -> Callable[[str], str]:
    tokens = {
        "%%": "%", "%d": os.path.expanduser("~"), "%h": host, "%n": alias, "%p": str(port), "%r": user,
        "%k": key_name, "%u": getpass.getuser(), "%i": str(os.getuid()),
    }  # fmt: skip

    def expand(text: str) -> str:
        return os.path.expanduser(re.sub("%.", lambda found: tokens.get(found[0], found[0]), text))

    return expand


def _lines_of(file: str, depth: int) -> list[str]:
    """The lines of a configuration with those of the files that it includes, which paramiko does not read."""
    if depth > MOST_INCLUDES:
        raise SshError(f"the SSH configuration {file} is included too deep; does it include itself?")
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            source = stream.read().splitlines()
    except OSError as error:
        raise SshError(f"the SSH configuration {file} cannot be read: {error.strerror}") from error
    lines: list[str] = []
    block = ""  # the line that begins the present block
    for line in source:
        word, rest = _keyword(line)
        if word in ("host", "match"):
            block = line
        if word != "include":
            lines.append(line)
            continue
        for pattern in shlex.split(rest):
            path = os.path.expanduser(pattern)
            if not os.path.isabs(path):
                path = os.path.join(os.path.expanduser("~/.ssh") if depth or _is_users(file) else "/etc/ssh", path)
            for name in sorted(glob.glob(path)):
                included = _lines_of(name, depth + 1)
                if block and any(_keyword(each)[0] in ("host", "match") for each in included):
                    raise SshError(
                        f"the SSH configuration {file} includes {name}, which has Host or Match lines, inside of"
                        f" {block.strip()!r}; move the Include line to the top of the file"
                    )
                lines += included
                lines.append(block or "Host *")
    return lines


def _is_users(file: str) -> bool:
    return not file.startswith("/etc/")


def _keyword(line: str) -> tuple[str, str]:
    found = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", line)
    return (found[1].lower(), found[2]) if found else ("", "")
