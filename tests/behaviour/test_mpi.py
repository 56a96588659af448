"""S17, S28: tasks that are MPI programs, or Python functions on MPI ranks, with Open MPI and MPICH."""

import glob
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import taskflow
from taskflow import (
    COLLECTION_IN,
    COLLECTION_INOUT,
    FILE_IN,
    FILE_OUT,
    FILE_OUT_STDOUT,
    INOUT,
    IO,
    COMPSsException,
    Depth,
    ProgramError,
    TaskGroup,
    TimeOutError,
    Type,
    compss_barrier,
    compss_cancel_group,
    compss_wait_on,
    compss_wait_on_file,
    constraint,
    mpi,
    mpmd_mpi,
    runtime,
    task,
)
from taskflow.data.serialization import decode_blob
from taskflow.model.errors import ArgumentError, ArgumentWarning, TaskflowWarning, UnavailableError
from tests import mpi_functions
from tests.behaviour.helpers import alive, until
from tests.mpi_functions import of_each, rank_and_threads
from tests.mpis import any_mpi, mpi_folder, mpich

__all__ = ["any_mpi", "mpi_folder", "mpich"]


def program(the, body=None, **arguments):
    """The C program of the tests as a task with the parameters name, what, folder."""

    def function(name, what, folder):  # noqa: ARG001
        raise AssertionError("the body is not executed")

    declared = arguments.pop("task", {})
    return mpi(runner=the.runner, binary=the.program, **{"processes": 2, "processes_per_node": 2, **arguments})(
        task(**{"returns": 1, "on_failure": "FAIL", **declared})(body or function)
    )


def ranks(the, function, task_arguments=None, **arguments):
    """The function on ranks."""
    sizes = {"processes": 2, "processes_per_node": 2, **arguments}
    return mpi(runner=the.runner, **sizes)(task(**{"returns": 1, **(task_arguments or {})})(function))


def taken(made):
    """Computing units and nodes of the calls of a task so far."""
    return [record.demand and (record.demand.units, record.demand.hosts) for record in made._variants.values()]


def pids(folder, count=2):
    """The processes of all ranks, once they run."""
    assert until(lambda: len(os.listdir(folder)) == count)
    assert until(lambda: all((folder / name).read_text().endswith("\n") for name in os.listdir(folder)))
    return [int((folder / name).read_text()) for name in os.listdir(folder)]


# ---------------------------------------------------------------------- programs


@pytest.mark.engines("local")
def test_s17_a_program_runs_on_all_ranks_and_returns_the_exit_value(engine, any_mpi, tmp_path):  # noqa: ARG001
    def body(name, what, output):
        pass

    made = program(any_mpi, body, args="{{name}} {{what}}", fail_by_exit_value=False, task={"output": FILE_OUT_STDOUT})
    assert compss_wait_on(made("a name", 7, str(tmp_path / "out"))) == 7
    compss_wait_on_file(str(tmp_path / "out"))
    said = (tmp_path / "out").read_text()
    assert sorted(re.findall(r"a name \d of \d \d", said)) == ["a name 0 of 2 1", "a name 1 of 2 1"]
    assert taken(made) == [(2, 1)]


@pytest.mark.engines("local")
def test_s17_several_programs_share_one_world(engine, any_mpi, tmp_path):  # noqa: ARG001
    script = tmp_path / "second.py"
    script.write_text(
        "import sys; from mpi4py import MPI; world = MPI.COMM_WORLD; world.barrier();"
        "print(sys.argv[1], world.rank, 'of', world.size, flush=True)"
    )
    programs = [
        {"binary": "{{program}}", "args": "{{first}} 0"},
        {"binary": sys.executable, "args": [str(script), "{{second}}"], "processes": 1},
    ]

    @mpmd_mpi(runner=any_mpi.runner, programs=programs, processes_per_node=2)
    @task(returns=1, program=FILE_IN, output=FILE_OUT_STDOUT)
    def coupled(program, first, second, output):
        pass

    assert compss_wait_on(coupled(any_mpi.program, "ocean", "air of day", str(tmp_path / "out"))) == 0
    compss_wait_on_file(str(tmp_path / "out"))
    said = re.findall(r"ocean \d of \d|air of day \d of \d", (tmp_path / "out").read_text())
    assert sorted(said) == ["air of day 1 of 2", "ocean 0 of 2"]


