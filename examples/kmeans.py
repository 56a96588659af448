"""Find clusters of points with the k-means method.

    python examples/kmeans.py
    runtask examples/kmeans.py
    runtask --workers 2 examples/kmeans.py --points 400000 --clusters 10 --fragments 16

Needs numpy. The points are made in fragments, one task each, and stay there. In each round one task for each
fragment assigns its points to the nearest centre and adds them up. A second task adds this to the total of
the round. Its parameter is COMMUTATIVE: these tasks run one at a time, but in whatever order the fragments
are ready.

Coordinates are integers, so sums are exact in any order and the answer is the same in every run.
"""

import argparse
import sys
from typing import Any

import numpy as np

from taskflow import COMMUTATIVE, compss_wait_on, task

SPREAD = 10_000
"""Cluster middles lie between 0 and this in each direction."""


@task(returns=1)
def make_fragment(seed: int, points: int, clusters: int, dimensions: int) -> Any:
    """Make points scattered around the cluster middles, which depend on nothing but their number."""
    middles = np.random.default_rng(7).integers(0, SPREAD, (clusters, dimensions))
    chance = np.random.default_rng([7, seed])
    chosen = middles[chance.integers(0, clusters, points)]
    return chosen + chance.normal(0.0, SPREAD / 25, (points, dimensions)).astype(np.int64)


@task(returns=1)
def sum_by_cluster(points: Any, centres: Any) -> Any:
    """For each centre: the sum of its points, and in the last column how many they are."""
    distances = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    sums = np.zeros((centres.shape[0], centres.shape[1] + 1), dtype=np.int64)
    np.add.at(sums[:, :-1], nearest, points)
    sums[:, -1] = np.bincount(nearest, minlength=centres.shape[0])
    return sums


@task(total=COMMUTATIVE)
def add_sums(total: Any, sums: Any) -> None:
    """Add the sums of one fragment to the total of the round."""
    total += sums


def move_centres(centres: Any, total: Any) -> Any:
    """Put each centre in the middle of its points; a centre without points stays."""
    moved = centres.copy()
    filled = total[:, -1] > 0
    moved[filled] = total[filled, :-1] / total[filled, -1:]
    return moved


def cluster(fragments: list[Any], centres: Any, rounds: int) -> tuple[Any, Any, int]:
    """Run rounds until no centre moves; give the centres, the points of each and the number of rounds."""
    done, moving = 0, True
    while moving and done < rounds:
        done += 1
        total = np.zeros((centres.shape[0], centres.shape[1] + 1), dtype=np.int64)
        for fragment in fragments:
            add_sums(total, sum_by_cluster(fragment, centres))
        total = compss_wait_on(total)
        previous, centres = centres, move_centres(centres, total)
        moving = not np.array_equal(previous, centres)
    return centres, total[:, -1], done


def cluster_plainly(points: Any, centres: Any, rounds: int) -> Any:
    """Do the same for all points at once, centre by centre and with no tasks: the check."""
    for _ in range(rounds):
        distances = np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres])
        nearest = distances.argmin(axis=0)
        members = [points[nearest == number] for number in range(len(centres))]
        pairs = zip(members, centres, strict=True)
        centres = np.array([group.mean(axis=0) if len(group) else centre for group, centre in pairs])
    return centres


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Find clusters of points with the k-means method.")
    parser.add_argument("--points", type=int, default=200_000, help="points in all (default 200,000)")
    parser.add_argument("--fragments", type=int, default=8, help="fragments they are made in (default 8)")
    parser.add_argument("--clusters", type=int, default=6, help="clusters (default 6)")
    parser.add_argument("--dimensions", type=int, default=3, help="coordinates of a point (default 3)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds at most (default 20)")
    return parser.parse_args()


def main() -> int:
    """Find the clusters, show them, and check them."""
    arguments = parse_arguments()
    share = max(1, arguments.points // arguments.fragments)
    fragments = [
        make_fragment(seed, share, arguments.clusters, arguments.dimensions) for seed in range(arguments.fragments)
    ]
    start = compss_wait_on(fragments[0])[: arguments.clusters].astype(np.float64)
    centres, sizes, rounds = cluster(fragments, start, arguments.rounds)
    print(f"{share * arguments.fragments} points, {arguments.clusters} clusters, {rounds} rounds")
    for size, centre in sorted(zip(sizes.tolist(), centres.tolist(), strict=True), reverse=True):
        print(f"{size:8d} points around ({', '.join(f'{coordinate:.2f}' for coordinate in centre)})")
    expected = cluster_plainly(np.concatenate(compss_wait_on(fragments)), start, rounds)
    if not np.allclose(centres, expected, rtol=1e-9):
        print("WRONG: clustering all points at once gives other centres.", file=sys.stderr)
        return 1
    print("Checked: clustering all points at once gives the same centres.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
