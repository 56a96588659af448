"""Estimate pi by throwing random points at a square.

    python examples/monte_carlo.py
    runtask examples/monte_carlo.py
    runtask --workers 2 examples/monte_carlo.py --points 10000000 --tasks 32

Each task throws its share of the points and counts those inside the quarter circle. Every task has a seed of
its own, so the estimate is the same in every run, on any number of cores.

The program checks itself twice: it counts the points of the first task again in another way, and it compares
the estimate with the true value, which must lie within five standard errors.
"""

import argparse
import math
import random
import sys

from taskflow import compss_wait_on, task


@task(returns=int)
def count_hits(seed: int, points: int) -> int:
    """Throw `points` points and count those inside the quarter circle."""
    draw = random.Random(seed).random
    hits = 0
    for _ in range(points):
        x, y = draw(), draw()
        if x * x + y * y <= 1.0:
            hits += 1
    return hits


def count_hits_by_height(seed: int, points: int) -> int:
    """Count the same points by comparing heights: a point is inside if it is not above the curve."""
    draw = random.Random(seed).random
    return sum(math.sqrt(1.0 - draw() ** 2) >= draw() for _ in range(points))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Estimate pi with random points.")
    parser.add_argument("--points", type=int, default=8_000_000, help="points in all (default 8 million)")
    parser.add_argument("--tasks", type=int, default=16, help="tasks that share them (default 16)")
    return parser.parse_args()


def main() -> int:
    """Estimate pi and check the estimate."""
    arguments = parse_arguments()
    share = max(1, arguments.points // arguments.tasks)
    points = share * arguments.tasks
    hits = compss_wait_on([count_hits(seed, share) for seed in range(arguments.tasks)])
    fraction = sum(hits) / points
    error = 4.0 * math.sqrt(fraction * (1.0 - fraction) / points)
    print(f"{sum(hits)} of {points} points are inside the circle")
    print(f"pi is about {4.0 * fraction:.6f}, give or take {error:.6f}")
    if hits[0] != count_hits_by_height(0, share):
        print("WRONG: counting the points of the first task again gives another number.", file=sys.stderr)
        return 1
    if abs(4.0 * fraction - math.pi) > 5.0 * error:
        print("WRONG: the true value is more than five standard errors away.", file=sys.stderr)
        return 1
    print("Checked: the first task counts the same again, and pi lies within five standard errors.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
