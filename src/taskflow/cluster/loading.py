"""From the options of a run to its cluster."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from taskflow.model.cluster import Cluster
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.model.cluster import ClusterOptions
    from taskflow.model.requirements import Node


def cluster_of(options: ClusterOptions, this_machine: Callable[[], Node]) -> Cluster | None:
    """The machines that the options name; None if they name none, so that there is this one only.

    ``this_machine`` tells what this one offers; it is asked if it is named without more words. Raises ArgumentError
    for options, and ClusterFileError for files, that make no sense.
    """
    if not options.names_machines:
        return None
    if options.nodes and (options.resources or options.project):
        raise ArgumentError(
            "--nodes names the machines, and so do --resources and --project; give the one or the other (a file can "
            "say everything: `runtask cluster describe` writes one)"
        )
    if options.nodes:
        return _of_hosts(options.nodes, this_machine)
    from taskflow.cluster.files import cluster_of_files

    return cluster_of_files(options.resources, options.project)


def _of_hosts(entries: tuple[str, ...], this_machine: Callable[[], Node]) -> Cluster:
    from taskflow.cluster.hosts import is_home, setups_of

    setups = setups_of(entries)
    here = [setup for setup in setups if is_home(setup)]
    if len(here) > 1:
        names = " and ".join(setup.name for setup in here)
        raise ArgumentError(f"--nodes: {names} are one machine, this one; leave all but one of them out")
    home = None
    if here:
        node = this_machine()
        said = here[0].node.units
        home = dataclasses.replace(node, processors=(dataclasses.replace(node.processors[0], units=said),
                                                     *node.processors[1:])) if said else node  # fmt: skip
    remote = tuple([setup for setup in setups if setup not in here])
    return Cluster(nodes=remote, home=home, home_setup=here[0] if here else None, source="--nodes")
