"""What an MPI program needs is put on all nodes of its task at the same time."""

import os
import signal

import psutil
import pytest

from taskflow.model.errors import ProgramError, TimeOutError
from taskflow.node.span import LAUNCHER_VARIABLE
from taskflow.runners import copies
from tests.behaviour.helpers import until

HOSTS = [f"node{number}" for number in range(6)]


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """Makes a program by which nodes are reached, all of which are this machine; it begins with a text of a shell."""
    path = tmp_path / "launcher"

    def make(text):
        path.write_text(f'#!/bin/sh\n{text}\nshift\nexec sh -c "$*"\n')
        path.chmod(0o700)
        return str(tmp_path)

    monkeypatch.setenv(LAUNCHER_VARIABLE, str(path))
    monkeypatch.setenv("COMPSS_WORKING_DIR", str(tmp_path))
    monkeypatch.setenv("TASKFLOW_RUN_DIR", f"{tmp_path}/run")
    monkeypatch.setenv("PLACE", str(tmp_path))
    return make


def test_all_nodes_are_asked_at_the_same_time(launcher):
    # Nobody goes on before all are there.
    folder = launcher('touch "$PLACE/here-$1"; while [ $(ls "$PLACE" | grep -c here) -lt 6 ]; do sleep 0.02; done')
    with copies.on_nodes(HOSTS, ["/bin/sh"], [], "@mpi of task f"):
        found = {name for name in os.listdir(folder) if name.startswith("here-")}
    assert found == {f"here-{host}" for host in HOSTS}


def test_a_node_that_cannot_be_reached_ends_it_for_all(launcher):
    launcher('if [ "$1" = node5 ]; then echo no way >&2; exit 3; fi; sleep 97531')
    with pytest.raises(ProgramError, match="no way"), copies.on_nodes(HOSTS, ["/bin/sh"], [], "@mpi of task f"):
        pytest.fail("there is a node that lacks everything")
    assert until(lambda: not sleepers())


def test_nothing_is_left_when_the_time_of_the_task_is_over(launcher):
    launcher("sleep 97531")

    def over(*_):
        raise TimeOutError("after 1 s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        with pytest.raises(TimeOutError), copies.on_nodes(HOSTS, ["/bin/sh"], [], "@mpi of task f"):
            pytest.fail("nobody has answered")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert until(lambda: not sleepers())


def sleepers():
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "97531"]]
