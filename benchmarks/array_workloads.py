"""Workloads of numpy arrays: what moving data costs."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from benchmarks import arrays
from benchmarks.driver import Driver, Handle
from benchmarks.model import (
    AHEAD,
    Context,
    Figure,
    Figures,
    Goal,
    Size,
    Workload,
    WrongResultError,
    expect,
    times,
)

BLOCK = 256


def _rates(size: Size, seconds: float) -> Figures:
    return {"s": seconds, "gb_per_second": size.n * size.mb / 1000 / seconds}


def array_pass(driver: Driver, size: Size, context: Context) -> Figures:
    """An array made by a task goes through n tasks, each of which returns a new one."""
    a = driver.submit(arrays.make_array, size.mb, 1.0)
    driver.settle([a])
    begin = perf_counter()
    for _ in range(size.n):
        a = driver.submit(arrays.sum_and_add, a)
    total = driver.gather([driver.submit(arrays.sum_array, a)])
    end = perf_counter()
    expect(total, [arrays.length(size.mb) * (1.0 + size.n)])
    return _rates(size, end - begin)


def array_inout(driver: Driver, size: Size, context: Context) -> Figures:
    """An array made by a task is changed in place by n tasks."""
    a = driver.submit(arrays.make_array, size.mb, 1.0)
    driver.settle([a])
    begin = perf_counter()
    for _ in range(size.n):
        a = driver.submit_inout(arrays.bump, a)
    total = driver.gather([driver.submit(arrays.sum_array, a)])
    end = perf_counter()
    expect(total, [arrays.length(size.mb) * (1.0 + size.n)])
    return _rates(size, end - begin)


def array_broadcast(driver: Driver, size: Size, context: Context) -> Figures:
    """An array of the main program is read by n tasks."""
    a = arrays.make_array(size.mb, 2.0)
    begin = perf_counter()
    shared = driver.put(a)
    sums = driver.gather(driver.submit_many(arrays.sum_array, [(shared,)] * size.n))
    end = perf_counter()
    expect(sums, [arrays.length(size.mb) * 2.0] * size.n)
    return _rates(size, end - begin)


def array_gather(driver: Driver, size: Size, context: Context) -> Figures:
    """n tasks make an array each; the main program gets and reads them all."""
    begin = perf_counter()
    handles = driver.submit_many(arrays.make_array, [(size.mb, float(i)) for i in range(size.n)])
    sums = [float(a.sum()) for a in driver.gather(handles)]
    end = perf_counter()
    expect(sums, [arrays.length(size.mb) * float(i) for i in range(size.n)])
    return _rates(size, end - begin)


class _Blocks:
    """Two n x n matrices of blocks, made by tasks before the clock, and the check of their product."""

    def __init__(self, driver: Driver, n: int) -> None:
        self.n = n
        self.cells = [(i, j) for i in range(n) for j in range(n)]
        self.a = self._make(driver, 0)
        self.b = self._make(driver, n * n)
        driver.settle([*self.a.values(), *self.b.values()])

    def _make(self, driver: Driver, seed: int) -> dict[tuple[int, int], Handle]:
        calls = [(seed + i * self.n + j, BLOCK) for i, j in self.cells]
        return dict(zip(self.cells, driver.submit_many(arrays.make_block, calls), strict=True))

    def check(self, found: list[arrays.Array]) -> None:
        n = self.n
        matrices = [
            np.block([[arrays.make_block(seed + i * n + j, BLOCK) for j in range(n)] for i in range(n)])
            for seed in (0, n * n)
        ]
        product = np.block([[found[i * n + j] for j in range(n)] for i in range(n)])
        if not np.allclose(product, matrices[0] @ matrices[1]):
            raise WrongResultError("the product of the matrices is wrong")


def matmul(driver: Driver, size: Size, context: Context) -> Figures:
    """A product of n x n blocks in n³ tasks, each returning a new block of C."""
    blocks = _Blocks(driver, size.n)
    begin = perf_counter()
    c: list[Handle] = [0.0] * len(blocks.cells)
    for k in range(size.n):
        calls = [(old, blocks.a[i, k], blocks.b[k, j]) for old, (i, j) in zip(c, blocks.cells, strict=True)]
        c = driver.submit_many(arrays.gemm, calls)
    found = driver.gather(c)
    end = perf_counter()
    blocks.check(found)
    return {"s": end - begin}


def matmul_inout(driver: Driver, size: Size, context: Context) -> Figures:
    """The same product with C updated in place, as a PyCOMPSs program would do it."""
    blocks = _Blocks(driver, size.n)
    c = driver.submit_many(arrays.zero_block, [(BLOCK,)] * len(blocks.cells))
    driver.settle(c)
    begin = perf_counter()
    for k in range(size.n):
        c = [
            driver.submit_inout(arrays.gemm_into, block, blocks.a[i, k], blocks.b[k, j])
            for block, (i, j) in zip(c, blocks.cells, strict=True)
        ]
    found = driver.gather(c)
    end = perf_counter()
    blocks.check(found)
    return {"s": end - begin}


_INLINE = (times("inline", 1.3),)
_SECONDS = Figure("s", "s", must=(AHEAD,), aim=_INLINE)
_BANDWIDTH = Figure("gb_per_second", "GB/s", higher=True)
_ARRAY = (_SECONDS, _BANDWIDTH)
_MATMUL = (
    Figure(
        "s",
        "s",
        # 0.35 s where the limit of two cores, half of inline, is 0.20 s
        must=(Goal("0.875x inline", of="inline", factor=0.875),),
        aim=(Goal("0.556x inline (0.9 of 2 cores)", of="inline", factor=0.5 / 0.9),),
    ),
)

WORKLOADS = (
    Workload("array_pass", Size(10, 100.0), Size(3, 20.0), array_pass, _ARRAY),
    Workload("array_broadcast", Size(20, 100.0), Size(4, 20.0), array_broadcast, _ARRAY),
    Workload("array_gather", Size(20, 10.0), Size(4, 5.0), array_gather, _ARRAY),
    Workload("array_inout", Size(10, 100.0), Size(3, 20.0), array_inout, _ARRAY),
    Workload("matmul", Size(8), Size(3), matmul, _MATMUL),
    Workload("matmul_inout", Size(8), Size(3), matmul_inout, _MATMUL, only=("taskflow", "inline")),
)
