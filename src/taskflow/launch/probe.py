"""Runs on a node for ``runtask cluster check``: tells what is there, what time it is, how fast the way home is.

Standard library only, as all that runs on nodes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
from typing import Any

from taskflow.cluster.machine import usable_cores, usable_memory, visible_gpus

REACH_S = 4.0  #: how long to try to connect to the machine of the main program
FIRST_BYTES = 1 << 18  #: sent to see how fast the link is; then what takes about a quarter of a second
MOST_BYTES = 64 << 20
LENGTH = struct.Struct("<Q")  #: before the bytes that are sent home; it answers each time with a byte


def main(config: str) -> None:
    """Tell the facts; then obey lines: ``time`` tells the time, ``link`` measures the way home.

    ``config`` is JSON: ``mark``, which begins our lines; the rest as for `facts`, and ``home``, where to connect to.
    """
    wanted = json.loads(config)
    mark = wanted["mark"]
    found = facts(wanted["packages"], wanted["folders"], wanted["working_dir"])
    home, why = _reach(wanted["home"])
    _say(mark, **found, home=why)
    for line in sys.stdin:
        if line.strip() == "link" and home is not None:
            _say(mark, bytes_s=_speed(home))
        else:
            _say(mark, time=time.time())


def _say(mark: str, **fields: Any) -> None:
    os.write(2, f"{mark} {json.dumps(fields)}\n".encode())


def facts(packages: list[str], folders: list[tuple[str, str]], working_dir: str) -> dict[str, Any]:
    """What there is on this machine. ``folders``: (what names it, path); those that are missing are told."""
    place, problem, free = _working_dir(working_dir)
    system = os.uname()
    return {
        "host": system.nodename,
        "machine": system.machine,
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "cores": usable_cores(),
        "memory": usable_memory(),
        "gpus": len(visible_gpus()),
        "packages": {name: version_of(name) for name in packages},
        "missing": [[what, path] for what, path in folders if not os.path.isdir(os.path.expanduser(path))],
        "working_dir": place,
        "working_dir_problem": problem,
        "free": free,
    }


def version_of(name: str) -> str | None:
    """The version of an installed package, by its name or that of its module; None: it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    named = importlib.metadata.packages_distributions().get(name.partition(".")[0], [])
    return importlib.metadata.version(named[0]) if named else "there"


def _working_dir(wanted: str) -> tuple[str, str, int]:
    """(folder, why it cannot be used, bytes free there); it is not left behind if it was not there."""
    place = os.path.expanduser(wanted) or f"{tempfile.gettempdir()}/taskflow-{os.getuid()}"
    above = place
    while not os.path.isdir(above) and os.path.dirname(above) != above:
        above = os.path.dirname(above)
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        return place, f"nothing can be made in {above}: {error.strerror}", 0
    return place, "", shutil.disk_usage(above).free


def _reach(home: list[Any]) -> tuple[socket.socket | None, str]:
    """A connection to the machine of the main program, or why there can be none."""
    try:
        return socket.create_connection((home[0], home[1]), REACH_S), ""
    except OSError as error:
        return None, f"{home[0]}: {error.strerror or error}"


def _speed(home: socket.socket) -> float:
    """Bytes a second on the way home; 0: the connection broke."""
    home.settimeout(30)
    speed = 0.0
    count = FIRST_BYTES
    try:
        for _ in range(2):
            began = time.monotonic()
            home.sendall(LENGTH.pack(count))
            home.sendall(bytes(count))
            if not home.recv(1):
                return 0.0
            speed = count / max(time.monotonic() - began, 1e-6)
            count = min(MOST_BYTES, max(FIRST_BYTES, int(speed / 4)))
    except OSError:
        return 0.0
    return speed
