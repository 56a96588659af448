"""What a workload is, what it measures, and what taskflow is expected to reach in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driver import Driver

Figures = dict[str, float]


class WrongResultError(Exception):
    """A run ended with a wrong result; such a run has no figures."""


@dataclass(frozen=True)
class Size:
    """How much of a workload to run."""

    n: int
    mb: float = 0.0
    """Size of one array, for the workloads that have arrays."""


@dataclass(frozen=True)
class Context:
    """What a run may use besides its driver."""

    workers: int
    folder: Path
    """A folder of this run alone."""


@dataclass(frozen=True)
class Goal:
    """A bound for one figure, absolute or relative to other cells of the same row."""

    text: str
    value: float | None = None
    of: str = ""
    """`inline`, a peer, or `best` (the best peer); `factor` times that cell is the bound."""
    factor: float = 1.0

    def bound(self, cells: Mapping[str, float], best: float | None) -> float | None:
        """The number to reach; None when the cell it refers to was not measured."""
        if self.value is not None:
            return self.value
        other = best if self.of == "best" else cells.get(self.of)
        return None if other is None else other * self.factor


@dataclass(frozen=True)
class Figure:
    """One number that a workload reports."""

    key: str
    unit: str
    higher: bool = False
    must: tuple[Goal, ...] = ()
    aim: tuple[Goal, ...] = ()
    peers_from: str = ""
    """The workload whose same-named figure stands for the peers that do not run this one."""

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is at least as good as `b`."""
        return a >= b if self.higher else a <= b


Run = Callable[[Driver, Size, Context], Figures]


@dataclass(frozen=True)
class Workload:
    """A workload: its sizes, its code, its figures."""

    name: str
    full: Size
    quick: Size
    run: Run | None
    """None for the workloads that time a whole process from outside (see `process_runs`)."""
    figures: tuple[Figure, ...]
    only: tuple[str, ...] = ()
    """The runtimes that run it; empty for all."""
    timeout: float = 120.0
    default: bool = True
    warm: bool = True
    """Whether the workers are warmed up (numpy loaded, some tasks run) before the clock starts."""


def expect(found: object, wanted: object) -> None:
    """Check a result of a run."""
    if found != wanted:
        raise WrongResultError(f"expected {wanted!r:.200}, got {found!r:.200}")


def at_most(value: float) -> tuple[Goal, ...]:
    """A plain bound; whether it is from above or below follows from the figure."""
    return (Goal(f"{value:,g}", value=value),)


at_least = at_most
AHEAD = Goal("best peer", of="best")


def times(of: str, factor: float, text: str = "") -> Goal:
    """A bound relative to another cell."""
    return Goal(text or f"{factor:g}x {of}", of=of, factor=factor)
