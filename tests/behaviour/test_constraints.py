"""Constraints: what a task needs of the node, scenarios S24 and S27 among them."""

import os
import time

import pytest

import taskflow
from taskflow import IO, Future, RequirementsError, compss_barrier, compss_wait_on, constraint, task
from taskflow.api.arguments import ArgumentWarning
from taskflow.model.errors import ArgumentError
from tests.behaviour.helpers import meet, until

UNITS = 2
unit_text = "2"


@task(returns=1)
def span(_):
    """Run for a moment; when that was."""
    start = time.monotonic()
    time.sleep(0.02)
    return start, time.monotonic(), 1


@constraint(computing_units=2)
@task(returns=1)
def wide_span(_):
    start = time.monotonic()
    time.sleep(0.02)
    return start, time.monotonic(), 2


@constraint(computing_units="n")
@task(returns=1)
def by_argument(n):
    return int(os.environ.get("COMPSS_NUM_THREADS", "1")), n


@constraint(computing_units="n + n - 1", memory_size="n * 0.25")
@task(returns=1)
def by_expression(n):
    return n


@constraint(computing_units="UNITS")
@task(returns=1)
def by_global(x):
    return x + 1


@constraint(computing_units="unit_text")
@task(returns=1)
def by_text_of_global(x):
    return x + 1


class Machine:
    size = 2

    @constraint(computing_units="self.size")
    @task(returns=1)
    def run(self, x):
        return self.size * x

    @constraint(computing_units="n")
    @task(returns=1)
    def run_with(self, n):
        return self.size * n


@constraint(computing_units="$TASKFLOW_TEST_UNITS", memory_size="${TASKFLOW_TEST_MEMORY}")
@task(returns=1)
def by_environment(x):
    return x


@constraint(memory_size=1)
@task(returns=1)
def with_memory(x):
    return -x


@constraint(processor_architecture=os.uname().machine, operating_system_type="Linux")
@task(returns=1)
def native(x):
    return x * 2


def units_in_use(spans):
    """The most computing units that were in use at one time."""
    events = sorted([(start, units) for start, _, units in spans] + [(end, -units) for _, end, units in spans])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


@pytest.fixture
def no_session():
    """The session of the module, if there is one, has ended."""
    taskflow.stop()


@pytest.fixture
def four_workers(tmp_path):
    taskflow.stop()
    with taskflow.session(workers=4, run_dir=tmp_path / "run", progress=False) as session:
        yield session


# ---------------------------------------------------------------- values are the same everywhere


@pytest.mark.usefixtures("engine")
def test_s27_units_by_arguments_globals_and_expressions(monkeypatch):
    monkeypatch.setenv("TASKFLOW_TEST_UNITS", "2")
    monkeypatch.setenv("TASKFLOW_TEST_MEMORY", "0.5")
    assert [value for _, value in compss_wait_on([by_argument(1), by_argument(n=2), by_argument("2")])] == [1, 2, "2"]
    assert compss_wait_on([by_expression(1), by_global(1), by_text_of_global(2)]) == [1, 2, 3]
    machine = Machine()
    assert compss_wait_on([machine.run(4), machine.run_with(1)]) == [8, 2]
    assert compss_wait_on(by_environment(5)) == 5


@pytest.mark.usefixtures("engine")
def test_constrained_tasks_depend_on_each_other_and_on_plain_ones():
    value = 1
    for step in range(12):
        value = (by_global, with_memory, native, by_global)[step % 4](value)
    expected = 1
    for step in range(12):
        expected = (lambda x: x + 1, lambda x: -x, lambda x: x * 2, lambda x: x + 1)[step % 4](expected)
    assert compss_wait_on(value) == expected


@pytest.mark.usefixtures("engine")
def test_many_tasks_of_all_widths_end():
    results = []
    for n in range(150):
        results += [by_argument(1 + n % 2), with_memory(n), native(n)]
    values = compss_wait_on(results)
    assert [value for _, value in values[::3]] == [1 + n % 2 for n in range(150)]
    assert values[1::3] == [-n for n in range(150)]


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_s27_threads_of_a_task_are_its_computing_units():
    assert compss_wait_on([by_argument(1), by_argument(2)]) == [(1, 1), (2, 2)]


# ---------------------------------------------------------------- concurrency


@pytest.mark.usefixtures("four_workers")
def test_s24_wide_and_plain_tasks_never_use_more_units_than_there_are():
    spans = []
    for n in range(20):
        spans += [span(n), wide_span(n)]
    assert units_in_use(compss_wait_on(spans)) <= 4


