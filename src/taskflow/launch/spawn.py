"""Starts the zygote process. Apart from the rest, so that runtask can do it before it imports anything large."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

#: Set to one thread in executors unless the user set them: each executor is one computing unit.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


#: Have the C library keep the memory of large arrays that a task has let go of, up to 128 MiB at the end of its heap,
#: for the next task: fresh memory from the system costs more than most computations on it. The user's settings win.
MEMORY_VARIABLES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}


def package_path() -> str:
    """What PYTHONPATH has to be for a process that is to find this very package."""
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return os.pathsep.join([package_parent, *filter(None, [os.environ.get("PYTHONPATH")])])


class Zygote:
    """A zygote process and our end of its socket (see `node.zygote`). What it writes is kept in memory."""

    def __init__(self) -> None:
        self.socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict(os.environ)
        for variable in THREAD_VARIABLES:
            environment.setdefault(variable, "1")
        for variable, value in MEMORY_VARIABLES.items():
            environment.setdefault(variable, value)
        environment["PYTHONPATH"] = package_path()
        code = f"from taskflow.node.zygote import main; main({far.fileno()})"
        self._log = os.memfd_create("taskflow-zygote-log", os.MFD_CLOEXEC)
        self.process = subprocess.Popen(
            [sys.executable, *subprocess._args_from_interpreter_flags(), "-c", code],  # type: ignore[attr-defined]  # noqa: SLF001
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment,
            pass_fds=[far.fileno()], start_new_session=True,
        )  # fmt: skip
        far.close()

    @property
    def said(self) -> str:
        """The end of what the process has written, for error messages."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, 4096, max(0, size - 4096)).decode(errors="replace")
