"""What the runtime knows of one task function, whoever runs it."""

from __future__ import annotations

from taskflow.model.policies import OnFailure


class FunctionRecord:
    """One task function: its identity on the wire and what has been learnt of it.

    ``definition`` is what an executor needs to get at the code: ``("ref", module, qualified name)`` for
    importable code, ``("value", pickle)`` for functions of the main script, lambdas and closures.
    ``mean_s`` is a moving mean of the run time in seconds, None until the first execution ended.
    ``returns_held`` says that results of this function have been large enough to stay in the executor.
    ``policy``: what its failure does; ``time_out``: seconds an attempt may take (0: any). Calls that differ in these
    belong to different records of one function.
    """

    __slots__ = (
        "definition", "file", "id", "line", "mean_s", "module", "name", "policy", "returns", "returns_held", "time_out",
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
        self.returns_held = False
        self.policy = OnFailure.RETRY
        self.time_out = 0.0

    def __repr__(self) -> str:
        return f"<function {self.id} {self.name} at {self.file}:{self.line}>"
