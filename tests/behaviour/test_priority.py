"""Tasks with priority run before ready tasks without."""

import pytest

import taskflow
from taskflow import compss_barrier, compss_wait_on, task
from tests.behaviour.helpers import wait_for_file


@task(returns=1)
def block(gate):
    wait_for_file(gate)


@task()
def ordinary(log, n):
    with open(log, "a") as file:
        file.write(f"ordinary {n}\n")


@task(priority=True)
def urgent(log, n):
    with open(log, "a") as file:
        file.write(f"urgent {n}\n")


@task(priority=True, returns=1)
def urgent_value(x):
    return x + 1


@pytest.fixture
def one_executor(tmp_path):
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False):
        yield


@pytest.mark.usefixtures("one_executor")
def test_urgent_tasks_overtake_ready_ones(tmp_path):
    gate, log = str(tmp_path / "gate"), str(tmp_path / "log")
    block(gate)
    for n in range(30):
        ordinary(log, n)
    for n in range(3):
        urgent(log, n)
    open(gate, "w").close()
    compss_barrier()
    with open(log) as file:
        lines = file.read().splitlines()
    assert len(lines) == 33
    # The executor may have been given one task ahead before the urgent ones were called.
    assert [line for line in lines[:5] if line.startswith("urgent")] == ["urgent 0", "urgent 1", "urgent 2"]
    assert [line for line in lines if line.startswith("ordinary")] == [f"ordinary {n}" for n in range(30)]


@pytest.mark.usefixtures("engine")
def test_urgent_tasks_wait_for_their_inputs_and_give_values():
    value = 0
    for _ in range(20):
        value = urgent_value(value)
    assert compss_wait_on(value) == 20
