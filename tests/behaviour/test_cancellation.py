"""S21, S22: groups ended by an exception, groups cancelled by the program."""

import os
import time

import pytest

from taskflow import (
    FILE_INOUT,
    INOUT,
    COMPSsException,
    TaskCancelledError,
    TaskflowWarning,
    TaskGroup,
    compss_barrier,
    compss_barrier_group,
    compss_cancel_group,
    compss_wait_on,
    compss_wait_on_file,
    runtime,
    task,
)
from tests.behaviour.helpers import until, wait_for_file

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


@task(returns=1)
def raise_exception(text):
    raise COMPSsException(text)


@task(returns=1)
def identity(x):
    return x


@task(path=FILE_INOUT)
def append(path, text):
    with open(path, "a") as file:
        file.write(text)


@task(path=FILE_INOUT)
def append_and_raise(path, text):
    with open(path, "a") as file:
        file.write(text)
    raise COMPSsException("ended")


@task(returns=1)
def note_and_sleep(path, seconds):
    with open(path, "a") as file:
        file.write("began ")
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write("not cancelled")


@task(returns=1)
def raise_once_begun(path):
    wait_for_file(path)
    raise COMPSsException("enough")


# ---------------------------------------------------------------------- exceptions


def test_s21_the_barrier_of_the_group_raises_the_exception_once():
    with pytest.raises(COMPSsException, match="stop it") as caught, TaskGroup("g"):
        identity(1)
        raise_exception("stop it")
    assert caught.value.message == "stop it"
    compss_barrier_group("g")
    compss_barrier()


def test_s21_with_an_explicit_barrier():
    with TaskGroup("h", implicit_barrier=False):
        raise_exception("stop it")
    with pytest.raises(COMPSsException, match="stop it"):
        compss_barrier_group("h")


