"""Workloads of small tasks: the cost of the runtime itself."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from benchmarks import functions
from benchmarks.driver import Driver
from benchmarks.model import AHEAD, Context, Figure, Figures, Size, Workload, at_least, at_most, expect, times


def noop(driver: Driver, size: Size, context: Context) -> Figures:
    """n independent tasks that do nothing."""
    begin = perf_counter()
    handles = driver.submit_many(functions.noop, [()] * size.n)
    submitted = perf_counter()
    values = driver.gather(handles)
    end = perf_counter()
    expect(values, [None] * size.n)
    figures = {"per_second": size.n / (end - begin)}
    if not driver.batch:
        figures["submit_per_second"] = size.n / (submitted - begin)
    return figures


def chain(driver: Driver, size: Size, context: Context) -> Figures:
    """n dependent tasks."""
    begin = perf_counter()
    x = driver.submit(functions.inc, 0)
    for _ in range(size.n - 1):
        x = driver.submit(functions.inc, x)
    value = driver.gather([x])
    end = perf_counter()
    expect(value, [size.n])
    return {"us": (end - begin) / size.n * 1e6}


def roundtrip(driver: Driver, size: Size, context: Context) -> Figures:
    """Submit one, wait for it, n times."""
    values = []
    begin = perf_counter()
    for i in range(size.n):
        values += driver.gather([driver.submit(functions.inc, i)])
    end = perf_counter()
    expect(values, list(range(1, size.n + 1)))
    return {"us": (end - begin) / size.n * 1e6}


def tree(driver: Driver, size: Size, context: Context) -> Figures:
    """n leaves, added pairwise down to one value."""
    begin = perf_counter()
    level = driver.submit_many(functions.identity, [(i,) for i in range(size.n)])
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        level = driver.submit_many(functions.add, list(zip(level[::2], level[1::2], strict=False))) + odd
    value = driver.gather(level)
    end = perf_counter()
    expect(value, [size.n * (size.n - 1) // 2])
    return {"per_second": (2 * size.n - 1) / (end - begin)}


def fanin(driver: Driver, size: Size, context: Context) -> Figures:
    """n results that are the n arguments of one task."""
    begin = perf_counter()
    leaves = driver.submit_many(functions.identity, [(i,) for i in range(size.n)])
    value = driver.gather([driver.submit(functions.sum_all, *leaves)])
    end = perf_counter()
    expect(value, [size.n * (size.n - 1) // 2])
    return {"per_second": (size.n + 1) / (end - begin)}


def grain(fn: Callable[[float], float], seconds: float) -> Callable[[Driver, Size, Context], Figures]:
    """Independent tasks of that length; the figure is the parallel efficiency."""

    def run(driver: Driver, size: Size, context: Context) -> Figures:
        begin = perf_counter()
        values = driver.gather(driver.submit_many(fn, [(seconds,)] * size.n))
        end = perf_counter()
        expect(values, [seconds] * size.n)
        return {"efficiency": 100 * size.n * seconds / context.workers / (end - begin)}

    return run


_RATE = "tasks/s"
_noop_figures = (
    Figure(
        "per_second",
        _RATE,
        higher=True,
        must=(*at_least(50_000), times("processpool", 4)),
        aim=at_least(170_000),
    ),
    Figure("submit_per_second", "submit alone, tasks/s", higher=True),
)
_memory_figures = (Figure("main_mb", "MB, main process"), Figure("tree_mb", "MB, all processes"))
_tree_figures = (Figure("per_second", _RATE, higher=True, must=at_least(40_000), aim=(AHEAD,)),)


def _grain(name: str, ms: int, must: float | None = None, aim: float | None = None) -> Workload:
    fn = functions.busy if name == "busy" else functions.nap
    figure = Figure(
        "efficiency",
        "efficiency, %",
        higher=True,
        must=at_least(must) if must else (),
        aim=at_least(aim) if aim else (),
    )
    return Workload(
        f"{name}{ms}",
        Size(8000 // ms),
        Size(max(20, 1000 // ms)),
        grain(fn, ms / 1000),
        (figure,),
        default=must is not None,
    )


WORKLOADS = (
    Workload("noop", Size(10_000), Size(2_000), noop, (*_noop_figures, *_memory_figures)),
    Workload("noop_bulk", Size(100_000), Size(5_000), noop, (*_noop_figures, *_memory_figures)),
    Workload("chain", Size(1_000), Size(100), chain, (Figure("us", "us a hop", must=at_most(25), aim=at_most(8)),)),
    Workload(
        "roundtrip",
        Size(300),
        Size(100),
        roundtrip,
        (Figure("us", "us", must=at_most(100), aim=at_most(45)),),
    ),
    Workload("tree", Size(1_024), Size(256), tree, _tree_figures),
    Workload("fanin", Size(5_000), Size(500), fanin, _tree_figures),
    _grain("busy", 1, 92, 97),
    _grain("busy", 10, 97, 99),
    _grain("busy", 100),
    _grain("sleep", 1),
    _grain("sleep", 10),
    _grain("sleep", 100),
)
