"""S38: reductions, maps, test data, times and memory profiles, with task functions."""

import time

import pytest

from taskflow import compss_wait_on, task
from taskflow.functions import generator, map, merge_n_reduce, merge_reduce, profile, timeit  # noqa: A004

pytestmark = pytest.mark.usefixtures("engine")


@task(returns=1)
def inc(x):
    return x + 1


@task(returns=1)
def add(*values):
    return sum(values)


@task(returns=1)
def double_all(values):
    return [2 * value for value in values]


@timeit()
@task(returns=1)
def timed_call(x):
    time.sleep(0.01)
    return x + 1


@task(returns=1)
@timeit()
def timed_execution(x):
    time.sleep(0.01)
    return x + 1


@task(returns=1)
@profile(full_report=False, precision=2)
def profiled(x):
    block = bytearray(b"x") * (64 << 20)  # so large that it is never taken from memory that was freed before
    time.sleep(0.05)
    return x + len(block)


def test_s38_map_and_merge_reduce():
    assert compss_wait_on(merge_reduce(add, map(inc, [1, 2, 3, 4, 5]))) == 20


def test_s38_merge_reduce_of_futures():
    assert compss_wait_on(merge_reduce(add, [inc(n) for n in range(1, 6)])) == 20


def test_s38_merge_n_reduce_with_four_at_a_time():
    assert compss_wait_on(merge_n_reduce(add, 4, list(range(2, 12)))) == 65


def test_map_in_chunks():
    assert map(double_all, range(5), chunksize=2) == [[0, 2], [4, 6], [8]]


@pytest.mark.parametrize(("distribution", "low", "high"), [("random", 0, 1), ("uniform", -1, 1), ("normal", -9, 9)])
def test_s38_generator(distribution, low, high):
    fragments = compss_wait_on(generator((12, 3), 4, seed=10, distribution=distribution))
    assert [len(fragment) for fragment in fragments] == [3] * 4
    numbers = [number for row in fragments[0] for number in row]
    assert len(set(numbers)) == 9
    assert all(low <= number < high for number in numbers)
    assert min(numbers) < 0 or distribution == "random"
    assert all(fragment == fragments[0] for fragment in fragments)
    assert generator((12, 3), 4, seed=10, distribution=distribution, wait=True) == fragments
    assert generator((12, 3), 4, seed=11, distribution=distribution, wait=True) != fragments


@pytest.mark.parametrize("function", [timed_call, timed_execution])
def test_s38_timeit_above_and_below_task(function):
    value, seconds = compss_wait_on(function(1))
    assert value == 2
    assert seconds > 0


def test_s38_timeit_below_task_measures_the_execution():
    assert compss_wait_on(timed_execution(1))[1] >= 0.01


def test_profile_reports_the_memory_of_the_call(capsys):
    assert compss_wait_on(profiled(0)) == 64 << 20
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[2:4] == [__file__, "profiled"]
    first, peak = float(line[5]), float(line[7])
    assert peak - first > 60
    assert line[8] == "MiB"
