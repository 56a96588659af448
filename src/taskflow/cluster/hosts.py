"""Nodes named on the command line: ``--nodes host1,host2:8,user@host3``."""

from __future__ import annotations

import getpass
import os
import re
from typing import TYPE_CHECKING

from taskflow.model.cluster import NodeSetup
from taskflow.model.errors import ArgumentError
from taskflow.model.requirements import Node, Processor

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What this machine is called everywhere.
NAMES_OF_HOME = ("localhost", "127.0.0.1", "::1")

#: Names of hosts and users go into commands and paths, so they are no others than these.
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\$?")

_MOST_UNITS = 1_000_000
_MOST_HOSTS = 10_000  #: in one pair of brackets
_ADDRESS = r"\[[0-9A-Fa-f]*:[^\]]*\]"  #: an IPv6 address
_ENTRY = re.compile(rf"(?:(?P<user>[^@]*)@)?(?P<host>{_ADDRESS}|[^:@]*)(?::(?P<units>.*))?", re.DOTALL)
_BRACKETS = re.compile(r"(?P<before>[^\[\]]*)\[(?P<ranges>[0-9,\s-]+)\](?P<after>.*)", re.DOTALL)


def expand(name: str) -> list[str]:
    """The hosts that a name with ranges stands for: ``node[01-03,7]`` are node01, node02, node03 and node7.

    A name without ranges stands for itself. Raises ArgumentError for a range that makes no sense.
    """
    found = _BRACKETS.fullmatch(name)
    if found is None:
        return [name]
    numbers: list[str] = []
    for piece in found["ranges"].split(","):
        first, dash, last = (text.strip() for text in piece.partition("-"))
        last = last if dash else first
        if not (first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise ArgumentError(f"{name}: {piece.strip()!r} is no range of numbers; write, for example, [1-4] or [1,3]")
        if int(last) - int(first) >= _MOST_HOSTS:
            raise ArgumentError(f"{name}: that would be more than {_MOST_HOSTS} hosts")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [host for number in numbers for host in expand(f"{found['before']}{number}{found['after']}")]


def setups_of(entries: Iterable[str]) -> list[NodeSetup]:
    """The nodes of entries ``[user@]host[:computing units]``, each of which may hold several with commas between them.

    Without computing units there are as many as the node has cores: 0 until it is asked. An IPv6 address stands in
    brackets. Raises ArgumentError.
    """
    setups: list[NodeSetup] = []
    for entry in entries:
        for word in re.split(r",(?![^\[]*\])", entry):
            setups += _setups(word.strip())
    names = [setup.name for setup in setups]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"--nodes: the host {twice} is named more than once; {twice}:8 gives it 8 computing units")
    return setups


def _setups(word: str) -> list[NodeSetup]:
    found = _ENTRY.fullmatch(word)
    if found is None or not found["host"]:
        what = "a host is missing between the commas" if not word else f"{word!r} names no host"
        raise ArgumentError(f"--nodes: {what}; write, for example, host1,host2:8,user@host3")
    user, units = found["user"], found["units"]
    if user is not None and not USER.fullmatch(user):
        raise ArgumentError(f"--nodes: {word!r}: {user!r} cannot be the name of a user")
    if units is not None and not (units.isascii() and units.isdigit() and 0 < int(units) < _MOST_UNITS):
        raise ArgumentError(
            f"--nodes: {word!r}: the number of computing units comes after the colon, from 1 on, not {units!r}"
            f" (an IPv6 address stands in brackets; another port is a matter of the SSH configuration)"
        )
    address = found["host"].startswith("[")
    hosts = [found["host"].strip("[]")] if address else expand(found["host"])
    for host in hosts:
        if not HOST.fullmatch(host):
            raise ArgumentError(f"--nodes: {host!r} cannot be the name of a host")
    processors = (Processor(int(units or 0)),)
    return [NodeSetup(Node(host, processors), host, user=user or "", described=False) for host in hosts]


def is_home(setup: NodeSetup) -> bool:
    """Whether the node is this machine, as this user. Another user or port is reached over SSH like any node."""
    return (
        setup.host in (*NAMES_OF_HOME, os.uname().nodename, os.uname().nodename.partition(".")[0])
        and setup.port in (0, 22)
        and (not setup.user or setup.user == getpass.getuser())
    )
