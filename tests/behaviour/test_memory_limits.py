"""Tasks that take more memory than their constraint memory_size allows."""

import os
import subprocess
import sys
import time

import pytest

import taskflow
from taskflow import MemoryLimitError, binary, compss_barrier, compss_wait_on, constraint, task

pytestmark = pytest.mark.engines("local")

MIB = 1 << 20
LIMIT_GB = 0.1
TOO_MUCH = 300  #: MiB; a task may take 64 more than its limit
EAT = "import os, time; eaten = [os.urandom(1) * (1 << 20) for _ in range(int('{}'))]; time.sleep(20)"


@constraint(memory_size=LIMIT_GB)
@task(returns=1, on_failure="FAIL")
def eat(mebibytes, seconds=20):
    eaten = [os.urandom(1) * MIB for _ in range(mebibytes)]
    time.sleep(seconds)
    return len(eaten)


@constraint(memory_size=LIMIT_GB)
@task(returns=1, on_failure="FAIL")
def have_it_eaten(mebibytes):
    return subprocess.run([sys.executable, "-c", EAT.format(mebibytes)], check=False).returncode


@task(returns=1)
def keep(mebibytes):
    globals()["kept"] = [os.urandom(1) * MIB for _ in range(mebibytes)]
    return os.getpid()


@constraint(memory_size=LIMIT_GB)
@task(returns=1)
def fork_twice(mebibytes):
    """Processes that share what was there before they were forked."""
    mine = [os.urandom(1) * MIB for _ in range(mebibytes)]
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            time.sleep(0.5)
            os._exit(len(mine) != mebibytes)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


@task(returns=1)
def add(a, b):
    return a + b


@pytest.mark.engines("local", "cluster")
def test_a_task_that_takes_too_much_is_stopped_and_named(engine):  # noqa: ARG001
    others = [add(number, 1) for number in range(20)]
    with pytest.raises(MemoryLimitError) as caught:
        compss_wait_on(eat(TOO_MUCH))
    text = str(caught.value)
    assert "eat, called at" in text
    assert f"{os.path.basename(__file__)}:" in text
    assert "memory_size allows 0.1 GB" in text
    used = float(text.partition("used ")[2].split()[0])
    assert LIMIT_GB < used < 1
    assert isinstance(caught.value, MemoryError)
    assert compss_wait_on(others) == list(range(1, 21))
    assert compss_wait_on(add(1, 1)) == 2


def test_what_a_task_has_started_counts(engine):  # noqa: ARG001
    with pytest.raises(MemoryLimitError, match="have_it_eaten"):
        compss_wait_on(have_it_eaten(TOO_MUCH))


def test_a_program_that_takes_too_much_is_stopped(engine):  # noqa: ARG001
    @constraint(memory_size=LIMIT_GB)
    @binary(binary=sys.executable, args=["-c", EAT.format(TOO_MUCH)])
    @task(on_failure="FAIL")
    def program():
        raise AssertionError("the body is not run")

    program()
    with pytest.raises(MemoryLimitError, match="program"):
        compss_barrier()


def test_a_task_below_its_limit_is_left_alone(engine):  # noqa: ARG001
    assert compss_wait_on(eat(50, 0.5)) == 50


def test_what_an_executor_had_before_does_not_count(engine):  # noqa: ARG001
    taken = compss_wait_on([keep(TOO_MUCH) for _ in range(4)])
    assert compss_wait_on([eat(10, 0.3) for _ in range(4)]) == [10] * 4
    assert taken


def test_what_processes_share_counts_once(engine):  # noqa: ARG001
    assert compss_wait_on(fork_twice(80)) == [0, 0, 0]


def test_the_failure_policy_decides_what_follows(engine):  # noqa: ARG001
    @constraint(memory_size=LIMIT_GB)
    @task(returns=1, on_failure="IGNORE", defaults={"returns": -1})
    def optional():
        eaten = [os.urandom(1) * MIB for _ in range(3 * TOO_MUCH)]  # more than earlier tests may have left unused there
        time.sleep(20)
        return len(eaten)

    assert compss_wait_on(optional()) == -1
    assert taskflow.compss_wait_on(add(2, 2)) == 4
