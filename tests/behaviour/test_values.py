"""S01, S30: values of every kind go into tasks and come back as they were."""

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import numbers
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest

import taskflow
from taskflow import compss_wait_on, task

pytestmark = pytest.mark.usefixtures("engine")

Point = namedtuple("Point", "x y")  # noqa: PYI024


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Record:
    name: str
    items: list


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    __hash__ = None


@task(returns=1)
def same(value):
    return value


@task(returns=2)
def described(value):
    return type(value).__name__, repr(value)


@task(returns=1)
def call(function, *args):
    return function(*args)


@task(returns=1)
def following(iterator):
    return next(iterator)


@task(returns=1)
def adder(amount):
    return lambda x: x + amount


VALUES = [
    0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**40, True, False, None,
    0.0, -0.0, 1.5, float("inf"), 1e-320, 2 + 3j,
    "", "a", "ñandú – 日本 🎉", "it's \"quoted\"\nand\tlong {{p}} $HOME", "x" * 5000, "\x00\udc80",
    b"", b"\x00\xff", b"y" * 100_000, bytearray(b"abc"),
    (), (1,), (1, "two", (3.0, None)), [], [1, [2, [3]]], {}, {"a": 1, 2: [3]}, set(), {1, 2}, frozenset({3}),
    range(3, 9, 2), slice(1, 2), Ellipsis, NotImplemented,
    dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc), decimal.Decimal("1.10"), fractions.Fraction(1, 3),
    pathlib.PurePosixPath("a/b"), uuid.UUID(int=7),
    Point(1, 2), Colour.RED, Level.HIGH, Text("sub"), Record("r", [1, 2]), Slotted(4),
    Counter("aab"), OrderedDict(b=1, a=2), defaultdict(list, a=[1]), deque([1, 2], maxlen=3),
    int, Record, len, dataclasses.asdict,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_s01_value_is_the_same_inside_the_task_and_after_it(value):
    name, text = compss_wait_on(described(value))
    assert name == type(value).__name__
    assert text == repr(value) or "0x" in text
    back = compss_wait_on(same(value))
    assert type(back) is type(value)
    assert back == value


def test_s01_float_keeps_sign_of_zero_and_not_a_number():
    assert str(compss_wait_on(same(-0.0))) == "-0.0"
    assert str(compss_wait_on(same(float("nan")))) == "nan"


ARRAYS = [
    np.float64(1.5), np.int8(-3), np.bool_(True), np.str_("text"), np.datetime64("2024-01-01"),
    np.zeros(0), np.arange(12.0).reshape(3, 4), np.arange(12).reshape(3, 4).T,
    np.asfortranarray(np.ones((3, 2))),
    np.arange(20)[::3], np.array(5), np.array([1, "a", None], dtype=object), np.array(["ab", "c"]),
    np.array([(1, 2.0)], dtype=[("n", "i4"), ("x", "f8")]), np.arange(100_000.0), np.arange(100_000.0)[::-2],
    np.ma.masked_array([1, 2], mask=[False, True]),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{type(value).__name__}-{np.shape(value)}-{value.dtype}")
def test_s01_arrays_and_array_scalars_keep_type_shape_and_content(value):
    back = compss_wait_on(same(value))
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert np.shape(back) == np.shape(value)
    np.testing.assert_array_equal(back, value)


def test_s01_array_scalar_that_was_returned_is_a_number():
    assert isinstance(compss_wait_on(same(np.float32(2.5))), numbers.Number)


@pytest.mark.parametrize("size", [10, 200_000])
def test_array_that_was_returned_can_be_written(size):
    back = compss_wait_on(same(np.zeros(size)))
    back += 1
    assert back.sum() == size


def test_s01_function_and_lambda_and_closure_run_inside_the_task():
    amount = 10
    assert compss_wait_on(call(max, 3, 4)) == 4
    assert compss_wait_on(call(lambda x: x * 2, 4)) == 8
    assert compss_wait_on(call(lambda x: x + amount, 1)) == 11


def test_s01_lambda_that_was_returned_works_in_main():
    assert compss_wait_on(adder(5))(3) == 8


def test_s01_generator_advanced_three_times_goes_on_with_the_fourth_item():
    generator = (n * n for n in range(10))
    for _ in range(3):
        next(generator)
    assert compss_wait_on(following(generator)) == 9


def test_s30_instance_of_a_local_class():
    class Local:
        def __init__(self, value):
            self.value = value

    back = compss_wait_on(same(Local(7)))
    assert isinstance(back, Local)
    assert back.value == 7


def test_s30_the_same_text_ten_times():
    text = "again " * 1000
    assert compss_wait_on(described([text] * 10))[1] == repr([text] * 10)


def test_identical_parts_of_an_argument_stay_identical():
    part = [1]

    def one_object(pair):
        return pair[0] is pair[1]

    assert compss_wait_on(call(one_object, [part, part])) is True


def test_value_that_contains_itself():
    loop = []
    loop.append(loop)
    back = compss_wait_on(same({"loop": loop}))
    assert back["loop"][0] is back["loop"]


def test_none_can_be_returned():
    assert compss_wait_on(same(None)) is None


def test_module_of_a_value_is_not_needed_twice():
    first, second = compss_wait_on([same(Record("a", [])), same(Record("b", []))])
    assert (first.name, second.name) == ("a", "b")


@pytest.mark.engines("local", "simulated")
def test_put_sends_a_large_object_once_and_many_tasks_read_it():
    shared = taskflow.put(np.ones(100_000))
    assert compss_wait_on([call(np.sum, shared) for _ in range(4)]) == [100_000.0] * 4