@pytest.mark.engines("local")
def test_a_failing_program_is_an_error_with_what_it_said(engine, any_mpi):  # noqa: ARG001
    with pytest.raises(ProgramError, match=r"@mpi of task \S*function \(.*test_mpi.py:\d+\): \S+/mpirun .*exit value"):
        compss_wait_on(program(any_mpi)("x", "die", "."))


@pytest.mark.engines("local")
def test_all_ranks_of_a_program_end_with_a_cancelled_task(engine, any_mpi, tmp_path):  # noqa: ARG001
    with TaskGroup("cancelled", implicit_barrier=False):
        program(any_mpi)("x", "sleep", str(tmp_path))
    runtime.session.engine.flush()
    processes = pids(tmp_path)
    compss_cancel_group("cancelled")
    assert until(lambda: not any(map(alive, processes)))


@pytest.mark.engines("local")
def test_all_ranks_of_a_program_end_with_an_exception_in_their_group(engine, mpich, tmp_path):  # noqa: ARG001
    @task(returns=1, on_failure="FAIL")
    def raising(folder):
        assert until(lambda: len(os.listdir(folder)) == 1)
        raise COMPSsException("enough")

    with pytest.raises(COMPSsException, match="enough"), TaskGroup("group"):
        program(mpich, processes=1, processes_per_node=1)("x", "sleep", str(tmp_path))
        raising(str(tmp_path))
    processes = pids(tmp_path, 1)
    assert until(lambda: not any(map(alive, processes)))


@pytest.mark.engines("local")
def test_all_ranks_end_with_the_time_of_their_task(engine, mpich, tmp_path):  # noqa: ARG001
    def body(folder):
        from mpi4py import MPI

        with open(f"{folder}/{MPI.COMM_WORLD.rank}", "w") as file:
            file.write(f"{os.getpid()}\n")
        MPI.COMM_WORLD.Split(MPI.COMM_WORLD.rank, 0).barrier()
        import time

        time.sleep(300)

    made = ranks(mpich, body, {"on_failure": "FAIL", "time_out": 3})
    future = made(str(tmp_path))
    processes = pids(tmp_path)
    with pytest.raises(TimeOutError):
        compss_wait_on(future)
    assert until(lambda: not any(map(alive, processes)))


# ---------------------------------------------------------------------- Python functions


@pytest.mark.engines("local")
def test_s17_a_function_runs_on_all_ranks_and_returns_the_values_of_all(engine, any_mpi, capsys):  # noqa: ARG001
    values = compss_wait_on(ranks(any_mpi, rank_and_threads, {"returns": list})(10))
    assert values == [[10, 1, 2, "1"], [11, 1, 2, "1"]]
    compss_barrier()
    assert sorted(re.findall("this is .", capsys.readouterr().out)) == ["this is 0", "this is 1"]


@pytest.mark.engines("local", "simulated")
def test_s17_each_rank_can_have_a_future_of_its_own(engine, mpich):  # noqa: ARG001
    futures = ranks(mpich, of_each, {"returns": 2})(3)
    assert [compss_wait_on(future) for future in futures] == [3, 6]


@pytest.mark.engines("local")
def test_s17_with_scale_by_cu_each_computing_unit_has_a_rank(engine, mpich):  # noqa: ARG001
    made = constraint(computing_units=2)(
        ranks(mpich, rank_and_threads, processes=1, processes_per_node=1, scale_by_cu=True)
    )
    assert compss_wait_on(made(0)) == [[0, 1, 2, "1"], [1, 1, 2, "1"]]
    assert taken(made) == [(2, 1)]


@pytest.mark.engines("local")
def test_s17_each_process_has_the_computing_units_of_the_constraint(engine, mpich):  # noqa: ARG001
    made = constraint(computing_units=2)(ranks(mpich, rank_and_threads, processes=1, processes_per_node=1))
    assert compss_wait_on(made(5)) == [[5, 0, 1, "2"]]
    assert taken(made) == [(2, 1)]


class Model:
    def __init__(self):
        self.state = [0]

    @task(target_direction=INOUT, returns=1)
    def grow(self, by):
        from mpi4py import MPI

        self.state.append(MPI.COMM_WORLD.bcast(by))
        return MPI.COMM_WORLD.rank


