"""Task functions on numpy arrays, importable by name from every worker."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def length(megabytes: float) -> int:
    """How many float64 make up that many MB (10^6 bytes)."""
    return int(megabytes * 1_000_000) // 8


def make_array(megabytes: float, value: float) -> Array:
    """An array of one value, so that every sum is exact and can be compared with ==."""
    return np.full(length(megabytes), value)


def sum_and_add(a: Array) -> Array:
    """Read the whole array, then make a new one: the hop of array_pass."""
    a.sum()
    result: Array = a + 1.0
    return result


def sum_array(a: Array) -> float:
    """Read the whole array."""
    return float(a.sum())


def bump(a: Array) -> None:
    """Change the array in place (INOUT)."""
    a += 1.0


def bump_and_return(a: Array) -> Array:
    """The nearest thing to INOUT on runtimes that only pass values: in place where that is allowed."""
    if not a.flags.writeable:
        fresh: Array = a + 1.0
        return fresh
    a += 1.0
    return a


def make_block(seed: int, size: int) -> Array:
    """One block of a matrix; the same seed is the same block everywhere, so that main can check."""
    return np.random.default_rng(seed).random((size, size))


def zero_block(size: int) -> Array:
    """An empty block of the result."""
    return np.zeros((size, size))


def gemm(c: Array | float, a: Array, b: Array) -> Array:
    """C + A·B as a new block (the first C is the number 0.0)."""
    result: Array = c + a @ b
    return result


def gemm_into(c: Array, a: Array, b: Array) -> None:
    """C += A·B in place (INOUT)."""
    c += a @ b
