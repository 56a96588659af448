"""The environment variables that tasks see."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


MEMORY_VARIABLE = "TASKFLOW_MEMORY_SIZE"  #: bytes of memory that the task may use, if its constraints say so


#: Where folders of the main program are on this node, if it is another machine.
roots: dict[str, str] = {}


def path_here(path: str) -> str:
    """Where a path of the machine of the main program leads on this node, if its folder was brought here."""
    if roots and os.path.isabs(path) and not os.path.exists(path):
        for root, here in roots.items():
            inside = os.path.relpath(path, root)
            if inside.partition(os.sep)[0] != os.pardir and os.path.exists(os.path.join(here, inside)):
                return os.path.normpath(os.path.join(here, inside))
    return path


def node_environment(program_folder: str, scratch: str) -> dict[str, str]:
    """Variables that are the same for all tasks: each has one node and, if it does not say otherwise, one thread."""
    return {
        "COMPSS_NUM_NODES": "1", "COMPSS_HOSTNAMES": os.uname().nodename, "COMPSS_NUM_THREADS": "1",
        "COMPSS_APP_DIR": program_folder, "COMPSS_WORKING_DIR": scratch,
    }  # fmt: skip


@contextlib.contextmanager
def task_environment(variables: dict[str, str]) -> Iterator[None]:
    """The variables while a task runs, and as many threads in libraries of linear algebra as it has computing units.

    Such libraries look at the variables only when they are loaded; `threadpoolctl`, if it is installed, can still
    change them afterwards.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    cores = variables.get("COMPSS_BINDED_CPUS")
    bound = bind_to_cores(cores) if cores else set()
    try:
        with _thread_limit(int(variables["COMPSS_NUM_THREADS"])):
            yield
    finally:
        if bound:
            os.sched_setaffinity(0, bound)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def bind_to_cores(cores: str) -> set[int]:
    """Let this thread, and those and the processes it starts, run on these cores only; returns where it ran before.

    ``cores``: numbers with commas between them. Cores that the process may not use are left out; if none is left,
    nothing is changed and nothing returned.
    """
    if not hasattr(os, "sched_setaffinity"):
        return set()
    before = os.sched_getaffinity(0)
    wanted = {int(core) for core in cores.split(",")} & _usable
    if not wanted or wanted == before:
        return set()
    os.sched_setaffinity(0, wanted)
    return before


#: The cores that this process could use when it began.
_usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _thread_limit(threads: int) -> contextlib.AbstractContextManager[object]:
    if threads == 1:
        return contextlib.nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(threads)
    return limits
