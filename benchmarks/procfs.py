"""The few facts about processes that the suite needs, read from /proc (so: Linux only)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that none can escape from `descendants`."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path("/proc", entry, "stat").read_text()
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def descendants(pid: int) -> list[int]:
    """Every process below `pid`."""
    parents = _parents()
    found: list[int] = []
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found.extend(level)
    return found


def kill_all_but(spared: Collection[int], grace: float) -> int:
    """Kill and reap every descendant of this process that is not `spared`; returns how many were killed.

    The caller names the children that it had before a run, so that only what the run left behind dies. For
    `grace` seconds they may end by themselves, as the helpers of multiprocessing do when main is gone.
    """
    killed: set[int] = set()
    begin = time.monotonic()
    while time.monotonic() < begin + grace + 10:
        left = _reap([pid for pid in descendants(os.getpid()) if pid not in spared])
        if not left:
            break
        if time.monotonic() < begin + grace:
            time.sleep(0.02)
            continue
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(left)
        time.sleep(0.02)
    return len(killed)


def _reap(pids: Iterable[int]) -> list[int]:
    """Collect those that have ended and are ours to collect; returns the others."""
    left: list[int] = []
    for pid in pids:
        try:
            done = os.waitpid(pid, os.WNOHANG)[0]
        except ChildProcessError:  # not a child of ours, but of one of them
            done = 0
        if not done:
            left.append(pid)
    return left


def _status_kb(pid: int, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def rss() -> int:
    """Resident memory of this process now, in bytes."""
    return _status_kb(os.getpid(), "VmRSS") * 1024


def peak_mb() -> float:
    """Peak resident memory of this process, in MB (10^6 bytes)."""
    return _status_kb(os.getpid(), "VmHWM") * 1024 / 1e6


def tree_mb() -> float:
    """Sum of the peaks of this process and all below it; shared pages count once for each process."""
    pids = [os.getpid(), *descendants(os.getpid())]
    return sum(_status_kb(pid, "VmHWM") for pid in pids) * 1024 / 1e6
