"""``@mpmd_mpi``: a task that is several MPI programs in one world."""

from taskflow.api.mpi import mpmd_mpi

MPMDMPI = mpmd_mpi

__all__ = ["MPMDMPI", "mpmd_mpi"]
