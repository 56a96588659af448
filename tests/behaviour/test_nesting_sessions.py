"""Nested tasks in sessions of their own: few executors, nesting for all, deaths, and all ways to wait."""

import os
import signal

import pytest

import taskflow
from taskflow import compss_barrier, compss_wait_on
from tests.behaviour.helpers import touch, until
from tests.behaviour.test_nesting import (
    awaits,
    count,
    fib,
    gives_up,
    has_threads,
    is_called_back,
    keeps_a_future,
    kind_of_call,
    level,
    many_children,
    one_child,
    polls,
    takes_as_completed,
    uses_a_kept_future,
    waits_and_says_who,
)


@pytest.fixture
def run(tmp_path):
    """Start a session of the test's own, with nesting."""

    def run(**options):
        taskflow.stop()
        return taskflow.start(
            **{"workers": 2, "nesting": True, "progress": False, "run_dir": tmp_path / "run", **options}
        )

    yield run
    taskflow.stop(cancel=True)


def test_waits_on_many_levels_need_one_worker(run):
    session = run(workers=1)
    assert compss_wait_on(count(12)) == 12
    assert compss_wait_on(fib(8)) == 21
    assert len(session.engine.kernel.home.team) == 1


def test_nesting_for_all_functions(run):
    run()
    assert compss_wait_on(kind_of_call(3)) == "Future"
    assert compss_wait_on(level(4)) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_parent_is_killed_while_it_waits(run, tmp_path, workers):
    run(workers=workers)
    result = waits_and_says_who(str(tmp_path))
    assert until(lambda: os.path.exists(tmp_path / "child"))
    first = next(name for name in os.listdir(tmp_path) if name.startswith("parent-"))
    os.kill(int(first.split("-")[1]), signal.SIGKILL)
    assert until(lambda: sum(name.startswith("parent-") for name in os.listdir(tmp_path)) == 2)
    touch(tmp_path / "gate")
    assert compss_wait_on(result) == "slow"
    compss_barrier()


@pytest.mark.parametrize("workers", [1, 2])
def test_all_ways_to_wait(run, tmp_path, workers):
    run(workers=workers)
    assert compss_wait_on(polls(1)) == 2
    assert compss_wait_on(takes_as_completed(5)) == [1, 2, 3, 4, 5]
    assert compss_wait_on(is_called_back(1)) == (True, 2)
    assert compss_wait_on(awaits(1)) == (2, [3, 4])
    assert compss_wait_on(has_threads(4)) == [1, 2, 3, 4]
    assert compss_wait_on(gives_up(str(tmp_path))) == "slow"
    assert compss_wait_on(fib(5)) == 5


def test_future_of_a_task_that_has_ended(run, tmp_path):
    run(workers=1)
    keeps_a_future(str(tmp_path))
    answer = uses_a_kept_future()
    touch(tmp_path / "gate")
    assert "another task, which has ended" in compss_wait_on(answer)


def test_more_children_than_may_be_pending(run):
    run(max_pending=50)
    assert compss_wait_on(many_children(3000))[0] == 4_501_500


def test_many_parents_do_not_all_wait_at_once(run):
    session = run(workers=2)
    assert compss_wait_on([one_child(i) for i in range(500)]) == list(range(1, 501))
    assert len(session.engine.links) < 20
