"""S34: programs before and after the body of a task."""

import os
import signal

import pytest

import taskflow
from taskflow import (
    FILE_IN,
    FILE_OUT,
    ProgramError,
    TaskGroup,
    compss_barrier,
    compss_cancel_group,
    compss_wait_on,
    compss_wait_on_file,
    epilog,
    prolog,
    runtime,
    task,
)
from taskflow.model.errors import ArgumentError, TimeOutError
from tests.behaviour.helpers import alive, until, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")


@task(returns=1)
def text_of(value):
    return f"text of {value}"


@prolog(binary="echo", args="before {{word}} {{count}}")
@epilog(binary="echo", args=["after", "{{word}} and {{word}}"])
@task(returns=1)
def body(word, count=3):
    print("body")
    return word * count


@epilog(binary="cp", args="{{made}} {{copy}}")
@task(returns=1, made=FILE_OUT, copy=FILE_OUT)
def write(text, made, copy):  # noqa: ARG001
    with open(made, "w") as file:
        file.write(text)
    return len(text)


@prolog(binary="false", fail_by_exit_value=False)
@epilog(binary="false")
@task(returns=1)
def in_spite(x):
    return x


@prolog(binary="sh", args=["-c", "echo out; echo cause >&2; exit 3"])
@task(returns=1, on_failure="FAIL", marker=FILE_OUT)
def refused(marker):
    with open(marker, "w") as file:
        file.write("body")


@epilog(binary="sh", args="-c exit", fail_by_exit_value="true")
@prolog(binary="no-such-program-here")
@task(returns=1, on_failure="FAIL")
def without_program(x):
    return x


def test_s34_arguments_from_futures_and_the_value_is_kept(capsys):
    assert compss_wait_on(body(text_of("x"), 2)) == "text of xtext of x"
    compss_barrier()
    assert capsys.readouterr().out == "before text of x 2\nbody\nafter text of x and text of x\n"


def test_s34_arguments_are_in_the_order_and_number_of_the_template(capsys):
    compss_wait_on(body("a b", count=1))
    compss_barrier()
    assert capsys.readouterr().out == "before a b 1\nbody\nafter a b and a b\n"


def test_s34_a_failing_prolog_that_may_fail_does_not_matter():
    assert compss_wait_on(in_spite(5)) == 5


def test_s34_an_epilog_finds_the_outputs_of_the_body(tmp_path):
    made, copy = str(tmp_path / "made"), str(tmp_path / "copy")
    assert compss_wait_on(write("words", made, copy)) == 5
    compss_wait_on_file(copy)
    with open(copy) as file:
        assert file.read() == "words"


def test_a_failing_prolog_prevents_the_body_and_says_why(engine, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(ProgramError, match=r"refused .*: sh -c .* ended with exit value 3; .*\ncause") as raised:
        compss_wait_on(refused(str(marker)))
    assert not marker.exists()
    if engine.name == "local":
        kept = str(raised.value).rpartition("All of its output is in ")[2]
        with open(kept.replace(".*", ".out")) as file:
            assert file.read() == "out\n"
        assert kept.startswith(f"{runtime.session.run_dir}/programs/prolog-of-task-refused")


def test_a_missing_program_is_named_with_the_path():
    with pytest.raises(ProgramError, match="no program 'no-such-program-here' in the folders of PATH"):
        compss_wait_on(without_program(1))


def test_the_body_may_fail_as_always():
    @epilog(binary="echo", args="never")
    @task(returns=1, on_failure="FAIL")
    def fail():
        raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        compss_wait_on(fail())


def test_methods_and_files():
    assert compss_wait_on(Greeter("me").greet(__file__)) == "me"


class Greeter:
    def __init__(self, name):
        self.name = name

    @prolog(binary="test", args="-f {{path}}")
    @task(returns=1, path=FILE_IN)
    def greet(self, path):  # noqa: ARG002
        return self.name


#: Programs of the shell that write the number of a process into the file of their first argument.
SLEEP = 'echo $$ > "$1"; exec sleep 60'
CHILD_SLEEPS = 'sleep 60 & echo $! > "$1"; wait'


@prolog(binary="sh", args=["-c", SLEEP, "sh", "{{path}}"])
@task(returns=1, on_failure="FAIL", time_out=2)
def overdue(path):
    return path


@prolog(binary="sh", args=["-c", CHILD_SLEEPS, "sh", "{{path}}"])
@task(returns=1)
def endless(path):
    return path


@pytest.mark.engines("local")
def test_a_program_ends_with_the_time_of_its_task(engine, tmp_path):  # noqa: ARG001
    path = tmp_path / "pid"
    with pytest.raises(TimeOutError, match=r"@prolog of task overdue \(.*: the time .* was over; sh -c ") as raised:
        compss_wait_on(overdue(str(path)))
    assert 'File "' not in str(raised.value.__cause__)
    assert until(lambda: not alive(int(path.read_text())))


@pytest.mark.engines("local")
def test_a_program_and_what_it_has_started_end_with_a_cancelled_task(engine, tmp_path):  # noqa: ARG001
    path = tmp_path / "pid"
    with TaskGroup("cancelled", implicit_barrier=False):
        endless(str(path))
    compss_barrier_started(path)
    compss_cancel_group("cancelled")
    assert until(lambda: not alive(int(path.read_text())))


def compss_barrier_started(path):
    runtime.session.engine.lock.acquire()
    runtime.session.engine.flush()
    runtime.session.engine.lock.release()
    wait_for_file(path)
    assert until(path.read_text)


@pytest.mark.engines("local")
def test_a_program_ends_with_its_executor(engine, tmp_path):  # noqa: ARG001
    path = tmp_path / "pid"
    with TaskGroup("killed", implicit_barrier=False):
        endless(str(path))
    compss_barrier_started(path)
    program = int(path.read_text())
    with open(f"/proc/{program}/stat") as file:
        executor = int(file.read().rpartition(")")[2].split()[1])  # its parent
    with open(f"/proc/{executor}/stat") as file:
        executor = int(file.read().rpartition(")")[2].split()[1])
    assert executor in {link.handle.pid for link in runtime.session.engine.links.values()}
    os.kill(executor, signal.SIGKILL)
    assert until(lambda: not alive(program))
    compss_cancel_group("killed")


@pytest.mark.engines("local")
def test_a_program_ends_with_the_session(engine, tmp_path):  # noqa: ARG001
    path = tmp_path / "pid"
    endless(str(path))
    compss_barrier_started(path)
    taskflow.stop(cancel=True)
    assert until(lambda: not alive(int(path.read_text())))


@pytest.mark.engines("sequential")
class TestDecoration:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "@prolog needs the argument 'binary'"),
            ({"binary": "x", "args": "{{nothing}}"}, r"args mentions {{nothing}}, but the task has no parameter"),
            ({"binary": " "}, "@prolog: binary is the name or the path of something to run, not ' '"),
            ({"binary": "x", "args": 5}, "args is a text or a list of texts, not 5"),
            ({"binary": "x", "fail_by_exit_value": "perhaps"}, "fail_by_exit_value is True or False, not 'perhaps'"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is_written(self, engine, arguments, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            prolog(**arguments)(text_of.redeclared({}))

    def test_there_is_one_of_each(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="a task can have one prolog"):
            prolog(binary="true")(prolog(binary="true")(text_of.redeclared({})))
