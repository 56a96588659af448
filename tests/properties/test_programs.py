"""Random programs do the same with and without the runtime, whatever executors and messages do.

A failing example is printed as the program, the seed and the faults; run it again with `replay`. More
examples:
``TASKFLOW_SOAK=20000 pytest tests/properties -k simulated``.
"""

import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import taskflow
from taskflow import runtime
from taskflow.api import binding
from taskflow.drivers.simulated import Faults
from taskflow.node import loans
from tests.core import invariants
from tests.properties.programs import Run, programs

SOAK = int(os.environ.get("TASKFLOW_SOAK", "0"))
COMMON = {
    "deadline": None,
    "database": None,
    "derandomize": not SOAK,
    "print_blob": True,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
}

calm = st.builds(
    Faults, inline_limit=st.just(200), task_s=st.sampled_from((1e-5, 1e-3)), steps=st.sampled_from((0, 0.4))
)
rough = st.builds(
    Faults,
    death=st.sampled_from((0.02, 0.1, 0.3)),
    idle_death=st.sampled_from((0.0, 0.05)),
    late=st.sampled_from((0.0, 0.5)),
    lost=st.sampled_from((0.0, 0.4)),
    duplicate=st.sampled_from((0.0, 0.4)),
    task_s=st.sampled_from((1e-5, 1e-3, 0.02)),
    restart=st.sampled_from(((1e-5, 1e-4), (1e-3, 3e-2))),
    inline_limit=st.sampled_from((200, 10_000)),
    steps=st.sampled_from((0.0, 0.3, 0.8)),
    max_deaths=st.just(40),
    error=st.sampled_from((0.0, 0.0, 0.1, 0.4)),
)


@pytest.fixture(autouse=True)
def small_values(monkeypatch):
    """Have arguments of some hundred bytes go through segments, as results do with `inline_limit`; lend any array."""
    monkeypatch.setattr(binding, "INLINE_LIMIT", 200)
    monkeypatch.setattr(loans, "SMALLEST", 0)
    monkeypatch.setattr(loans, "HEEDLESS", ())


def folder_of(base, name):
    folder = Path(base, name)
    folder.mkdir()
    return folder


def expected(base, program):
    assert runtime.session is None
    return Run(folder_of(base, "plain"), wild=False).execute(program)


def replay(program, seed, workers, faults):
    """Run one program in simulation and compare; returns the engine for a look at what happened."""
    with tempfile.TemporaryDirectory() as base:
        wanted = expected(base, program)
        with taskflow.session(
            engine="simulated",
            seed=seed,
            workers=workers,
            faults=faults,
            run_dir=f"{base}/run",
            progress=False,
        ) as session:
            engine = session.engine
            engine.check = lambda engine: invariants.check(engine.kernel)
            seen = Run(folder_of(base, "session"), wild=True).execute(program)
        assert seen == wanted
        assert not list(Path(base, "run").glob("files/*"))
        return engine


@hypothesis.settings(max_examples=SOAK or 300, **COMMON)
@given(
    program=programs(30),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 4),
    faults=st.one_of(calm, rough, rough),
)
def test_simulated_programs_give_the_values_of_plain_python(program, seed, workers, faults):
    replay(program, seed, workers, faults)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """One session of the real engine for all programs of the module."""
    with taskflow.session(workers=2, run_dir=tmp_path_factory.mktemp("live") / "run", progress=False) as session:
        yield session


def kill_one(session, seed):
    """Kill an executor some milliseconds from now; returns the thread that does."""
    choice = random.Random(seed)
    delay = choice.choice((0.0, 0.001, 0.003, 0.01))

    def kill():
        time.sleep(delay)
        links = list(session.engine.links.values())
        pid = choice.choice(links).handle.pid if links else 0
        if pid:
            with contextlib.suppress(ProcessLookupError):  # the last one's end is not known yet
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


# Without shrinking: what chance did to real processes does not replay.
@hypothesis.settings(max_examples=SOAK // 20 or 25, phases=(hypothesis.Phase.generate,), **COMMON)
@given(program=programs(20), seed=st.integers(0, 2**32))
def test_real_executors_that_are_killed_give_the_values_of_plain_python(live, program, seed):
    # Executors that die in a row without a task between them are given up, so there is always one.
    program = [("make", "number", 1), ("wait", 0, "rw"), *program]
    with tempfile.TemporaryDirectory() as base:
        with runtime._with_session(None):
            wanted = expected(base, program)
        killer = kill_one(live, seed)
        try:
            seen = Run(folder_of(base, "session"), wild=True).execute(program)
        finally:
            killer.join()
        taskflow.compss_barrier()  # or a task left over might be hit a second time, and be reported
        assert seen == wanted
