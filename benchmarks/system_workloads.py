"""Workloads on files, failures and memory, and whole processes."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from pathlib import Path
from time import perf_counter, sleep

from benchmarks import functions, procfs
from benchmarks.driver import Driver, Handle, UnsupportedError
from benchmarks.model import Context, Figure, Figures, Goal, Size, Workload, at_least, at_most, expect

NAP = 0.05
ROUND = 5_000


def files(driver: Driver, size: Size, context: Context) -> Figures:
    """n tasks write a small file each, n tasks read one each."""
    paths = [str(context.folder / f"{i}.txt") for i in range(size.n)]
    if driver.batch:  # two levels, as its user would write it
        calls = [(path, i) for i, path in enumerate(paths)]
        begin = perf_counter()
        written = driver.submit_many(functions.write_file_path, calls)
        values = driver.submit_many(functions.read_file, [(path,) for path in written])
    else:
        begin = perf_counter()
        written = [driver.write_file(path, i) for i, path in enumerate(paths)]
        values = driver.gather([driver.read_file(path) for path in written])
    end = perf_counter()
    expect(values, list(range(size.n)))
    return {"per_second": 2 * size.n / (end - begin)}


def _kill_last_starter(log: Path, delay: float) -> None:
    """After `delay` seconds kill the worker that last began a task."""
    sleep(delay)
    lines = log.read_text().split() if log.exists() else []
    if lines and int(lines[-1]) != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(lines[-1]), signal.SIGKILL)
            return
    raise RuntimeError("no worker was there to be killed")


def worker_kill(driver: Driver, size: Size, context: Context) -> Figures:
    """n sleeping tasks, one worker killed on the way: which results are lost, how long does it take?"""
    if driver.name == "inline":
        raise UnsupportedError("it has no workers")
    log = context.folder / "starts.log"
    ideal = size.n * NAP / context.workers
    failed: list[BaseException] = []

    def kill() -> None:
        try:
            _kill_last_starter(log, min(1.0, ideal / 2))
        except BaseException as error:
            failed.append(error)

    killer = threading.Thread(target=kill, daemon=True)
    begin = perf_counter()
    killer.start()
    try:
        handles = driver.submit_many(functions.logged_nap, [(str(log), i, NAP) for i in range(size.n)])
        values = driver.outcomes(handles)
    except Exception as error:  # a pool that breaks as a whole loses everything
        values = [error] * size.n
    end = perf_counter()
    killer.join()
    if failed:
        raise failed[0]
    lost = sum(value != i for i, value in enumerate(values))
    figures = {"lost": float(lost)}
    if not lost:  # how early a run gave up is no merit
        figures["over_s"] = end - begin - ideal
    return figures


def _noop_round(driver: Driver, n: int) -> None:
    values = driver.gather(driver.submit_many(functions.noop, [()] * n))
    expect(len(values), n)


def memory_finished(driver: Driver, size: Size, context: Context) -> Figures:
    """What is left in the main process for each finished task whose future was dropped."""
    for _ in range(2):  # the first rounds grow the heap to its working size
        _noop_round(driver, ROUND)
    gc.collect()
    before = procfs.rss()
    for _ in range(size.n // ROUND):
        _noop_round(driver, ROUND)
    gc.collect()
    return {"bytes": (procfs.rss() - before) / size.n}


def memory_pending(driver: Driver, size: Size, context: Context) -> Figures:
    """What a task costs in the main process while it waits, its future included.

    With dataflow the tasks wait for the result of one held task; without, behind held workers.
    """
    if driver.batch or driver.name == "inline":
        raise UnsupportedError("it has no pending tasks")
    gate = context.folder / "gate"
    began = [context.folder / f"began{i}" for i in range(1 if driver.dataflow else context.workers)]
    held: list[Handle] = [driver.submit(functions.hold, str(b), str(gate), 100.0) for b in began]
    limit = perf_counter() + 30
    while not all(b.exists() for b in began):
        if perf_counter() > limit:
            raise RuntimeError("the held tasks did not begin")
        sleep(0.01)
    calls = [(held[0] if driver.dataflow else 1, i) for i in range(size.n)]
    gc.collect()
    before = procfs.rss()
    handles = driver.submit_many(functions.add, calls)
    sleep(0.5)
    pending = procfs.rss() - before
    gate.touch()
    expect(driver.gather(handles), list(range(1, size.n + 1)))
    return {"bytes": pending / size.n}


def _flatness(samples: list[int]) -> Figures:
    """Growth of the main process after the first tenth of the run."""
    early = max(samples[: max(1, len(samples) // 10)])
    return {"growth_mb": (samples[-1] - early) / 1e6}


def million(driver: Driver, size: Size, context: Context) -> Figures:
    """A million tasks with a window of submitted ones: the next round is submitted before one is awaited."""
    rounds = max(1, size.n // ROUND)
    samples: list[int] = []
    begin = perf_counter()
    ahead = driver.submit_many(functions.noop, [()] * ROUND)
    for _ in range(rounds - 1):
        behind, ahead = ahead, driver.submit_many(functions.noop, [()] * ROUND)
        expect(len(driver.gather(behind)), ROUND)
        del behind
        samples.append(procfs.rss())
    expect(driver.gather(ahead), [None] * ROUND)
    end = perf_counter()
    samples.append(procfs.rss())
    return {"per_second": rounds * ROUND / (end - begin), **_flatness(samples)}


def million_barrier(driver: Driver, size: Size, context: Context) -> Figures:
    """A million tasks of which nothing is kept, then a barrier; the runtime has to limit itself."""
    samples: list[int] = []
    begin = perf_counter()
    for _ in range(max(1, size.n // ROUND)):
        driver.submit_many(functions.noop, [()] * ROUND)
        samples.append(procfs.rss())
    driver.barrier()
    end = perf_counter()
    samples.append(procfs.rss())
    return {"per_second": size.n / (end - begin), **_flatness(samples)}


_MEMORY = (Figure("main_mb", "MB, main process"), Figure("tree_mb", "MB, all processes"))
_MILLION = (
    Figure("per_second", "tasks/s", higher=True),
    Figure("growth_mb", "MB growth after the first tenth", must=at_most(20)),
    *_MEMORY,
)
_KILL = (
    Figure("lost", "results lost", must=at_most(0)),
    Figure("over_s", "s over the ideal", must=at_most(0.4), aim=at_most(0.15)),
)

WORKLOADS = (
    Workload("startup", Size(1), Size(1), None, (Figure("s", "s"),), timeout=60),
    Workload(
        "runtask",
        Size(1),
        Size(1),
        None,
        (Figure("s", "s (peers: startup)", must=at_most(0.4), aim=at_most(0.15), peers_from="startup"),),
        only=("taskflow",),
        timeout=60,
    ),
    Workload("import", Size(1), Size(1), None, (Figure("ms", "ms", must=at_most(80), aim=at_most(40)),), timeout=60),
    Workload(
        "files",
        Size(500),
        Size(100),
        files,
        (Figure("per_second", "tasks/s", higher=True, must=at_least(8_000), aim=at_least(20_000)),),
    ),
    Workload("worker_kill", Size(200), Size(40), worker_kill, _KILL),
    Workload(
        "memory_finished",
        Size(50_000),
        Size(10_000),
        memory_finished,
        (Figure("bytes", "B a finished task", must=at_most(200), aim=(Goal("0 (±2)", value=2.0),)),),
    ),
    Workload(
        "memory_pending",
        Size(20_000),
        Size(2_000),
        memory_pending,
        (Figure("bytes", "B a pending task", must=at_most(1_500), aim=at_most(700)),),
    ),
    Workload(
        "million",
        Size(1_000_000),
        Size(20_000),
        million,
        _MILLION,
        only=("taskflow", "processpool"),
        timeout=400,
    ),
    Workload(
        "million_barrier",
        Size(1_000_000),
        Size(20_000),
        million_barrier,
        _MILLION,
        only=("taskflow",),
        timeout=400,
    ),
)
