"""``@mpmd_mpi``: a task that is several MPI programs in one world."""

from typing import Any

from taskflow.model.errors import ArgumentError
from taskflow.pycompss.runners import RunnerDecorator


class MPMDMPI(RunnerDecorator):
    """``@mpmd_mpi(runner="mpirun", programs=[{"binary": "a", "processes": 2}, {"binary": "b"}])``."""

    name = "mpmd_mpi"
    mandatory = ("runner",)
    optional = ("programs", "working_dir", "processes_per_node", "fail_by_exit_value")

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """As the others. Raises ArgumentError for a program without binary."""
        arguments = super().check(given)
        for number, program in enumerate(arguments.get("programs", ()), 1):
            if not isinstance(program, dict) or "binary" not in program:
                raise ArgumentError(f"@mpmd_mpi: program {number} needs a binary: {{'binary': ..., 'processes': ...}}")
        return arguments


mpmd_mpi = MPMDMPI

__all__ = ["MPMDMPI", "mpmd_mpi"]
