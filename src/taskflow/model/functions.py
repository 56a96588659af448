"""What the runtime knows of one task function, whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from taskflow.model.policies import OnFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskflow.model.parameters import Parameter
    from taskflow.model.requirements import Requirements


class Demand(NamedTuple):
    """What a task takes from its node while it runs.

    ``units``: computing units; 0 means that it runs beside the others, on an I/O executor. ``devices``: (type of
    processor, how many, indexes of those that will do on this node; none: all of the type), which it has for itself.
    ``amounts``: (name of the constraint, how much) of what can be divided at will. ``nodes``: what the node must be
    like; None: any will do. ``varies``: some nodes give something else, which `requirements.demand_on` says.
    ``hosts``: so many nodes it has at once, and all of this on each of them; its body runs on one.
    """

    units: int = 1
    devices: tuple[tuple[str, int, tuple[int, ...]], ...] = ()
    amounts: tuple[tuple[str, float], ...] = ()
    nodes: Requirements | None = None
    varies: bool = False
    hosts: int = 1


class FunctionRecord:
    """One task function: its identity on the wire and what has been learnt of it.

    ``definition`` is what an executor needs to get at the code: ``("ref", module, qualified name)`` for
    importable code, ``("value", pickle)`` for functions of the main script, lambdas and closures, and
    ``("wrapped", pickle of callables, definition)`` for a function that these are to be applied to. It is followed by
    the folders in which modules are found, if they have changed since the session began (a test runner adds some).
    Executors get that of a nested function in ``("through", module and name of what it is called through, definition,
    settings)``.
    ``mean_s`` is a moving mean of the run time in seconds, None until the first execution ended.
    ``returns_held`` says that results of this function have been large enough to stay in the executor.
    ``attempts`` and ``busy_s``: executions that have ended, and their seconds.
    ``policy``: what its failure does; ``time_out``: seconds an attempt may take (0: any). ``defaults``: what its
    outputs are when its failure is ignored: by position or keyword of the parameter a (state, value), or a path; a list
    of (state, value) under "returns". Calls that differ in these belong to different records of one function.
    ``parameters``: what is declared of them; ``self_name``: the one that is the object of a method, or nothing.
    ``demand``: what a task takes from the node, None for one computing unit and nothing else; ``requirements``: which
    nodes will do, None for any. ``implementations``: other records of which one is run instead, chosen when it is about
    to start. ``spread``: "replicated" (each task runs on every node), "distributed" (the nodes take turns) or nothing.
    ``nested``: its calls of task functions submit tasks. ``calls``: it has called some.
    ``service``: its tasks are requests to the service of that name, or nothing; the definition leads to what is called
    in place of a function then (see `drivers.services`).
    """

    __slots__ = (
        "attempts", "busy_s", "calls", "defaults", "definition", "demand", "file", "id", "implementations", "line",
        "mean_s", "module", "name", "nested", "parameters", "policy", "requirements", "returns", "returns_held",
        "self_name", "service", "spread", "time_out",
    )  # fmt: skip

    def __init__(
        self, id: int, name: str, module: str, file: str, line: int, returns: int, definition: tuple[object, ...]
    ) -> None:
        self.id = id
        self.name = name
        self.module = module
        self.file = file
        self.line = line
        self.returns = returns
        self.definition = definition
        self.mean_s: float | None = None
        self.attempts = 0
        self.busy_s = 0.0
        self.returns_held = False
        self.policy = OnFailure.RETRY
        self.time_out = 0.0
        self.defaults: dict[int | str, Any] = {}
        self.parameters: Mapping[str, Parameter] = {}
        self.self_name = ""
        self.demand: Demand | None = None
        self.requirements: Requirements | None = None
        self.implementations: tuple[FunctionRecord, ...] = ()
        self.nested = False
        self.spread = ""
        self.service = ""
        self.calls = False

    @property
    def needs(self) -> Demand | None:
        """The demand and the requirements in one; None if there are none."""
        if self.requirements is None:
            return self.demand
        return (self.demand or Demand())._replace(nodes=self.requirements)

    def __repr__(self) -> str:
        return f"<function {self.id} {self.name} at {self.file}:{self.line}>"
