"""Nodes that die, fall silent, come back: a run ends with the answer of `python app.py`, or says clearly why it cannot.

Each test runs a program of `programs` on real hosts (see `NamespaceCluster`), breaks something in the middle of it, and
compares what it prints with what it prints under plain Python. The fixture `runs` then looks for what is left behind.
"""

import time

import psutil
import pytest

from tests.cli.conftest import until
from tests.cluster.hosts.namespaces import MASTER
from tests.cluster.runs import FOLDER, answer

TIMEOUT_S = 2
#: So long a run may need from a loss to its end: the node's time-out, and the work that is done again.
SOON_S = 25
NOTICED = f"--node-timeout={TIMEOUT_S}"
LOST = "is lost"


@pytest.fixture
def chains(runs):
    """Start the 200 tasks and wait until they are under way; give the run."""

    def start(*options, pause="0.03", **more):
        run = runs.start("chains.py", pause, options=[*runs.describe(), NOTICED, *options], **more)
        run.wait_for("under way")
        return run

    return start


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def right(run, program="chains.py", *arguments, patience=SOON_S):
    """A run ends well, with the right answer."""
    code = run.end(patience)
    assert code == 0, str(run)
    assert run.output == answer(program, *(arguments or ["0"])), str(run)


def test_200_tasks_on_three_hosts(runs, chains):
    run = chains()
    for node in runs.cluster.nodes:
        assert runs.executors(node), f"nothing runs on {node}"
    right(run)
    assert LOST not in run.errors


# --- processes are killed ------------------------------------------------------------------------------------


def test_an_agent_is_killed(runs, chains):
    run = chains()
    (agent,) = runs.agents("node2")
    below = agent.children(recursive=True)
    agent.kill()
    until(lambda: not any(is_alive(process) for process in below))
    right(run)
    assert LOST in run.errors


def test_an_executor_is_killed(runs, chains):
    run = chains()
    runs.executors("node3")[-1].kill()
    right(run)
    assert LOST not in run.errors


def test_the_main_program_is_killed(runs, chains):
    run = chains(pause="0.2")
    run.kill()
    begin = time.monotonic()
    run.end()
    runs.assert_clean(*runs.cluster.nodes, patience=10)
    assert time.monotonic() - begin < 10


# --- hosts die -----------------------------------------------------------------------------------------------


def test_a_host_crashes(runs, chains):
    run = chains()
    runs.cluster.crash("node1")
    right(run)
    assert LOST in run.errors


def test_a_host_falls_silent(runs, chains):
    run = chains()
    runs.cluster.poweroff("node1")
    right(run)
    assert "node1" in run.errors
    assert LOST in run.errors


def test_all_hosts_but_one_die(runs, chains):
    run = chains()
    runs.cluster.poweroff("node3")
    runs.cluster.crash("node1")
    right(run, patience=40)


def test_a_host_that_comes_back_runs_tasks_again(runs):
    run = runs.start("rounds.py", options=[*runs.describe(), NOTICED])
    run.wait_for("node1 node2 node3")
    runs.cluster.poweroff("node2")
    run.wait_for("node1 node3")
    runs.cluster.plug("node2")
    runs.cluster.boot("node2")
    run.wait_for("node1 node2 node3")
    runs.cluster.path(MASTER, f"{FOLDER}/enough").touch()
    assert run.end() == 0, str(run)


