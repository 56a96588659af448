"""KMeans, written in tasks and as the library dislib has it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.driver import Driver, UnsupportedError
from benchmarks.model import AHEAD, Context, Figure, Figures, Size, Workload, WrongResultError, times

FEATURES = 20
CLUSTERS = 8
BLOCKS = 16
ITERATIONS = 5


def _with_tasks(driver: Driver, samples: Any, start: Any) -> Any:
    """A task for each block and iteration; the main program computes the new centers."""
    from benchmarks import clusters

    blocks = [driver.put(block) for block in np.array_split(samples, BLOCKS)]
    centers = start
    for _ in range(ITERATIONS):
        parts = driver.submit_many(clusters.partial_sums, [(block, centers) for block in blocks])
        centers = clusters.next_centers(driver.gather(parts), centers)
    return centers


def _with_dislib(driver: Driver, samples: Any, start: Any) -> Any:
    import dislib
    from dislib.cluster import KMeans

    array = dislib.array(samples, (-(-len(samples) // BLOCKS), FEATURES))
    return KMeans(CLUSTERS, init=start, max_iter=ITERATIONS, tol=0).fit(array).centers


def _with_scikit_learn(driver: Driver, samples: Any, start: Any) -> Any:
    from sklearn.cluster import KMeans

    model = KMeans(CLUSTERS, init=start, n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd")
    return model.fit(samples).cluster_centers_


def _measure(driver: Driver, size: Size, fit: Any) -> Figures:
    samples = np.random.default_rng(0).random((size.n, FEATURES))
    start = samples[:CLUSTERS].copy()
    try:
        fit(driver, samples[: 100 * BLOCKS], start)  # loads the libraries, in the workers too
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"{error.name} is not installed") from error
    begin = perf_counter()
    found = fit(driver, samples, start)
    end = perf_counter()
    if not np.allclose(found, _with_scikit_learn(driver, samples, start)):
        raise WrongResultError("the centers are not those of scikit-learn")
    return {"s": end - begin}


def kmeans(driver: Driver, size: Size, context: Context) -> Figures:
    """Five iterations over n samples of 20 features, in 16 blocks that the main program has, in plain tasks."""
    return _measure(driver, size, _with_tasks)


def dislib_kmeans(driver: Driver, size: Size, context: Context) -> Figures:
    """The same with dislib's KMeans; inline is scikit-learn's, on one thread."""
    return _measure(driver, size, _with_dislib if driver.name == "taskflow" else _with_scikit_learn)


_SECONDS = Figure("s", "s", must=(AHEAD,), aim=(times("inline", 0.7),))
_LIBRARY = Figure(
    "s", "s (peers: kmeans)", must=(AHEAD,), aim=(times("inline", 1.0, "scikit-learn"),), peers_from="kmeans"
)

WORKLOADS = (
    Workload("kmeans", Size(1_000_000), Size(100_000), kmeans, (_SECONDS,)),
    Workload("dislib_kmeans", Size(1_000_000), Size(100_000), dislib_kmeans, (_LIBRARY,), only=("taskflow", "inline")),
)