@task(returns=1)
def meeting(folder, name, count):
    return meet(folder, name, count)


@pytest.mark.usefixtures("four_workers")
def test_s24_all_units_are_in_use_at_once(tmp_path):
    assert compss_wait_on([meeting(str(tmp_path), str(n), 4) for n in range(4)]) == [True] * 4


@constraint(computing_units="2")
@task(returns=1)
def wide_meeting(folder, name, count):
    return meet(folder, name, count)


@pytest.mark.usefixtures("four_workers")
def test_s27_two_tasks_of_two_units_run_side_by_side_on_four(tmp_path):
    assert compss_wait_on([wide_meeting(str(tmp_path), str(n), 2) for n in range(2)]) == [True] * 2


@pytest.mark.usefixtures("four_workers")
def test_one_wide_task_and_plain_ones_share_the_units(tmp_path):
    folder = str(tmp_path)
    together = [wide_meeting(folder, "wide", 3), meeting(folder, "a", 3), meeting(folder, "b", 3)]
    assert compss_wait_on(together) == [True] * 3


def test_memory_limits_how_many_tasks_run_at_once(four_workers):
    half = four_workers.node.memory_size * 0.45

    @constraint(memory_size=half)
    @task(returns=1)
    def hungry():
        start = time.monotonic()
        time.sleep(0.03)
        return start, time.monotonic(), 1

    assert units_in_use(compss_wait_on([hungry() for _ in range(6)])) == 2


@pytest.mark.usefixtures("four_workers")
def test_a_wide_task_starts_although_plain_ones_keep_coming():
    flood = [span(n) for n in range(30)]
    wide = wide_span("wide")
    flood += [span(n) for n in range(200)]
    start = compss_wait_on(wide)[0]
    starts = [begin for begin, _, _ in compss_wait_on(flood)]
    assert sum(begin < start for begin in starts) < 60


# ---------------------------------------------------------------- what can never run


@constraint(computing_units=100)
@task(returns=1)
def enormous(x):
    return x


@constraint(memory_size=10**6, processor_architecture="sparc", app_software="numpy, scipy")
@task(returns=1)
def foreign(x):
    return x


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_a_task_that_can_never_run_fails_at_the_call_with_a_table():
    with pytest.raises(RequirementsError) as caught:
        foreign(1)
    text = str(caught.value)
    assert text.startswith("task foreign needs what this machine does not have")
    assert "constraint              requested     available" in text
    for piece in ("memory_size", "1e+06 GB", "sparc", os.uname().machine, "NUMPY, SCIPY", "none is declared"):
        assert piece in text
    with pytest.raises(RequirementsError, match=r"computing_units\s+100\s+2"):
        enormous(1)
    with pytest.raises(RequirementsError, match=r"computing_units\s+3\s+2"):
        by_argument(3)
    assert compss_wait_on(by_argument(2)) == (2, 2)


@pytest.mark.usefixtures("no_session")
def test_without_a_session_nothing_is_checked():
    assert enormous(7) == 7
    assert foreign(8) == 8


@constraint(
    processors=[
        {"processorType": "CPU", "computingUnits": "1"},
        {"processorType": "GPU", "computingUnits": "${TASKFLOW_TEST_GPUS}"},
    ]
)
@task(returns=1)
def maybe_on_gpu(x):
    return x


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_a_need_of_no_gpu_fits_anywhere_and_a_missing_one_is_told_at_the_call(monkeypatch):
    monkeypatch.setenv("TASKFLOW_TEST_GPUS", "0")
    assert compss_wait_on(maybe_on_gpu(1)) == 1
    monkeypatch.setenv("TASKFLOW_TEST_GPUS", "64")
    maybe_on_gpu.changed()
    with pytest.raises(RequirementsError, match=r"computing_units of type GPU\s+64"):
        maybe_on_gpu(1)
    monkeypatch.delenv("TASKFLOW_TEST_GPUS")
    maybe_on_gpu.changed()
    with (
        pytest.warns(ArgumentWarning, match="the environment variable TASKFLOW_TEST_GPUS is not set"),
        pytest.raises(RequirementsError, match=r"computing_units of type GPU\s+1"),
    ):
        maybe_on_gpu(1)


