"""The order of the runs: the runtimes take turns within each repetition, so that ratios are fair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.model import Workload
from benchmarks.process_runs import run_whole_process
from benchmarks.runner import Result, run_child

SLOW = 30.0
"""Seconds after which a run is not repeated."""


@dataclass(frozen=True)
class Options:
    """What holds for all runs."""

    reps: int
    quick: bool
    workers: int


def runtimes_of(workload: Workload, runtimes: Sequence[str]) -> list[str]:
    """The runtimes that take part in a workload."""
    return [name for name in runtimes if not workload.only or name in workload.only]


def run_suite(
    workloads: Sequence[Workload],
    runtimes: Sequence[str],
    options: Options,
    report: Callable[[Result], None],
) -> Iterator[Result]:
    """Run everything, workload by workload, repetition by repetition, runtime by runtime."""
    for workload in workloads:
        names = runtimes_of(workload, runtimes)
        finished: set[str] = set()
        for rep in range(options.reps):
            turn = rep % len(names) if names else 0
            for name in names[turn:] + names[:turn]:  # nobody is always the first
                if name in finished:
                    continue
                result = run_one(name, workload, rep, options)
                if result.status in ("timeout", "unsupported") or result.wall_s > SLOW:
                    finished.add(name)
                report(result)
                yield result


def run_one(runtime: str, workload: Workload, rep: int, options: Options) -> Result:
    """Run a workload once on a runtime."""
    if workload.run is None:
        return run_whole_process(runtime, workload, rep, options.workers)
    size = workload.quick if options.quick else workload.full
    return run_child(runtime, workload, size, rep=rep, workers=options.workers)
