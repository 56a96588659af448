"""MPI programs on nodes without a common file system have their files, and the program itself if a task made it."""

import re

from tests.mpis import mpi_folder, mpich

__all__ = ["mpi_folder", "mpich"]


def test_programs_on_other_nodes_have_copies_of_what_the_task_has(runs, mpich):
    program = runs.cluster.path("node1", "/root/only-on-node1")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    options = runs.describe(["node1", "node2"], units=1)
    run = runs.start("mpi_copies.py", mpich.runner, mpich.runner.replace("mpirun", "mpicc"), options=options)
    assert run.end() == 0, str(run)
    ranks = re.findall(r"(\d) on (\w+) read (\w+)", run.output)
    assert sorted((rank, word) for rank, _, word in ranks) == [("0", "everywhere"), ("1", "everywhere")], str(run)
    assert {host for _, host, _ in ranks} == {"node1", "node2"}
    assert "there is no program /root/only-on-node1 on node2; it has to be in the same place" in run.output
