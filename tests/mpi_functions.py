"""Functions that tests run on MPI ranks: apart, since each rank imports the module that its function is in."""

import os

many = 1  #: how many ranks, as a name of a global


def of_each(value):
    """Something that differs from rank to rank."""
    from mpi4py import MPI

    return value * (MPI.COMM_WORLD.rank + 1)


def rank_and_threads(seed):
    """What a rank sees of the world."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    print(f"this is {world.rank}")
    total = world.allreduce(world.rank)
    return [seed + world.rank, total, world.size, os.environ["OMP_NUM_THREADS"]]
