"""Containers and the rest of the runtime: other decorators, modules, runs that are killed."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import taskflow
from taskflow import (
    FILE_OUT_STDOUT,
    ContainerError,
    ProgramError,
    TaskflowError,
    compss_wait_on,
    compss_wait_on_file,
    container,
    mpi,
    software,
    task,
)
from taskflow.runners.engines import ENGINES
from taskflow.runners.mpi import MPIProgram, World
from tests.behaviour.helpers import until
from tests.cluster.agents import Agents
from tests.containers import bodies, decorated, engines
from tests.mpis import found as mpi_of


@pytest.fixture
def apptainer(started, set_variables, monkeypatch, tmp_path):
    """The engine, without a session."""
    chosen = started("APPTAINER")
    set_variables({"TASKFLOW_TEST_IMAGE": chosen.image})
    monkeypatch.chdir(tmp_path)
    return chosen


@pytest.fixture
def session(apptainer, tmp_path):  # noqa: ARG001
    taskflow.start(workers=2, run_dir=tmp_path / "run", progress=False)
    yield
    taskflow.stop(cancel=True)


@pytest.mark.usefixtures("session")
def test_modules_that_import_the_runtime_are_imported_inside():
    assert compss_wait_on([decorated.call_another(number) for number in (1, 2)]) == [3, 5]
    with pytest.raises(TaskflowError, match=r"^no negative numbers$"):
        compss_wait_on(decorated.call_another(-1))


@pytest.mark.usefixtures("session")
def test_functions_of_the_main_script_and_closures_run_inside(apptainer):
    offset = 7
    shift = container(engine="apptainer", image=apptainer.image)(task(returns=1)(lambda x: x + offset))
    assert compss_wait_on(shift(1)) == 8


@pytest.mark.usefixtures("session")
def test_a_container_may_be_said_in_the_file_of_software(apptainer, tmp_path):
    content = {
        "execution": {"type": "task", "returns": 1},
        "container": {"engine": "SINGULARITY", "image": apptainer.image, "options": "--env GREETING=hi"},
    }
    (tmp_path / "software.json").write_text(json.dumps(content))
    seen = compss_wait_on(software(config_file=str(tmp_path / "software.json"))(bodies.describe)("word"))
    assert ".taskflow" in seen["home"]
    assert seen["variables"]["GREETING"] == "hi"


@pytest.mark.usefixtures("session")
def test_an_mpi_program_has_its_launcher_in_the_container(apptainer, tmp_path):
    runner = mpi_of("mpich", tmp_path).runner
    prefix = Path(runner).parents[1]
    libraries = os.path.realpath(f"/lib/{sysconfig.get_config_var('MULTIARCH')}")
    options = f"--bind {prefix}:/mpi:ro --bind {libraries}:/libraries:ro --env LD_LIBRARY_PATH=/libraries"
    say = {"image": apptainer.image, "engine": "apptainer", "options": options}

    @container(**say)
    @mpi(runner="/mpi/bin/mpirun", binary="sh", args=["-c", "echo rank $PMI_RANK of $PMI_SIZE"], processes=2,
         processes_per_node=2)  # fmt: skip
    @task(out=FILE_OUT_STDOUT, returns=int, on_failure="FAIL")
    def ranks(out):  # noqa: ARG001  it is the program's
        raise AssertionError("the body is not run")

    assert compss_wait_on(ranks("out.txt")) == 0
    compss_wait_on_file("out.txt")
    assert sorted(Path("out.txt").read_text().split("\n")) == ["", *(f"rank {number} of 2" for number in range(2))]


def test_an_mpi_program_on_several_nodes_is_not_run_in_a_container(monkeypatch):
    monkeypatch.setenv("COMPSS_HOSTNAMES", "one,two")
    program = MPIProgram("@mpi of task f", "sh", world=World("mpirun", processes=4, per_node=2))
    with pytest.raises(ProgramError, match=r"are to be on 2; with processes_per_node=4 they are"):
        program._command_inside([(4, ["sh"])])


def test_tasks_of_other_nodes_run_in_containers_and_are_stopped_for_memory(apptainer, tmp_path):
    agents = Agents(tmp_path / "agents")
    agents.start()
    try:
        seen = compss_wait_on(
            container(engine="apptainer", image=apptainer.image)(task(returns=1)(bodies.describe))("far")
        )
        assert seen["said"] == ("far", None)
        assert ".taskflow" in seen["home"]
        eat = taskflow.constraint(memory_size=0.05)(
            container(engine="apptainer", image=apptainer.image)(task(returns=1, on_failure="FAIL")(bodies.eat))
        )
        with pytest.raises(taskflow.MemoryLimitError, match="on node far"):
            compss_wait_on(eat(300))
    finally:
        taskflow.stop(cancel=True)


def test_nothing_is_left_of_a_run_that_is_killed(started, set_variables, tmp_path):
    chosen = started("DOCKER")
    set_variables(chosen.variables)
    (tmp_path / "app.py").write_text(
        "import time\n"
        "from taskflow import binary, compss_barrier, container, task\n"
        f"@container(engine='docker', image={chosen.image!r})\n"
        "@binary(binary='sleep', args='600')\n"
        "@task()\n"
        "def wait():\n    pass\n"
        "if __name__ == '__main__':\n    wait()\n    compss_barrier()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "taskflow", "app.py"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert until(chosen.left), "no container was started"
        assert any(container.startswith("taskflow-app-") for container in chosen.left())
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert until(lambda: not chosen.left()), chosen.left()


def test_a_daemon_that_does_not_run_is_named(started, monkeypatch, tmp_path):
    started("DOCKER")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(ContainerError, match=rf"the Docker daemon does not run on node {socket.gethostname()}.*start"):
        ENGINES["DOCKER"](engines.which("docker")).prepare(None)


def test_containers_cost_nothing_where_there_are_none():
    code = "import sys, taskflow.api.task; print([name for name in sys.modules if 'container' in name])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.strip() == "[]"
    assert importlib.util.find_spec("taskflow.api.container") is not None