@pytest.mark.engines("local", "cluster")
def test_what_rank_0_has_made_of_its_arguments_is_kept(engine, mpich, tmp_path):  # noqa: ARG001
    def body(array, items, source, target, *, count=None):
        from mpi4py import MPI

        rank = MPI.COMM_WORLD.rank
        array += 10 * (rank + 1)
        items[0] = items[0] + ["rank", rank]
        count["rank"] = rank
        with open(source) as file:
            text = file.read()
        if rank == 0:
            with open(target, "w") as file:
                file.write(text.upper())

    declared = {
        "array": INOUT, "items": {Type: COLLECTION_INOUT, Depth: 1}, "count": INOUT, "source": FILE_IN,
        "target": FILE_OUT, "returns": 0,
    }  # fmt: skip
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("text")
    array, items, count = np.zeros(3), [[1], [2]], {}
    ranks(mpich, body, declared)(array, items, str(source), str(target), count=count)
    compss_wait_on_file(str(target))
    assert target.read_text() == "TEXT"
    assert compss_wait_on(array).tolist() == [10, 10, 10]
    assert compss_wait_on(items) == [[1, "rank", 0], [2]]
    assert compss_wait_on(count) == {"rank": 0}


@pytest.mark.engines("local")
def test_methods_run_on_ranks(engine, mpich):  # noqa: ARG001
    model = Model()
    grow = mpi(runner=mpich.runner, processes=2, processes_per_node=2)(Model.grow.redeclared({}))
    assert compss_wait_on(grow(model, 5)) == [0, 1]
    assert compss_wait_on(model).state == [0, 5]


@pytest.mark.engines("local")
def test_an_exception_of_a_rank_is_raised_with_its_number_and_traceback(engine, any_mpi):  # noqa: ARG001
    def body(x):
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank == 1:
            raise KeyError("in rank 1", x)
        MPI.COMM_WORLD.barrier()

    with pytest.raises(KeyError, match="in rank 1") as raised:
        compss_wait_on(ranks(any_mpi, body, {"on_failure": "FAIL"})(5))
    told = str(raised.value.__cause__)
    assert re.search(r"@mpi of task \S*body \(.*test_mpi.py:\d+\): rank 1 of 2 on \S+ raised:", told)
    assert 'raise KeyError("in rank 1", x)' in told


@pytest.mark.engines("local")
def test_a_lost_rank_is_named(engine, any_mpi):  # noqa: ARG001
    def body():
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank == 1:
            os.kill(os.getpid(), 9)
        MPI.COMM_WORLD.barrier()

    with pytest.raises(ProgramError, match=r"rank 1 of 2 was lost: process \d+ on \S+ was ended by SIGKILL"):
        compss_wait_on(ranks(any_mpi, body, {"on_failure": "FAIL"})())


@pytest.mark.engines("local")
@pytest.mark.parametrize(
    ("leave", "how"),
    [
        (lambda: os._exit(3), r"ended with exit value 3 \(by os._exit"),
        (lambda: os._exit(0), r"ended with exit value 0 \(by os._exit"),
        (lambda: sys.exit("enough"), r"has called sys\.exit\('enough'\)"),
    ],
)
def test_a_rank_that_ends_its_process_is_named(engine, any_mpi, leave, how):  # noqa: ARG001
    def body():
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank == 1:
            leave()
        MPI.COMM_WORLD.barrier()

    with pytest.raises(ProgramError, match=rf"rank 1 of 2 has not come to its end: process \d+ on \S+ {how}") as raised:
        compss_wait_on(ranks(any_mpi, body, {"on_failure": "FAIL"})())
    assert "-c" not in str(raised.value)


@pytest.mark.engines("local")
def test_ranks_that_are_killed_leave_no_shared_memory(engine, mpich, tmp_path):  # noqa: ARG001
    def body(told):
        from mpi4py import MPI

        MPI.COMM_WORLD.barrier()
        if MPI.COMM_WORLD.rank == 0:
            with open("/proc/self/maps") as maps, open(told, "w") as file:
                file.writelines(line for line in maps if "/mpich_shm_" in line)
            os.kill(os.getpid(), 9)
        MPI.COMM_WORLD.barrier()

    with pytest.raises(ProgramError, match="rank 0 of 2 was lost"):
        compss_wait_on(ranks(mpich, body, {"on_failure": "FAIL"})(str(tmp_path / "told")))
    used = {line.split()[5] for line in (tmp_path / "told").read_text().splitlines()}
    assert used
    assert not any(map(os.path.exists, used))


