"""S13: dictionaries, tracked value by value."""

import pytest

from taskflow import (
    DICTIONARY_IN,
    DICTIONARY_IN_DELETE,
    DICTIONARY_INOUT,
    DICTIONARY_OUT,
    INOUT,
    Depth,
    Type,
    compss_wait_on,
    task,
)

pytestmark = pytest.mark.usefixtures("engine")


class Wrapper:
    def __init__(self, value=0):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Wrapper) and self.value == other.value

    def __hash__(self):
        return hash(("wrapper", self.value))


@task(returns=1)
def make(n):
    return n


@task(returns=1)
def wrap(n):
    return Wrapper(n)


@task(d=DICTIONARY_IN, returns=1)
def items(d):
    return sorted(d.items(), key=str)


@task(d=DICTIONARY_IN, returns=1)
def values(d):
    return {key: item.value for key, item in d.items()}


@task(d=DICTIONARY_INOUT)
def add(d, amount):
    for item in d.values():
        item.value += amount


@task(d=DICTIONARY_INOUT)
def square(d):
    for key in d:
        d[key] = d[key] ** 2


@task(item=INOUT)
def add_one(item):
    item.value += 1


@task(d=DICTIONARY_OUT)
def fill(d):
    for key in d:
        d[key] = key * 2


@task(first=DICTIONARY_INOUT, second=DICTIONARY_IN)
def merge(first, second):
    for key, item in second.items():
        if key in first:
            first[key] = first[key] + item


def test_s13_values_that_are_futures():
    assert compss_wait_on(items({"a": make(1), "b": make(2), "c": 3})) == [("a", 1), ("b", 2), ("c", 3)]


def test_s13_inout_over_objects():
    d = {"x": Wrapper(1), "y": wrap(2)}
    add(d, 10)
    add_one(d["x"])
    add(d, 100)
    assert compss_wait_on(values(d)) == {"x": 112, "y": 112}
    assert {key: item.value for key, item in compss_wait_on(d).items()} == {"x": 112, "y": 112}


def test_s13_objects_as_keys():
    key = Wrapper(1)
    d = {key: Wrapper(5)}
    add(d, 1)
    back = compss_wait_on(d)
    assert [(key.value, item.value) for key, item in back.items()] == [(1, 6)]


def test_s13_merged_dictionaries_with_replaced_values():
    first = {"a": make(3), "b": make(5), "c": 5, "d": 6}
    second = {"a": make(4), "b": make(3)}
    merge(first, second)
    assert compss_wait_on(first) == {"a": 7, "b": 8, "c": 5, "d": 6}


def test_numbers_in_an_inout_dictionary():
    d = {"a": 2, "b": 3}
    square(d)
    square(d)
    assert compss_wait_on(items(d)) == [("a", 16), ("b", 81)]
    assert compss_wait_on(d) == {"a": 16, "b": 81}


def test_out_dictionary_of_placeholders():
    d = {"a": object(), "b": object()}
    fill(d)
    assert compss_wait_on(d) == {"a": "aa", "b": "bb"}


def test_nested_dictionaries():
    nested = {"one": {"x": make(1)}, "two": {"y": make(2), "z": {"deep": make(3)}}}
    expected = [("one", {"x": 1}), ("two", {"y": 2, "z": {"deep": 3}})]
    assert compss_wait_on(items(nested)) == expected


def test_depth_of_a_dictionary():
    @task(d={Type: DICTIONARY_INOUT, Depth: 1})
    def mark(d):
        for inner in d.values():
            inner["marked"] = True

    d = {"one": {}, "two": {"x": 1}}
    mark(d)
    assert compss_wait_on(d) == {"one": {"marked": True}, "two": {"x": 1, "marked": True}}


def test_future_of_a_whole_dictionary():
    @task(returns=1)
    def make_dict():
        return {"k": 1}

    assert compss_wait_on(items(make_dict())) == [("k", 1)]


def test_empty_dictionary_and_none():
    assert compss_wait_on(items({})) == []
    assert compss_wait_on({}) == {}


@pytest.mark.engines("local", "simulated")
def test_none_is_an_empty_dictionary():
    assert compss_wait_on(items(None)) == []


@pytest.mark.engines("local", "simulated")
def test_future_as_a_key_is_refused():
    with pytest.raises(TypeError, match="compss_wait_on"):
        items({make(1): 2})


@pytest.mark.engines("local", "simulated")
def test_what_is_no_dictionary_is_refused():
    with pytest.raises(TypeError, match="declared as a dictionary, but is a list"):
        items([1])


@pytest.mark.engines("local", "simulated")
def test_in_delete_forgets_the_values():
    @task(d=DICTIONARY_IN_DELETE, returns=1)
    def last(d):
        return sum(d.values())

    assert compss_wait_on(last({"a": make(1), "b": make(2)})) == 3


def test_order_of_keys_is_kept():
    @task(d=DICTIONARY_IN, returns=1)
    def keys(d):
        return list(d)

    assert compss_wait_on(keys({"z": make(1), "a": 2, "m": make(3)})) == ["z", "a", "m"]
