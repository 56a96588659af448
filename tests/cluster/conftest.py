"""Real hosts for tests: SSH servers on loopback addresses, and machines of their own in namespaces."""

import pytest

from tests.cluster.hosts import loopback


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
