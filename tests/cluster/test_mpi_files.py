"""Ranks of Python functions on two nodes without a common file system: the files of the task, exceptions, deaths."""

import re

import pytest

from tests.cluster.hosts.namespaces import MASTER
from tests.mpis import found, mpi_folder

__all__ = ["mpi_folder"]


@pytest.mark.parametrize(
    ("name", "how", "told"),
    [
        ("mpich", "raised", r"\nKeyError x+' .*rank 1 of 2 on node\d raised:.*in fail\n"),
        ("openmpi", "killed", r"\nProgramError .*rank 1 of 2 was lost: process \d+ on node\d was ended by SIGKILL"),
    ],
)
def test_ranks_on_other_nodes(runs, mpi_folder, name, how, told):
    run = runs.start("mpi_files.py", found(name, mpi_folder).runner, how)
    run.end()
    first, _, rest = run.output.partition("\n")
    assert first == "all there", str(run)
    assert re.search(told, f"\n{rest}", re.DOTALL), str(run)
    assert "taskflow-report" not in run.output + run.errors
    for host in (MASTER, *runs.cluster.nodes):
        assert not list(runs.cluster.path(host, "/tmp").glob("taskflow-rank-*"))
