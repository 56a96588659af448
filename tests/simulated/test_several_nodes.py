"""Tasks with several nodes and all else that tasks can be, on a simulated cluster: bodies run in this process."""

import os

import pytest

import taskflow
from taskflow import compss_barrier, compss_wait_on, constraint, implement, task
from taskflow.drivers.simulated import Faults
from taskflow.drivers.simulated_nodes import SimulatedNode
from tests.core import invariants
from tests.properties.spanning_functions import multinode

SEEN = []


@pytest.fixture(autouse=True)
def unchanged_environment():
    """Bodies that wait for others share the process with them, but not the variables of their tasks."""
    before = {name: value for name, value in os.environ.items() if name.startswith("COMPSS_")}
    yield
    assert {name: value for name, value in os.environ.items() if name.startswith("COMPSS_")} == before


def names():
    return os.environ["COMPSS_HOSTNAMES"].split(",")


def note():
    SEEN.append(names())


@multinode(2)
@task(is_replicated=True)
def everywhere():
    note()


@multinode(2)
@task(is_distributed=True)
def in_turn():
    note()


@multinode(2)
@task(returns=1)
def pair(x):
    note()
    return x


@multinode(2)
@task(returns=1)
def pair_of_pairs(x):
    return compss_wait_on([pair(x), pair(x + 1)]) + names()


@multinode(2)
@task(returns=1, on_failure="IGNORE", defaults={"returns": 7})
def fails():
    note()
    raise ValueError("as always")


@task(returns=1)
def choice(x):
    return x


@implement(source_class=__name__, method="choice")
@multinode(2)
@constraint(computing_units=2)
@task(returns=1)
def choice_of_two(x):
    note()
    return x


@pytest.fixture(autouse=True)
def cluster(tmp_path):
    SEEN.clear()
    nodes = tuple([SimulatedNode(units=2) for _ in range(3)])
    with taskflow.session(
        engine="simulated",
        seed=1,
        workers=1,
        faults=Faults(nodes=nodes, home=False),
        run_dir=tmp_path / "run",
        progress=False,
        nesting=False,
    ) as session:
        session.engine.check = lambda engine: invariants.check(engine.kernel)
        yield session


def test_a_replicated_task_runs_on_every_node_with_another_beside_it():
    everywhere()
    compss_barrier()
    assert sorted(first for first, _ in SEEN) == ["n1", "n2", "n3"]
    assert all(first != second for first, second in SEEN)


def test_the_nodes_take_turns_as_the_first_of_a_distributed_task():
    for _ in range(6):
        in_turn()
    compss_barrier()
    assert sorted(first for first, _ in SEEN) == ["n1", "n1", "n2", "n2", "n3", "n3"]


def test_a_task_with_several_nodes_waits_for_others_that_it_has_called(cluster):
    pair_of_pairs.options.nested = True
    pair_of_pairs.changed()
    results = [pair_of_pairs(10 * number) for number in range(4)]
    found = compss_wait_on(results)
    assert [value[:2] for value in found] == [[0, 1], [10, 11], [20, 21], [30, 31]]
    assert all(len({*value[2:]}) == 2 for value in found)
    assert not any(crew.claims or crew.set_aside for crew in cluster.engine.kernel.crews.values())


def test_its_failure_is_that_of_any_task(cluster):
    assert compss_wait_on(fails()) == 7
    assert cluster.engine.kernel.ignored_count == 1
    assert len(SEEN) == 1
    assert not any(crew.claims for crew in cluster.engine.kernel.crews.values())


def test_one_implementation_may_have_several_nodes():
    assert compss_wait_on([choice(number) for number in range(6)]) == list(range(6))
    assert SEEN
    assert all(len({*hosts}) == 2 for hosts in SEEN)
    assert len(SEEN) < 6
