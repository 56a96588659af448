"""The simulated engine: the same seed does the same, faults are survived, and nothing hangs."""

import os
from itertools import pairwise

import numpy as np
import pytest

import taskflow
from taskflow import (
    COMMUTATIVE,
    FILE_IN,
    INOUT,
    TaskGroup,
    compss_barrier,
    compss_open,
    compss_wait_on,
    runtime,
    task,
)
from taskflow.drivers.simulated import Faults, StuckError
from taskflow.model.errors import ExecutorDiedError, NotRunningError
from tests.core import invariants

ROUGH = Faults(death=0.1, idle_death=0.02, late=0.3, lost=0.3, duplicate=0.3, inline_limit=100, restart=(1e-4, 5e-3))


@task(returns=1)
def array(x):
    return np.full(50, x)


@task(a=INOUT)
def add(a, b):
    a += b


@task(a=COMMUTATIVE)
def collect(a, b):
    a += b


@task(returns=1)
def total(a, b):
    return int(a.sum() + b.sum())


@task(returns=1)
def square(x):
    return x * x


@task(returns=1)
def square_by_a_task(x):
    result = square(x)
    return (type(result).__name__, result)


@task(path=FILE_IN, returns=1)
def array_from(path):
    with open(path, encoding="ascii") as file:
        return np.full(50, int(file.read()))


@task(returns=1)
def fail(x):
    raise ValueError(f"no {x}")


@pytest.fixture
def simulate(tmp_path):
    """Start a simulated session whose kernel is checked after every event."""
    runs = []

    def start(seed=0, workers=3, faults=None, check=True, **options):
        runs.append(seed)
        session = taskflow.start(
            engine="simulated", seed=seed, workers=workers, faults=faults, run_dir=tmp_path /
            f"run{len(runs)}", progress=False, **options,
        )  # fmt: skip
        if check:
            session.engine.check = lambda engine: invariants.check(engine.kernel)
        return session

    yield start
    taskflow.stop(cancel=True)


def mesh():
    arrays = [array(x) for x in range(8)]
    for _ in range(4):
        for left, right in pairwise(arrays):
            add(left, right)
    gathered = array(0)
    for part in arrays:
        collect(gathered, part)
    return compss_wait_on([total(left, gathered) for left in arrays])


def expected_mesh():
    arrays = [np.full(50, x) for x in range(8)]
    for _ in range(4):
        for left, right in pairwise(arrays):
            np.add(left, right, out=left)
    gathered = sum(arrays)
    return [int(left.sum() + gathered.sum()) for left in arrays]


@pytest.mark.parametrize("seed", range(30))
def test_a_program_survives_its_executors(simulate, seed):
    session = simulate(seed=seed, faults=ROUGH)
    assert mesh() == expected_mesh()
    assert session.engine.kernel.unfinished == 0


def test_the_faults_do_happen(simulate):
    deaths = reruns = 0
    for seed in range(10):
        session = simulate(seed=seed, faults=ROUGH)
        mesh()
        deaths += session.engine.deaths
        reruns += session.engine.kernel.rerun_count
        taskflow.stop()
    assert deaths > 50
    assert reruns > 100


def test_a_seed_replays_exactly(simulate):
    seen = []
    for _ in range(2):
        session = simulate(seed=11, faults=ROUGH)
        mesh()
        seen.append((session.engine.now, session.engine.deaths, session.engine.kernel.rerun_count))
        taskflow.stop()
    assert seen[0] == seen[1]


def test_seeds_differ(simulate):
    times = set()
    for seed in range(5):
        session = simulate(seed=seed)
        mesh()
        times.add(session.engine.now)
        taskflow.stop()
    assert len(times) == 5


def test_time_is_virtual(simulate):
    session = simulate(workers=2, faults=Faults(task_s=3600))
    assert compss_wait_on([square(x) for x in range(20)]) == [x * x for x in range(20)]
    assert session.engine.now > 3600


