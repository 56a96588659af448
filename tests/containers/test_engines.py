"""What tasks in containers do, on each engine that there is."""

import contextlib
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

import taskflow
from taskflow import (
    DIRECTORY_OUT,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    FILE_OUT_STDOUT,
    ContainerError,
    MemoryLimitError,
    TaskGroup,
    TimeOutError,
    binary,
    compss_barrier,
    compss_cancel_group,
    compss_wait_on,
    compss_wait_on_file,
    constraint,
    container,
    task,
)
from tests.behaviour.helpers import until, wait_for_file
from tests.containers import bodies


def inside(engine, body, *, options=None, network=False, **declared):
    """The function as a task in a container of the engine."""
    declared = {"on_failure": "FAIL", **declared}
    return container(engine=engine.name, image=engine.image, options=options, network=network)(task(**declared)(body))


def marked(engine, sign):
    """Options with which all processes inside have the sign in their environment."""
    return f"--env=SIGN={sign}" if engine.name == "UDOCKER" else f"--env SIGN={sign}"


def assert_gone(engine, sign):
    """No process with the sign is left, and no container in whatever state."""
    assert until(lambda: not processes_with(sign) and not engine.left(), 20), (processes_with(sign), engine.left())


def processes_with(sign):
    """Processes that have the sign in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SIGN") == sign:
                found.append(process)
    return found


def test_a_function_runs_inside_as_the_user_in_the_folder_and_without_a_network(engine, capfd):
    seen = compss_wait_on(inside(engine, bodies.describe, returns=1)("hello", again=[1, 2.5]))
    assert seen["said"] == ("hello", [1, 2.5])
    assert seen["user"] == (os.getuid(), os.getgid())
    assert seen["folder"] == os.getcwd()
    assert ".taskflow" in seen["home"]
    assert seen["variables"]["OMP_NUM_THREADS"] == "1"
    if engine.name != "UDOCKER":  # it cannot, and says so
        assert seen["networks"] == ["lo"]
    compss_barrier()
    out, err = capfd.readouterr()
    assert "hello is said inside\n" in out
    assert ("cannot protect what is mounted" in err) == (engine.name == "UDOCKER")


def test_files_are_at_the_same_paths_and_those_to_be_read_cannot_be_written_to(engine):
    Path("source").write_text("text\n")
    Path("changed").write_text("first\n")
    step = inside(
        engine, bodies.transform, returns=1, source=FILE_IN, made=FILE_OUT, changed=FILE_INOUT, folder=DIRECTORY_OUT
    )
    how, beside = compss_wait_on(step("source", "made", "changed", "folder"))
    for path in ("made", "changed"):
        compss_wait_on_file(path)
    taskflow.compss_wait_on_directory("folder")
    assert Path("made").read_text() == "TEXT\n"
    assert Path("changed").read_text() == "first\nchanged\n"
    assert Path("folder/leaf").read_text() == "text\n"
    assert Path("source").read_text() == "text\n"
    if engine.name != "UDOCKER":
        assert how == "OSError"
    assert sorted(beside) == sorted({"made", "changed", "folder"} & set(beside))  # nothing of other tasks


@pytest.mark.engines("DOCKER", "APPTAINER")
def test_what_a_function_raises_inside_is_raised_outside_with_its_traceback(engine):
    with pytest.raises(bodies.PumpError, match=r"^the pump went wrong$") as caught:
        compss_wait_on(inside(engine, bodies.fail, returns=1)("the pump"))
    assert 'raise PumpError(f"{what} went wrong")' in str(caught.value.__cause__)


def test_a_program_runs_inside_with_its_files(engine):
    Path("words").write_text("b\na\n")

    @container(engine=engine.name, image=engine.image)
    @binary(binary="sort", args="{{words}}")
    @task(words=FILE_IN, ordered=FILE_OUT_STDOUT, returns=int)
    def sort(words, ordered):  # noqa: ARG001  they are the program's
        raise AssertionError("the body is not run")

    @container(engine=engine.name, image=engine.image)
    @binary(binary="ls", args="/.nowhere")
    @task(on_failure="FAIL")
    def look():
        raise AssertionError("the body is not run")

    assert compss_wait_on(sort("words", "ordered")) == 0
    compss_wait_on_file("ordered")
    assert Path("ordered").read_text() == "a\nb\n"
    look()
    with pytest.raises(taskflow.ProgramError, match=r"ls /.nowhere in a container of .* exit value 2(?s:.*)access"):
        compss_barrier()


def test_who_takes_more_memory_than_memory_size_is_stopped_and_named(engine):
    eat = constraint(memory_size=0.05)(inside(engine, bodies.eat, returns=1))
    with pytest.raises(MemoryLimitError, match=r"task .*eat.*0\.05 GB"):
        compss_wait_on(eat(300))


def test_a_container_whose_task_is_cancelled_is_gone(engine):
    sign = os.path.abspath("cancelled")
    wait = inside(engine, bodies.wait, options=marked(engine, sign))
    with TaskGroup("doomed", implicit_barrier=False):
        wait(sign)
    wait_for_file(sign)
    compss_cancel_group("doomed")
    compss_barrier()
    assert_gone(engine, sign)


def test_a_container_whose_executor_is_killed_is_gone(engine):
    sign = os.path.abspath("killed")
    result = inside(engine, bodies.wait, returns=1, options=marked(engine, sign))(sign)
    wait_for_file(sign)
    for link in taskflow.runtime.session.engine.links.values():
        os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(taskflow.ExecutorDiedError):
        compss_wait_on(result)
    assert_gone(engine, sign)


def test_an_image_that_is_not_there_is_named_with_the_remedy(engine):
    missing = container(engine=engine.name, image="nowhere/to-be-found:7")(
        task(returns=1, on_failure="FAIL")(bodies.describe)
    )
    wanted = rf"nowhere/to-be-found:7.* on node {os.uname().nodename}.*(pull|docker:)"
    with pytest.raises(ContainerError, match=wanted) as raised:
        compss_wait_on(missing("x"))
    assert 'File "' not in str(raised.value.__cause__)


def test_the_exit_value_of_a_program_that_a_signal_ends_is_128_and_its_number(engine):
    @container(engine=engine.name, image=engine.image)
    @binary(binary="sh", args=["-c", "sh -c 'kill -KILL $$'; exit $?"], fail_by_exit_value=False)
    @task(returns=int)
    def fall():
        raise AssertionError("the body is not run")

    assert compss_wait_on(fall()) == 137


@pytest.mark.engines("DOCKER", "APPTAINER")
def test_a_program_whose_time_is_over_is_told_with_what_it_said(engine):
    @container(engine=engine.name, image=engine.image)
    @binary(binary="sh", args=["-c", "echo halfway; sleep 60"])
    @task(returns=int, on_failure="FAIL", time_out=3)
    def overdue():
        raise AssertionError("the body is not run")

    wanted = r"overdue \(.* was over; sh -c 'echo halfway; sleep 60' in a container of .* was ended; .*:\nhalfway\n"
    with pytest.raises(TimeOutError, match=wanted):
        compss_wait_on(overdue())


@pytest.mark.engines("DOCKER", "PODMAN", "APPTAINER")
def test_a_program_that_the_image_has_not_is_named(engine):
    @container(engine=engine.name, image=engine.image)
    @binary(binary="no-such-program")
    @task(on_failure="FAIL")
    def call():
        raise AssertionError("the body is not run")

    call()
    with pytest.raises(ContainerError, match="there is no program 'no-such-program' that can be run in the image"):
        compss_barrier()


@pytest.mark.engines("PODMAN")
def test_limits_that_the_system_does_not_allow_are_not_blamed_on_the_image(engine):
    call = inside(engine, bodies.describe, returns=1, options="--ulimit nofile=999999999:999999999")
    expected = (
        r"Podman on node \S+ could not start a container of the image .*rlimit.*containers\.conf \(default_ulimits"
    )
    with pytest.raises(ContainerError, match=expected):
        compss_wait_on(call("x"))


@pytest.mark.engines("DOCKER", "PODMAN", "APPTAINER")
def test_options_and_the_network_are_given_to_the_engine(engine):
    options = "--env 'GREETING=good day'"
    seen = compss_wait_on(inside(engine, bodies.describe, returns=1, options=options, network=True)("x"))
    assert seen["variables"]["GREETING"] == "good day"
    assert seen["networks"] == sorted(name for _, name in socket.if_nameindex())
