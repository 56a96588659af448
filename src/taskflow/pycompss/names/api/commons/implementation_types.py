"""Names of the ways in which a task can be run."""

from types import SimpleNamespace

IMPLEMENTATION_TYPES = SimpleNamespace(
    binary="BINARY", cet_binary="CET_BINARY", cet_python="CET_PYTHON", compss="COMPSs", container="CONTAINER",
    decaf="DECAF", http="HTTP", julia="JULIA", method="METHOD", mpi="MPI", mpmd_mpi="MPMDMPI",
    multi_node="MULTI_NODE", ompss="OMPSS", opencl="OPENCL", python_mpi="PYTHON_MPI",
)  # fmt: skip

__all__ = ["IMPLEMENTATION_TYPES"]
