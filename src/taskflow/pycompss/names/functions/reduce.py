"""Reductions."""

from taskflow.functions.reduce import merge_n_reduce, merge_reduce

#: What they were called in old versions of PyCOMPSs.
mergeReduce = merge_reduce
mergeNReduce = merge_n_reduce

__all__ = ["mergeNReduce", "mergeReduce", "merge_n_reduce", "merge_reduce"]
