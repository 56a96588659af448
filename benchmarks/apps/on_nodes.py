"""What `benchmarks.cluster` measures, seen from the main program: ``on_nodes.py WHAT [SIZE]``. Prints JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from taskflow import compss_barrier, compss_wait_on, constraint, task


@task(returns=1)
def nothing(_x: int) -> None:
    """Do nothing."""


@task(returns=1)
def successor(x: int) -> int:
    """Return the next number."""
    return x + 1


@constraint(app_software="first")
@task(returns=1)
def make(megabytes: int) -> Any:
    """Make an array on the first node."""
    return np.ones(megabytes * 131_072)


@constraint(app_software="first")
@task(returns=1)
def size_of(array: Any) -> int:
    """Size of an array, where it was made."""
    return int(array.nbytes)


@constraint(app_software="second")
@task(returns=1)
def arrive(array: Any) -> float:
    """Touch an array on the second node."""
    return float(array[-1])


@constraint(app_software="second")
@task(returns=1)
def prepare() -> str:
    """Make sure that the second node runs tasks."""
    return socket.gethostname()


@task(returns=1)
def work(seconds: float) -> str:
    """Take some time."""
    time.sleep(seconds)
    return socket.gethostname()


def age() -> float:
    """Seconds since this process was started."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def startup(nodes: int) -> dict[str, float]:
    """From the start of the process until each node has run a task."""
    hosts: set[str] = set()
    while len(hosts) < nodes:
        hosts |= set(compss_wait_on([work(0.02) for _ in range(4 * nodes)]))
    return {"s": age()}


def throughput(count: int) -> dict[str, float]:
    """Tasks without content."""
    for x in range(1000):
        nothing(x)
    compss_barrier()
    begin = time.perf_counter()
    for x in range(count):
        nothing(x)
    compss_barrier()
    return {"per_second": count / (time.perf_counter() - begin)}


def roundtrip(count: int) -> dict[str, float]:
    """A task, waited for, and again; and as a chain on the node."""
    x = 0
    for _ in range(50):
        x = compss_wait_on(successor(x))
    begin = time.perf_counter()
    for _ in range(count):
        x = compss_wait_on(successor(x))
    middle = time.perf_counter()
    for _ in range(count):
        x = successor(x)
    if compss_wait_on(x) != 50 + 2 * count:
        raise ValueError(f"wrong result {x}")
    return {"us": (middle - begin) / count * 1e6, "hop_us": (time.perf_counter() - middle) / count * 1e6}


def transfer(megabytes: int) -> dict[str, float]:
    """An array from node to node: the time until a task on the second has touched it."""
    compss_wait_on([prepare(), arrive(make(1))])
    array = make(megabytes)
    size = compss_wait_on(size_of(array))
    begin = time.perf_counter()
    if compss_wait_on(arrive(array)) != 1.0:
        raise ValueError("a wrong array arrived")
    return {"gb_per_s": size / 1e9 / (time.perf_counter() - begin)}


def spread(count: int) -> dict[str, float]:
    """Tasks of 20 ms over all nodes: how much of the ideal time."""
    hosts = set(compss_wait_on([work(0.02) for _ in range(count)]))
    begin = time.perf_counter()
    hosts = set(compss_wait_on([work(0.02) for _ in range(count)]))
    return {"s": time.perf_counter() - begin, "hosts": float(len(hosts))}


MEASURES: dict[str, Callable[[int], dict[str, float]]] = {
    function.__name__: function for function in (startup, throughput, roundtrip, transfer, spread)
}

if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](int(sys.argv[2]))))
