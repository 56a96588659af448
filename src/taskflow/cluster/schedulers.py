"""The policies that pick the node of a task, by name."""

from __future__ import annotations

from taskflow.cluster.names import near
from taskflow.model.errors import ArgumentError

#: Name -> what it prefers. `core.scheduling` has the policies.
SCHEDULERS = {
    "locality": "the node that has most of the task's data",
    "fifo": "tasks in the order of their calls",
    "lifo": "the task that was called last",
    "successors": "the node that has just made what the task reads",
    "lookahead": "the node where the task will probably end first",
    "predefined": "the node that a plan names for the task",
}

#: What the names of PyCOMPSs' classes contain, the most telling first.
_OF_CLASSES = {
    "predefined": "predefined",
    "multiobjective": "lookahead",
    "successors": "successors",
    "locality": "locality",
    "lifo": "lifo",
    "fifo": "fifo",
}


def scheduler_of(text: str) -> str:
    """The policy of that name, or of that class of PyCOMPSs. Raises ArgumentError if there is none."""
    lower = text.lower()
    if lower in SCHEDULERS:
        return lower
    if lower.startswith("es.bsc.compss."):
        for part, name in _OF_CLASSES.items():
            if part in lower:
                return name
    meant = near(text, SCHEDULERS)
    hint = f"; did you mean {meant}?" if meant else ""
    raise ArgumentError(f"there is no scheduler {text!r}; there are {', '.join(SCHEDULERS)}{hint}")
