"""S04: every form of ``returns``, and what is found out without one."""

from typing import Any

import numpy as np
import pytest

from taskflow import COLLECTION_OUT, Depth, Future, MissingOutputError, Type, compss_wait_on, task

pytestmark = pytest.mark.usefixtures("engine")

SIZE = 3


class Box:
    def __init__(self):
        self.content = "empty"


class NeedsArguments:
    def __init__(self, content):
        self.content = content


class Shape:
    count = 2

    def __init__(self):
        self.sides = 3


@pytest.mark.parametrize(
    ("returns", "value"),
    [
        (int, 5), (1, 5), ("1", 5), (True, 5), (str, "s"), (list, [1, 2]), (dict, {1: 2}), (tuple, (1, 2)),
        ([int], 5), (np.array, [1]), (np.ndarray, [1]),
        ({Type: COLLECTION_OUT, Depth: 2}, [[1], [2]]), (object, None),
    ],
)  # fmt: skip
def test_s04_declarations_of_one_value(returns, value):
    @task(returns=returns)
    def give():
        return value

    result = compss_wait_on(give())
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "returns", [2, "2", (float, float), [float, list], "PAIR", "value_of(n)", "value_of(shape.count)"]
)
def test_s04_declarations_of_two_values(returns, monkeypatch):  # noqa: ARG001
    @task(returns=returns)
    def pair(x, n=2, shape=None):  # noqa: ARG001
        return x, 2 * x

    pair.__wrapped__.__globals__["PAIR"] = 2
    v, w = pair(10.0, n=2, shape=Shape())
    v, w = compss_wait_on(v, w)
    assert v * v + w * w == 500


def test_s04_number_of_a_global_is_taken_at_each_call():
    @task(returns="SIZE")
    def parts():
        return list(range(SIZE))

    globals()["SIZE"] = 4
    try:
        assert compss_wait_on(list(parts())) == [0, 1, 2, 3]
    finally:
        globals()["SIZE"] = 3


@task(returns="value_of(n)")
def numbered(data, n):
    return [data] * n


def test_s04_number_of_results_taken_from_an_argument():
    assert compss_wait_on(list(numbered("x", 3))) == ["x", "x", "x"]
    assert compss_wait_on(list(numbered(n=2, data="y"))) == ["y", "y"]


@task()
def split(data):
    size = len(data) // 4
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_s04_returns_given_at_the_call():
    parts = split(list(range(8)), returns=4)
    assert len(parts) == 4
    assert compss_wait_on(list(parts)) == [[0, 1], [2, 3], [4, 5], [6, 7]]


@task(returns="{{items}}")
def doubled(items):
    items.extend(items)
    return items


def test_s04_returning_a_parameter_gives_the_same_object():
    items = [1, 2]
    first = doubled(items)
    second = doubled(first)
    third = doubled(second)
    assert id(first) == id(second) == id(third) == id(items)
    assert len(compss_wait_on(third)) == 16


@task()
def annotated_one() -> int:
    return 1


@task()
def annotated_text() -> "list[int]":
    return [1, 2]


@task()
def annotated_pair() -> (int, str):
    return 1, "a"


@task()
def annotated_tuple() -> tuple[int, str]:
    return 1, "a"


@task()
def annotated_any_length() -> tuple[int, ...]:
    return 1, 2, 3


@task()
def annotated_none() -> None:
    return


@task()
def annotated_any() -> Any:
    return {"a": 1}


def test_s04_found_out_from_the_annotation():
    assert compss_wait_on(annotated_one()) == 1
    assert compss_wait_on(annotated_text()) == [1, 2]
    number, text = annotated_pair()
    assert compss_wait_on([number, text]) == [1, "a"]
    number, text = annotated_tuple()
    assert compss_wait_on([number, text]) == [1, "a"]
    assert compss_wait_on(annotated_any_length()) == (1, 2, 3)
    assert annotated_none() is None
    assert compss_wait_on(annotated_any()) == {"a": 1}


