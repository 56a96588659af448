"""Multiply two matrices block by block.

    python examples/matmul.py
    runtask examples/matmul.py
    runtask --workers 2 examples/matmul.py --blocks 8 --size 256

Needs numpy. Each task adds the product of two blocks to a block of the result. That block has the direction
INOUT, so the tasks on one block run one after another, and tasks on different blocks run at the same time.

The numbers are small integers kept as floats. Their products are exact in any order, so the check against a
product made in one piece can ask for equality.
"""

import argparse
import sys
from typing import Any

import numpy as np

from taskflow import INOUT, compss_wait_on, task

LARGEST = 8
"""The matrices hold integers from -8 to 7."""


@task(returns=1)
def make_block(seed: list[int], size: int) -> Any:
    """Make one random block; the same seed always makes the same block."""
    return np.random.default_rng(seed).integers(-LARGEST, LARGEST, (size, size)).astype(np.float64)


@task(total=INOUT)
def add_product(total: Any, left: Any, right: Any) -> None:
    """Add left times right to `total`, in place."""
    total += left @ right


def make_matrix(which: int, blocks: int, size: int) -> list[list[Any]]:
    """Submit the tasks that make all blocks of one matrix."""
    return [[make_block([which, row, column], size) for column in range(blocks)] for row in range(blocks)]


def multiply(left: list[list[Any]], right: list[list[Any]], size: int) -> list[list[Any]]:
    """Submit the tasks of the product; give its blocks."""
    indexes = range(len(left))
    result = [[np.zeros((size, size)) for _ in indexes] for _ in indexes]
    for row in indexes:
        for column in indexes:
            for inner in indexes:
                add_product(result[row][column], left[row][inner], right[inner][column])
    return result


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Multiply two matrices block by block.")
    parser.add_argument("--blocks", type=int, default=6, help="blocks along one side (default 6)")
    parser.add_argument("--size", type=int, default=256, help="numbers along one side of a block (default 256)")
    return parser.parse_args()


def main() -> int:
    """Multiply, show some numbers of the result, and check all of them."""
    arguments = parse_arguments()
    left = make_matrix(0, arguments.blocks, arguments.size)
    right = make_matrix(1, arguments.blocks, arguments.size)
    product = np.block(compss_wait_on(multiply(left, right, arguments.size)))
    width = arguments.blocks * arguments.size
    print(f"{width} x {width} matrix in {arguments.blocks} x {arguments.blocks} blocks")
    print(f"trace {int(np.trace(product))}, sum {int(product.sum())}, largest {int(product.max())}")
    expected = np.block(compss_wait_on(left)) @ np.block(compss_wait_on(right))
    if not np.array_equal(product, expected):
        print("WRONG: the product made in one piece differs.", file=sys.stderr)
        return 1
    print(f"Checked: all {width * width} numbers equal the product made in one piece.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
