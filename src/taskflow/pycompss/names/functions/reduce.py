"""Reductions."""

from taskflow.pycompss.placeholders import missing

merge_reduce = missing("merge_reduce")
merge_n_reduce = missing("merge_n_reduce")
