"""From the options of a run to its cluster."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from taskflow.model.cluster import Cluster
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from taskflow.model.cluster import ClusterOptions


def cluster_of(options: ClusterOptions) -> Cluster | None:
    """The machines that the options name; None if they name none, so that there is this one only.

    Raises ArgumentError for options, and ClusterFileError for files, that make no sense.
    """
    if not options.names_machines:
        return None
    if options.nodes and (options.resources or options.project):
        raise ArgumentError(
            "--nodes names the machines, and so do --resources and --project; give the one or the other (a file can "
            "say everything: `runtask cluster describe` writes one)"
        )
    if options.nodes:
        return _of_hosts(options.nodes)
    from taskflow.cluster.files import cluster_of_files

    return cluster_of_files(options.resources, options.project)


def _of_hosts(entries: tuple[str, ...]) -> Cluster:
    import tempfile

    from taskflow.cluster.hosts import is_home, setups_of
    from taskflow.cluster.machine import describe_node, usable_cores

    setups = setups_of(entries)
    here = [setup for setup in setups if is_home(setup)]
    if len(here) > 1:
        names = " and ".join(setup.name for setup in here)
        raise ArgumentError(f"--nodes: {names} are one machine, this one; leave all but one of them out")
    home = None
    if here:
        home = describe_node(here[0].node.units or usable_cores(), tempfile.gettempdir())
        home = dataclasses.replace(home, name=here[0].name)
    remote = tuple([setup for setup in setups if setup not in here])
    return Cluster(nodes=remote, home=home, home_setup=here[0] if here else None, source="--nodes")
