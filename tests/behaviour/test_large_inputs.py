"""A task may do what it likes with a large array that it is given to read: nobody else sees it."""

import numpy as np
import pytest

from taskflow import INOUT, compss_barrier, compss_wait_on, task
from taskflow.node import loans

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]

SIZE = loans.SMALLEST // 8 + 1000
TOTAL = SIZE * (SIZE - 1) / 2.0
kept = []


@task(returns=1)
def make():
    return np.arange(float(SIZE))


@task(a=INOUT)
def bump(a):
    a += 1


@task(returns=1)
def total(a):
    return float(a.sum())


@task(returns=1)
def spoil(a, text=""):
    if text:
        print(text)
    a *= 0
    a[::2].sort()
    return float(a.sum())


@task(returns=1)
def spoil_all(arrays):
    for array in arrays["all"]:
        array.fill(7)
    return float(sum(array.sum() for array in arrays["all"]))


@task(returns=1)
def unchanged(a):
    return a


@task(returns=1)
def keep(a):
    kept.append(a)
    return 0


@task(returns=1)
def change_kept():
    for array in kept:
        np.add(array, 1, out=array)
    return len(kept)


@task(a=INOUT, returns=1)
def add(a, b):
    a += b
    b += 1
    return float(b[0])


def test_readers_between_updates():
    a = make()
    totals = []
    for _ in range(3):
        bump(a)
        totals += [total(a), total(a)]
    assert compss_wait_on(totals) == [TOTAL + SIZE * k for k in (1, 1, 2, 2, 3, 3)]
    assert compss_wait_on(a).sum() == TOTAL + 3 * SIZE


def test_readers_that_spoil_what_they_are_given():
    a = make()
    results = []
    for _ in range(3):
        results += [spoil(a), total(a)]
        bump(a)
    assert compss_wait_on(results) == [x for k in range(3) for x in (0.0, TOTAL + SIZE * k)]
    assert compss_wait_on(a).sum() == TOTAL + 3 * SIZE


def test_arrays_in_a_container_that_are_spoiled():
    a, b = make(), make()
    assert compss_wait_on(spoil_all({"all": [a, b]})) == 14 * SIZE
    assert compss_wait_on(total(a), total(b)) == [TOTAL, TOTAL]


def test_result_that_is_the_input_can_be_written():
    a = make()
    b = unchanged(a)
    result = compss_wait_on(b)
    result += 1
    assert compss_wait_on(a).sum() == TOTAL


def test_input_that_a_task_keeps_for_the_next_is_its_own():
    a = make()
    before = compss_wait_on(keep(a)), compss_wait_on(total(a))
    bump(a)
    compss_wait_on([change_kept() for _ in range(4)])
    assert before == (0, TOTAL)
    assert compss_wait_on(a).sum() == TOTAL + SIZE


def test_update_that_spoils_the_other_argument():
    a, b = make(), make()
    firsts = [add(a, b) for _ in range(3)]
    assert compss_wait_on(firsts) == [1.0] * 3
    assert compss_wait_on(total(a)) == 4 * TOTAL
    assert compss_wait_on(b)[0] == 0


@pytest.mark.engines("local")
def test_what_a_task_prints_before_it_spoils_its_input_is_printed_once(capfd):
    a = make()
    compss_barrier()
    assert compss_wait_on(spoil(a, "once only")) == 0
    compss_barrier()
    assert capfd.readouterr().out.count("once only") == 1
    assert compss_wait_on(a).sum() == TOTAL