@constraint(computing_units="$TASKFLOW_TEST_UNSET")
@task(returns=1)
def by_unset_variable(x):
    return x


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_a_variable_that_is_not_set_has_no_effect_and_that_is_told_once():
    with pytest.warns(ArgumentWarning, match="TASKFLOW_TEST_UNSET is not set") as told:
        assert compss_wait_on([by_unset_variable(n) for n in range(3)]) == [0, 1, 2]
    assert len(told) == 1


@constraint(processors=[{"type": "GPU", "computing_units": 1}])
@task(returns=2)
def on_gpu(folder, name):
    seen = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["COMPSS_BINDED_GPUS"]
    return seen, meet(folder, name, 2)


@pytest.mark.usefixtures("no_session")
def test_gpus_are_exclusive_and_visible_to_their_task_only(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with taskflow.session(workers=2, run_dir=tmp_path / "run", progress=False):
        meetings = tmp_path / "meetings"
        meetings.mkdir()
        results = [on_gpu(str(meetings), str(n)) for n in range(2)]
        seen = compss_wait_on(results)
    assert sorted(devices for devices, _ in seen) == [("3", "3"), ("5", "5")]
    assert all(met for _, met in seen)


# ---------------------------------------------------------------- mistakes


def declare(**constraints):
    def f(n):
        return n

    return constraint(**constraints)(task(returns=1)(f))


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"computing_unitz": 1}, "unrecognised constraint 'computing_unitz'; did you mean computing_units?"),
        ({"is_local": "yes"}, "is_local is True or False, not 'yes'"),
        ({"computing_units": [1]}, "computing_units is a number or a string"),
        ({"computing_units": None}, "computing_units is a number or a string"),
        ({"memory_type": True}, "memory_type is a string"),
        ({"processors": "CPU"}, "processors is a list of dictionaries"),
        ({"processors": [{"kind": "CPU"}]}, "an entry of processors has no 'kind'"),
        ({"processors": [{}], "computing_units": 1}, "computing_units belongs into the entries of processors"),
        ({"computing_units": "__import__('os').getpid()"}, "is not allowed"),
        ({"computing_units": "n.__class__"}, "is not allowed"),
        ({"computing_units": "[n for n in range(3)]"}, "is not allowed"),
        ({"computing_units": "lambda: 3"}, "is not allowed"),
        ({"memory_size": "3 GB"}, "is neither a number nor an expression"),
    ],
)
def test_mistakes_are_told_at_the_decoration(constraints, message):
    with pytest.raises(ArgumentError) as caught:
        declare(**constraints)
    assert message in str(caught.value)
    assert str(caught.value).startswith("@constraint of task declare.<locals>.f")


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"computing_units": "nobody"}, "neither an argument of the call nor a global"),
        ({"computing_units": "n / 2"}, "computing_units is a whole number, not 1.5"),
        ({"computing_units": "1 - n"}, "computing_units must be 0 or more, not -2"),
        ({"computing_units": "10 ** 70"}, "a power that is too large"),
        ({"computing_units": "n // 0"}, "cannot be computed: ZeroDivisionError"),
        ({"computing_units": "n * declare"}, "which is no number"),
    ],
)
def test_values_that_make_no_sense_are_told_at_the_call(constraints, message):
    with pytest.raises(ArgumentError) as caught:
        declare(**constraints)(3)
    assert message in str(caught.value)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_the_result_of_a_task_is_no_constraint_before_it_is_waited_for():
    future = native(1)
    assert isinstance(future, Future)
    with pytest.raises(ArgumentError, match="n is the result of a task"):
        by_argument(future)
    assert compss_wait_on(by_argument(compss_wait_on(future))) == (2, 2)


def test_old_spellings_are_honoured_with_a_warning():
    with pytest.warns(ArgumentWarning, match="'ComputingUnits' is deprecated; it is called 'computing_units' now"):
        declared = declare(ComputingUnits=2)
    with pytest.warns(ArgumentWarning, match="storage_bw"):
        declare(storageBW=2)
    assert declared.options.constraints == {"computing_units": 2}


def test_a_constraint_needs_a_task_below():
    with pytest.raises(TypeError, match="needs @task"):
        constraint(computing_units=1)(lambda: None)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_options_of_a_call_and_its_constraints_meet_in_one_record():
    first, second = by_argument(2, on_failure="IGNORE"), by_argument(1, on_failure="IGNORE")
    assert compss_wait_on([first, second]) == [(2, 2), (1, 1)]


# ---------------------------------------------------------------- tasks for input and output


@IO()
@task(returns=1)
def announce(path):
    with open(path, "w") as file:
        file.write("here")
    return 1


