"""Sort many numbers: sort blocks of them, then merge the blocks.

    python examples/merge_sort.py
    runtask examples/merge_sort.py
    runtask --workers 2 examples/merge_sort.py --numbers 2000000 --groups 4 --blocks 4

The numbers lie in a nested list: groups, and in each group some blocks. One task sorts each block in place.
Then each merging task takes the whole nested list as a collection and merges the numbers of one range.
`Depth: 2` says that two levels are lists to look into. What lies below, a block, is one object. So a merging
task waits for every block, and the lists themselves need no tasks.
"""

import argparse
import heapq
import itertools
import random
import sys
from bisect import bisect_left

from taskflow import COLLECTION_IN, INOUT, Depth, Type, compss_wait_on, task

LARGEST = 1_000_000_000


@task(block=INOUT)
def sort_block(block: list[int]) -> None:
    """Sort one block in place."""
    block.sort()


@task(groups={Type: COLLECTION_IN, Depth: 2}, returns=list)
def merge_range(groups: list[list[list[int]]], low: int, high: int) -> list[int]:
    """Merge the numbers from `low` up to, but without, `high` out of all sorted blocks."""
    blocks = itertools.chain.from_iterable(groups)
    pieces = [block[bisect_left(block, low) : bisect_left(block, high)] for block in blocks]
    return list(heapq.merge(*pieces))


def make_numbers(groups: int, blocks: int, numbers: int) -> list[list[list[int]]]:
    """Make the nested list of random numbers; it is the same in every run."""
    draw = random.Random(2).randrange
    size = max(1, numbers // (groups * blocks))
    return [[[draw(LARGEST) for _ in range(size)] for _ in range(blocks)] for _ in range(groups)]


def merge_sort(groups: list[list[list[int]]], ranges: int) -> list[int]:
    """Sort the numbers with tasks; give them in one list."""
    for block in itertools.chain.from_iterable(groups):
        sort_block(block)
    limits = [LARGEST * number // ranges for number in range(ranges + 1)]
    merged = [merge_range(groups, low, high) for low, high in itertools.pairwise(limits)]
    return list(itertools.chain.from_iterable(compss_wait_on(merged)))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Sort many numbers by merging sorted blocks.")
    parser.add_argument("--numbers", type=int, default=800_000, help="how many (default 800,000)")
    parser.add_argument("--groups", type=int, default=4, help="groups of blocks (default 4)")
    parser.add_argument("--blocks", type=int, default=4, help="blocks in a group (default 4)")
    parser.add_argument("--ranges", type=int, default=4, help="merging tasks (default 4)")
    return parser.parse_args()


def main() -> int:
    """Sort, show some of the numbers, and check all of them."""
    arguments = parse_arguments()
    groups = make_numbers(arguments.groups, arguments.blocks, arguments.numbers)
    expected = sorted(itertools.chain.from_iterable(itertools.chain.from_iterable(groups)))
    result = merge_sort(groups, arguments.ranges)
    print(f"{len(result)} numbers from {arguments.groups} groups of {arguments.blocks} blocks")
    print(f"smallest {result[0]}, middle {result[len(result) // 2]}, largest {result[-1]}")
    if result != expected:
        print("WRONG: sorting all numbers in one list gives another order.", file=sys.stderr)
        return 1
    print(f"Checked: all {len(result)} numbers stand as sorted() puts them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
