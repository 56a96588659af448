"""Which elements of a collection are which rank's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskflow.runners.layouts import Layout


@pytest.mark.parametrize(
    ("layout", "values", "expected"),
    [
        (Layout(4), [1, 2, 3, 4], [1, 2, 3, 4]),
        (Layout(4, 2, 1), [1, 2, 3, 4, 5], [[1, 2], [2, 3], [3, 4], [4, 5]]),
        (Layout(8), [*range(8)], [[0, 4], [1, 5], [2, 6], [3, 7]]),
        (Layout(4, 2, 2), [*range(8)], [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (Layout(2), ["a", "b"], ["a", "b", [], []]),
        (Layout(-1, 1, 2), [*range(8)], [0, 2, 4, 6]),
        (Layout(5, 2, 3), [*range(14)], [[0, 1, 12, 13], [3, 4], [6, 7], [9, 10]]),
    ],
)
def test_blocks_are_dealt_out_in_turn(layout, values, expected):
    places = layout.places_of_all(4, len(values))
    assert [layout.given([values[place] for place in each]) for each in places] == expected


def test_a_collection_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match=r"'stride': 2\} reaches element 7 of a collection, but that has 7 elements"):
        Layout(4, 2, 2).places_of_all(2, 7)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_what_ranks_have_left_comes_back_to_its_place(count, length, stride, ranks):
    layout = Layout(count, length, stride)
    before = [f"before {place}" for place in range((count - 1) * stride + length + 2)]
    shares = [
        layout.given([f"{rank} has left {place}" for place in places])
        for rank, places in enumerate(layout.places_of_all(ranks, len(before)))
    ]
    after = layout.merged(before, shares)
    for place, element in enumerate(after):
        owners = [rank for rank in range(ranks) if place in layout.places(rank, ranks)]
        assert element == (f"{owners[0]} has left {place}" if owners else f"before {place}")
