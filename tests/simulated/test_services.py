"""Requests to services in simulated runs, in which executors die and messages are late."""

import pytest

import taskflow
from taskflow import compss_wait_on, http, on_failure, task
from taskflow.drivers.simulated import Faults
from tests.behaviour.services import Server

FAULTS = Faults(death=0.1, idle_death=0.02, late=0.3, lost=0.3, duplicate=0.2, inline_limit=64, steps=0.5)


@http(service_name="s", request="POST", resource="json", payload="{'n': {{values}}}", produces="{'n': {{return_0}}}")
@task(returns=1)
def same(values):
    return values


@on_failure(management="IGNORE", returns=-1)
@http(service_name="s", request="GET", resource="status/500")
@task(returns=1)
def fail():
    return -1


@task(returns=1)
def longer(values, number):
    return [*values, number]


def program():
    chains = [[number] for number in range(4)]
    for step in range(3):
        chains = [longer(same(chain), step) for chain in chains]
        chains = [same(longer(chain, fail() if step == 1 else step)) for chain in chains]
    return compss_wait_on(chains)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize("seed", range(6))
def test_results_are_those_of_a_sequential_run(server, seed, tmp_path):
    expected = [[number, 0, 0, 1, -1, 2, 2] for number in range(4)]
    services = {"s": {"url": server.url, "limit": 1 + seed % 3}}
    with taskflow.session(
        workers=2, engine="simulated", seed=seed, faults=FAULTS, run_dir=tmp_path / "run", services=services
    ):
        assert program() == expected