def test_s21_the_task_is_not_tried_again(tmp_path):
    @task()
    def note_and_raise(folder):
        with open(os.path.join(folder, os.urandom(4).hex()), "x"):
            raise COMPSsException("x")

    with pytest.raises(COMPSsException), TaskGroup("g"):
        note_and_raise(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_s21_dependants_in_the_group_never_run(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    with pytest.raises(COMPSsException), TaskGroup("g"):
        append_and_raise(str(path), "x")
        append(str(path), "y")
        append(str(path), "z")
    append(str(path), "2")
    append(str(path), "2")
    compss_wait_on_file(str(path))
    assert path.read_text() == "122"


def test_s21_finished_members_keep_their_results():
    with TaskGroup("g", implicit_barrier=False):
        done = identity(5)
        assert compss_wait_on(done) == 5
        later = identity(raise_exception("x"))
    with pytest.raises(COMPSsException):
        compss_barrier_group("g")
    assert compss_wait_on(done) == 5
    with pytest.warns(TaskflowWarning, match="COMPSsException: x"):
        assert compss_wait_on(later) is None


def test_s21_every_enclosing_group_raises():
    with pytest.raises(COMPSsException, match="inner"), TaskGroup("outer"):
        with pytest.raises(COMPSsException, match="inner"), TaskGroup("inner"):
            raise_exception("inner")
        identity(1)


def test_s21_members_of_the_enclosing_group_are_cancelled_too(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with TaskGroup("outer", implicit_barrier=False):
        blocked = identity(raise_exception_later := identity(1))
        with pytest.raises(COMPSsException), TaskGroup("inner"):
            raise_exception("x")
    del raise_exception_later
    with pytest.raises(COMPSsException):
        compss_barrier_group("outer")
    assert blocked.done()


@pytest.mark.engines("local")
def test_s21_running_members_are_interrupted(tmp_path):
    path = str(tmp_path / "log")
    begin = time.monotonic()
    with pytest.raises(COMPSsException, match="enough"), TaskGroup("g"):
        sleeper = note_and_sleep(path, 30)
        raise_once_begun(path)
    assert time.monotonic() - begin < 20
    assert (tmp_path / "log").read_text() == "began "
    assert sleeper.cancelled()
    with pytest.raises(TaskCancelledError):
        sleeper.result()


@pytest.mark.engines("local")
def test_a_cancelled_task_under_ignore_is_cancelled_not_ignored(tmp_path):
    path = str(tmp_path / "log")
    with pytest.raises(COMPSsException), TaskGroup("g"):
        sleeper = note_and_sleep(path, 30, on_failure="IGNORE")
        raise_once_begun(path)
    assert sleeper.cancelled()
    assert not sleeper.ignored()


@pytest.mark.engines("local")
def test_native_code_that_heeds_no_signal_is_ended_with_its_executor(tmp_path):
    @task(returns=1)
    def deaf(path):
        with open(path, "w"):
            pass
        return sum(range(10**12))  # a loop in C that looks at no signal

    path = str(tmp_path / "log")
    begin = time.monotonic()
    with pytest.raises(COMPSsException, match="enough"), TaskGroup("g"):
        future = deaf(path)
        raise_once_begun(path)
    assert time.monotonic() - begin < 20
    assert future.cancelled()
    assert compss_wait_on([identity(n) for n in range(20)]) == list(range(20))


@pytest.mark.engines("local")
def test_processes_that_a_cancelled_task_waits_for_do_not_keep_it(tmp_path):
    @task(returns=1)
    def run_sleep(path):
        import subprocess

        with open(path, "w"):
            pass
        subprocess.run(["sleep", "60"], check=True)

    path = str(tmp_path / "log")
    begin = time.monotonic()
    with pytest.raises(COMPSsException), TaskGroup("g"):
        run_sleep(path)
        raise_once_begun(path)
    assert time.monotonic() - begin < 20


def test_outside_of_groups_the_exception_is_raised_where_the_program_waits():
    value = identity(identity(raise_exception("alone")))
    with pytest.raises(COMPSsException, match="alone"):
        compss_wait_on(value)


def test_many_members_are_cancelled():
    with pytest.raises(COMPSsException), TaskGroup("g"):
        first = raise_exception("x")
        futures = [identity(first) for _ in range(3000)]
    assert all(future.cancelled() for future in futures)
    assert compss_wait_on(identity(3)) == 3


# ---------------------------------------------------------------------- cancelled by the program


@pytest.mark.engines("local")
def test_s22_cancel_group_after_its_first_task(tmp_path):
    @task(path=FILE_INOUT)
    def append_slowly(path, text):
        if text == "x":
            time.sleep(30)
        with open(path, "a") as file:
            file.write(text)

    path = tmp_path / "file"
    path.write_text("1")
    with TaskGroup("big", implicit_barrier=False):
        for name in ("g0", "g1"):
            with TaskGroup(name, implicit_barrier=False):
                append_slowly(str(path), "x")
                append_slowly(str(path), "x")
    compss_cancel_group("g0")
    compss_cancel_group("g1")
    with TaskGroup("after"):
        for _ in range(3):
            append(str(path), "2")
    compss_wait_on_file(str(path))
    assert path.read_text() == "1222"
    compss_barrier_group("g0")
    compss_barrier()


def test_cancelling_a_group_leaves_finished_members_and_other_tasks():
    with TaskGroup("g", implicit_barrier=False):
        done = identity(1)
        assert compss_wait_on(done) == 1
    other = identity(2)
    compss_cancel_group("g")
    compss_cancel_group("no such group")
    assert compss_wait_on([done, other]) == [1, 2]


def test_objects_of_cancelled_tasks_stay_what_they_were():
    @task(items=INOUT)
    def put(items, item):
        items.append(item)

    @task(items=INOUT)
    def put_and_raise(items, item):
        items.append(item)
        raise COMPSsException("x")

    items = ["a"]
    put(items, "b")
    with pytest.raises(COMPSsException), TaskGroup("g"):
        put_and_raise(items, "c")
        put(items, "d")
    put(items, "e")
    assert compss_wait_on(items) == ["a", "b", "e"]


@pytest.mark.engines("local")
def test_s22_cancel_all(tmp_path):
    path = str(tmp_path / "log")
    futures = [note_and_sleep(path, 30) for _ in range(50)]
    assert until(lambda: os.path.exists(path))
    runtime.require().cancel_all()
    assert all(future.cancelled() for future in futures)
    compss_barrier()
    assert compss_wait_on(identity(1)) == 1


@pytest.mark.engines("local")
def test_cancelled_again_and_again_nothing_is_lost():
    for turn in range(30):
        name = f"turn {turn}"
        with TaskGroup(name, implicit_barrier=False):
            members = [identity(identity(n)) for n in range(20)]
        others = [identity(n) for n in range(20)]
        compss_cancel_group(name)
        assert compss_wait_on(others) == list(range(20))
        assert all(member.done() for member in members)
        for n, member in enumerate(members):
            assert member.cancelled() or member.result() == n
    compss_barrier()
