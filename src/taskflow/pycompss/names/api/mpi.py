"""``@mpi``: a task that is an MPI program."""

from typing import Any

from taskflow.model.errors import ArgumentError
from taskflow.pycompss.runners import RunnerDecorator


class Mpi(RunnerDecorator):
    """``@mpi(runner="mpirun", binary="solver", processes=4)``; ``p_layout={...}`` distributes the collection p."""

    name = "mpi"
    mandatory = ("runner",)
    optional = (
        "binary", "processes", "processes_per_node", "scale_by_cu", "flags", "working_dir", "args",
        "fail_by_exit_value", "computing_nodes",
    )  # fmt: skip

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """As the others, and layouts. Raises ArgumentError for a layout without block_count."""
        layouts = {name: value for name, value in given.items() if name.endswith("_layout")}
        for name, layout in layouts.items():
            if not isinstance(layout, dict) or "block_count" not in layout:
                raise ArgumentError(
                    f"@mpi: {name} must be a dictionary with block_count (and block_length, stride), not {layout!r}"
                )
        return super().check({name: value for name, value in given.items() if name not in layouts}) | layouts


mpi = Mpi

__all__ = ["Mpi", "mpi"]
