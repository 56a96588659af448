"""Data that exists on one node only when that node is lost. The program waits for the file "go" before it reads it.

Prints where the data is, then its sums, and where it was made the last time.
"""

import os
import socket
import time

import numpy as np
from pycompss.api.api import compss_open, compss_wait_on
from pycompss.api.constraint import constraint
from pycompss.api.parameter import FILE_IN, FILE_OUT
from pycompss.api.task import task


@constraint(app_software="maker")
@task(returns=2)
def make(seed):
    return np.arange(seed, seed + 500_000, dtype=np.int64), socket.gethostname()


@constraint(app_software="maker")
@task(returns=1)
def double(array):
    return array * 2


@constraint(app_software="maker")
@task(file=FILE_OUT)
def write(file, text):
    with open(file, "w") as out:
        out.write(text * 10_000)


@constraint(app_software="maker")
@task(file=FILE_IN, result=FILE_OUT)
def shout(file, result):
    with open(file) as text, open(result, "w") as out:
        out.write(text.read().upper())


@task(returns=2)
def total(array):
    return int(array.sum()), socket.gethostname()


def main():
    array, place = make(1)
    array = double(double(array))
    write("words.txt", "word ")
    shout("words.txt", "shouted.txt")
    print(compss_wait_on(total(array))[0])
    print("made on", compss_wait_on(place), flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)
    results = [total(double(array)) for _ in range(4)]
    print([value for value, _ in compss_wait_on(results)])
    with compss_open("shouted.txt") as text:
        print(text.read().count("WORD"))
    print("read on", *sorted({host for _, host in compss_wait_on(results)}))


if __name__ == "__main__":
    main()
