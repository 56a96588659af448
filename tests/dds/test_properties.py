"""Random data and random chains of methods give what plain Python gives."""

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskflow.dds import DDS, stable_hash
from taskflow.model.errors import ArgumentError

ELEMENTS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-50, 50)), max_size=30)

#: Method of a data set, and the same of a list. All keep pairs pairs.
STEPS = [
    (lambda data: data.map(lambda p: (p[0] + 1, p[1])), lambda items: [(k + 1, v) for k, v in items]),
    (lambda data: data.filter(lambda p: p[1] % 3), lambda items: [(k, v) for k, v in items if v % 3]),
    (lambda data: data.flat_map(lambda p: [p, p]), lambda items: [p for p in items for _ in range(2)]),
    (lambda data: data.map_values(abs), lambda items: [(k, abs(v)) for k, v in items]),
    (lambda data: data.map_partitions(list), list),
    (lambda data: data.values().key_by(lambda v: v % 4), lambda items: [(v % 4, v) for _, v in items]),
    (lambda data: data.flatten_by_key(lambda v: [v, -v]), lambda items: [(k, w) for k, v in items for w in (v, -v)]),
    (lambda data: data.sort_by_key(), lambda items: sorted(items, key=lambda p: p[0])),
    (
        lambda data: data.sort_by_key(ascending=False, num_of_parts=3),
        lambda items: sorted(items, key=lambda p: p[0], reverse=True),
    ),
    (lambda data: data.union(data), lambda items: items + items),
]  # fmt: skip


@given(ELEMENTS, st.integers(1, 6), st.lists(st.sampled_from(STEPS), max_size=5))
def test_chains_keep_the_order_of_a_list(items, parts, chain):
    data = DDS().load(items, parts)
    for of_data, of_list in chain:
        data, items = of_data(data), of_list(items)
    assert data.collect() == items
    assert data.collect() == items
    assert data.count() == len(items)
    assert data.take(3) == items[:3]


@given(ELEMENTS, ELEMENTS, st.integers(1, 5), st.integers(1, 5))
def test_regrouping_is_that_of_dictionaries(items, others, parts, count):
    data, other = DDS().load(items, parts), DDS().load(others, 2)
    groups = {key: [v for k, v in items if k == key] for key, _ in items}
    assert data.group_by_key(count).collect_as_dict() == groups
    assert data.reduce_by_key(min).collect_as_dict() == {key: min(values) for key, values in groups.items()}
    assert sorted(data.partition_by(num_of_partitions=count).collect()) == sorted(items)
    assert Counter(data.distinct().collect()) == Counter(set(items))
    assert data.count_by_value() == Counter(items)
    assert Counter(data.join(other, count).collect()) == Counter(
        (k, (v, w)) for k, v in items for key, w in others if k == key
    )


@given(st.lists(st.integers(), max_size=30), st.integers(1, 8), st.sampled_from([-1, 2, 3, 7]))
def test_reductions_are_those_of_lists(items, parts, arity):
    data = DDS().load(items, parts)
    assert data.sum() == sum(items)
    assert data.map(lambda n: [n]).reduce(lambda a, b: a + b, initial=[], arity=arity) == items
    if items:
        assert data.reduce(max, arity=arity) == max(items)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Key:
    name: str
    number: int


KEYS = """[
    None, 5, -1, 2.5, 10**30, "text", b"bytes", ("a", 1, ("b",)), frozenset({"x", "y", "z"}), "", "\\udc80",
    datetime.date(2026, 1, 2),
]"""


def test_hashes_are_the_same_in_every_process():
    program = f"import datetime; from taskflow.dds import stable_hash; print([stable_hash(key) for key in {KEYS}])"
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    keys = eval(KEYS, {"datetime": dt})  # noqa: S307  our own text
    assert answers == {f"{[stable_hash(key) for key in keys]}\n"}


def test_equal_keys_have_equal_hashes():
    assert stable_hash(1) == stable_hash(1.0) == stable_hash(True) == stable_hash(Fraction(1))
    assert stable_hash(Key("a", 1)) == stable_hash(Key("a", 1))
    assert stable_hash(Key("a", 1)) != stable_hash(Key("b", 1))
    assert stable_hash(Colour.RED) == stable_hash(Colour["RED"])


@given(st.lists(st.text(max_size=5), min_size=40, max_size=40, unique=True))
def test_keys_are_spread(keys):
    assert len({stable_hash(key) % 4 for key in keys}) > 1


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda data: data.load([1], 0), "load: num_of_parts is 1 or more, or -1"),
        (lambda data: data.load_file(__file__, 0), "load_file: chunk_size is 1 or more, not 0"),
        (lambda data: data.load_text_file(__file__, -1), "load_text_file: chunk_size is 1 or more"),
        (lambda data: data.partition_by(hash, 0), "partition_by: the number of partitions is 1 or more, not 0"),
        (lambda data: data.sort_by_key(num_of_parts=0), "sort_by_key: the number of partitions"),
        (lambda data: data.count_by_value(arity=1), "count_by_value: arity is 2 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(action, message):
    with pytest.raises(ArgumentError, match=message):
        action(DDS().load([(1, 1)], 2))


def test_a_data_set_says_what_it_is():
    assert repr(DDS().load([1], 3)) == "<data set of 3 partitions>"
