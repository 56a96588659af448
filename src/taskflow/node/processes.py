"""Ends programs together with all that they have started, wherever that has gone.

A program that a task starts has a session of its own and a *mark* in its environment, which everything it starts
inherits. So what has left its session, or lost its parent, is found by the mark; what has cleared its environment, by
its ancestors. The mark begins with that of the executor, by which the zygote finds what a dead executor has left, and
it is added to those that are there: a program may itself be a run of taskflow whose tasks start programs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from typing import NamedTuple

VARIABLE = "TASKFLOW_PROGRAM"
FOLDER = "programs"  #: of the run folder: what programs print; it is there if one has been started
GRACE_S = 0.5  #: seconds between SIGTERM and SIGKILL; less than executors themselves have (see `node.overdue`)

_ROUNDS = 100  #: a program that goes on starting others while it is being killed is given up after so many rounds
_PAUSE_S = 0.01
_LOOKS = 5  #: at what changes while it is looked at: the list of processes, a process that starts another program
_START_S = 1.0  #: how long a program may take to begin
_KERNEL_THREAD = 0x00200000  #: a flag of Linux
_numbers = itertools.count(1)

#: Marks of the programs that this process runs now.
running: set[str] = set()


class Process(NamedTuple):
    """A process, told from a later one of the same number by the time of its start."""

    pid: int
    started: int


def mark_of_owner(run_dir: str, pid: int) -> str:
    """What the marks of all programs begin with that the process ``pid`` starts; ``run_dir``: its run folder."""
    return f"{run_dir}/{pid}/"


def new_mark() -> str:
    """A mark for a program that this process is about to start."""
    return f"{mark_of_owner(os.environ.get('TASKFLOW_RUN_DIR', ''), os.getpid())}{next(_numbers)}/"


def marked(environment: dict[str, str], mark: str) -> dict[str, str]:
    """The environment with the mark added."""
    return {**environment, VARIABLE: f"{environment.get(VARIABLE, '')}:{mark}"}


def end_those_of(run_dir: str, pid: int | None = None) -> bool:
    """End at once what the programs of a dead executor, or those of all executors of a run folder, have left.

    False: no program has been started there.
    """
    if not run_dir or not os.path.isdir(os.path.join(run_dir, FOLDER)):
        return False
    end(f"{run_dir}/" if pid is None else mark_of_owner(run_dir, pid), grace_s=0)
    return True


def end(mark: str, root: int = 0, *, grace_s: float = GRACE_S) -> None:
    """End everything that carries a mark beginning so, with what it has started, and what descends from ``root``.

    First by SIGTERM, unless ``grace_s`` is 0; what is left after that time, by SIGKILL.
    """
    found = find(mark, root)
    if grace_s:
        _signal(found, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while found and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            found = {process for process in found if _stat(process.pid)[1:2] == (process.started,)}
    for _ in range(_ROUNDS):
        found |= find(mark, root)
        if not found:
            return
        _signal(found, signal.SIGKILL)
        time.sleep(_PAUSE_S)
        found = {process for process in found if _stat(process.pid)[1:2] == (process.started,)}


def find(mark: str, root: int = 0) -> set[Process]:
    """The processes that carry a mark beginning so or descend from ``root``, it included, and all that they started."""
    wanted = f":{mark}".encode()
    found: set[Process] = set()
    children: dict[int, list[Process]] = {}
    seen = {os.getpid()}
    for _ in range(_LOOKS):
        fresh = {int(name) for name in os.listdir("/proc") if name.isdigit()} - seen
        if not fresh:
            break
        seen |= fresh
        for pid in fresh:
            stat = _stat(pid)
            if not stat:
                continue
            process = Process(pid, stat[1])
            children.setdefault(stat[0], []).append(process)
            if pid == root or wanted in _environment(pid):
                found.add(process)
    pending = list(found)
    while pending:
        for child in children.get(pending.pop().pid, ()):
            if child not in found:
                found.add(child)
                pending.append(child)
    return found


def lives(pid: int) -> bool:
    """Whether a process runs a program. One that has ended may still be there, until somebody asks how it ended."""
    return bool(_stat(pid))


def _signal(processes: set[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def _stat(pid: int) -> tuple[int, int] | tuple[()]:
    """The number of a process's parent and the time of its start; nothing if it runs no program (any more)."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    if not fields or fields[0] in (b"Z", b"X") or int(fields[6]) & _KERNEL_THREAD:
        return ()
    return int(fields[1]), int(fields[19])


def _environment(pid: int) -> bytes:
    """What the mark of a process was when its program was started; nothing if it has none or it is not ours to read."""
    content = _read(pid, "environ")
    cleared = 0
    deadline = time.monotonic() + _START_S
    # For the moment in which the system puts one program in another's place, a process has no arguments, and no
    # environment to be read, or not all of it. One that has cleared its environment has arguments, each time.
    while not content.endswith(b"\0") and cleared < _LOOKS and time.monotonic() < deadline:
        if not _is_ours(pid) or not _stat(pid):
            break
        cleared += bool(_read(pid, "cmdline"))
        time.sleep(_PAUSE_S / 10)
        content = _read(pid, "environ")
    variable = content.partition(f"{VARIABLE}=".encode())[2]
    return variable.partition(b"\0")[0]


def _is_ours(pid: int) -> bool:
    """Whether the process is one of this user, who may look at it."""
    user = os.geteuid()
    return not user or b"\nUid:\t%d\t" % user in _read(pid, "status")


def _read(pid: int, name: str) -> bytes:
    """What the system tells of a process; nothing if it has ended or it is not ours to read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
