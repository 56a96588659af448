"""200 tasks: eight chains of arrays and eight of files, whose data the main program wants at the end only.

Now and then a chain reads what its neighbour has, so that data have to be moved.

chains.py [SECONDS A TASK TAKES]. The line "under way" is printed in the middle, so that something can happen then.
"""

import hashlib
import sys
import time

import numpy as np
from pycompss.api.api import compss_open, compss_wait_on
from pycompss.api.parameter import FILE_IN, FILE_INOUT, FILE_OUT, INOUT
from pycompss.api.task import task

CHAINS = 8
STEPS = 13
LINES = 7
SIZE = 100_000
PRIME = 2_147_483_647
PAUSE = float(sys.argv[1]) if len(sys.argv) > 1 else 0.03


@task(returns=1)
def make(seed):
    time.sleep(PAUSE)
    return np.arange(seed, seed + SIZE, dtype=np.int64)


@task(returns=1)
def step(array, factor):
    time.sleep(PAUSE)
    return (array * factor + 1) % PRIME


@task(array=INOUT)
def change(array, addend):
    time.sleep(PAUSE)
    array += addend
    array %= PRIME


@task(returns=1)
def mix(array, other):
    time.sleep(PAUSE)
    return (array + other) % PRIME


@task(returns=1)
def digest(array):
    return int(array.sum()) % PRIME


@task(file=FILE_OUT)
def begin(file, number):
    time.sleep(PAUSE)
    with open(file, "w") as text:
        text.write(f"file {number}\n")


@task(file=FILE_INOUT)
def extend(file, line):
    time.sleep(PAUSE)
    with open(file) as text:
        known = hashlib.sha256(text.read().encode()).hexdigest()
    with open(file, "a") as text:
        text.write(f"{line} {known}\n")


@task(file=FILE_INOUT, other=FILE_IN)
def join(file, other):
    time.sleep(PAUSE)
    with open(file, "a") as text, open(other) as more:
        text.write(more.readlines()[-1])


@task(file=FILE_IN, returns=1)
def lines(file):
    with open(file) as text:
        return len(text.readlines())


def main():
    arrays = [make(seed) for seed in range(CHAINS)]
    files = [f"file{number}.txt" for number in range(CHAINS)]
    for number, file in enumerate(files):
        begin(file, number)
    early = []
    for number in range(1, STEPS + 1):
        if number % 5 == 0:
            arrays = [mix(array, arrays[chain - 1]) for chain, array in enumerate(arrays)]
        elif number % 3:
            arrays = [step(array, number + chain) for chain, array in enumerate(arrays, 2)]
        else:
            for array in arrays:
                change(array, number)
        if number == STEPS // 3:
            early = [digest(array) for array in arrays]
        for chain, file in enumerate(files if number <= LINES else ()):
            if number == 4:
                join(file, files[chain - 1])
            else:
                extend(file, number)
    counts = [lines(file) for file in files]
    digests = [digest(array) for array in arrays]
    print(compss_wait_on(early[0]))
    print("under way", flush=True)
    print(compss_wait_on(early), compss_wait_on(digests), compss_wait_on(counts))
    for file in files:
        with compss_open(file) as text:
            print(hashlib.sha256(text.read().encode()).hexdigest())


if __name__ == "__main__":
    main()
