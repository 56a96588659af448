"""Which elements of a collection belong to the rank that asks."""

from __future__ import annotations


def rank_distributor(collection_layout: tuple[int, int, int]) -> list[int]:
    """Indices of the elements that this MPI rank owns, for a layout (block_count, block_length, stride).

    Block b covers ``block_length`` elements from ``b * stride`` on and goes to rank ``b % ranks``; a block_count of -1
    means one block for each rank. Needs mpi4py; raises ImportError without it.
    """
    from mpi4py import MPI

    count, length, stride = collection_layout
    ranks = MPI.COMM_WORLD.size
    blocks = range(MPI.COMM_WORLD.rank, ranks if count == -1 else count, ranks)
    return [block * stride + place for block in blocks for place in range(length)]


__all__ = ["rank_distributor"]
