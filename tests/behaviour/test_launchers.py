"""Tasks that are started in a way of their own: programs of OmpSs, scripts of Julia, dataflows of Decaf."""

import shutil
import sys

import pytest

from taskflow import (
    FILE_OUT_STDOUT,
    NoSessionError,
    ProgramError,
    RequirementsError,
    compss_open,
    compss_wait_on,
    constraint,
    decaf,
    epilog,
    julia,
    ompss,
    prolog,
    task,
)
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")
parallel = pytest.mark.engines("local", "simulated", "cluster")


def content(path):
    with compss_open(str(path)) as file:
        return file.read()


@pytest.fixture
def script(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@parallel
def test_a_program_of_ompss_has_the_threads_of_its_units(tmp_path, engine):  # noqa: ARG001
    @constraint(computing_units=2)
    @ompss(binary="sh", args=["-c", "echo $OMP_NUM_THREADS $NX_SMP_WORKERS {{word}}"])
    @task(out=FILE_OUT_STDOUT)
    def threads(word, out):
        pass

    threads("x", str(tmp_path / "out"))
    assert content(tmp_path / "out") == "2 2 x\n"


@parallel
def test_a_script_is_run_by_its_executor(tmp_path, script, engine):  # noqa: ARG001
    @julia(
        script=script("script.jl", 'echo "$JULIA_NUM_THREADS $1|$2"; exit 4'), executor="sh", fail_by_exit_value=False
    )
    @task(out=FILE_OUT_STDOUT, returns=int)
    def run(first, second, out):
        pass

    assert compss_wait_on(run("a b", 2, str(tmp_path / "out"))) == 4
    assert content(tmp_path / "out") == "1 a b|2\n"


@parallel
@pytest.mark.skipif(shutil.which("julia") is None, reason="no Julia: it is in no registry of packages")
def test_a_script_of_julia(tmp_path, script, engine):  # noqa: ARG001
    @julia(script=script("script.jl", "println(parse(Int, ARGS[1]) + 1); exit(2)"), fail_by_exit_value=False)
    @task(out=FILE_OUT_STDOUT, returns=int)
    def run(number, out):
        pass

    assert compss_wait_on(run(41, str(tmp_path / "out"))) == 2
    assert content(tmp_path / "out") == "42\n"


@parallel
@pytest.mark.skipif(shutil.which("julia") is not None, reason="Julia is installed here")
def test_where_there_is_no_julia_it_is_said_at_the_call(script, engine):  # noqa: ARG001
    @julia(script=script("script.jl", ""))
    @task()
    def run():
        pass

    with pytest.raises(RequirementsError, match=r"(?s)task .*run needs what .*installed program.* julia"):
        run()


@parallel
def test_an_executor_that_is_not_there_is_named_with_the_node_and_the_remedy(script, engine):  # noqa: ARG001
    @julia(script=script("script.jl", ""), executor="/no/such/julia")
    @task(returns=1, on_failure="FAIL")
    def run():
        pass

    with pytest.raises(ProgramError, match=r"@julia of task .*: there is no /no/such/julia on \S+ .*julialang.org"):
        compss_wait_on(run())


@parallel
def test_a_script_that_is_not_there_is_named(engine):  # noqa: ARG001
    @julia(script="nowhere.jl", executor="sh")
    @task(returns=1, on_failure="FAIL")
    def run():
        pass

    with pytest.raises(ProgramError, match=r"@julia of task .*: script: there is no nowhere.jl on"):
        compss_wait_on(run())


#: Writes an executor that prints what it was given, as the scripts of Decaf do.
DATAFLOW = """
import os, sys
assert os.environ["DECAF_RUNNER"] == sys.executable
with open("executor.sh", "w") as file:
    file.write(f"#!/bin/sh\\ncat lib.txt\\necho {' '.join(sys.argv[1:])}\\nexit 7\\n")
"""


@parallel
def test_a_dataflow_is_a_script_that_writes_the_executor(tmp_path, script, engine):  # noqa: ARG001
    library = script("lib.txt", "library\n")

    @prolog(binary="test", args="! -e executor.sh")
    @epilog(binary="test", args="-x executor.sh", fail_by_exit_value=True)
    @decaf(df_script=script("flow.py", DATAFLOW), df_lib=library, runner=sys.executable, fail_by_exit_value=False)
    @task(returns=int, out=FILE_OUT_STDOUT)
    def flow(first, second, out):
        pass

    assert compss_wait_on(flow("a", 2, str(tmp_path / "out"))) == 7
    assert content(tmp_path / "out") == "library\na 2\n"


@parallel
@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has not written the executor"), ("raise SystemExit(3)", "ended with exit value 3")],
)
def test_a_dataflow_without_executor_fails(text, message, script, engine):  # noqa: ARG001
    @decaf(df_script=script("flow.py", text), runner=sys.executable, fail_by_exit_value=False)
    @task(returns=int, on_failure="FAIL")
    def flow():
        pass

    with pytest.raises(ProgramError, match=f"@decaf of task .*: .*{message}"):
        compss_wait_on(flow())


@pytest.mark.engines("sequential")
class TestWithoutSession:
    @pytest.mark.parametrize(
        "decorator",
        [ompss(binary="true"), julia(script="x"), decaf(df_script="x")],
        ids=["ompss", "julia", "decaf"],
    )
    def test_they_need_a_session(self, decorator, engine):  # noqa: ARG002
        with pytest.raises(NoSessionError, match="what it does needs a session; start the program by runtask"):
            decorator(task()(content))("path")

    def test_the_number_of_nodes_is_a_number(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=r"computing_nodes is a whole number, or says one, not \[2\]"):
            ompss(binary="true", computing_nodes=[2])(task()(content))
