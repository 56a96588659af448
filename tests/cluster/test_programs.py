"""Programs on the nodes of a cluster: tasks go where their launchers are."""

import os
import re

import pytest

import taskflow
from taskflow import (
    FILE_OUT,
    FILE_OUT_STDOUT,
    ProgramError,
    RequirementsError,
    binary,
    compss,
    compss_open,
    compss_wait_on,
    julia,
    task,
)
from tests.cluster.agents import Agents, nodes, setup, wait_until


class UnlikeAgents(Agents):
    """Agents of which some have a folder of programs that the others have not."""

    def __init__(self, folder, programs, having):
        super().__init__(folder)
        self._path = f"{programs}:{os.environ['PATH']}"
        self._having = having

    def launch(self, setup, config_of):
        """The launcher."""
        self.environment = {"PATH": self._path} if setup.name in self._having else {}
        return super().launch(setup, config_of)


@pytest.fixture
def script(tmp_path):
    """A folder with a launcher, and what it is to run."""
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "julia"
    launcher.write_text('#!/bin/sh\nexec sh "$@"\n')
    launcher.chmod(0o755)
    (tmp_path / "script.jl").write_text("basename $(dirname $TASKFLOW_RUN_DIR); basename $TASKFLOW_RUN_DIR")
    yield str(tmp_path / "script.jl")
    taskflow.stop(cancel=True)


def test_scripts_are_run_on_nodes_that_have_what_runs_them(script, tmp_path):
    @julia(script=script)
    @task(out=FILE_OUT_STDOUT)
    def where(out):
        pass

    agents = UnlikeAgents(tmp_path, tmp_path / "bin", {"two"})
    agents.start(setup("one", 4), setup("two", 1))
    wait_until(lambda: len(nodes()) == 2)
    outs = [str(tmp_path / f"out{number}") for number in range(4)]
    for out in outs:
        where(out)
    for out in outs:
        with compss_open(out) as file:
            assert file.read().split()[-1].startswith("two-")


def test_where_no_node_has_it_the_call_says_so_for_each(script, tmp_path):
    @julia(script=script)
    @task(out=FILE_OUT_STDOUT)
    def where(out):
        pass

    agents = UnlikeAgents(tmp_path, tmp_path / "bin", ())
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    what = r"(?s)where needs what no node has.*installed program +julia +not in .*\ninstall julia there"
    with pytest.raises(RequirementsError, match=what):
        where(str(tmp_path / "out"))


@pytest.mark.usefixtures("script")
def test_what_programs_have_printed_is_in_the_run_folder_at_the_end(tmp_path):
    @binary(binary="sh", args=["-c", "printf '%s' {{text}}; echo cause >&2; exit 3"])
    @task(on_failure="FAIL", returns=1)
    def fail(text):
        pass

    Agents(tmp_path).start(setup("one"), run_dir=tmp_path / "run")
    wait_until(lambda: len(nodes()) == 1)
    with pytest.raises(ProgramError) as raised:
        compss_wait_on(fail("said"))
    said = str(raised.value)
    where = re.search(r"cause\nAll of its output is in /.* on node one, and when .* in programs/(one-.*)\.\* of", said)
    assert where, said
    taskflow.stop()
    kept = f"{tmp_path}/run/programs/{where[1]}"
    with open(f"{kept}.out") as out, open(f"{kept}.err") as err:
        assert (out.read(), err.read()) == ("said", "cause\n")


INNER = """
import os, sys, time
from taskflow import compss_wait_on, task

@task(returns=1)
def where(number):
    time.sleep(0.2)
    return os.environ["TASKFLOW_RUN_DIR"]

found = set(compss_wait_on([where(i) for i in range(6)]))
with open(sys.argv[1], "w") as file:
    file.write("\\n".join(sorted(found)))
"""


@pytest.mark.parametrize(("in_master", "places"), [("true", 2), ("false", 1)])
def test_a_program_of_tasks_uses_all_nodes_of_its_task_without_ssh(in_master, places, tmp_path):
    (tmp_path / "inner.py").write_text(INNER)

    @compss(app_name=f"{tmp_path}/inner.py", computing_nodes=2, worker_in_master=in_master)
    @task(out=FILE_OUT, on_failure="FAIL", returns=1)
    def inner(out):
        pass

    Agents(tmp_path).start(setup("one", 1), setup("two", 1))
    try:
        wait_until(lambda: len(nodes()) == 2)
        assert compss_wait_on(inner(str(tmp_path / "out"))) == 0
        with compss_open(str(tmp_path / "out")) as file:
            assert len(file.read().splitlines()) == places
    finally:
        taskflow.stop(cancel=True)
