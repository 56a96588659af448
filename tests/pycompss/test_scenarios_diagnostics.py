"""S44 Argument diagnostics."""

import importlib

import pytest

from taskflow import FILE_IN, IN, INOUT, task
from taskflow.api.arguments import checked, snake_case
from taskflow.model.errors import ArgumentError, ArgumentWarning
from taskflow.pycompss import install

install()

#: Decorators of tasks that are not plain Python: module -> arguments that it needs.
RUNNERS = {
    "mpi": {"runner": "mpirun"},
    "mpmd_mpi": {"runner": "mpirun", "programs": [{"binary": "a"}]},
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


@pytest.mark.parametrize(
    ("module", "name", "given"),
    [
        ("on_failure", "on_failure", {"returns": 0}),
        ("prolog", "prolog", {"args": "x"}),
        ("epilog", "epilog", {"args": "x"}),
        ("software", "software", {}),
    ],
)
def test_s44_a_missing_mandatory_argument_of_the_others_does_too(module, name, given):
    from pycompss.util.exceptions import PyCOMPSsException

    with pytest.raises(PyCOMPSsException):
        getattr(importlib.import_module(f"pycompss.api.{module}"), name)(**given)(task(returns=1)(body))


@pytest.mark.parametrize("name", RUNNERS)
def test_s44_an_unknown_argument_is_a_warning_with_the_nearest_one(name):
    with pytest.warns(ArgumentWarning, match=f"@{name} has no argument 'nonsense'") as told:
        decorator(name)(**RUNNERS[name], nonsense=1)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("decaf", "dfScript", "df_script"),
        ("decaf", "dfExecutor", "df_executor"),
        ("decaf", "dfLib", "df_lib"),
        ("compss", "appName", "app_name"),
        ("compss", "workerInMaster", "worker_in_master"),
    ],
)
def test_s44_a_camel_case_argument_works_with_a_warning_that_names_the_new_one(name, old, new):
    given = {**RUNNERS[name], old: "$VALUE"}
    given.pop(new, None)
    with pytest.warns(ArgumentWarning, match=f"@{name}: the argument '{old}' is deprecated; it is called '{new}' now"):
        made = decorator(name)(**given)
    assert "$VALUE" in repr(made(task()(body)).options.body)


def test_s44_old_names_of_mpi_work_with_a_warning():
    for old, new in (("workingDir", "working_dir"), ("computingNodes", "processes"), ("computing_nodes", "processes")):
        with pytest.warns(ArgumentWarning, match=f"@mpi: the argument '{old}' is deprecated; it is called '{new}' now"):
            decorator("mpi")(runner="mpirun", binary="x", **{old: "2"})


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


# --- @task --------------------------------------------------------------------------------------------------


def test_s44_old_spellings_of_task_work_with_a_warning():
    with pytest.warns(ArgumentWarning) as told:

        @task(
            targetDirection=IN, timeOut=2, isReplicated=False, isDistributed=True, varargsType=FILE_IN, computingNodes=1
        )
        def method(self, *paths):
            pass

    assert [str(warning.message).split("'")[1] for warning in told] == [
        "targetDirection", "timeOut", "isReplicated", "isDistributed", "varargsType", "computingNodes",
    ]  # fmt: skip
    assert {warning.filename for warning in told} == {__file__}
    assert method.options.time_out == 2
    assert method.plan.varargs is not None
    assert method.plan.varargs.kind is FILE_IN.kind


def test_s44_an_unknown_argument_of_task_is_only_a_warning():
    with pytest.warns(ArgumentWarning, match="of body has no argument 'retruns', it is ignored; did you mean returns"):
        assert task(retruns=int)(body)(2) == 2
    with pytest.warns(ArgumentWarning, match="has no argument 'nonsense'"):
        assert task(nonsense=INOUT)(body)(2) == 2


@pytest.mark.parametrize("function", [lambda *args: args, lambda **kwargs: kwargs])
def test_s44_a_function_that_takes_anything_may_annotate_anything(function):
    task(data=INOUT)(function)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": 3},
        {"target_direction": "INOUT"},
        {"on_failure": "GIVE_UP"},
        {"time_out": "soon"},
        {"isModifier": True},
        {"returns": -1},
        {"x": {"depth": 0}},
        {"x": {"deepness": 1}},
        {"numba": "fast"},
        {"numba": True, "numba_flags": 3},
        {"numba": "cfunc"},
        {"numba": "guvectorize", "numba_signature": ["void(f8[:])"]},
    ],
    ids=str,
)
def test_s44_an_argument_that_makes_no_sense_raises_at_decoration(arguments):
    from pycompss.util.exceptions import PyCOMPSsException

    for kind in (PyCOMPSsException, TypeError, ValueError):
        with pytest.raises(kind):
            task(**arguments)(body)


@pytest.mark.parametrize("value", [0, -1, "0"])
def test_s44_a_number_of_nodes_below_one_is_taken_for_one(value):
    with pytest.warns(ArgumentWarning, match="computing_nodes=.* is taken for 1"):
        task(computing_nodes=value)(body)


def test_s44_arguments_without_effect_here_are_accepted_in_silence():
    task(
        cache_returns=False, is_distributed=True, is_replicated=True, computing_nodes="$NODES", processes_per_node=2,
        is_reduce=False, chunk_size="0", tracing_hook=True,
    )(body)  # fmt: skip


