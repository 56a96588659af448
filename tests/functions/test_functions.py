"""The functions with plain Python functions, and what they refuse."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskflow import UnavailableError
from taskflow.functions import chunks, generator, map, merge_n_reduce, merge_reduce, profile  # noqa: A004
from taskflow.functions.profile import REPORT_FILE
from taskflow.model.errors import ArgumentError


@given(st.lists(st.integers()), st.integers(2, 6))
def test_reductions_are_sums(values, arity):
    expected = sum(values) if values else None
    assert merge_reduce(lambda a, b: a + b, list(values)) == expected
    before = list(values)
    assert merge_n_reduce(lambda *items: sum(items), arity, values) == expected
    assert values == before


def test_merge_reduce_goes_pair_by_pair_and_overwrites_the_first_of_each():
    data = list("abcde")
    assert merge_reduce(lambda a, b: f"({a}{b})", data) == "((cd)(e(ab)))"
    assert data == ["(ab)", "b", "((cd)(e(ab)))", "d", "(e(ab))"]


def test_merge_n_reduce_takes_the_next_and_appends_the_result():
    assert merge_n_reduce(lambda *items: f"({''.join(items)})", 3, list("abcdef")) == "((abc)(def))"


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12), st.booleans())
def test_chunks_are_the_list_in_parts(values, n, balanced):
    parts = list(chunks(values, n, balanced=balanced))
    assert [item for part in parts for item in part] == values
    if balanced and len(values) > n:
        assert max(map_len(parts)) - min(map_len(parts)) <= 1
    elif not balanced:
        assert all(len(part) == n for part in parts[:-1])


def map_len(parts):
    return [len(part) for part in parts]


def test_balanced_chunks_spread_the_rest_over_the_first():
    assert list(chunks(list(range(11)), 3, balanced=True)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert list(chunks("ab", 3, balanced=True)) == ["ab"]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ArgumentError, match="arity is 2 or more, not 1"):
        merge_n_reduce(max, 1, [1, 2])
    with pytest.raises(ArgumentError, match="1 or more, not 0"):
        chunks([1], 0)
    with pytest.raises(ArgumentError, match="1 or more, not 0"):
        map(len, [1], chunksize=0)
    with pytest.raises(ArgumentError, match="one of random, normal, uniform, not 'odd'"):
        generator((1, 1), 1, distribution="odd")
    with pytest.raises(ArgumentError, match="num_frag is 1 or more"):
        generator((1, 1), 0)
    with pytest.raises(ArgumentError, match="precision"):
        profile(precision=-1)
    with pytest.raises(ArgumentError, match="only a full report"):
        profile(full_report=False, backend="tracemalloc")


def test_profile_appends_to_the_file_of_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(REPORT_FILE, str(tmp_path / "report"))

    @profile(full_report=False)
    def work(fails):
        return 1 // (not fails)

    assert work(fails=False) == 1
    with pytest.raises(ZeroDivisionError):
        work(fails=True)
    assert len((tmp_path / "report").read_text().splitlines()) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(importlib.util.find_spec("memory_profiler") is not None, reason="memory_profiler is installed")
def test_a_full_report_needs_its_package():
    with pytest.raises(UnavailableError, match="needs the package memory_profiler"):
        profile()(len)([])
