"""Functions that work with tasks: reductions, maps, test data, times and memory profiles."""

from taskflow.functions.data import chunks, generator
from taskflow.functions.elapsed_time import timeit
from taskflow.functions.map import map  # noqa: A004  PyCOMPSs' name
from taskflow.functions.profile import profile
from taskflow.functions.reduce import merge_n_reduce, merge_reduce

__all__ = ["chunks", "generator", "map", "merge_n_reduce", "merge_reduce", "profile", "timeit"]
