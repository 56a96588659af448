"""The regression guard of CI: ratios within one run, never absolute seconds.

A shared machine of unknown speed cannot tell 50,000 tasks/s from 40,000, but it can tell whether taskflow
is still far ahead of the pool of the standard library at the same moment. Margins are generous, and one good
attempt of three is enough: the guard is for the regression that somebody would regret, not for noise.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from benchmarks.catalog import installed
from benchmarks.model import Size
from benchmarks.runner import run_child
from benchmarks.workloads import WORKLOADS

ATTEMPTS = 3
TIMEOUT = 60.0


@dataclass(frozen=True)
class Probe:
    """One figure of one runtime."""

    runtime: str
    workload: str
    size: Size
    key: str

    def measure(self) -> float:
        """Run it once in a process of its own."""
        workload = replace(WORKLOADS[self.workload], timeout=TIMEOUT)
        result = run_child(self.runtime, workload, self.size, rep=0, workers=2)
        if result.status != "ok":
            raise RuntimeError(f"{self.workload} on {self.runtime}: {result.status}, {result.error}")
        return result.figures[self.key]


@dataclass(frozen=True)
class Check:
    """`over` divided by `under` must be at least `ratio`."""

    text: str
    over: Probe
    under: Probe
    ratio: float


_NOOP = Size(5_000)
_PASS = Size(4, 20.0)
CHECKS = (
    Check(
        "rate of no-op tasks over that of ProcessPoolExecutor",
        over=Probe("taskflow", "noop", _NOOP, "per_second"),
        under=Probe("processpool", "noop", _NOOP, "per_second"),
        ratio=4.0,
    ),
    Check(
        "round trip of ProcessPoolExecutor over a hop of a chain",
        over=Probe("processpool", "roundtrip", Size(300), "us"),
        under=Probe("taskflow", "chain", Size(500), "us"),
        ratio=3.0,
    ),
    Check(
        "time of ProcessPoolExecutor over ours to pass an array from task to task",
        over=Probe("processpool", "array_pass", _PASS, "s"),
        under=Probe("taskflow", "array_pass", _PASS, "s"),
        ratio=2.0,
    ),
)


def passes(check: Check) -> bool:
    """Whether one of the attempts reaches the ratio; each measures both sides anew."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            over, under = check.over.measure(), check.under.measure()
        except RuntimeError as error:
            print(f"attempt {attempt}: {error}", flush=True)
            continue
        ratio = over / under
        good = ratio >= check.ratio
        verdict = "ok" if good else "too low"
        print(f"attempt {attempt}: {check.text}: {ratio:.2f}, at least {check.ratio:g}: {verdict}", flush=True)
        if good:
            return True
    return False


def main() -> int:
    """Check everything; 1 if something became slow."""
    if not installed("taskflow"):
        print("guard: taskflow cannot be imported here", file=sys.stderr)
        return 1
    failed = [check.text for check in CHECKS if not passes(check)]
    for text in failed:
        print(f"guard: FAILED in {ATTEMPTS} attempts: {text}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
