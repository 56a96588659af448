"""Fit a model of an epidemic with an ensemble for each candidate, and give bad candidates up early.

    python examples/ensemble.py
    runtask examples/ensemble.py
    runtask --workers 2 --summary examples/ensemble.py --steps 2000

The program is written with the names of PyCOMPSs. The data are those of an outbreak of influenza in a boarding school
in 1978: how many of 763 boys were in bed on each of 14 days (British Medical Journal, 4 March 1978, page 587).

A candidate is a rate of infection. It is fitted with an ensemble: one task for each combination of what is not well
known, how long the illness lasts and how many boys had it on the first day. A candidate must fit with all of them. So
a task whose error has become too large raises COMPSsException: that cancels the other tasks of its group, and the
candidate is out.

The program checks itself: it runs every member of every ensemble to its end without tasks, and must find the same
candidates left and the same best one.
"""

import argparse
import itertools
import math
import sys

from pycompss.api.api import TaskGroup, compss_barrier_group, compss_wait_on
from pycompss.api.exceptions import COMPSsException
from pycompss.api.task import task

IN_BED = (3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
BOYS = 763
RATES = tuple(tenths / 10 for tenths in range(12, 24))
DAYS_ILL = (2.1, 2.25, 2.4)
ILL_AT_FIRST = (2.0, 3.0, 4.0)


def squared_errors(rate: float, days_ill: float, ill: float, steps: int) -> list[float]:
    """Follow the epidemic day by day; give the squared error of the boys in bed on each day."""
    healthy = BOYS - ill
    errors = []
    for day, observed in enumerate(IN_BED):
        for _ in range(steps if day else 0):
            infected = rate * healthy * ill / BOYS / steps
            healthy -= infected
            ill += infected - ill / days_ill / steps
        errors.append((ill - observed) ** 2)
    return errors


def root_mean(errors: list[float]) -> float:
    """Root of the mean squared error, in boys."""
    return math.sqrt(sum(errors) / len(IN_BED))


@task(returns=float)
def fit(rate: float, days_ill: float, ill: float, steps: int, limit: float) -> float:
    """Error of one member of the ensemble. Raises COMPSsException if it is above the limit."""
    error = root_mean(squared_errors(rate, days_ill, ill, steps))
    if error > limit:
        raise COMPSsException(f"rate {rate}: wrong by {error:.0f} boys a day")
    return error


def start_ensemble(rate: float, steps: int, limit: float) -> list[float] | None:
    """Start the tasks of a candidate. None if it is out already: without runtask, tasks run at their calls."""
    try:
        with TaskGroup(f"rate {rate}", implicit_barrier=False):
            return [fit(rate, *unknown, steps, limit) for unknown in itertools.product(DAYS_ILL, ILL_AT_FIRST)]
    except COMPSsException:
        return None


def mean_errors(steps: int, limit: float) -> dict[float, float]:
    """Mean error of each candidate that is left. All ensembles run at the same time."""
    ensembles = {rate: start_ensemble(rate, steps, limit) for rate in RATES}
    left = {}
    for rate, ensemble in ensembles.items():
        try:
            compss_barrier_group(f"rate {rate}")
        except COMPSsException:
            continue
        if ensemble is not None:
            errors = compss_wait_on(ensemble)
            left[rate] = sum(errors) / len(errors)
    return left


def mean_errors_without_tasks(steps: int, limit: float) -> dict[float, float]:
    """Compute the same, without tasks and without giving up early."""
    left = {}
    for rate in RATES:
        members = itertools.product(DAYS_ILL, ILL_AT_FIRST)
        errors = [root_mean(squared_errors(rate, *unknown, steps)) for unknown in members]
        if max(errors) <= limit:
            left[rate] = sum(errors) / len(errors)
    return left


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fit a model of an epidemic with ensembles.")
    parser.add_argument("--steps", type=int, default=5_000, help="steps of the model for each day (default 5000)")
    parser.add_argument("--limit", type=float, default=45.0, help="largest error of a member, in boys (default 45)")
    return parser.parse_args()


def main() -> int:
    """Fit all candidates and check the result."""
    arguments = parse_arguments()
    left = mean_errors(arguments.steps, arguments.limit)
    if not left:
        print(f"No rate fits with all members of its ensemble; the limit of {arguments.limit} boys is too strict.")
        return 1
    for rate, error in left.items():
        print(f"{rate} infections a day: wrong by {error:.2f} boys a day on average")
    best = min(left, key=lambda rate: left[rate])
    print(f"{len(RATES) - len(left)} of {len(RATES)} rates were given up; the best is {best}")
    if left != mean_errors_without_tasks(arguments.steps, arguments.limit):
        print("WRONG: without tasks the result is another one.", file=sys.stderr)
        return 1
    print("Checked: without tasks, and without giving up early, the result is the same.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
