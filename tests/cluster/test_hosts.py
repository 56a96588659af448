"""Nodes named on the command line."""

import os

import pytest

from taskflow.cluster.hosts import expand, setups_of
from taskflow.cluster.loading import cluster_of
from taskflow.cluster.machine import usable_cores
from taskflow.model.cluster import ClusterOptions
from taskflow.model.errors import ArgumentError


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        (["host1,host2:8,user@host3"], [("", "host1", 0), ("", "host2", 8), ("user", "host3", 0)]),
        (["host1", "host2"], [("", "host1", 0), ("", "host2", 0)]),
        (["me@node[1-3]:4"], [("me", "node1", 4), ("me", "node2", 4), ("me", "node3", 4)]),
        (["node[01,03-04],b"], [("", "node01", 0), ("", "node03", 0), ("", "node04", 0), ("", "b", 0)]),
        (["10.0.0.1:2,u@[fe80::1]:3"], [("", "10.0.0.1", 2), ("u", "fe80::1", 3)]),
        ([" a , b "], [("", "a", 0), ("", "b", 0)]),
    ],
)
def test_understood(entries, wanted):
    setups = setups_of(entries)
    assert [(setup.user, setup.host, setup.node.units) for setup in setups] == wanted
    assert all(setup.node.is_unit_count_known == bool(setup.node.units) for setup in setups)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([""], "a host is missing between the commas"),
        (["a,,b"], "a host is missing between the commas"),
        (["a:0"], "the number of computing units comes after the colon, from 1 on, not '0'"),
        (["a:"], "from 1 on, not ''"),
        (["a:many"], "not 'many'"),
        (["fe80::1"], "an IPv6 address stands in brackets"),
        (["@a"], "'' cannot be the name of a user"),
        (["u@"], "'u@' names no host"),
        (["a@b@c"], "names no host"),
        (["-oProxyCommand=x"], "'-oProxyCommand=x' cannot be the name of a host"),
        (["a b"], "cannot be the name of a host"),
        (["a,b,a:2"], "the host a is named more than once"),
        (["node[1-]"], "no range of numbers"),
        (["node[1-100000]"], "more than 10000 hosts"),
        (["localhost,127.0.0.1"], "are one machine, this one"),
    ],
)
def test_not_understood(entries, told):
    with pytest.raises(ArgumentError) as caught:
        cluster_of(ClusterOptions(nodes=tuple(entries)))
    assert told in str(caught.value)


def test_ranges_keep_leading_zeros():
    assert expand("r[08-10]n[1,2]") == ["r08n1", "r08n2", "r09n1", "r09n2", "r10n1", "r10n2"]


def test_no_options_name_no_machines():
    assert cluster_of(ClusterOptions()) is None


def test_this_machine_among_them_is_home():
    cluster = cluster_of(ClusterOptions(nodes=("localhost", "node1")))
    assert (cluster.home.name, cluster.home.units) == ("localhost", usable_cores())
    assert cluster.home.memory_size > 0
    assert [setup.host for setup in cluster.nodes] == ["node1"]


def test_this_machine_with_a_number_of_units():
    cluster = cluster_of(ClusterOptions(nodes=(f"{os.uname().nodename}:5",)))
    assert cluster.home.units == 5
    assert cluster.home.memory_size > 0


@pytest.mark.parametrize("files", [{"resources": "r.xml"}, {"project": "p.xml"}])
def test_files_or_names_but_not_both(files):
    with pytest.raises(ArgumentError, match="give the one or the other"):
        cluster_of(ClusterOptions(nodes=("a",), **files))


def test_units_that_were_not_known():
    (setup,) = setups_of(["a"])
    assert setup.node.with_units(16).executors == 16
    (setup,) = setups_of(["a:4"])
    assert setup.node.with_units(16).executors == 4
