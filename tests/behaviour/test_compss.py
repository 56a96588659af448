"""Tasks that are whole programs of tasks."""

import pytest

from taskflow import (
    FILE_IN,
    FILE_OUT,
    NoSessionError,
    ProgramError,
    TaskGroup,
    compss,
    compss_barrier,
    compss_cancel_group,
    compss_open,
    compss_wait_on,
    constraint,
    runtime,
    task,
)
from taskflow.model.errors import ArgumentError
from tests.behaviour.helpers import alive, until
from tests.cluster.agents import children

pytestmark = pytest.mark.usefixtures("engine")
parallel = pytest.mark.engines("local", "cluster")

PROGRAM = """
import os, sys
from taskflow import FILE_IN, FILE_OUT, compss_wait_on, runtime, task

@task(returns=1)
def square(x):
    return x * x

@task(path=FILE_IN, returns=1)
def read(path):
    return int(open(path).read())

@task(out=FILE_OUT)
def write(out, *values):
    with open(out, "w") as file:
        file.write(" ".join(map(str, values)))

path, out, code = sys.argv[1:]
results = compss_wait_on([square(i) for i in range(read(path).result())])
write(out, runtime.session.workers, sum(results))
if int(code) > 99:
    raise RuntimeError("a nested failure")
sys.exit(int(code))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "inner.py"
    path.write_text(PROGRAM)
    return str(path)


@pytest.fixture
def number(tmp_path):
    path = tmp_path / "number.txt"
    path.write_text("5")
    return str(path)


def content(path):
    with compss_open(str(path)) as file:
        return file.read()


@parallel
def test_a_program_of_tasks_is_one_task_with_its_exit_value(program, number, tmp_path, engine):  # noqa: ARG001
    @compss(app_name=program, fail_by_exit_value=False)
    @task(path=FILE_IN, out=FILE_OUT, returns=int)
    def inner(path, out, code):
        pass

    assert compss_wait_on(inner(number, str(tmp_path / "out"), 3)) == 3
    assert content(tmp_path / "out") == "1 30"


@parallel
def test_it_has_the_units_of_the_task_and_its_options(program, number, tmp_path, engine):  # noqa: ARG001
    @constraint(computing_units=2)
    @compss(app_name=program, flags=f"--summary --run-dir='{tmp_path}/inner run'", working_dir=str(tmp_path))
    @task(path=FILE_IN, out=FILE_OUT)
    def inner(path, out, code):
        pass

    inner(number, str(tmp_path / "out"), 0)
    assert content(tmp_path / "out") == "2 30"
    assert (tmp_path / "inner run" / "journal.jsonl").exists()


@parallel
def test_a_failure_says_what_the_program_said(program, number, tmp_path, engine):  # noqa: ARG001
    @compss(app_name=program)
    @task(path=FILE_IN, out=FILE_OUT, returns=int, on_failure="FAIL")
    def inner(path, out, code):
        pass

    with pytest.raises(ProgramError, match=r"(?s)@compss of task .*exit value 1; .*RuntimeError: a nested failure"):
        compss_wait_on(inner(number, str(tmp_path / "out"), 100))


LAUNCHER = """#!/bin/sh
for word in "$@"; do echo "$word"; done
cat "${1#--project=}" "${2#--resources=}"
"""


@parallel
def test_a_launcher_can_be_named(program, tmp_path, engine):  # noqa: ARG001
    launcher = tmp_path / "launch.sh"
    launcher.write_text(
        '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\ncat "${1#--project=}" "${2#--resources=}"\n'
    )
    launcher.chmod(0o755)

    @compss(app_name=program, runcompss=str(launcher), flags="--one 'two three'")
    @task(out={"type": FILE_OUT, "stream": 1})
    def inner(word, out):
        pass

    inner("x y", str(tmp_path / "out"))
    lines = content(tmp_path / "out").splitlines()
    assert lines[0].startswith("--project=")
    assert lines[1].startswith("--resources=")
    assert lines[2:6] == ["--one", "two three", program, "x y"]
    documents = "\n".join(lines[6:])
    assert "<ComputingUnits>1</ComputingUnits>" in documents
    assert "<ResourcesList" in documents


ENDLESS = """
import os, sys, time
from taskflow import compss_barrier, task

@task()
def sleep(path):
    open(path, "w").close()
    time.sleep(60)

sleep(sys.argv[1])
compss_barrier()
"""


@pytest.mark.engines("local")
def test_a_cancelled_program_of_tasks_ends_with_its_executors(tmp_path, engine):  # noqa: ARG001
    (tmp_path / "endless.py").write_text(ENDLESS)

    @compss(app_name=f"{tmp_path}/endless.py")
    @task()
    def inner(path):
        pass

    with TaskGroup("cancelled", implicit_barrier=False):
        inner(str(tmp_path / "started"))
    with runtime.session.engine.lock:
        runtime.session.engine.flush()
    assert until((tmp_path / "started").exists)
    below = [pid for link in runtime.session.engine.links.values() for pid in children(link.handle.pid)]
    assert len(below) >= 2
    compss_cancel_group("cancelled")
    compss_barrier()
    assert until(lambda: not any(map(alive, below)))


@parallel
def test_alone_it_must_run_its_tasks_itself(program, engine):  # noqa: ARG001
    @compss(app_name=program, worker_in_master="false")
    @task(returns=1, on_failure="FAIL")
    def inner():
        pass

    with pytest.raises(ProgramError, match=r"worker_in_master is false, .* say computing_nodes=2 or more"):
        compss_wait_on(inner())


@pytest.mark.engines("sequential")
class TestDecoration:
    def test_it_needs_a_session(self, engine):  # noqa: ARG002
        with pytest.raises(NoSessionError):
            compss(app_name="app.py")(task()(content))("x")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "@compss needs the argument 'app_name'"),
            ({"app_name": "x", "flags": "'"}, "flags .* cannot be split"),
            ({"app_name": "x", "flags": ["a"]}, "flags is a text"),
            ({"app_name": "x", "worker_in_master": "perhaps"}, "worker_in_master is True or False, not 'perhaps'"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is_written(self, arguments, message, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            compss(**arguments)(task()(content))