def test_nothing_happens_before_the_program_waits(simulate):
    session = simulate(faults=Faults(steps=0))
    futures = [square(x) for x in range(10)]
    assert not any(future.done() for future in futures)
    assert session.engine.now == 0
    compss_barrier()
    assert all(future.done() for future in futures)


def test_a_wait_with_a_timeout_ends_at_its_virtual_time(simulate):
    session = simulate(faults=Faults(task_s=1000, steps=0))
    future = square(3)
    before = session.engine.now
    with pytest.raises(TimeoutError):
        compss_wait_on(future, timeout=1e-6)
    assert session.engine.now == pytest.approx(before + 1e-6)
    assert compss_wait_on(future) == 9


def test_a_task_called_in_a_task_is_a_plain_call(simulate):
    simulate()
    assert compss_wait_on(square_by_a_task(4)) == ("int", 16)


def test_exceptions_reach_the_program(simulate):
    simulate(faults=ROUGH)
    with pytest.raises(ValueError, match="no 7"):
        compss_wait_on(fail(7))
    with pytest.raises(ValueError, match="no 8"), TaskGroup("group"):
        fail(8)


def test_a_task_that_kills_its_executors_is_reported(simulate):
    simulate(faults=Faults(death=1, fatal=True))
    with pytest.raises(ExecutorDiedError, match="square called at"):
        # An executor dies before, during or after a task: of some tasks, two do before the result is known.
        compss_wait_on([square(x) for x in range(50)])
    taskflow.stop(cancel=True)


def test_executors_can_be_killed_by_hand(simulate):
    session = simulate(workers=2, faults=Faults(steps=0))
    futures = [square(x) for x in range(10)]
    for number in list(session.engine.links):
        session.engine.kill(number)
    assert compss_wait_on(futures) == [x * x for x in range(10)]
    assert session.engine.deaths == 2


def test_a_lost_wake_up_is_an_error_with_the_state_of_the_kernel(simulate):
    session = simulate(check=False, faults=Faults(steps=0))
    future = square(2)
    for executor in session.engine.kernel.home.team:
        executor.outbox.clear()
        session.engine._events.clear()
    with pytest.raises(StuckError, match=r"no event is left, but 1 tasks are unfinished \(seed 0(.|\n)*square"):
        compss_wait_on(future)


def test_going_in_circles_is_an_error(simulate, monkeypatch):
    session = simulate(check=False, faults=Faults(steps=0))
    engine = session.engine

    def again():
        engine.at(engine.now + 1, again)

    monkeypatch.setattr(engine, "_deliver", lambda *_: None)
    again()
    future = square(2)
    with pytest.raises(StuckError, match="events passed in which no task ended"):
        compss_wait_on(future)


def test_a_stopped_session_takes_no_tasks(simulate):
    session = simulate()
    taskflow.stop()
    assert runtime.session is None
    with pytest.raises(NotRunningError):
        session.engine.submit(None, ())


def test_large_results_and_files_leave_nothing_behind(simulate, tmp_path):
    session = simulate(faults=Faults(inline_limit=100, death=0.1))
    segments = session._segments
    mesh()
    taskflow.stop()
    assert not list((tmp_path / "run1").glob("files/*"))
    assert not (tmp_path / "run1" / "scratch").exists()
    assert not os.path.exists(segments)


def test_a_limit_on_pending_tasks_holds(simulate):
    session = simulate(max_pending=10, faults=Faults(steps=0))
    futures = [square(x) for x in range(50)]
    assert session.engine.kernel.unfinished <= 10
    assert compss_wait_on(futures) == [x * x for x in range(50)]


def test_a_result_made_from_a_file_is_not_made_again_from_another_content(simulate, tmp_path):
    path = tmp_path / "input"
    path.write_text("1")
    session = simulate(workers=2, faults=Faults(inline_limit=100, steps=0))
    result = array_from(path)
    compss_barrier()
    with compss_open(path, "w") as file:
        file.write("2")
    for number in list(session.engine.links):
        session.engine.kill(number)
    assert compss_wait_on(result)[0] == 1
