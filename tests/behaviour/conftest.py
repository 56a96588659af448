"""The engines that every behavioural test runs on.

A test (or module) that uses the fixture ``engine`` runs once on each. ``@pytest.mark.engines("local")`` names
the engines on which a behaviour exists at all: a sequential run, say, has no executors that could die.

With TASKFLOW_CHECK in the environment the sessions are checked ones: what holds must hold there, too.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

import taskflow
from taskflow import runtime
from tests.cluster.agents import Agents, nodes, setup, wait_until

ENGINES = ["sequential", "local"]
if importlib.util.find_spec("taskflow.drivers.simulated") is not None:
    ENGINES.append("simulated")
ENGINES.append("cluster")


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): the engines that the behaviour exists on")


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        names = [name for name in ENGINES if marker is None or name in marker.args]
        metafunc.parametrize("engine", names, indirect=True, scope="module")


@dataclasses.dataclass
class Engine:
    """What a test runs on."""

    name: str

    @property
    def parallel(self):
        """Whether tasks run elsewhere, so that arguments are copies and calls return futures."""
        return self.name != "sequential"


@pytest.fixture(scope="module")
def session_of_module(tmp_path_factory):
    """Function that gives the module's session on an engine, making it anew if it is another one or has ended."""

    running = ""

    def get(name):
        nonlocal running
        if runtime.session is not None and name != running:
            taskflow.stop()
        if runtime.session is None:
            start(name, tmp_path_factory.mktemp("session") / "run")
            running = name
        return runtime.session

    yield get
    taskflow.stop()


def start(name, run_dir, **options):
    """Start a session with two executors; on "cluster" there are two on each of two nodes, and none at home."""
    if name == "simulated":
        options.setdefault("seed", 1)
    if "TASKFLOW_CHECK" in os.environ:
        options.setdefault("check", True)
    if name == "cluster":
        agents = Agents(run_dir.parent / f"{run_dir.name}-agents")
        session = agents.start(setup("one"), setup("two"), run_dir=run_dir, **options)
        wait_until(lambda: len(nodes()) == 2)
        return session
    return taskflow.start(workers=2, engine=name, run_dir=run_dir, progress=False, **options)


@pytest.fixture
def engine(request, session_of_module):
    """The engine to run on. A failure that a test leaves behind unseen is an error of that test."""
    if request.param == "sequential":
        taskflow.stop()
        yield Engine("sequential")
        return
    session_of_module(request.param)
    yield Engine(request.param)
    try:
        taskflow.compss_barrier()
    except BaseException:
        taskflow.stop(cancel=True)  # the next test begins with a new one
        raise


@pytest.fixture
def fresh(tmp_path):
    """A session of the test's own with two executors; cancelled at the end if the test has not stopped it."""
    yield start("local", tmp_path / "run")
    taskflow.stop(cancel=True)


@pytest.fixture
def script(tmp_path):
    """Run a program of its own: ``script(text, *args)`` gives the completed process."""

    def run(text, *args, timeout=30):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        return subprocess.run(
            [sys.executable, str(path), *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
