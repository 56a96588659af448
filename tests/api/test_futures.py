"""A future that no task has made: tools that copy or inspect objects may make one with ``__new__`` alone."""

import gc

import pytest

from taskflow import Future


@pytest.mark.parametrize("name", ["current", "shape", "id", "_version", "_condition", "_state"])
def test_attributes_of_a_half_made_future(name):
    with pytest.raises(AttributeError, match="belongs to no task"):
        getattr(Future.__new__(Future), name)
    assert not hasattr(Future.__new__(Future), name)
    assert not hasattr(Future.__new__(Future), "__array__")


@pytest.mark.parametrize("use", [Future.done, Future.result, bool, len, iter], ids=lambda use: use.__name__)
def test_uses_of_a_half_made_future(use):
    with pytest.raises(AttributeError, match="belongs to no task"):
        use(Future.__new__(Future))


def test_half_made_future_can_be_shown_and_dropped():
    future = Future.__new__(Future)
    assert repr(future) == str(future) == f"{future}" == "<Future of no task>"
    del future
    gc.collect()  # an exception in __del__ would fail the test
