"""How much memory a task has taken: what its executor, and the programs that this has started, have for themselves.

Shared memory does not count, in which large arguments are, nor does what the executor had before the task began: its
libraries, and results that it keeps for later tasks. A task may take `SLACK` more than its limit, for libraries that it
is the first to import.

Memory that processes share until one writes to it, as after a fork, is counted for each of them at first, since that is
cheap; only if that is too much, each gets its share of it.
"""

from __future__ import annotations

import os

SLACK = 64 << 20  #: bytes
_PAGE = os.sysconf("SC_PAGE_SIZE")


def own() -> int:
    """Bytes that this process has for itself."""
    return _alone(os.getpid())


def excess(pid: int, allowed: int, before: int) -> int:
    """Bytes that the task of an executor has taken, if that is more than it may; else 0.

    ``before``: what the executor had when the task began.
    """
    processes = _family(pid)
    most = allowed + before + SLACK
    if sum(map(_alone, processes)) <= most:
        return 0
    # Twice: of a process that forks meanwhile its whole memory is counted, and the shares of its children.
    used = min(sum(map(_share, processes)) for _ in range(2))
    return used - before if used > most else 0


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for member in found:  # grows
        try:
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/children", "rb") as file:
                    found += map(int, file.read().split())
        except OSError:
            continue  # it has ended
    return found


def _alone(pid: int) -> int:
    """Bytes of the process that no file and no other process has, but for what is shared since a fork."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared = file.read().split()[:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE


def _share(pid: int) -> int:
    """The same, with its share of what is shared since a fork."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss_Anon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended, or the system does not say
    return _alone(pid)
