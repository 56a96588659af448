"""The functions of :mod:`benchmarks.arrays` as taskflow tasks; apart, so that start-up needs no numpy."""

from __future__ import annotations

from benchmarks import arrays
from benchmarks.driver import Function
from taskflow import INOUT, task

make_array = task(returns=1)(arrays.make_array)
sum_and_add = task(returns=1)(arrays.sum_and_add)
sum_array = task(returns=1)(arrays.sum_array)
bump = task(a=INOUT)(arrays.bump)
make_block = task(returns=1)(arrays.make_block)
zero_block = task(returns=1)(arrays.zero_block)
gemm = task(returns=1)(arrays.gemm)
gemm_into = task(c=INOUT)(arrays.gemm_into)

TASKS: dict[Function, Function] = {
    arrays.make_array: make_array,
    arrays.sum_and_add: sum_and_add,
    arrays.sum_array: sum_array,
    arrays.bump: bump,
    arrays.make_block: make_block,
    arrays.zero_block: zero_block,
    arrays.gemm: gemm,
    arrays.gemm_into: gemm_into,
}
"""From the plain function that a workload names to its task."""
