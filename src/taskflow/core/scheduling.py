"""What a scheduler prefers, when tasks are handed to several nodes."""

from __future__ import annotations

import dataclasses
import difflib

from taskflow.model.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Scheduler:
    """A policy of `core.dispatch`.

    ``lifo``: the youngest of the ready tasks first. ``locality``: tasks are drawn to the node that has most of their
    data. ``successors``: they are drawn to the node where the task has run that made the last of their data, and go
    before others there. ``lookahead``: to the node where they will probably end first. ``plan``: the name of the node
    for each task id.
    """

    name: str = "locality"
    lifo: bool = False
    locality: bool = True
    successors: bool = False
    lookahead: bool = False
    plan: dict[int, str] | None = None

    def node_for(self, task_id: int) -> str | None:
        """Name of the node that the plan says, if there is a plan."""
        return None if self.plan is None else self.plan.get(task_id)


SCHEDULERS = {
    scheduler.name: scheduler
    for scheduler in (
        Scheduler(),
        Scheduler("fifo", locality=False),
        Scheduler("lifo", locality=False, lifo=True),
        Scheduler("successors", successors=True),
        Scheduler("lookahead", lookahead=True),
    )
}

_POLICIES = {"fifots": "fifo", "lifots": "lifo", "localityts": "locality", "constraintsfifots": "fifo"}


def scheduler_named(name: str) -> Scheduler:
    """The scheduler of that name, or the one that comes nearest to PyCOMPSs' class of that name.

    Raises ArgumentError for a name that is none.
    """
    if name.lower() in SCHEDULERS:
        return SCHEDULERS[name.lower()]
    parts = name.lower().split(".")
    if "successors" in parts:
        policy = _POLICIES.get(parts[-1])
        if policy is not None:
            return dataclasses.replace(SCHEDULERS[policy], name=f"successors.{policy}", successors=True)
    elif parts[-1] in _POLICIES:
        return SCHEDULERS[_POLICIES[parts[-1]]]
    elif parts[-1] == "moscheduler":
        return SCHEDULERS["lookahead"]
    elif parts[-1] in ("predefined", "predefinedts"):
        return Scheduler("predefined", plan={})
    near = difflib.get_close_matches(parts[-1], [*SCHEDULERS, "predefined"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCHEDULERS)} and predefined"
    raise ArgumentError(f"there is no scheduler {name!r}; {hint}")
