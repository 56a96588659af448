"""The body of a task on several nodes: it runs once, on the first of them, and finds them all in its environment."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What is left to a body of SLURM's description of the job: they name the job, and are not about nodes.
KEPT = frozenset({
    "SLURM_JOBID", "SLURM_JOB_ID", "SLURM_USER", "SLURM_QOS", "SLURM_PARTITION", "SLURM_OVERLAP"
})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class OnNodes:
    """A wrapper of a task's function, for which the job of SLURM, if there is one, has only the nodes of the task.

    ``processes``: how many a program that it starts by srun has on each node.
    """

    processes: int = 1

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called with the arguments of the task."""
        return functools.update_wrapper(functools.partial(_run, self, function), function)


def _run(nodes: OnNodes, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with slurm_of_task(nodes.processes):
        return function(*args, **kwargs)


@contextlib.contextmanager
def slurm_of_task(processes: int) -> Iterator[None]:
    """Within a job of SLURM: its variables are those of a job with the nodes of this task and no others.

    ``processes``: on each node.
    """
    if "SLURM_JOB_ID" not in os.environ and "SLURM_JOBID" not in os.environ:
        yield
        return
    before = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    for name in before.keys() - KEPT:
        del os.environ[name]
    os.environ.update(_variables(processes))
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("SLURM_")]:
            del os.environ[name]
        os.environ.update(before)


def _variables(processes: int) -> dict[str, str]:
    nodes = os.environ.get("COMPSS_NUM_NODES", "1")
    hosts = os.environ.get("COMPSS_HOSTNAMES", os.uname().nodename)
    units = os.environ.get("COMPSS_NUM_THREADS", "1")
    count = int(nodes)
    tasks = str(count * processes)
    per_node = f"{processes}(x{count})" if count > 1 else str(processes)
    on_each = f"{units}(x{count})" if count > 1 else units
    return {
        "SLURM_NODELIST": hosts, "SLURM_JOB_NODELIST": hosts, "SLURM_NNODES": nodes, "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_NTASKS": tasks, "SLURM_NPROCS": tasks, "SLURM_NTASKS_PER_NODE": str(processes),
        "SLURM_TASKS_PER_NODE": per_node, "SLURM_JOB_CPUS_PER_NODE": on_each, "SLURM_CPUS_ON_NODE": units,
        "SLURM_CPUS_PER_TASK": str(max(int(units) // processes, 1)), "SLURM_MEM_PER_NODE": "0",
    }  # fmt: skip
