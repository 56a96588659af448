"""Arguments are what they were at the call, whatever the program does with them afterwards."""

import numpy as np
import pytest

from taskflow import (
    COLLECTION_IN,
    COLLECTION_INOUT,
    DICTIONARY_IN,
    IN,
    INOUT,
    Depth,
    Type,
    compss_wait_on,
    put,
    task,
)
from tests.behaviour.helpers import touch, wait_for_file

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


@task(returns=1)
def copied(value, gate=None):
    if gate is not None:
        wait_for_file(gate)
    return value


@task(values=COLLECTION_IN, returns=1)
def collected(values):
    return values


@task(values=DICTIONARY_IN, returns=1)
def looked_up(values):
    return values


@task(values=INOUT)
def extend(values, item, gate=None):
    if gate is not None:
        wait_for_file(gate)
    values.append(item)


@task(values={Type: COLLECTION_INOUT, Depth: 1})
def extend_all(values, item):
    for value in values:
        value.append(item)


class Thing:
    def __init__(self):
        self.items = [1]

    @task(returns=1, target_direction=IN)
    def seen(self):
        return self.items


def test_list_changed_after_the_call():
    values = [1]
    result = copied(values)
    values.append(2)
    values[0] = "changed"
    assert compss_wait_on(result) == [1]


@pytest.mark.engines("local")
@pytest.mark.parametrize("size", [3, 100_000])
def test_array_changed_while_the_task_waits(tmp_path, size):
    gate, values = tmp_path / "gate", np.zeros(size)
    result = copied(values, str(gate))
    values += 1
    touch(gate)
    assert compss_wait_on(result).sum() == 0
    assert compss_wait_on(copied(values)).sum() == size


@pytest.mark.parametrize("size", [3, 300_000])
def test_array_changed_between_calls(size):
    values = np.zeros(size)
    results = []
    for _ in range(4):
        results.append(copied(values))
        values += 1
    assert [int(result[-1]) for result in compss_wait_on(results)] == [0, 1, 2, 3]


def test_object_attribute_changed_after_the_call():
    thing = Thing()
    first = thing.seen()
    thing.items.append(2)
    second = thing.seen()
    assert compss_wait_on(first, second) == [[1], [1, 2]]


def test_elements_of_collections_changed_after_the_call():
    inner = [1]
    first, second = collected([inner, inner]), looked_up({"k": inner})
    inner.append(2)
    assert compss_wait_on(first) == [[1], [1]]
    assert compss_wait_on(second) == {"k": [1]}


@pytest.mark.engines("local")
def test_inout_object_is_as_it_was_at_the_call(tmp_path):
    gate, values = tmp_path / "gate", [1]
    extend(values, 2, str(gate))
    values.append("in main")
    touch(gate)
    assert compss_wait_on(values) == [1, 2]


def test_inout_object_of_main_is_not_changed_by_tasks():
    values, inner = [1], [5]
    extend(values, 2)
    extend_all([inner], 6)
    assert compss_wait_on(values) == [1, 2]
    assert compss_wait_on(inner) == [5, 6]
    assert values == [1]
    assert inner == [5]


def test_value_that_was_put_is_as_it_was_then():
    values = [1]
    stored = put(values)
    values.append(2)
    assert compss_wait_on(copied(stored)) == [1]


def test_result_changed_in_main_does_not_change_what_tasks_see():
    future = copied([1])
    value = future.result()
    value.append(2)
    assert compss_wait_on(copied(future)) == [1]


@pytest.mark.parametrize("size", [10, 100_000])
def test_large_result_changed_in_main_does_not_change_what_tasks_see(size):
    future = copied(np.zeros(size))
    value = future.result()
    value += 1
    assert compss_wait_on(copied(future)).sum() == 0


def test_closure_variable_is_as_it_was_at_the_first_call_of_the_function():
    factor = 2

    @task(returns=1)
    def scaled(x):
        return factor * x

    assert compss_wait_on(scaled(5)) == 10
    assert factor == 2


def test_random_state_does_not_leak_back():
    state = np.random.RandomState(3)
    expected = np.random.RandomState(3).rand()

    @task(returns=1)
    def draw(state):
        return state.rand()

    assert compss_wait_on(draw(state)) == expected
    assert compss_wait_on(draw(state)) == expected
    assert state.rand() == expected
