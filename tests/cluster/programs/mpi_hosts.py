"""MPI programs and functions on two nodes at once: mpi_hosts.py RUNNER PROGRAM WHAT..."""

import os
import sys
import time
from pathlib import Path

import helper

from taskflow import TaskGroup, compss_barrier, compss_cancel_group, compss_wait_on, mpi, mpmd_mpi, task

RUNNER, PROGRAM, *WHAT = sys.argv[1:]
SHARED = Path("/shared")
SIZES = {"runner": RUNNER, "processes": 4, "processes_per_node": 2}


@mpi(binary=PROGRAM, args="{{name}} {{what}}", **SIZES)
@task(returns=1, on_failure="FAIL")
def program(name, what):
    pass


@mpi(binary=PROGRAM, args="limited sleep", **SIZES)
@task(returns=1, on_failure="FAIL", time_out=2)
def limited():
    pass


@mpmd_mpi(
    runner=RUNNER, processes_per_node=2,
    programs=[{"binary": PROGRAM, "args": "one", "processes": 2}, {"binary": PROGRAM, "args": "two", "processes": 2}],
)  # fmt: skip
@task(returns=1, on_failure="FAIL")
def coupled():
    pass


@mpi(**SIZES)
@task(returns=4, on_failure="FAIL")
def ranks(number):
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    total = world.allreduce(helper.double(number + world.rank))
    return world.rank, world.size, os.uname().nodename, total


def wait_for(name):
    """Wait until there is such a file on the disk that all have."""
    while not (SHARED / name).exists():
        time.sleep(0.02)


def wait_on_ranks():
    """All ranks tell where they are, and wait until there has been enough of that."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    host = os.uname().nodename
    (SHARED / f"rank-{world.rank}.part").write_text(host)
    os.rename(SHARED / f"rank-{world.rank}.part", SHARED / f"rank-{world.rank}")
    wait_for("enough")
    world.barrier()
    return host


waiting = mpi(**SIZES)(task(returns=4)(wait_on_ranks))
waiting_once = mpi(**SIZES)(task(returns=4, on_failure="FAIL")(wait_on_ranks))


@task(returns=1)
def small(number):
    time.sleep(0.005)
    return number * number


def begun():
    """Wait until four ranks run."""
    for number in range(4):
        wait_for(f"rank-{number}")
    print("under way", *[(SHARED / f"rank-{number}").read_text() for number in range(4)], flush=True)


def failure(call):
    try:
        print("unexpected", compss_wait_on(call), flush=True)
    except Exception as error:  # noqa: BLE001  it is shown
        print(type(error).__name__, str(error).replace("\n", " | "), flush=True)


def main(what):
    if what == "program":
        print("exit value", compss_wait_on(program("c", "0")), flush=True)
    elif what == "mpmd":
        print("exit value", compss_wait_on(coupled()), flush=True)
    elif what == "function":
        print(*compss_wait_on(ranks(10)), sep="\n", flush=True)
    elif what == "among":
        before = [small(number) for number in range(100)]
        found = ranks(1)
        after = [small(number) for number in range(100, 200)]
        total = sum(compss_wait_on(before)) + sum(compss_wait_on(after))
        print("sum", total, len({host for _, _, host, _ in compss_wait_on(found)}), "hosts", flush=True)
    elif what == "die":
        failure(program("die", "die"))
    elif what == "time_out":
        failure(limited())
    elif what == "cancel":
        with TaskGroup("mpi", implicit_barrier=False):
            waiting()
        begun()
        wait_for("cancel")
        compss_cancel_group("mpi")
        compss_barrier()
        print("cancelled", flush=True)
        wait_for("seen")
    elif what == "cut":
        found = waiting_once()
        begun()
        failure(found)
    elif what == "wait":
        found = waiting()
        begun()
        print("at last", *compss_wait_on(found), flush=True)


for step in WHAT:
    main(step)
