"""Tasks that have several nodes at once, on agents and executors of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import taskflow
from taskflow import (
    RequirementsError,
    TaskGroup,
    compss_barrier,
    compss_cancel_group,
    compss_wait_on,
    constraint,
    runtime,
    task,
)
from taskflow.drivers import remote
from taskflow.model.errors import NoNodeError, TimeOutError
from taskflow.node.span import LAUNCHER_VARIABLE
from taskflow.observe.summary import format_summary, summarise
from tests.cluster.agents import Agents, nodes, setup, wait_until
from tests.properties.spanning_functions import multinode

VARIABLES = ("COMPSS_NUM_NODES", "COMPSS_HOSTNAMES", "COMPSS_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.fixture
def agents(tmp_path):
    made = Agents(tmp_path)
    yield made
    taskflow.stop(cancel=True)
    wait_until(lambda: not made.left_behind(), what="folders are left")


@multinode(2)
@constraint(computing_units=2)
@task(returns=1)
def seen():
    return [os.environ[name] for name in VARIABLES]


@multinode("count")
@task(returns=1)
def at_once(number, count):
    return (number, os.environ["COMPSS_HOSTNAMES"].split(",")[:count])


@task(returns=1)
def small(number):
    return number


@multinode(2)
@task(returns=1, on_failure="FAIL")
def waits_the_first_time(folder):
    names = os.environ["COMPSS_HOSTNAMES"].split(",")
    attempt = len(list(Path(folder).iterdir()))
    Path(folder, f"attempt {attempt}").write_text(" ".join(names))
    time.sleep(2.5 if attempt else 60)
    return [*names, os.getpid()]


@multinode(2)
@task()
def lasts(folder):
    Path(folder, "begun").touch()
    time.sleep(60)


@multinode(2)
@task(time_out=1, on_failure="FAIL")
def too_long():
    time.sleep(60)


@multinode(2)
@task(returns=1)
def elsewhere():
    """What a program says that the task starts on its other node."""
    other = os.environ["COMPSS_HOSTNAMES"].split(",")[1]
    program = f"{sys.executable} -c \"import os; print(os.getpid(), os.environ['COMPSS_NUM_NODES'])\""
    command = [os.environ[LAUNCHER_VARIABLE], other, program]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=30
    ).stdout.split(), os.getpid()


def start(agents, *names, units=2, **options):
    session = agents.start(*[setup(name, units) for name in names], **options)
    wait_until(lambda: len(nodes()) == len(names))
    return session


def test_s18_the_body_sees_two_nodes_their_names_and_two_threads(agents):
    start(agents, "one", "two")
    number, names, *threads = compss_wait_on(seen())
    assert number == "2"
    assert sorted(names.split(",")) == ["one", "two"]
    assert threads == ["2", "2"]


def test_home_can_be_one_of_them(agents):
    start(agents, "one", home=2)
    number, names, *threads = compss_wait_on(seen())
    assert number == "2"
    assert sorted(names.split(",")) == ["127.0.0.1", "localhost"]
    assert threads == ["2", "2"]


def test_they_run_among_small_tasks_and_the_summary_says_where(agents):
    session = start(agents, "one", "two", "three")
    results = []
    for number in range(200):
        results.append(small(number))
        if number % 50 == 25:
            results.append(at_once(number, count=2 + number // 100))
    found = compss_wait_on(results)
    assert [value for value in found if type(value) is int] == list(range(200))
    large = [value for value in found if type(value) is not int]
    assert [(number, len(set(names))) for number, names in large] == [(25, 2), (75, 2), (125, 3), (175, 3)]
    crews = session.engine.kernel.crews.values()
    wait_until(lambda: not any(crew.claims or crew.share or crew.reserved for crew in crews))
    taskflow.stop()
    summary = summarise(session.run_dir / "journal.jsonl")
    assert sorted(span.nodes for span in summary.spans) == sorted(tuple(names) for _, names in large)
    assert "at_once" in format_summary(summary).partition("Task on several nodes")[2]


def test_its_programs_reach_its_other_node(agents):
    start(agents, "one", "two")
    (pid, number), own = compss_wait_on(elsewhere())
    assert int(pid) != own
    assert number == "2"


def test_a_task_whose_other_node_is_lost_runs_again_and_that_does_not_count(agents, tmp_path):
    """Also on the very executor that was told to end the first attempt, and for longer than that has to end."""
    folder = tmp_path / "attempts"
    folder.mkdir()
    session = start(agents, "one", "two", units=1)
    result = waits_the_first_time(str(folder))
    wait_until(lambda: list(folder.iterdir()))
    wait_until((folder / "attempt 0").read_text)
    first, other = (folder / "attempt 0").read_text().split()
    pids = {link.pid for link in session.engine.links.values() if link.node.name == first}
    os.kill(agents.pid(other), signal.SIGKILL)
    *names, pid = compss_wait_on(result)
    assert names == [first, other]  # which is there again
    assert {pid} == pids
    assert session.engine.kernel.rerun_count == 1


def test_a_task_for_which_there_are_too_few_nodes_fails_at_the_call(agents):
    start(agents, "one", "two")
    with pytest.raises(RequirementsError) as raised:
        at_once(1, count=3)
    text = str(raised.value)
    assert "needs what fewer than 3 nodes have" in text
    assert "nodes at once" in text
    assert "2 (one, two)" in text or "2 (two, one)" in text


def test_a_task_for_which_too_few_nodes_are_left_fails_with_the_reason(agents, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETURN_S", 0.5)
    start(agents, "one", "two", units=1)
    agents.refuse.update(["one", "two"])
    lasts(str(tmp_path))
    waits = at_once(1, count=2)
    wait_until((tmp_path / "begun").exists)
    os.kill(agents.pid("two"), signal.SIGKILL)
    with pytest.raises(NoNodeError, match="it needs 2 nodes at once, and of the 1 that are left 1 satisfies"):
        compss_wait_on(waits)
    with pytest.raises(NoNodeError):
        compss_barrier()


def test_cancelled_and_late_tasks_give_their_nodes_back(agents, tmp_path):
    start(agents, "one", "two", units=1)
    with TaskGroup("cancelled", implicit_barrier=False):
        lasts(str(tmp_path))
    waits = at_once(1, count=2)
    wait_until((tmp_path / "begun").exists)
    compss_cancel_group("cancelled")
    assert compss_wait_on(waits)[0] == 1
    too_long()
    after = at_once(2, count=2)
    assert compss_wait_on(after)[0] == 2
    with pytest.raises(TimeOutError):
        compss_barrier()
    assert runtime.session.engine.kernel.unfinished == 0