def test_s44_a_warning_is_shown_once_and_not_again_by_every_executor(runtask):
    runtask.write(
        """
        from pycompss.api.task import task

        @task(returns=1, timeOut=100)
        def double(x):
            return 2 * x
        """,
        "library.py",
    )
    text = """
        from library import double
        from pycompss.api.api import compss_wait_on
        print(compss_wait_on([double(number) for number in range(20)])[-1])
        """
    ended = runtask(text, options=["--workers=2"])
    assert (ended.returncode, ended.stdout) == (0, "38\n")
    assert ended.stderr.count("'timeOut' is deprecated") == 1


# --- numba --------------------------------------------------------------------------------------------------

#: Stands for numba: says how it was called. The real one is large, and absent on purpose in some environments.
NUMBA = """
    __version__ = "0"

    class Compiled:
        def __init__(self, function, *how):
            self.function, self.how = function, how

        def __call__(self, *args):
            return self.function(*args), self.how

        @property
        def ctypes(self):
            return lambda *args: (self.function(*args), "native", self.how)

    def maker(kind):
        return lambda *types, **flags: lambda function: Compiled(function, kind, types, flags)

    jit, njit, vectorize, guvectorize, stencil, cfunc = map(
        maker, ["jit", "njit", "vectorize", "guvectorize", "stencil", "cfunc"]
    )
    """

NUMBA_PROGRAM = """
    import sys
    from pycompss.api.api import compss_wait_on
    from pycompss.api.task import task

    @task(returns=1, {arguments})
    def double(x):
        return 2 * x

    print(compss_wait_on(double(4)), "numba" in sys.modules)
    """


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ("numba=True", (8, ("jit", (), {}))),
        ("numba={'cache': True}", (8, ("jit", (), {"cache": True}))),
        ("numba='njit', numba_flags={'fastmath': True}", (8, ("njit", (), {"fastmath": True}))),
        ("numba='vectorize', numba_signature=['i8(i8)']", (8, ("vectorize", (["i8(i8)"],), {}))),
        (
            "numba='guvectorize', numba_signature=['(i8[:])'], numba_declaration='(n)'",
            (8, ("guvectorize", (["(i8[:])"], "(n)"), {})),
        ),
        ("numba='cfunc', numba_signature='i8(i8)'", (8, "native", ("cfunc", ("i8(i8)",), {}))),
        ("numba=False", 8),
    ],
)
def test_numba_compiles_in_the_executor_and_is_not_imported_by_the_program(runtask, arguments, result):
    runtask.write(NUMBA, "numba.py")
    ended = runtask(NUMBA_PROGRAM.format(arguments=arguments))
    assert (ended.stdout, ended.stderr) == (f"{result} False\n", "")


@pytest.mark.parametrize(
    ("kind", "module", "message"),
    [
        ("jit", "raise ImportError('not here')", "compiled by numba, which cannot be imported"),
        ("generated_jit", NUMBA, "numba 0 has no generated_jit"),
    ],
)
def test_a_numba_that_cannot_do_it_fails_the_task_with_the_reason(runtask, kind, module, message):
    runtask.write(module, "numba.py")
    ended = runtask(NUMBA_PROGRAM.format(arguments=f"numba={kind!r}"))
    assert ended.returncode == 1
    assert message in ended.stderr


# --- decorators of tasks that are not plain Python -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ompss", "opencl", "decaf", "compss", "julia", "container", "multinode"])
def test_without_a_session_its_body_is_not_run(name):
    from pycompss.util.exceptions import NotInPyCOMPSsException

    with pytest.raises(NotInPyCOMPSsException, match="task body"):
        decorator(name)(**RUNNERS[name])(task(returns=1)(body))(1)


def test_without_a_session_a_task_of_a_service_is_its_body():
    assert decorator("http")(**RUNNERS["http"])(task(returns=1)(body))(3) == 3


def test_a_layout_needs_its_number_of_blocks():
    with pytest.raises(ArgumentError, match="data_layout must be a dictionary with block_count"):
        decorator("mpi")(runner="mpirun", data_layout={"block_length": 2})
    decorator("mpi")(runner="mpirun", data_layout={"block_count": 2})


def test_a_program_of_several_needs_its_binary():
    with pytest.raises(ArgumentError, match="program 2 needs a binary"):
        decorator("mpmd_mpi")(runner="mpirun", programs=[{"binary": "a"}, {"processes": 2}])


@pytest.mark.parametrize("name", [*RUNNERS, "constraint", "prolog", "epilog", "software", "on_failure"])
def test_a_decorator_without_parentheses_says_how_to_write_it(name):
    with pytest.raises(
        ArgumentError, match=rf"@{name} takes its arguments by name, in parentheses: @{name}\(\w+=\S+\)"
    ):
        decorator(name)(task(returns=1)(body))


def test_io_without_parentheses_says_how_to_write_it():
    with pytest.raises(ArgumentError, match=r"@IO is written with empty parentheses: @IO\(\)"):
        decorator("IO")(task(returns=1)(body))


def test_a_decorator_without_a_task_below_it_says_so():
    with pytest.raises(TypeError, match="needs @task"):
        decorator("binary")(binary="date")(body)
