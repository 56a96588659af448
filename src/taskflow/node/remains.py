"""Removes what MPICH and Open MPI leave on a node when their processes are killed: shared memory, files of launchers.

Neither is removed by anybody else, and the memory is as much as some megabytes for each rank. There may be other
programs of the same user that use theirs just now, so only that goes which was made since the attempt at a task, or the
run, began, and which nobody has open or mapped: the system grants a write lease for nothing else (see `data.spares`).
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import signal
import time

from taskflow.node import processes

PATIENCE_S = 0.3  #: so long it is waited for processes that are just about to end
_PAUSE_S = 0.02
_LAG_S = 0.05  #: the clock of files is behind by some milliseconds

#: Of MPICH, and of Open MPI from 5 on and before.
_MEMORY = ("/dev/shm/mpich_shm_*", "/dev/shm/sm_segment.*", "/dev/shm/vader_segment.*")  # noqa: S108
_SESSIONS = "/tmp/ompi.[0-9]*"  # noqa: S108  folders of Open MPI's launcher, by the number of its process
_TOPOLOGY = "/tmp/hydra_hwloc_xmlfile_*"  # noqa: S108
_PROXY = "hydra_pmi_proxy"  #: makes the file of the topology, which its ranks read when they like


def now() -> float:
    """The time that an attempt at a task begins, for `remove`."""
    return time.time() - _LAG_S


def remove(began: float) -> None:
    """Remove what was left by processes that have been started since ``began``, and that are gone or about to go."""
    deadline = time.monotonic() + PATIENCE_S
    while not _remove(began) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)


def _remove(began: float) -> bool:
    """Whether nothing is left."""
    topologies = _made_since(began, _TOPOLOGY)
    # Looked for now: the maker of a file that we have seen is seen, too, if it lives.
    if topologies and not _has_proxies():
        for path in topologies:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        topologies = []
    for path in _made_since(began, _SESSIONS):
        number = path.rpartition(".")[2]
        if number.isdigit() and not processes.lives(int(number)):
            shutil.rmtree(path, ignore_errors=True)
    segments = [path for pattern in _MEMORY for path in _made_since(began, pattern) if not _removed(path)]
    return not topologies and not segments


def _made_since(began: float, pattern: str) -> list[str]:
    """Our files of that name."""
    found = []
    for path in glob.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            if status.st_mtime >= began and status.st_uid == os.getuid():
                found.append(path)
    return found


def _removed(path: str) -> bool:
    """Remove a file unless somebody uses it; whether it is gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:  # another process is here for the same reason, or it is no file of MPICH
        return False
    try:
        # Who opens it now has the holder of the lease sent a signal, which by default would be the end of this process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.unlink(path)
    except OSError:  # it is in use, or somebody was faster
        return not os.path.exists(path)
    finally:
        os.close(file)
    return True


def _has_proxies() -> bool:
    """Whether this user has a launcher's proxy on this node."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid != os.getuid():
                    continue
                with open(f"/proc/{name}/comm") as file:
                    if file.read().strip() == _PROXY and processes.lives(int(name)):
                        return True
    return False
