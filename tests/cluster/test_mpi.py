"""MPI across hosts that have no SSH keys for each other and no file system in common: real Open MPI and MPICH.

The ranks of a task are started through the agents (see `node.elsewhere`). The fixture `runs` looks for what is left on
any host after each run.
"""

import ast
import contextlib
import shutil

import psutil
import pytest

from tests.cli.conftest import until
from tests.cluster.hosts.namespaces import MASTER
from tests.mpis import found, mpi_folder, mpich

__all__ = ["mpi_folder", "mpich"]


@pytest.fixture
def start(runs):
    """Start the program with an MPI."""

    def start(the, *what, **options):
        # The C program lies where all hosts see it, as the installation of MPI does.
        for path in runs.cluster.path(MASTER, "/shared").iterdir():
            path.unlink()
        shutil.copy(the.program, runs.cluster.path(MASTER, "/shared/program"))
        options = [*runs.describe(), *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())]
        return runs.start("mpi_hosts.py", the.runner, "/shared/program", *what, options=options)

    return start


def of_mpi(runs, *hosts):
    """(host, process) of what MPI has started on them: ranks, daemons, and what has started those."""
    wanted = ("hydra_pmi_proxy", "prted", "mpirun", "taskflow.runners.rank", "/shared/program")
    there = [host for host in hosts or runs.cluster.nodes if runs.cluster.hosts[host].process is not None]
    return [
        (host, process)
        for host in there
        for process in runs.cluster.processes_of(host)
        if any(word in words_of(process) for word in wanted)
    ]


def words_of(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def is_alive(process):
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def openmpi(mpi_folder):
    return found("openmpi", mpi_folder)


def test_programs_and_functions_across_hosts(runs, start, mpich):
    """Python functions, several programs in one world, a task on two hosts among 200 small ones, and time-outs."""
    run = start(mpich, "function", "mpmd", "among", "time_out")
    assert run.end() == 0, str(run)
    lines = sorted(run.output.splitlines())
    function = [ast.literal_eval(line) for line in lines if line.startswith("(")]
    assert [(rank, size, total) for rank, size, _, total in function] == [(rank, 4, 92) for rank in range(4)], run
    hosts = [host for _, _, host, _ in function]
    assert hosts[0] == hosts[1] != hosts[2] == hosts[3]
    assert [line for line in lines if line.startswith(("one ", "two "))] == [
        "one 0 of 4 1", "one 1 of 4 1", "two 2 of 4 1", "two 3 of 4 1"
    ], run  # fmt: skip
    assert f"sum {sum(number * number for number in range(200))} 2 hosts" in lines
    late = [line for line in lines if line.startswith("TimeOutError ")]
    assert any("the time of task limited with time_out=2 was over" in line for line in late), run
    assert not of_mpi(runs)


def test_ranks_that_die_and_tasks_that_are_cancelled_leave_nothing_on_any_host(runs, start, openmpi):
    run = start(openmpi, "program", "die", "cancel")
    run.wait_for("under way")
    assert len({host for host, _ in of_mpi(runs)}) == 2
    runs.cluster.path(MASTER, "/shared/cancel").touch()
    run.wait_for("cancelled")
    until(lambda: not of_mpi(runs))
    runs.cluster.path(MASTER, "/shared/seen").touch()
    assert run.end() == 0, str(run)
    lines = sorted(run.output.splitlines())
    for name in ("c", "die"):
        assert [line for line in lines if line.startswith(f"{name} ")] == [f"{name} {rank} of 4 1" for rank in range(4)]
    assert "exit value 0" in lines
    (died,) = [line for line in lines if line.startswith("ProgramError")]
    assert "/shared/program die die ended with exit value 137" in died


def test_a_host_is_switched_off_in_the_middle(runs, start, mpich):
    """The task runs again on others; on the one that is left nothing goes on."""
    run = start(mpich, "wait", node_timeout=2)
    hosts = run.wait_for("under way").split()[2:]
    left, lost = hosts[0], hosts[2]
    before = [process for _, process in of_mpi(runs, left)]
    assert before
    runs.cluster.poweroff(lost)
    until(lambda: not any(map(is_alive, before)))
    runs.cluster.path(MASTER, "/shared/enough").touch()
    again = run.wait_for("at last").split()[2:]
    assert len(again) == 4
    assert len(set(again)) == 2
    assert lost not in again
    assert run.end() == 0, str(run)
    assert f"node {lost} is lost" in run.errors


def test_two_hosts_that_do_not_reach_each_other_any_more(runs, start, mpich):
    """Both still reach the main program. MPICH would wait for ever."""
    run = start(mpich, "cut", node_timeout=2)
    one, other = sorted(set(run.wait_for("under way").split()[2:]))
    runs.cluster.block(one, other)
    runs.cluster.block(other, one)
    error = run.wait_for("ProgramError")
    until(lambda: not of_mpi(runs))
    assert "the connection to node" in error
    assert "was lost (nothing has been heard from it for" in error
    assert run.end() == 0, str(run)
    assert "is lost:" not in run.errors
