"""Random programs of nested tasks do the same with and without the runtime, whatever executors and messages do."""

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskflow
from taskflow import compss_barrier, compss_open, compss_wait_on, runtime
from taskflow.api import binding
from tests.core import invariants
from tests.properties import test_programs
from tests.properties.nested_functions import body

number = st.integers(0, 9)
simple = st.one_of(
    st.tuples(
        st.sampled_from(("append", "shift", "extend", "number", "local", "group")),
        number,
    ),
    st.tuples(st.sampled_from(("total", "wait", "wait items", "barrier", "read", "ask")), st.none()),
)
nested_programs = st.recursive(
    st.lists(simple, max_size=5),
    lambda inner: st.lists(
        st.one_of(simple, st.tuples(st.sampled_from(("call", "call apart")), inner)), max_size=5
    ),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """Have arguments of some hundred bytes go through segments."""
    monkeypatch.setattr(binding, "INLINE_LIMIT", 200)


def outcome(program, folder):
    """What a program computes, and leaves in its arguments."""
    Path(folder).mkdir(exist_ok=True)
    path = os.path.join(folder, "file")
    Path(path).write_text("")
    items, cells = [0], [5, 6, 7]
    result = body(program, items, cells, path, folder)
    result, items, cells = compss_wait_on(result, items, cells)
    with compss_open(path) as file:
        text = file.read()
    compss_barrier()
    return result, items, cells, text


def replay(program, seed, workers, faults):
    """Run one program in simulation and compare."""
    with tempfile.TemporaryDirectory() as base:
        assert runtime.session is None
        wanted = outcome(program, os.path.join(base, "plain"))
        with taskflow.session(
            engine="simulated", seed=seed, workers=workers, faults=faults, run_dir=f"{base}/run", progress=False
        ) as session:
            session.engine.check = lambda engine: invariants.check(engine.kernel)
            assert outcome(program, os.path.join(base, "session")) == wanted


@hypothesis.settings(max_examples=test_programs.SOAK or 100, **test_programs.COMMON)
@given(program=nested_programs, seed=st.integers(0, 2**32), workers=st.integers(1, 3), faults=test_programs.calm)
def test_simulated_nested_programs_give_the_values_of_plain_python(program, seed, workers, faults):
    replay(program, seed, workers, faults)


@hypothesis.settings(max_examples=test_programs.SOAK or 100, **test_programs.COMMON)
@given(program=nested_programs, seed=st.integers(0, 2**32), workers=st.integers(1, 3), faults=test_programs.rough)
def test_nested_programs_survive_deaths(program, seed, workers, faults):
    replay(program, seed, workers, faults)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """One session of the real engine for all programs of the module."""
    with taskflow.session(workers=2, run_dir=tmp_path_factory.mktemp("live") / "run", progress=False) as session:
        yield session


@hypothesis.settings(max_examples=test_programs.SOAK // 20 or 25, **test_programs.COMMON)
@given(program=nested_programs)
def test_nested_programs_on_executors_give_the_values_of_plain_python(live, program):  # noqa: ARG001
    with tempfile.TemporaryDirectory() as base:
        session, runtime.session = runtime.session, None
        try:
            wanted = outcome(program, os.path.join(base, "plain"))
        finally:
            runtime.session = session
        assert outcome(program, os.path.join(base, "session")) == wanted
