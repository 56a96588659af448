"""Real hosts for tests: SSH servers on loopback addresses, and machines of their own in namespaces."""

import pytest

from tests.cluster.hosts import loopback, namespaces
from tests.cluster.runs import Runs


@pytest.fixture(scope="session")
def loopback_hosts(tmp_path_factory):
    """Three SSH servers that live as long as the tests. Take `loopback_cluster`, which is clean for each test."""
    if reason := loopback.reason_to_skip():
        pytest.skip(reason)
    with loopback.LoopbackCluster(tmp_path_factory.mktemp("loopback")) as cluster:
        yield cluster


@pytest.fixture
def loopback_cluster(loopback_hosts):
    """Three SSH servers on 127.0.1.x (see `LoopbackCluster`), all of them up and their folders empty."""
    loopback_hosts.reset()
    return loopback_hosts


@pytest.fixture(scope="session")
def namespace_hosts():
    """Hosts master, node1, node2, node3 that live as long as the tests. Take `namespace_cluster`."""
    if reason := namespaces.reason_to_skip():
        pytest.skip(reason)
    with namespaces.NamespaceCluster(3, shared=("master", "node1", "node2", "node3")) as cluster:
        yield cluster


@pytest.fixture
def namespace_cluster(namespace_hosts):
    """Hosts master, node1, node2, node3 (see `NamespaceCluster`), all up, connected and as new."""
    namespace_hosts.reset()
    return namespace_hosts


@pytest.fixture
def runs(namespace_cluster):
    """Runs of programs on the hosts in namespaces (see `Runs`). What a run leaves on any host is an error."""
    runs = Runs(namespace_cluster)
    yield runs
    runs.close()
    runs.assert_clean()