@task()
def source_nothing(x):
    x + 1


@task()
def source_bare(x):
    if x:
        return
    x += 1


@task()
def source_one(x):
    if x:
        return None
    return x


@task()
def source_pair(x):
    if x < 0:
        return None, None
    return x, x + 1


@task()
def source_inner(x):
    def inner():
        return 1, 2, 3

    def other():
        return inner

    other()
    (lambda: (1, 2))()  # noqa: PLC3002
    return x


def test_s04_found_out_from_the_source():
    assert source_nothing(1) is None
    assert source_bare(1) is None
    assert compss_wait_on(source_one(0)) == 0
    first, second = source_pair(1)
    assert compss_wait_on(first, second) == [1, 2]
    assert compss_wait_on(source_inner(4)) == 4


@task(returns=Box)
def filled(text):
    box = Box()
    box.content = text
    return box


@task(returns=1)
def content(box):
    return box.content


@task(returns=NeedsArguments)
def made(text):
    return NeedsArguments(text)


def test_s04_user_class_gives_an_instance_of_it():
    box = filled("x")
    assert isinstance(box, Box)
    assert compss_wait_on(content(box)) == "x"
    assert compss_wait_on(box).content == "x"


def test_s04_user_class_without_an_empty_constructor():
    result = made("x")
    assert compss_wait_on(content(result)) == "x"
    assert compss_wait_on(result).content == "x"


@task(returns=(Box, int))
def box_and_number():
    return Box(), 1


def test_s04_user_class_among_several():
    box, number = box_and_number()
    assert isinstance(box, Box)
    assert compss_wait_on(box).content == "empty"
    assert compss_wait_on(number) == 1


@task(returns=2)
def three():
    return 1, 2, 3


@task(returns=3)
def generated():
    yield from range(3)


@task(returns=1)
def generated_whole():
    return (n for n in range(3))


@task(returns=2)
def from_array():
    return np.array([1.0, 2.0])


@task(returns=1)
def many():
    return 1, 2, 3


@task(returns=1)
def nothing():
    pass


@pytest.mark.engines("local", "simulated")
def test_several_values_are_a_list_of_futures_and_surplus_ones_are_dropped():
    results = three()
    assert type(results) is list
    assert [type(result) for result in results] == [Future, Future]
    assert compss_wait_on(results) == [1, 2]


def test_function_may_return_any_sequence():
    assert compss_wait_on(list(generated())) == [0, 1, 2]
    assert compss_wait_on(list(from_array())) == [1.0, 2.0]


def test_one_declared_value_is_stored_whole():
    assert compss_wait_on(many()) == (1, 2, 3)
    assert compss_wait_on(nothing()) is None
    assert list(compss_wait_on(generated_whole())) == [0, 1, 2]


@task(returns=3)
def too_few():
    return 1, 2


@task(returns=2)
def no_sequence():
    return 7


@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize("function", [too_few, no_sequence])
def test_fewer_values_than_declared_fail_the_task(function):
    results = function()
    with pytest.raises(MissingOutputError, match=r"(?s)returns=.*but returned"):
        compss_wait_on(results)


@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("missing_name", "no global of that name"),
        ("value_of(q)", "no parameter 'q'"),
        ("TEXT", "not a whole number"),
    ],
)
def test_number_of_results_that_cannot_be_found_out_is_an_error_at_the_call(returns, message):
    @task(returns=returns)
    def odd(p):
        return p

    odd.__wrapped__.__globals__["TEXT"] = "text"
    with pytest.raises(ValueError, match=message):
        odd(1)


def test_negative_number_of_results_is_refused():
    with pytest.raises(ValueError, match="negative"):
        task(returns=-1)(lambda: None)


def test_returning_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="no parameter 'q'"):
        task(returns="{{q}}")(lambda p: p)
