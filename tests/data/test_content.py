"""Notes of values: a change is seen wherever it is, and what is no change is not taken for one."""

import collections
import enum
import functools
import random

import numpy as np
import pytest

from taskflow.data import content
from taskflow.data.content import Content, path_content


class Model:
    def __init__(self):
        self.weights = [1.0, 2.0]
        self.label = "ab"
        self.again = self.label
        self.table = {"key": np.zeros(3)}

    @functools.cached_property
    def total(self):
        return sum(self.weights)


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self):
        self.left = 1


class Colour(enum.Enum):
    RED = 1


class Touchy:
    """Must not be rebuilt by the comparison: that would run its code."""

    def __init__(self):
        self.values = [1]

    def __setstate__(self, state):
        raise AssertionError(state)


def nothing(value):
    """Leave it as it is."""


def change(value, action):
    before = Content(value)
    action(value)
    return before.change(Content(value), "v")


@pytest.mark.parametrize(
    ("make", "action", "where"),
    [
        (list, lambda v: v.append(1), "v"),
        (lambda: [1, 2, 3], lambda v: v.reverse(), "v[0]"),
        (lambda: {"a": {"b": 1}}, lambda v: v["a"].update(b=2), "v['a']['b']"),
        (lambda: {1}, lambda v: v.add(2), "v"),
        (bytearray, lambda v: v.extend(b"x"), "v"),
        (Model, lambda v: v.weights.append(1), "v.weights"),
        (Model, lambda v: v.table["key"].fill(1), "v.table['key']"),
        (Model, lambda v: setattr(v, "new", 1), "v.new"),
        (Model, lambda v: delattr(v, "label"), "v.label"),
        (Slotted, lambda v: setattr(v, "left", 2), "v.left"),
        (Slotted, lambda v: setattr(v, "right", 2), "v.right"),
        (Touchy, lambda v: v.values.append(2), "v.values"),
        (lambda: random.Random(1), lambda v: v.random(), "v"),
        (lambda: np.random.default_rng(1), lambda v: v.random(), "v"),
        (lambda: np.zeros((3, 4)), lambda v: v.__setitem__((2, 3), 1), "v"),
        (lambda: np.zeros((3, 4), order="F"), lambda v: v.__setitem__((2, 3), 1), "v"),
        (lambda: np.zeros((4, 4))[::2, ::2], lambda v: v.__setitem__((1, 1), 1), "v"),
        (lambda: np.array([1, "a"], dtype=object), lambda v: v.__setitem__(1, "b"), "v"),
        (lambda: np.array(["2020"], dtype="M8[Y]"), lambda v: v.__setitem__(0, "2021"), "v"),
        (lambda: collections.defaultdict(list), lambda v: v["a"], "v"),
        (lambda: collections.deque([1]), lambda v: v.append(2), "v"),
        (lambda: collections.OrderedDict(a=1), lambda v: v.update(a=2), "v['a']"),
        (lambda: [Colour.RED], lambda v: v.__setitem__(0, 1), "v[0]"),
        (lambda: [Model], lambda v: v.__setitem__(0, Slotted), "v[0]"),
    ],
)
def test_a_change_is_found_at_its_place(make, action, where):
    assert change(make(), action) == where


def without_trace(values):
    values.add("guest")
    values.discard("guest")


@pytest.mark.parametrize(
    ("make", "action"),
    [
        (list, nothing),
        (Model, lambda v: v.total),
        (Model, lambda v: setattr(v, "again", "AB".lower())),  # an equal text that is another object
        (Model, lambda v: setattr(v, "_seen", True)),  # as scipy's sparse matrices do when they are read
        (Model, lambda v: v.table["key"].__iadd__(0)),
        (lambda: {"a", "b", 3, (4, 5)}, without_trace),
        (lambda: [float("nan")], lambda v: v.__setitem__(0, float("nan"))),
        (lambda: [Colour.RED, np.float64(1), np.zeros(0), np.array(2.0), print, len, Model, enum], nothing),
        (lambda: {Model: 1, Colour.RED: 2}, nothing),
    ],
)
def test_what_is_no_change_is_not_taken_for_one(make, action):
    assert change(make(), action) is None


def test_private_attributes_that_were_there_count():
    model = Model()
    model._state = 1
    assert change(model, lambda v: setattr(v, "_state", 2)) == "v._state"


def test_cycles_end():
    ring = [Model()]
    ring.append(ring)
    ring[0].ring = ring
    assert change(ring, nothing) is None
    assert change(ring, lambda v: setattr(v[0], "label", "c")) == "v[0].label"
    assert change(ring, lambda v: setattr(v[0], "label", "C".lower())) is None


def test_a_large_note_tells_that_but_not_where(monkeypatch):
    monkeypatch.setattr(content, "NOTE_LIMIT", 10)
    assert change([[1] * 100], lambda v: v[0].append(1)) == "v"
    assert change([[1] * 100], nothing) is None


def test_of_a_huge_array_pieces_are_compared(monkeypatch):
    monkeypatch.setattr(content, "ARRAY_LIMIT", 1 << 12)
    monkeypatch.setattr(content, "PIECE", 64)
    monkeypatch.setattr(content, "PIECES", 4)
    array = np.zeros(1 << 13, dtype="u1")
    assert change(array, lambda v: v.__setitem__(0, 1)) == "v"
    assert change(array, lambda v: v.__setitem__(-1, 1)) == "v"
    assert change(array, lambda v: v.__setitem__(slice(None), 2)) == "v"
    assert change(array, nothing) is None


def test_nothing_of_the_value_is_kept():
    import sys

    array = np.zeros(1000)
    references = sys.getrefcount(array)
    note = Content([array])
    assert sys.getrefcount(array) == references
    assert note.nbytes > array.nbytes


def test_content_of_paths(tmp_path):
    file = tmp_path / "file"
    assert path_content(str(file)) is None
    file.write_text("abc")
    before = path_content(str(file))
    file.write_text("abc")
    assert path_content(str(file)) == before
    file.write_text("abd")
    assert path_content(str(file)) != before
    folder = path_content(str(tmp_path))
    (tmp_path / "empty").mkdir()
    assert path_content(str(tmp_path)) != folder
    (tmp_path / "empty").rmdir()
    assert path_content(str(tmp_path)) == folder
    file.rename(tmp_path / "other")
    assert path_content(str(tmp_path)) != folder


def test_large_files_are_judged_by_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "FILE_LIMIT", 2)
    file = tmp_path / "file"
    file.write_text("abc")
    before = path_content(str(file))
    assert path_content(str(file)) == before
    file.write_text("abcd")
    assert path_content(str(file)) != before
