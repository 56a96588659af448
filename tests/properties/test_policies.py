"""Random programs with failing tasks end as a plain reading of the policies says, however fast the tasks are."""

import contextlib
import os
import tempfile
import warnings

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import taskflow
from taskflow import INOUT, COMPSsException, TaskflowWarning, TaskGroup, compss_barrier, compss_wait_on, task
from taskflow.drivers.simulated import Faults
from tests.core import invariants

SOAK = int(os.environ.get("TASKFLOW_SOAK", "0"))
BOXES = 3


class Box(list):
    """A list that is tracked."""


@task(box=INOUT)
def put(box, item, other, fails):
    box.append((item, tuple(other)))
    if fails == "exception":
        raise COMPSsException(f"item {item}")
    if fails == "error":
        raise LookupError(item)


class Model:
    """What the program sees: the boxes, and which of them may not be used before it has waited."""

    def __init__(self):
        self.boxes = [[] for _ in range(BOXES)]
        self.cancelled = [False] * BOXES

    def put(self, item, box, other, policy, fails):
        if self.cancelled[box] or self.cancelled[other]:
            self.cancelled[box] = True
        elif not fails:
            self.boxes[box].append((item, tuple(self.boxes[other])))
        elif policy == "CANCEL_SUCCESSORS":
            self.cancelled[box] = True

    def wait(self):
        self.cancelled = [False] * BOXES


steps = st.one_of(
    st.tuples(
        st.just("put"),
        st.integers(0, BOXES - 1),
        st.integers(0, BOXES - 1),
        st.sampled_from(("IGNORE", "CANCEL_SUCCESSORS")),
        st.booleans(),
    ),
    st.tuples(st.just("put"), st.integers(0, BOXES - 1), st.integers(0, BOXES - 1), st.just("RETRY"), st.just(False)),
    st.tuples(st.just("barrier")),
)
# No deaths: the death of the executor is a failure, too.
rough = st.builds(
    Faults,
    duplicate=st.sampled_from((0.0, 0.4)),
    task_s=st.sampled_from((1e-5, 1e-3)),
    steps=st.sampled_from((0.0, 0.3, 0.8)),
)


def execute(program):
    """Run the program with tasks; the boxes as plain lists at the end."""
    boxes = [Box() for _ in range(BOXES)]
    for item, step in enumerate(program):
        if step[0] == "barrier":
            compss_barrier()
        else:
            _, box, other, policy, fails = step
            given = boxes[other] if other != box else []
            put(boxes[box], item, given, "error" if fails else "", on_failure=policy)
    compss_barrier()
    return [list(compss_wait_on(box)) for box in boxes]


def read(program):
    """What the boxes are at the end, by the letter of the policies."""
    model = Model()
    nothing = len(model.boxes)
    model.boxes.append([])
    model.cancelled.append(False)
    for item, step in enumerate(program):
        if step[0] == "barrier":
            model.wait()
            model.cancelled.append(False)
        else:
            _, box, other, policy, fails = step
            model.put(item, box, other if other != box else nothing, policy, fails)
    return model.boxes[:BOXES]


@hypothesis.settings(
    max_examples=SOAK or 200,
    deadline=None,
    database=None,
    derandomize=not SOAK,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(program=st.lists(steps, max_size=25), seed=st.integers(0, 2**32), workers=st.integers(1, 4), faults=rough)
def test_policies_mean_the_same_whoever_is_faster(program, seed, workers, faults):
    wanted = read(program)
    with tempfile.TemporaryDirectory() as base, warnings.catch_warnings():
        warnings.simplefilter("ignore", TaskflowWarning)
        with taskflow.session(
            engine="simulated", seed=seed, workers=workers, faults=faults, run_dir=f"{base}/run", progress=False
        ) as session:
            session.engine.check = lambda engine: invariants.check(engine.kernel)
            seen = execute(program)
    assert seen == wanted


@hypothesis.settings(max_examples=SOAK or 100, deadline=None, database=None, derandomize=not SOAK, print_blob=True)
@given(
    before=st.integers(0, 3),
    after=st.integers(0, 5),
    depth=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 4),
    faults=rough,
)
def test_a_group_that_ends_itself_leaves_the_data_of_before(before, after, depth, seed, workers, faults):
    with (
        tempfile.TemporaryDirectory() as base,
        taskflow.session(
            engine="simulated", seed=seed, workers=workers, faults=faults, run_dir=f"{base}/run", progress=False
        ) as session,
    ):
        session.engine.check = lambda engine: invariants.check(engine.kernel)
        box = Box()
        for item in range(before):
            put(box, item, [], "")
        with contextlib.ExitStack() as groups:
            for level in range(depth):
                groups.enter_context(pytest.raises(COMPSsException))
                groups.enter_context(TaskGroup(f"g{level}"))
            put(box, "x", [], "exception")
            for item in range(after):
                put(box, item, [], "")
        put(box, "end", [], "")
        seen = [item for item, _ in compss_wait_on(box)]
    assert seen == [*range(before), "end"]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with taskflow.session(workers=2, run_dir=tmp_path_factory.mktemp("live") / "run", progress=False) as session:
        yield session


@hypothesis.settings(
    max_examples=SOAK // 20 or 25,
    deadline=None,
    database=None,
    derandomize=not SOAK,
    phases=(hypothesis.Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(program=st.lists(steps, max_size=25))
def test_policies_on_real_executors(live, program):
    assert execute(program) == read(program)
    assert not live.engine.kernel.unfinished
