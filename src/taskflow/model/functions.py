"""What the runtime knows of one task function, whoever runs it."""

from __future__ import annotations


class FunctionRecord:
    """One task function: its identity on the wire and what has been learnt of it.

    ``definition`` is what an executor needs to get at the code: ``("ref", module, qualified name)`` for
    importable code, ``("value", pickle)`` for functions of the main script, lambdas and closures.
    ``mean_s`` is a moving mean of the run time in seconds, None until the first execution ended.
    ``returns_held`` says that results of this function have been large enough to stay in the executor.
    """

    __slots__ = ("definition", "file", "id", "line", "mean_s", "module", "name", "returns", "returns_held")

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

    def __repr__(self) -> str:
        return f"<function {self.id} {self.name} at {self.file}:{self.line}>"
