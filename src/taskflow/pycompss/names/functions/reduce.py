"""Reductions."""

from taskflow.functions.reduce import merge_n_reduce, merge_reduce

__all__ = ["merge_n_reduce", "merge_reduce"]
