"""Functions on the ranks of two nodes: one reads files that only the first node has, one fails on the other node.

mpi_files.py RUNNER.
"""

import os
import sys

from taskflow import (
    COLLECTION_FILE_IN,
    DIRECTORY_IN,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    ProgramError,
    compss_open,
    compss_wait_on,
    mpi,
    task,
)


@task(made=FILE_OUT)
def make(text, made):
    with open(made, "w") as file:
        file.write(text)


@mpi(runner=sys.argv[1], processes=2, processes_per_node=1)
@task(
    returns=2,
    one=FILE_IN,
    several=COLLECTION_FILE_IN,
    folder=DIRECTORY_IN,
    changed=FILE_INOUT,
    made=FILE_OUT,
    on_failure="FAIL",
)
def read_all(one, several, folder, changed, made):
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.rank
    texts = []
    for path in (one, *several, changed):
        with open(path) as file:
            texts.append(file.read())
    texts += sorted(os.listdir(folder))
    with open(f"{folder}/below/inner") as file:
        texts.append(file.read())
    for path in (changed, made):
        with open(path, "w") as file:
            file.write(f"rank {rank}")
    return os.uname().nodename, texts


@mpi(runner=sys.argv[1], processes=2, processes_per_node=1)
@task(returns=2, on_failure="FAIL")
def fail(how):
    from mpi4py import MPI

    if MPI.COMM_WORLD.rank == 1:
        if how == "killed":
            os.kill(os.getpid(), 9)
        raise KeyError("x" * 10000)
    MPI.COMM_WORLD.barrier()


if __name__ == "__main__":
    os.makedirs("folder/below")
    for path, text in (("first", "1" * 100), ("folder/below/inner", "in"), ("changed", "before")):
        with open(path, "w") as file:
            file.write(text)
    make("of a task", "second")
    found = compss_wait_on(read_all("first", ["second", "first"], "folder", "changed", "made"))
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1] == ["1" * 100, "of a task", "1" * 100, "before", "below", "in"], found
    for name in ("changed", "made"):
        with compss_open(name) as file:
            assert file.read() == "rank 0"
    print("all there", flush=True)
    try:
        compss_wait_on(fail(sys.argv[2]))
    except (KeyError, ProgramError) as error:
        print(type(error).__name__, str(error)[-200:], error.__cause__)
