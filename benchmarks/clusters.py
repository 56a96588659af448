"""The kernel of KMeans as plain functions, importable by name from every worker; scikit-learn does the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import pairwise_distances

Array = npt.NDArray[np.float64]
Sums = tuple[Array, npt.NDArray[Any]]


def partial_sums(block: Array, centers: Array) -> Sums:
    """For each center, the sum and the number of the samples of a block that are nearest to it."""
    nearest = pairwise_distances(block, centers).argmin(axis=1)
    sums = np.array([block[nearest == index].sum(axis=0) for index in range(len(centers))])
    return sums, np.bincount(nearest, minlength=len(centers))


def next_centers(parts: list[Sums], centers: Array) -> Array:
    """The means of the samples that are nearest to each center; a center without any stays."""
    sums = np.sum([part for part, _ in parts], axis=0)
    counts = np.sum([count for _, count in parts], axis=0)
    means: Array = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
    return means
