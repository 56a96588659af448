"""S44 Argument diagnostics."""

import importlib

import pytest

import taskflow
from taskflow import task
from taskflow.api.arguments import checked, snake_case
from taskflow.model.errors import ArgumentError, ArgumentWarning
from taskflow.pycompss import install

install()

#: Decorators whose runner is not there: module -> arguments that it needs.
RUNNERS = {
    "mpi": {"runner": "mpirun"},
    "mpmd_mpi": {"runner": "mpirun"},
    "binary": {"binary": "date"},
    "ompss": {"binary": "solver"},
    "opencl": {"kernel": "k.cl"},
    "decaf": {"df_script": "w.py"},
    "compss": {"app_name": "app.py"},
    "julia": {"script": "s.jl"},
    "http": {"service_name": "s", "resource": "r", "request": "GET"},
    "container": {"engine": "DOCKER", "image": "ubuntu"},
    "multinode": {},
}


def decorator(name):
    return getattr(importlib.import_module(f"pycompss.api.{name}"), name)


def body(x=1):
    return x


@pytest.mark.parametrize("name", RUNNERS)
def test_s44_a_missing_mandatory_argument_raises_at_decoration(name):
    from pycompss.util.exceptions import PyCOMPSsException

    for argument in RUNNERS[name]:
        given = {other: value for other, value in RUNNERS[name].items() if other != argument}
        for kind in (PyCOMPSsException, TypeError, ValueError):
            with pytest.raises(kind, match=rf"@{name} needs the argument '{argument}'"):
                decorator(name)(**given)


@pytest.mark.parametrize("name", RUNNERS)
def test_s44_an_unknown_argument_is_a_warning_with_the_nearest_one(name):
    with pytest.warns(ArgumentWarning, match=f"@{name} has no argument 'nonsense'") as told:
        decorator(name)(**RUNNERS[name], nonsense=1)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mpi", "workingDir", "working_dir"),
        ("mpi", "computingNodes", "computing_nodes"),
        ("decaf", "dfScript", "df_script"),
        ("decaf", "dfExecutor", "df_executor"),
        ("decaf", "dfLib", "df_lib"),
        ("compss", "appName", "app_name"),
        ("compss", "workerInMaster", "worker_in_master"),
    ],
)
def test_s44_a_camel_case_argument_works_with_a_warning_that_names_the_new_one(name, old, new):
    given = {**RUNNERS[name], old: "value"}
    given.pop(new, None)
    with pytest.warns(ArgumentWarning, match=f"@{name}: the argument '{old}' is deprecated; it is called '{new}' now"):
        made = decorator(name)(**given)
    assert made.arguments[new] == "value"


@pytest.mark.parametrize("name", ["WorkingDir", "Runner", "dfscript"])
def test_s44_names_are_matched_with_their_case(name):
    with pytest.warns(ArgumentWarning, match=f"has no argument '{name}'"):
        assert checked("mpi", {name: 1}, ("working_dir", "runner", "df_script")) == {}


def test_s44_a_warning_is_written_on_standard_error(runtask):
    text = """
        from pycompss.api.mpi import mpi
        from pycompss.api.task import task

        @mpi(runner="mpirun", workingDir="x", nonsense=1)
        @task()
        def f():
            pass
        """
    ended = runtask(text)
    assert ended.returncode == 0
    assert "the argument 'workingDir' is deprecated" in ended.stderr
    assert "has no argument 'nonsense'" in ended.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("computingUnits", "computing_units"),
        ("ComputingUnits", "computing_units"),
        ("storageBW", "storage_bw"),
        ("varargsType", "varargs_type"),
        ("dfScript", "df_script"),
        ("working_dir", "working_dir"),
        ("OSType", "os_type"),
    ],
)
def test_snake_case(old, new):
    assert snake_case(old) == new


# --- decorators whose runner is not there -------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNNERS)
def test_a_task_of_a_missing_runner_says_so_when_it_is_called_in_a_session(name, tmp_path):
    made = decorator(name)(**RUNNERS[name])(task(returns=1)(body))
    assert type(made) is type(task()(body))
    message = f"task body is to be run by @{name}, which this version"
    session = taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False)
    with session, pytest.raises(NotImplementedError, match=message):
        made(1)


@pytest.mark.parametrize("name", [name for name in RUNNERS if name != "http"])
def test_without_a_session_its_body_is_not_run(name):
    from pycompss.util.exceptions import NotInPyCOMPSsException

    with pytest.raises(NotInPyCOMPSsException, match=f"@{name}: its body is not what it does"):
        decorator(name)(**RUNNERS[name])(task(returns=1)(body))(1)


def test_without_a_session_a_task_of_a_service_is_its_body():
    assert decorator("http")(**RUNNERS["http"])(task(returns=1)(body))(3) == 3


def test_a_layout_needs_its_number_of_blocks():
    with pytest.raises(ArgumentError, match="data_layout must be a dictionary with block_count"):
        decorator("mpi")(runner="mpirun", data_layout={"block_length": 2})
    made = decorator("mpi")(runner="mpirun", data_layout={"block_count": 2})
    assert made.arguments["data_layout"] == {"block_count": 2}


def test_a_program_of_several_needs_its_binary():
    with pytest.raises(ArgumentError, match="program 2 needs a binary"):
        decorator("mpmd_mpi")(runner="mpirun", programs=[{"binary": "a"}, {"processes": 2}])


def test_a_decorator_without_parentheses_says_how_to_write_it():
    with pytest.raises(ArgumentError, match=r"takes its arguments by name, in parentheses: @mpi\(name=value\)"):
        decorator("mpi")(body)


def test_a_decorator_without_a_task_below_it_says_so():
    with pytest.raises(TypeError, match="needs @task"):
        decorator("binary")(binary="date")(body)
