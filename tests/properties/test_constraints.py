"""Random mixes of tasks with all kinds of needs end, and never have more than there is, whoever dies meanwhile."""

import tempfile

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

import taskflow
from taskflow import IO, compss_barrier, compss_wait_on, constraint, implement, task
from taskflow.drivers.simulated import Faults
from tests.core import invariants
from tests.properties.test_programs import COMMON, SOAK, calm, rough

#: No executor dies: then nothing may run that should not. (One that is dead may still be counted for a moment.)
quiet = st.builds(Faults, inline_limit=st.just(200), task_s=st.sampled_from((1e-5, 1e-3, 0.02)))

WIDEST = 4


@task(returns=1)
def plain(x, units):
    return [x] * units


@constraint(computing_units="units")
@task(returns=1)
def wide(x, units):
    return [x] * units


@constraint(memory_size="MEMORY * units / 4")
@task(returns=1)
def hungry(x, units):
    return [x] * units


@IO()
@task(returns=1)
def reads(x, units):
    return [x] * units


@constraint(computing_units="min(units, 2)", memory_size="MEMORY / 2")
@task(returns=1, priority=True)
def urgent(x, units):
    return [x] * units


@task(returns=1)
def chosen(x, units):
    return [x] * units


@implement(source_class=__name__, method="chosen")
@constraint(computing_units="units")
@task(returns=1)
def chosen_wide(x, units):
    return [x] * units


MEMORY = 1.0  # set to that of the machine
FUNCTIONS = (plain, plain, wide, wide, hungry, reads, urgent, chosen)

#: (function, units, earlier call whose result it gets or none, whether the program waits for it)
calls = st.lists(
    st.tuples(
        st.integers(0, len(FUNCTIONS) - 1),
        st.integers(1, WIDEST),
        st.none() | st.integers(0, 60),
        st.integers(0, 9).map(lambda n: n == 0),
    ),
    max_size=60,
)


def run(program):
    results = []
    for function, units, source, waits in program:
        value = results[source % len(results)] if source is not None and results else 1
        results.append(FUNCTIONS[function](value, units))
        if waits:
            compss_wait_on(results[-1])
    return results


@hypothesis.settings(max_examples=SOAK or 80, **COMMON)
@given(program=calls, seed=st.integers(0, 2**32), workers=st.integers(WIDEST, 6), faults=st.one_of(quiet, calm, rough))
def test_tasks_of_all_needs_end_and_never_take_more_than_there_is(program, seed, workers, faults):
    with tempfile.TemporaryDirectory() as base:
        expected = run(program)
        with taskflow.session(
            engine="simulated", seed=seed, workers=workers, faults=faults, run_dir=f"{base}/run", progress=False
        ) as session:
            globals()["MEMORY"] = session.node.memory_size

            def check(engine):
                kernel = engine.kernel
                invariants.check(kernel)
                running = {link.running for link in engine.links.values() if link.running and not link.executor.io}
                beside = sum(len(claim.parked) for claim in kernel.home.claims if claim.executor.inflight)
                if not engine.deaths:
                    assert len(running) + beside <= workers

            session.engine.check = check
            seen = compss_wait_on(run(program))
            compss_barrier()
            kernel = session.engine.kernel
            assert (kernel.unfinished, kernel.home.claims, kernel.home.constrained) == (0, [], {})
    assert seen == expected
