"""The ``@multinode`` decorator: a Python function with several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.binary import place_of
from taskflow.api.in_session import InSession
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.runners.nodes import OnNodes

if TYPE_CHECKING:
    from collections.abc import Callable


F = TypeVar("F", bound="Callable[..., Any]")


def multinode(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Give a task several nodes at once; put it above ``@task``.

    ``computing_nodes`` (default 1): how many: a number, ``$VARIABLE``, or an expression of arguments and globals, which
    is looked at in each call. The constraints of the task hold for each of them. The body runs once, on the first, and
    finds in its environment COMPSS_NUM_NODES, COMPSS_HOSTNAMES (with commas between the names) and COMPSS_NUM_THREADS,
    the computing units it has of each node. In a job of SLURM, its variables describe those nodes only, as long as the
    body runs, with ``processes_per_node`` (default 1) tasks on each; so ``srun`` uses all of them and no others.

    Raises ArgumentError for wrong arguments, and TypeError if there is no task below. A call without a session raises
    NoSessionError.
    """
    by_name("multinode", args, "computing_nodes=2")
    known = checked("multinode", arguments, ("computing_nodes", "processes_per_node"))
    nodes = known.get("computing_nodes", 1)
    if not isinstance(nodes, (int, str)) or isinstance(nodes, bool):
        raise ArgumentError(f"@multinode: computing_nodes is a whole number, or a text that says one, not {nodes!r}")
    try:
        processes = int(known.get("processes_per_node", 1))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"@multinode: processes_per_node is a whole number, not {known['processes_per_node']!r}"
        ) from None

    def decorate(function: F) -> F:
        task = task_under(function, "multinode")
        task.options.wrappers.append(OnNodes(max(processes, 1)))
        task.layers.append(InSession(place_of(task, "multinode"), "its nodes are reserved by a session"))
        task.options.hosts = nodes
        task.changed()
        return function

    return decorate