@task(returns=1)
def compute_until(path):
    return until(lambda: os.path.exists(path))


@pytest.mark.usefixtures("no_session")
def test_s16_input_and_output_overlap_with_the_only_unit(tmp_path):
    path = str(tmp_path / "file")
    with taskflow.session(workers=1, io_executors=1, run_dir=tmp_path / "run", progress=False):
        computing = compute_until(path)
        assert compss_wait_on(announce(path)) == 1
        assert compss_wait_on(computing) is True


@pytest.mark.usefixtures("engine")
def test_s16_io_tasks_give_values_and_depend_on_others(tmp_path):
    path = str(tmp_path / "file")
    assert compss_wait_on(by_global(announce(path))) == 2
    assert os.path.exists(path)


@constraint(computing_units=0)
@task(returns=1)
def without_unit(x):
    return x


@pytest.mark.usefixtures("engine")
def test_a_task_of_no_units_is_one_of_input_and_output():
    assert compss_wait_on([without_unit(n) for n in range(30)]) == list(range(30))


@pytest.mark.usefixtures("no_session")
def test_as_many_run_at_once_as_there_are_executors_for_them(tmp_path):
    folder = tmp_path / "meetings"
    folder.mkdir()

    @IO()
    @task(returns=1)
    def io_meeting(name):
        return meet(str(folder), name, 3)

    with taskflow.session(workers=1, io_executors=3, run_dir=tmp_path / "run", progress=False) as session:
        assert len(session.engine.kernel.executors) == 1
        assert compss_wait_on([io_meeting(str(n)) for n in range(3)]) == [True] * 3
        assert len(session.engine.kernel.home.io_team) == 3


@IO()
@task(returns=1)
def deadly(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os.abort()
    return 1


@pytest.mark.usefixtures("no_session")
def test_an_executor_for_input_and_output_that_dies_is_replaced_by_one(tmp_path):
    with taskflow.session(workers=1, io_executors=1, run_dir=tmp_path / "run", progress=False) as session:
        assert compss_wait_on(deadly(str(tmp_path / "once"))) == 1
        assert len(session.engine.kernel.home.io_team) == 1
        compss_barrier()


@constraint(computing_units=2)
@task(returns=1)
def deadly_wide(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os.abort()
    return 1


@pytest.mark.usefixtures("no_session")
def test_a_wide_task_whose_executor_dies_is_run_again(tmp_path):
    with taskflow.session(workers=2, run_dir=tmp_path / "run", progress=False) as session:
        once = str(tmp_path / "once")
        assert compss_wait_on([deadly_wide(once), by_global(1), native(1)]) == [1, 2, 2]
        assert len(session.engine.kernel.home.team) == 2


@pytest.mark.usefixtures("no_session")
def test_numbers_of_executors_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="io_executors must be 0 or more"):
        taskflow.start(io_executors=-1, run_dir=tmp_path / "run")
    with pytest.raises(TypeError, match="workers is a whole number, not 'two'"):
        taskflow.start(workers="two", run_dir=tmp_path / "run")


@task(is_replicated=True, returns=1)
def replicated(x):
    return x


@task(is_distributed=True, returns=1)
def distributed(x):
    return x


@pytest.mark.usefixtures("engine")
def test_on_one_node_replicated_and_distributed_tasks_run_once():
    assert compss_wait_on([replicated(1), distributed(2)]) == [1, 2]


@constraint(memory_size=0.001)
@task(returns=1)
def environment_of_task():
    names = ("COMPSS_TASK_ID", "COMPSS_NUM_NODES", "COMPSS_HOSTNAMES", "COMPSS_NUM_THREADS", "OMP_NUM_THREADS")
    return {name: os.environ.get(name) for name in names}


@task(returns=1)
def environment_of_plain_task():
    return {name: value for name, value in os.environ.items() if name.startswith("COMPSS_")}


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_the_environment_tells_a_task_what_it_has():
    seen = compss_wait_on(environment_of_task())
    assert seen.pop("COMPSS_TASK_ID").isdigit()
    host = os.uname().nodename
    assert seen == {
        "COMPSS_NUM_NODES": "1", "COMPSS_HOSTNAMES": host, "COMPSS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    plain = compss_wait_on(environment_of_plain_task())
    assert (plain["COMPSS_NUM_NODES"], plain["COMPSS_HOSTNAMES"], plain["COMPSS_APP_DIR"]) == ("1", host, os.getcwd())
    assert "COMPSS_TASK_ID" not in plain