WAITING = """
import os, sys, time
from taskflow import compss_wait_on, mpi, task

@mpi(runner=sys.argv[1], processes=2, processes_per_node=2)
@task(returns=1)
def wait(told):
    from mpi4py import MPI

    MPI.COMM_WORLD.barrier()
    if MPI.COMM_WORLD.rank == 0:
        with open("/proc/self/maps") as maps, open(told + ".new", "w") as file:
            file.writelines(line for line in maps if "/dev/shm/" in line)
        os.rename(told + ".new", told)
    time.sleep(60)

if __name__ == "__main__":
    compss_wait_on(wait(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_shared_memory_of_its_ranks(any_mpi, tmp_path, number):
    told = tmp_path / "told"
    (tmp_path / "waiting.py").write_text(WAITING)
    words = [sys.executable, "-m", "taskflow", "waiting.py", any_mpi.runner, str(told)]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE) as run:
        assert until(told.exists)
        run.send_signal(number)
    used = {line.split()[5] for line in told.read_text().splitlines() if "mpich_shm_" in line or "sm_segment" in line}
    assert used
    assert until(lambda: not any(map(os.path.exists, used)))


@pytest.mark.engines("local")
def test_a_lost_rank_is_tried_again_with_all_others(engine, mpich, tmp_path):  # noqa: ARG001
    def body(marker):
        from mpi4py import MPI

        world = MPI.COMM_WORLD
        if world.rank == 0 and not os.path.exists(marker):
            with open(marker, "w"):
                os.kill(os.getpid(), 11)
        return world.allreduce(1)

    assert compss_wait_on(ranks(mpich, body)(str(tmp_path / "marker"))) == [2, 2]


@pytest.mark.engines("local")
def test_a_value_that_cannot_travel_names_its_rank(engine, mpich):  # noqa: ARG001
    def body():
        import threading

        from mpi4py import MPI

        return MPI.COMM_WORLD.rank or threading.Lock()

    with pytest.raises(taskflow.SerializationError, match=r"the value of rank 0 is a _thread\.lock"):
        compss_wait_on(ranks(mpich, body, {"on_failure": "FAIL"})())


# ---------------------------------------------------------------------- layouts


@pytest.mark.engines("local")
def test_s17_a_layout_gives_each_rank_its_blocks(engine, mpich):  # noqa: ARG001
    made = ranks(
        mpich, lambda items, others: [items, others], {"items": COLLECTION_IN, "others": COLLECTION_IN},
        items_layout={"block_count": 2, "block_length": 2, "stride": 2}, others_layout={"block_count": 1},
    )  # fmt: skip
    assert compss_wait_on(made([*range(5)], others=["x"])) == [[[0, 1], "x"], [[2, 3], []]]


@pytest.mark.engines("local")
def test_elements_of_a_layout_are_as_their_owners_have_left_them(engine, mpich):  # noqa: ARG001
    def body(items):
        from mpi4py import MPI

        for item in items:
            item.append(MPI.COMM_WORLD.rank)

    items = [[number] for number in range(5)]
    declared = {"items": {Type: COLLECTION_INOUT, Depth: 1}, "returns": 0}
    ranks(mpich, body, declared, items_layout={"block_count": 4, "block_length": 1})(items)
    assert compss_wait_on(items) == [[0, 0], [1, 1], [2, 0], [3, 1], [4]]


@pytest.mark.engines("local")
def test_a_layout_beyond_the_collection_says_so(engine, mpich):  # noqa: ARG001
    made = ranks(
        mpich, lambda items: items, {"items": COLLECTION_IN, "on_failure": "FAIL"}, items_layout={"block_count": 3}
    )
    with pytest.raises(ValueError, match=r"reaches element 2 of a collection, but that has 2 elements"):
        compss_wait_on(made([1, 2]))


# ---------------------------------------------------------------------- how many


@pytest.mark.engines("local")
def test_s28_processes_are_found_out_at_each_call(engine, mpich, monkeypatch):  # noqa: ARG001
    by_global = ranks(mpich, of_each, processes="many", processes_per_node="many")
    by_variable = ranks(mpich, of_each, processes="$CN", processes_per_node="${CN}")
    mpi_functions.many = 1
    assert compss_wait_on(by_global(1)) == [1]
    mpi_functions.many = 2
    assert compss_wait_on(by_global(1)) == [1, 2]
    assert taken(by_global) == [None, (2, 1)]
    for count in ("2", "1"):
        monkeypatch.setenv("CN", count)
        assert compss_wait_on(by_variable(1)) == [1, 2][: int(count)]
    assert compss_wait_on(by_variable(2, computing_nodes=2, processes_per_node=2)) == [2, 4]
    monkeypatch.delenv("CN")
    with pytest.raises(ArgumentError, match=r"processes is '\$CN', but that environment variable is not set"):
        by_variable(1)


@pytest.mark.engines("local")
def test_numbers_that_make_no_sense_are_told_at_the_call(engine, mpich):  # noqa: ARG001
    with pytest.raises(ArgumentError, match=r"3 processes cannot be spread with 2 on each node"):
        ranks(mpich, of_each, processes=3)(1)
    with pytest.raises(ArgumentError, match="processes is 'nobody', but the module of the task has no global"):
        ranks(mpich, of_each, processes="nobody")(1)
    with pytest.raises(ArgumentError, match=r"processes is a whole number, not 'a b'"):
        ranks(mpich, of_each, processes="a b")(1)
    with pytest.warns(ArgumentWarning, match="processes=0 is taken for 1"):
        assert compss_wait_on(ranks(mpich, of_each, processes=0, processes_per_node=1)(1)) == [1]


@pytest.mark.engines("local")
def test_more_ranks_than_there_are_units_share_them_with_a_warning(engine, mpich):  # noqa: ARG001
    runtime.session._told_of_one_node = False
    made = ranks(mpich, of_each, processes=3, processes_per_node=3)
    with pytest.warns(TaskflowWarning, match="task of_each is for 3 processes, .* with room for 2 of its 3"):
        future = made(1)
    assert compss_wait_on(future) == [1, 2, 3]
    assert taken(made) == [(2, 1)]


@pytest.mark.engines("cluster")
def test_ranks_for_which_there_are_not_enough_nodes_are_told_why(engine, mpich):  # noqa: ARG001
    with pytest.raises(taskflow.RequirementsError, match=r"12 ranks, 2 on each node, take 6 nodes; processes_per_node"):
        ranks(mpich, of_each, processes=12)(1)


@pytest.mark.engines("local")
def test_s16_an_io_task_has_its_ranks_beside_all_others(engine, mpich):  # noqa: ARG001
    made = IO()(ranks(mpich, of_each, {"returns": 4}, processes=4, processes_per_node=1))
    assert [compss_wait_on(future) for future in made(1)] == [1, 2, 3, 4]
    assert taken(made) == [(0, 1)]


# ---------------------------------------------------------------------- what can be wrong


@pytest.mark.engines("local")
def test_another_mpi_than_that_of_the_runner_is_told(engine, any_mpi, mpi_folder):  # noqa: ARG001
    from tests.mpis import found

    other = found({"openmpi": "mpich", "mpich": "openmpi"}[any_mpi.name], mpi_folder)
    folder = f"{os.path.dirname(os.path.dirname(other.runner))}/lib"
    libraries = sorted(glob.glob(f"{folder}/libmpi.so.*"))
    if not libraries:
        pytest.skip("the other MPI is that of the system")
    there = {"MPI4PY_LIBMPI": libraries[0], "LD_LIBRARY_PATH": folder}
    form = "-genv {} {}" if any_mpi.name == "mpich" else "-x {}={}"
    flags = " ".join(form.format(*pair) for pair in there.items())
    made = ranks(any_mpi, of_each, {"on_failure": "FAIL"}, flags=flags)
    problem = {
        "openmpi": r"MPI has ended the process \d+, with exit value \d+, when it was about to begin",
        "mpich": r"has started 2 ranks, but for mpi4py of .* there are 1: it uses another MPI, Open MPI",
    }[any_mpi.name]
    with pytest.raises(ProgramError, match=f"{problem}.*mpi4py has to use the MPI library that belongs to"):
        compss_wait_on(made(1))


@pytest.mark.engines("local")
def test_a_runner_that_is_not_there_or_not_known_is_told(engine, monkeypatch):  # noqa: ARG001
    def with_runner(runner):
        return mpi(runner=runner, binary="true")(task(returns=1, on_failure="FAIL")(rank_and_threads))

    with pytest.raises(ProgramError, match="there is no runner 'no-such-mpirun' in the folders of PATH"):
        compss_wait_on(with_runner("no-such-mpirun")(1))
    with pytest.raises(ProgramError, match=r"the runner is '\$NO_RUNNER', but that environment variable is not set"):
        compss_wait_on(with_runner("$NO_RUNNER")(1))
    with pytest.raises(ProgramError, match="does not say which MPI it belongs to; set COMPSS_MPIRUN_TYPE to one of"):
        compss_wait_on(with_runner("true")(1))


@pytest.mark.engines("local")
@pytest.mark.parametrize("name", ["./no-such-program", "no-such-program", "/no/such/program"])
def test_a_program_that_is_not_there_is_told_at_once(engine, any_mpi, name):  # noqa: ARG001
    failed = runtime.session.engine.kernel.rerun_count
    made = mpi(runner=any_mpi.runner, binary=name, processes=2, processes_per_node=2)(task(returns=1)(of_each))
    with pytest.raises(ProgramError, match=rf"@mpi of task of_each .*: there is no program '?{name}"):
        compss_wait_on(made(1))
    assert runtime.session.engine.kernel.rerun_count == failed


@pytest.mark.engines("cluster")
def test_the_variable_of_a_runner_is_that_of_the_main_program(engine, mpich, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("RUNNER_OF_MAIN", mpich.runner)  # the agents run already
    made = mpi(runner="$RUNNER_OF_MAIN", processes=1)(task(returns=1, on_failure="FAIL")(of_each))
    assert compss_wait_on(made(7)) == [7]


def test_without_mpi4py_it_is_said_what_is_missing(mpich, tmp_path):
    """An interpreter that finds the package and cloudpickle, and nothing else that was installed."""
    import cloudpickle

    from taskflow.runners import rank, ranks

    os.symlink(os.path.dirname(taskflow.__file__), tmp_path / "taskflow")
    os.symlink(os.path.dirname(cloudpickle.__file__), tmp_path / "cloudpickle")
    ended = subprocess.run(
        [mpich.runner, "-n", "1", sys.executable, "-S", "-c", ranks._CODE, str(tmp_path), "/no/folder", "1", "mpirun"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert ended.returncode != 0
    (report,), rest = rank.reports_in(ended.stderr)
    assert b"taskflow-report" not in rest
    assert report[1:3] == ("raised", 0)
    assert re.search("needs mpi4py, which .* is not installed; pip install mpi4py", report[4][1])
    assert decode_blob(report[4][0]).is_final


@pytest.mark.engines("sequential")
class TestPlainCalls:
    def test_a_program_is_run_on_this_machine(self, engine, mpich, capsys):  # noqa: ARG002
        assert program(mpich, fail_by_exit_value=False)("x", 3, ".") == 3
        assert sorted(re.findall("x . of .", capsys.readouterr().out)) == ["x 0 of 2", "x 1 of 2"]

    def test_the_body_of_a_function_runs_once_with_a_warning(self, engine, mpich):  # noqa: ARG002
        with pytest.warns(ArgumentWarning, match="without a session the function runs once"):
            assert ranks(mpich, lambda x: x + 1)(1) == 2

    def test_several_programs_need_a_session(self, engine, mpich):  # noqa: ARG002
        made = mpmd_mpi(runner=mpich.runner, programs=[{"binary": "true"}])(task()(of_each))
        with pytest.raises(UnavailableError, match="several MPI programs can only be run in a session"):
            made(1)


@pytest.mark.engines("sequential")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "@mpi needs the argument 'runner'"),
        ({"runner": ""}, "runner is the name or the path"),
        ({"runner": "mpirun", "binary": "x", "args": "{{nothing}}"}, "args mentions {{nothing}}"),
        ({"runner": "mpirun", "flags": "'"}, "cannot be split into words"),
        ({"runner": "mpirun", "value_layout": {"block_length": 2}}, "must be a dictionary with block_count"),
        ({"runner": "mpirun", "value_layout": {"block_count": 0}}, "block_count is a whole number of at least 1"),
        ({"runner": "mpirun", "value_layout": {"block_count": 1, "x": 1}}, "has no key 'x'"),
        ({"runner": "mpirun", "value_layout": {"block_count": 1}}, "'value' is no collection"),
        ({"runner": "mpirun", "other_layout": {"block_count": 1}}, "which the task has not"),
        ({"runner": "mpirun", "binary": "x", "value_layout": {"block_count": 1}}, "is for Python functions"),
    ],
)
def test_what_is_wrong_is_told_where_it_is_written(engine, arguments, message):  # noqa: ARG001
    with pytest.raises(ArgumentError, match=message):
        mpi(**arguments)(task()(of_each))
