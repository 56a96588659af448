"""S10: barriers and task groups."""

import threading

import pytest

from taskflow import (
    FILE_INOUT,
    INOUT,
    TaskGroup,
    compss_barrier,
    compss_barrier_group,
    compss_open,
    compss_wait_on,
    task,
)
from tests.behaviour.helpers import touch, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")


@task(path=FILE_INOUT)
def append(path):
    with open(path, "a") as file:
        file.write("x")


@task(returns=1)
def mark(path):
    touch(path)
    return path


@task(returns=1)
def held_up(path):
    wait_for_file(path)
    return path


@task()
def fail(text):
    raise LookupError(text)


class Box:
    def __init__(self):
        self.items = []


@task(box=INOUT)
def put(box, item):
    box.items.append(item)


@pytest.mark.engines("sequential", "local")
def test_s10_barrier_waits_for_all_tasks(tmp_path):
    paths = [tmp_path / str(n) for n in range(20)]
    for path in paths:
        mark(str(path))
    compss_barrier()
    assert all(path.exists() for path in paths)


def test_s10_end_of_group_waits_for_its_tasks(tmp_path):
    paths = [tmp_path / str(n) for n in range(10)]
    with TaskGroup("all"):
        for path in paths:
            mark(str(path))
    assert all(path.exists() for path in paths)


def test_s10_explicit_barrier_of_a_group(tmp_path):
    paths = [tmp_path / str(n) for n in range(10)]
    with TaskGroup("later", implicit_barrier=False):
        for path in paths:
            mark(str(path))
    compss_barrier_group("later")
    assert all(path.exists() for path in paths)


@pytest.mark.engines("local")
def test_s10_group_barrier_does_not_wait_for_other_tasks(tmp_path):
    gate = tmp_path / "gate"
    outside = held_up(str(gate))
    with TaskGroup("inside"):
        mark(str(tmp_path / "one"))
    assert (tmp_path / "one").exists()
    assert not outside.done()
    touch(gate)
    assert compss_wait_on(outside) == str(gate)


@pytest.mark.engines("local")
def test_s10_group_without_implicit_barrier_does_not_wait(tmp_path):
    gate = tmp_path / "gate"
    with TaskGroup("free", implicit_barrier=False):
        inside = held_up(str(gate))
    assert not inside.done()
    touch(gate)
    compss_barrier_group("free")
    assert inside.done()


def test_s10_nested_groups(tmp_path):
    path = str(tmp_path / "file")
    touch(path)
    with TaskGroup("big"):
        for n in range(3):
            with TaskGroup(f"g{n}", implicit_barrier=False):
                for _ in range(3):
                    append(path)
        for n in range(3):
            compss_barrier_group(f"g{n}")
    with TaskGroup("after"):
        for _ in range(3):
            append(path)
    with compss_open(path) as file:
        assert len(file.read()) == 12


@pytest.mark.engines("local")
def test_s10_outer_group_waits_for_the_tasks_of_inner_ones(tmp_path):
    with TaskGroup("outer"), TaskGroup("inner", implicit_barrier=False):
        inside = mark(str(tmp_path / "inner"))
    assert inside.done()


def test_name_can_be_used_again(tmp_path):
    for n in range(3):
        with TaskGroup("again"):
            mark(str(tmp_path / str(n)))
        assert (tmp_path / str(n)).exists()


def test_unknown_group_is_no_error():
    compss_barrier_group("nobody made it")


def test_empty_group():
    with TaskGroup("empty"):
        pass
    compss_barrier_group("empty")


@pytest.mark.engines("local", "simulated")
def test_failure_of_a_member_is_raised_at_the_end_of_the_group():
    with pytest.raises(LookupError, match="member"), TaskGroup("failing"):
        fail("member")
        fail("second")
    compss_barrier()  # told once


@pytest.mark.engines("local", "simulated")
def test_failure_of_a_member_is_raised_at_the_explicit_barrier():
    with TaskGroup("failing", implicit_barrier=False):
        fail("member")
    with pytest.raises(LookupError, match="member"):
        compss_barrier_group("failing")


@pytest.mark.engines("local", "simulated")
def test_failure_outside_is_not_raised_by_the_group():
    fail("outside")
    with TaskGroup("fine"):
        box = Box()
        put(box, 1)
    with pytest.raises(LookupError, match="outside"):
        compss_barrier()


@pytest.mark.engines("local", "simulated")
def test_exception_of_the_block_itself_comes_through_after_the_barrier(tmp_path):
    with pytest.raises(KeyError, match="block"), TaskGroup("raising"):
        inside = mark(str(tmp_path / "one"))
        raise KeyError("block")
    assert inside.done()


@task(items=INOUT)
def extend(items):
    items.append(1)


@task(items=INOUT, on_failure="FAIL")
def fail_with(items):
    raise KeyError("outside of the group", items)


@pytest.mark.engines("local", "simulated")
def test_a_group_tells_of_a_member_that_could_not_run_since_another_task_failed():
    items = []
    fail_with(items)
    with pytest.raises(KeyError, match="outside of the group"), TaskGroup("poisoned"):
        extend(items)
    compss_barrier()  # it has been told once


@pytest.mark.engines("local")
def test_groups_of_two_threads_do_not_mix(tmp_path):
    gate = tmp_path / "gate"
    entered, leave = threading.Event(), threading.Event()

    def other():
        with TaskGroup("thread", implicit_barrier=False):
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(20)
    late = held_up(str(gate))  # called while the other thread's group is open, but not in it
    leave.set()
    thread.join()
    compss_barrier_group("thread")
    assert not late.done()
    touch(gate)
    assert compss_wait_on(late) == str(gate)