@pytest.mark.parametrize("way", ["crash", "poweroff"])
def test_data_that_existed_on_the_lost_node_only_is_made_again(runs, way):
    can_make = "<Software><Application>maker</Application></Software>"
    options = [*runs.describe(["node1", "node2"], elements={"node1": can_make, "node2": can_make}), NOTICED]
    run = runs.start("only_there.py", options=options)
    place = run.wait_for("made on ").split()[-1]
    getattr(runs.cluster, way)(place)
    runs.cluster.path(MASTER, f"{FOLDER}/go").touch()
    assert run.end(SOON_S) == 0, str(run)
    lines = run.output.splitlines()
    size = 500_000
    total = 4 * (size * (size + 1) // 2)
    assert lines[0] == str(total)
    assert lines[2] == str([2 * total] * 4)
    assert lines[3] == "10000"
    assert place not in lines[4]


# --- the network is bad --------------------------------------------------------------------------------------


def test_a_cable_is_pulled_for_a_moment(runs):
    run = runs.start("chains.py", "0.1", options=[*runs.describe(), "--node-timeout=8"])
    run.wait_for("under way")
    runs.cluster.unplug("node1")
    time.sleep(2)
    runs.cluster.plug("node1")
    right(run)
    assert LOST not in run.errors


def test_a_cable_is_pulled_for_longer_than_the_time_out(runs, chains):
    run = chains(pause="0.1")
    runs.cluster.unplug("node1")
    until(lambda: not runs.processes("node1"))  # the agent there notices, too, and ends everything
    runs.cluster.plug("node1")
    right(run)
    assert LOST in run.errors


@pytest.mark.parametrize(("source", "target"), [("node1", MASTER), (MASTER, "node1")])
def test_nothing_arrives_in_one_direction(runs, chains, source, target):
    run = chains()
    runs.cluster.block(source, target)
    right(run)
    assert LOST in run.errors
    # The agent that is not heard, or hears nothing, ends by itself.
    until(lambda: not runs.processes("node1"))


def test_two_nodes_cannot_reach_one_another(runs):
    runs.cluster.block("node1", "node2")
    run = runs.start("chains.py", options=[*runs.describe(), NOTICED])
    right(run, patience=40)


def test_50_ms_each_way(runs):
    for node in runs.cluster.nodes:
        runs.cluster.latency(node, 50)
    run = runs.start("chains.py", options=[*runs.describe(), "--node-timeout=5"])
    right(run, patience=40)
    assert LOST not in run.errors


def test_one_packet_in_a_hundred_is_lost(runs):
    for node in runs.cluster.nodes:
        runs.cluster.loss(node, 1)
    run = runs.start("chains.py", options=[*runs.describe(), "--node-timeout=5"])
    right(run, patience=40)


# --- the disk is full ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folders", [("/dev/shm",), ("/tmp", "/dev/shm")], ids=["memory", "all"])
def test_the_disk_of_a_node_is_full(runs, chains, folders):
    run = chains()
    fillers = [runs.cluster.fill("node2", folder, leave=1_000_000) for folder in folders]
    right(run)
    for filler in fillers:
        filler.unlink()


# --- what cannot go on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["crash", "poweroff"])
def test_no_node_is_left_that_can_run_a_task(runs, way):
    can = {"node2": "<Software><Application>special</Application></Software>"}
    run = runs.start("unable.py", options=[*runs.describe(elements=can), NOTICED])
    run.wait_for("under way")
    getattr(runs.cluster, way)("node2")
    begin = time.monotonic()
    assert run.end(SOON_S) == 1, str(run)
    assert time.monotonic() - begin < 15
    assert "special" in run.errors
    assert "node2" in run.errors


def test_all_nodes_are_lost(runs, chains):
    run = chains()
    for node in runs.cluster.nodes:
        runs.cluster.crash(node)
    begin = time.monotonic()
    assert run.end(SOON_S) == 1, str(run)
    assert time.monotonic() - begin < 15
    assert LOST in run.errors


def test_the_run_ends_with_the_first_lost_node_if_that_is_wanted(runs, chains):
    run = chains("--shutdown_in_node_failure=true")
    runs.cluster.crash("node3")
    begin = time.monotonic()
    assert run.end(SOON_S) == 1, str(run)
    assert time.monotonic() - begin < 10
    assert "node3" in run.errors
    assert "--shutdown_in_node_failure" in run.errors


# --- several runs, users, folders ----------------------------------------------------------------------------


def test_two_runs_on_the_same_nodes(runs, chains):
    first = chains(pause="0.05")
    second = chains(pause="0.05", folder="/root/other")
    runs.agents("node1")[0].kill()  # a node of one of them
    for run in (first, second):
        assert run.end(SOON_S) == 0, str(run)
        assert run.output == answer("chains.py", "0"), str(run)
    assert (LOST in first.errors) != (LOST in second.errors)
