"""What is worth looking at after a run is in its run folder, wherever it was written."""

import contextlib
import os
import sys

import pytest

import taskflow
from taskflow import ExecutorDiedError, ProgramError, binary, compss_barrier, compss_wait_on, task
from tests.cluster.agents import Agents


@binary(binary=sys.executable, args=["-c", "import sys; print('out', 6 * 7); print('err', file=sys.stderr)"])
@task(returns=1)
def speaks():
    pass


@binary(binary=sys.executable, args=["-c", "import sys; print('a last word'); sys.exit(3)"])
@task(returns=1, on_failure="FAIL")
def fails():
    pass


@binary(binary=sys.executable, args=["-c", "print('x' * 1_000_000_0); print('y' * 70_000_000)"])
@task(returns=1)
def talks():
    pass


@task(returns=1, on_failure="FAIL")
def dies():
    os.write(2, b"its last words\n")
    os.abort()


@task()
def sleeps():
    import time

    time.sleep(60)


@pytest.fixture
def agents(tmp_path):
    """Sessions with a node; nothing is left of it."""
    it = Agents(tmp_path)
    yield it
    taskflow.stop(cancel=True)
    for process in it.processes.values():
        process.close()
    assert it.left_behind() == []


def files(folder):
    """Contents of the files of a folder and those below, by their endings."""
    return {path.suffix: path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_programs_have_printed_on_a_node_is_brought_home(agents):
    session = agents.start()
    assert compss_wait_on(speaks()) == 0
    with pytest.raises(ProgramError) as failure:
        compss_wait_on(fails())
    taskflow.stop()
    programs = session.run_dir / "programs"
    assert sorted(path.read_text() for path in programs.iterdir()) == ["a last word\n", "err\n", "out 42\n"]
    assert "on node far, and when the run has ended in programs/far-" in str(failure.value)
    assert programs.stat().st_mode & 0o077 == 0


def test_it_is_also_if_the_run_is_given_up(agents):
    session = agents.start()
    assert compss_wait_on(speaks()) == 0
    sleeps()
    taskflow.stop(cancel=True)
    assert files(session.run_dir / "programs") == {".out": "out 42\n", ".err": "err\n"}


def test_the_log_of_an_executor_that_died_is_brought_home(agents):
    session = agents.start()
    with pytest.raises(ExecutorDiedError) as failure:
        compss_wait_on(dies())
    taskflow.stop()
    (log,) = session.run_dir.glob("executor-*.log")
    assert "its last words\n" in log.read_text()
    assert f"on node far, and when the run has ended {log}" in str(failure.value)


def test_very_much_is_cut_off_and_told(agents, capsys):
    session = agents.start()
    with contextlib.redirect_stdout(None):
        assert compss_wait_on(speaks()) == 0
        assert compss_wait_on(talks()) == 0
    taskflow.stop()
    sizes = sorted(path.stat().st_size for path in (session.run_dir / "programs").glob("*.out"))
    assert sizes[0] == len("out 42\n")
    assert sum(sizes) == (64 << 20) - len("err\n")
    assert "MiB of what programs have printed on nodes were not sent here" in capsys.readouterr().err


def test_nothing_is_made_if_there_is_nothing_to_keep(agents):
    session = agents.start()
    compss_barrier()
    taskflow.stop()
    assert not (session.run_dir / "programs").exists()
    assert list(session.run_dir.glob("executor-*.log")) == []
