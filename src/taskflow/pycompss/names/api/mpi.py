"""``@mpi``: a task that is an MPI program, or a Python function on MPI ranks."""

from taskflow.api.mpi import mpi

Mpi = mpi

__all__ = ["Mpi", "mpi"]
