"""What a scheduler prefers, when tasks are handed to several nodes."""

from __future__ import annotations

import dataclasses


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


#: By name, but for "predefined", which needs a plan. `cluster.schedulers` knows the names of PyCOMPSs' classes.
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
