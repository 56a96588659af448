"""S32: functions of the main program that get values, and leave them in their caller."""

import numpy as np
import pytest

from taskflow import INOUT, Future, compss_wait_on, local, runtime, task
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")


class Point:
    def __init__(self, x):
        self.x = x


class Slotted:
    __slots__ = ("__weakref__", "x")

    def __init__(self, x):
        self.x = x


@task(value=INOUT)
def append(value, item):
    value.append(item)


@task(value=INOUT)
def enter(value, key, item):
    value[key] = item


@task(value=INOUT)
def move(value, x):
    value.x = x


@task(value=INOUT)
def fill(value, item):
    value[:] = item


@task(returns=1)
def inc(x):
    return x + 1


@local
def given(*args, **kwargs):
    return args, kwargs


class Waits:
    """Counts how often the program waits."""

    def __enter__(self):
        self.count = 0
        self.session = runtime.session
        if self.session is not None:
            self.original = self.session.wait_versions
            self.session.wait_versions = self.counted
        return self

    def counted(self, *args, **kwargs):
        self.count += 1
        return self.original(*args, **kwargs)

    def __exit__(self, *_):
        if self.session is not None:
            del self.session.wait_versions


def test_s32_variable_list_cell_attribute_and_alias_show_the_new_content():
    values = [1]
    alias = values
    cells = [values, 0]
    holder = Point(values)
    table = {"values": values}
    append(values, 2)
    args, kwargs = given(values)
    assert args == ([1, 2],)
    assert kwargs == {}
    assert values == alias == cells[0] == holder.x == table["values"] == [1, 2]
    assert args[0] is values is alias is cells[0] is holder.x is table["values"]


def test_s32_the_second_call_does_not_wait(engine):
    values = [1]
    append(values, 2)
    number = inc(1)
    with Waits() as waits:
        given(values, number=number)
    assert waits.count == (2 if engine.parallel else 0)
    with Waits() as waits:
        assert given(values, number=number) == (([1, 2],), {"number": 2})
    assert waits.count == 0


def test_s32_arguments_that_no_task_has_touched_are_given_as_they_are():
    values, point = [1, (2, [3])], Point(4)
    args, kwargs = given(values, 5, "six", point=point)
    assert args[0] is values
    assert values == [1, (2, [3])]
    assert args[1:] == (5, "six")
    assert kwargs["point"] is point


def test_a_future_is_replaced_wherever_it_is_found():
    future = inc(1)
    alias = future
    cells = [future]
    table = {"future": future}
    holder = Point(future)
    assert given(future, again=future) == ((2,), {"again": 2})
    assert (future, alias, cells, table, holder.x) == (2, 2, [2], {"future": 2}, 2)
    assert type(future) is int


def test_a_future_is_replaced_in_callers_of_the_caller_and_in_closures():
    future = inc(1)

    def inner():
        return given(future)

    def outer(handed):
        inner()
        return handed

    assert outer(future) == 2
    assert future == 2


def closure_over(value, module):
    def function():
        return value

    function.__module__ = module
    return function


@pytest.mark.engines("local")
def test_what_the_runtime_itself_does_with_a_future_is_left_alone(engine):  # noqa: ARG001
    future = inc(1)
    of_the_program = closure_over(future, "program")
    of_the_runtime = closure_over(future, "taskflow.api.futures")
    given(future)
    assert of_the_program() == 2
    assert isinstance(of_the_runtime(), Future)


module_future = None


def test_a_future_is_replaced_in_a_global():
    global module_future  # noqa: PLW0603
    module_future = inc(1)
    given(module_future)
    assert module_future == 2


def test_objects_of_many_kinds_keep_their_identity(engine):
    table, point, array, members = {"a": 1}, Point(1), np.zeros(3), [Point(1)]
    enter(table, "b", 2)
    move(point, 5)
    fill(array, 7.0)
    move(members[0], 6)
    found, _ = given(table, point, array, members)
    assert found[0] is table
    assert found[1] is point
    assert found[2] is array
    assert found[3] is members
    assert table == {"a": 1, "b": 2}
    assert (point.x, members[0].x) == (5, 6)
    assert array.tolist() == [7.0] * 3
    if engine.parallel:
        assert not runtime.session.registry.find(point)


def test_an_object_whose_content_cannot_be_moved_is_replaced():
    slotted = Slotted(1)
    cells = [slotted]
    move(slotted, 2)
    given(slotted)
    assert slotted.x == 2
    assert cells[0] is slotted


def test_futures_in_containers_are_waited_for():
    values = [inc(1), (inc(2), 0), {"a": inc(3)}]
    args, _ = given(values)
    assert args == ([2, (3, 0), {"a": 4}],)
    assert values == [2, (3, 0), {"a": 4}]


def test_containers_that_hold_themselves_are_no_trap():
    values = [inc(1)]
    values.append(values)
    given(values)
    assert values[0] == 2


def test_tasks_called_afterwards_get_the_object_as_the_program_left_it():
    values = [1]
    append(values, 2)

    @local
    def change(values):
        values.append(3)

    change(values)
    append(values, 4)
    assert compss_wait_on(values) == [1, 2, 3, 4]


def test_a_method_has_its_object_waited_for():
    counter = Counter()
    counter.count()
    assert counter.seen() == 1
    assert counter.n == 1


class Counter:
    def __init__(self):
        self.n = 0

    @task(target_direction=INOUT)
    def count(self):
        self.n += 1

    @local
    def seen(self):
        return self.n


@pytest.mark.engines("local")
def test_a_failure_is_raised(engine):  # noqa: ARG001
    @task(returns=1, on_failure="FAIL")
    def fail():
        raise ValueError("no")

    future = fail()
    with pytest.raises(ValueError, match="no"):
        given(future)
    assert isinstance(future, Future)


@pytest.mark.engines("sequential")
def test_parentheses_are_refused(engine):  # noqa: ARG001
    with pytest.raises(ArgumentError, match="without parentheses"):
        local(5)
