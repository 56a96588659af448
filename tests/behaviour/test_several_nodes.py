"""Tasks that have several nodes at once: how many, and what becomes of them where there is one machine."""

import os
import warnings

import pytest

import taskflow
from taskflow import RequirementsError, TaskflowWarning, compss_wait_on, constraint, task
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError

NODES = 2


def on(hosts):
    """A decorator above ``@task`` that says how many nodes it has."""

    def decorate(target):
        function = task_under(target, "on")
        function.options.hosts = hosts
        function.changed()
        return function

    return decorate


def seen():
    names = ("COMPSS_NUM_NODES", "COMPSS_HOSTNAMES", "COMPSS_NUM_THREADS", "OMP_NUM_THREADS")
    return [os.environ[name] for name in names]


@on(2)
@task(returns=1)
def pair():
    return seen()


@on("count")
@task(returns=1)
def as_many(count):
    return [*seen(), count][:-1]


@on("NODES")
@task(returns=1)
def as_the_global_says():
    return seen()


@on("${HOW_MANY_NODES}")
@task(returns=1)
def as_the_variable_says():
    return seen()


@on("0")
@task()
def nowhere():
    pass


@on("nothing_of_that_name")
@task()
def who_knows():
    pass


@on(2)
@constraint(computing_units=0)
@task()
def without_units():
    pass


@pytest.fixture(autouse=True)
def four(tmp_path):
    """Four computing units on one machine."""
    yield taskflow.start(workers=4, run_dir=tmp_path / "run", progress=False)
    taskflow.stop(cancel=True)


def threads(result):
    number, names, *counts = compss_wait_on(result)
    assert (number, names) == ("1", os.uname().nodename)
    assert len(set(counts)) == 1
    return int(counts[0])


def test_one_machine_stands_for_all_nodes_and_that_is_said_once():
    with pytest.warns(TaskflowWarning, match="this run has one machine"):
        found = pair()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [threads(found), threads(as_many(3)), threads(as_many(100))] == [2, 3, 4]


@pytest.mark.filterwarnings("ignore:.*this run has one machine")
def test_the_number_of_nodes_is_found_out_at_each_call(monkeypatch):
    assert [threads(as_many("2")), threads(as_many(1.0))] == [2, 1]
    assert threads(as_the_global_says()) == 2
    monkeypatch.setitem(globals(), "NODES", "3")
    assert threads(as_the_global_says()) == 3
    monkeypatch.setenv("HOW_MANY_NODES", "2")
    assert threads(as_the_variable_says()) == 2
    monkeypatch.setenv("HOW_MANY_NODES", "4")
    assert threads(as_the_variable_says()) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (nowhere, "the number of nodes of task nowhere is a whole number of at least 1, not '0'"),
        (who_knows, "neither an argument of the call nor a global of the task's module has that name"),
        (lambda: as_many(1.5), "is a whole number of at least 1, not 1.5"),
        (lambda: as_many("many"), "is a whole number, not 'count'"),
        (as_the_variable_says, "taken from the environment variable HOW_MANY_NODES, which is not set"),
        (without_units, "task without_units needs no computing unit"),
    ],
)
def test_a_number_of_nodes_that_makes_no_sense_fails_the_call(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.filterwarnings("ignore:.*this run has one machine")
def test_what_the_machine_does_not_have_for_one_of_the_nodes_fails_the_call():
    @on(2)
    @constraint(computing_units=5)
    @task()
    def wide():
        pass

    with pytest.raises(RequirementsError, match=r"task .*wide needs what this machine does not have"):
        wide()
