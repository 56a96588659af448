"""resources.xml and project.xml become a cluster.

resources.xml says what machines there are and what they offer; project.xml which of them a run uses, and how to get
there. Without project.xml every ComputeNode is used. A node that is this machine needs no SSH: its tasks run at home.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, NamedTuple

from taskflow.cluster.documents import Problems, read
from taskflow.cluster.elements import (
    Access,
    Application,
    access_of,
    application_of,
    check_host,
    meant,
    named,
    node_of,
    title,
    user_of,
)
from taskflow.cluster.hosts import expand, is_home
from taskflow.model.cluster import Cluster, HttpService, NodeSetup, Part
from taskflow.model.errors import ArgumentError, ClusterFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.model.requirements import Node

#: What is read for later use, and why it has no effect yet.
_UNUSED = {
    "Cloud": "this version makes no virtual machines",
    "DataNode": "this version reads files on the machines that run tasks only",
    "Service": "this version calls no SOAP services",
}
_UNUSED_THERE = ("CloudProvider", "DataNode", "Service")


class _Offer(NamedTuple):
    """A node as resources.xml describes it."""

    node: Node
    access: Access


class _Resources:
    """What resources.xml says. Raises ClusterFileError."""

    def __init__(self, path: str) -> None:
        self.path = path
        root = read(path, "ResourcesList")
        problems = Problems(path)
        for kind in ("SharedDisk", "DataNode", "ComputeNode", "Service", "Http", "CloudProvider", "ComputingCluster"):
            _check_names(root.all(kind), problems)
        self.disks = [named(disk) for disk in root.all("SharedDisk")]
        self.parts = {title(part): part for part in root.parts}
        self.nodes: dict[str, _Offer] = {}
        for part in root.all("ComputeNode"):
            check_host(part, named(part), problems)
            self.nodes[named(part)] = self._offer(named(part), part, problems)
        self.clusters = {
            named(cluster): {
                named(part): (part, self._offer(named(part), part, problems, cluster))
                for part in cluster.all("ClusterNode")
            }
            for cluster in root.all("ComputingCluster")
        }
        for cluster in root.all("ComputingCluster"):
            _check_names(cluster.all("ClusterNode"), problems, title(cluster))
        for part in root.all("DataNode"):
            node_of(named(part), part, problems, self.disks)  # for what may be wrong with it
        problems.stop_if_any()
        self.http = {part.attributes["BaseUrl"]: _http(part) for part in root.all("Http")}

    def _offer(self, name: str, part: Part, problems: Problems, cluster: Part | None = None) -> _Offer:
        access = access_of((cluster or part).find("Adaptors"), problems)
        return _Offer(node_of(name, part, problems, self.disks, cluster), access)

    def names(self, kind: str) -> list[str]:
        """Names of the elements of that kind."""
        return [title(part).partition(" ")[2] for part in self.parts.values() if part.name == kind]


def _check_names(parts: Iterable[Part], problems: Problems, inside: str = "") -> None:
    lines: dict[str, int] = {}
    for part in parts:
        name = title(part)
        if name in lines:
            where = f"{inside} > {name}" if inside else name
            problems.add(part.line, where, f"line {lines[name]} has that name, too; give each {part.name} its own")
        lines.setdefault(name, part.line)


def _http(part: Part, limit: int | None = None) -> HttpService:
    return HttpService(part.attributes["BaseUrl"], tuple([each.text for each in part.all("ServiceName")]), limit)


# ---------------------------------------------------------------------- both files together


def cluster_of_files(resources: str, project: str) -> Cluster:
    """The cluster that the files describe; ``project`` may be "".

    Raises ClusterFileError, which says everything that is wrong in one of the files, and ArgumentError if there is no
    resources file.
    """
    if not resources:
        raise ArgumentError(
            "--project says which machines of a resources file are used, so it needs --resources, too; "
            "`runtask cluster describe --write resources.xml` writes one of this machine"
        )
    there = _Resources(resources)
    if project:
        return _Merge(there, project).cluster()
    setups = [_setup(offer, offer.access) for offer in there.nodes.values()]
    problems = Problems(resources)
    home, remote = _part_home(setups, problems)
    problems.stop_if_any()
    if not setups:
        hint = "; services alone are named with --service NAME=URL" if there.http else ""
        raise ClusterFileError(f"{resources}: there is no ComputeNode in it, so nothing can run tasks{hint}")
    here = home.node if home else None
    return Cluster(
        nodes=tuple(remote), home=here, home_setup=home, home_disks=here.disks if here else (),
        http_services=tuple(there.http.values()), source=resources,
    )  # fmt: skip


def _setup(offer: _Offer, access: Access, part: Part | None = None, limit: int | None = None) -> NodeSetup:
    """How to start the node; ``part``: what project.xml says of it."""
    application = application_of(part.find("Application")) if part else Application()
    node = dataclasses.replace(offer.node, queues=access.queues, limit_of_tasks=limit)
    return NodeSetup(
        node=node, host=node.name, user=access.user, port=access.port,
        working_dir=part.value("WorkingDir") if part else "",
        interpreter=application.interpreter, pythonpath=application.pythonpath,
        library_path=application.library_path, classpath=application.classpath, app_dir=application.app_dir,
        environment_script=application.environment_script, identities=access.identities,
        known_hosts=access.known_hosts, min_port=access.min_port, max_port=access.max_port,
    )  # fmt: skip


def _part_home(setups: list[NodeSetup], problems: Problems) -> tuple[NodeSetup | None, list[NodeSetup]]:
    """The node that is this machine, if there is one, and the others."""
    here = [setup for setup in setups if is_home(setup)]
    if len(here) > 1:
        names = " and ".join(setup.name for setup in here)
        problems.add(1, "", f"{names} are one machine, this one; leave all but one of them out")
    return here[0] if here else None, [setup for setup in setups if setup not in here]


class _Merge:
    """project.xml, with what resources.xml says of the machines in it."""

    def __init__(self, resources: _Resources, path: str) -> None:
        self.resources = resources
        self.path = path
        self.root = read(path, "Project")
        self.problems = Problems(path)

    def cluster(self) -> Cluster:
        """The cluster. Raises ClusterFileError."""
        root, problems = self.root, self.problems
        for kind in ("ComputeNode", "DataNode", "Service", "Http", "ComputingCluster"):
            _check_names(root.all(kind), problems)
            for part in root.all(kind):
                self._is_known(part)
        setups = [self._node(part) for part in root.all("ComputeNode") if named(part) in self.resources.nodes]
        for cluster in root.all("ComputingCluster"):
            if named(cluster) in self.resources.clusters:
                setups += self._nodes_of_cluster(cluster)
        unused = [part for part in root.parts if part.name in _UNUSED]
        for cloud in root.all("Cloud"):
            self._check_cloud(cloud)
        self._check_twice(setups)
        home_setup, remote = _part_home(setups, problems)
        home, home_disks = self._home(home_setup)
        problems.stop_if_any()
        if home is None and not remote:
            raise ClusterFileError(
                f"{self.path}: no machine in it can run tasks; add a ComputeNode that {self.resources.path} has, or a "
                f"Processor to MasterNode, so that tasks run on the machine of the main program"
            )
        return Cluster(
            nodes=tuple(remote), home=home, home_setup=home_setup, home_disks=home_disks,
            http_services=tuple([self._service(part) for part in root.all("Http")]),
            unused=(*unused, *[part for part in self.resources.parts.values() if part.name in _UNUSED_THERE]),
            source=f"{self.resources.path} and {self.path}",
            notes=tuple([f"{title(part)} in {self.path} has no effect: {_UNUSED[part.name]}" for part in unused]),
        )  # fmt: skip

    def _is_known(self, part: Part) -> bool:
        if title(part) in self.resources.parts:
            return True
        name, known = title(part).partition(" ")[2], self.resources.names(part.name)
        there = f"; it has {', '.join(known)}" if known else "; it has none"
        self.problems.add(
            part.line,
            title(part),
            f"{self.resources.path} has no {part.name} of that name{meant(name, known) or there}",
        )
        return False

    def _node(self, part: Part) -> NodeSetup:
        offer = self.resources.nodes[named(part)]
        return _setup(offer, self._access(offer, part), part, _limit(part))

    def _access(self, offer: _Offer, part: Part) -> Access:
        access = offer.access.updated(access_of(part.find("Adaptors"), self.problems))
        return access.updated(Access(user=user_of(part, self.problems)))

    def _nodes_of_cluster(self, cluster: Part) -> list[NodeSetup]:
        """Its nodes, each reached by its own name: ``node[1-4]`` are four hosts."""
        setups: list[NodeSetup] = []
        there = self.resources.clusters[named(cluster)]
        for part in cluster.all("ClusterNode"):
            where = f"{title(cluster)} > {title(part)}"
            if named(part) not in there:
                known = ", ".join(there)
                self.problems.add(
                    part.line, where, f"{self.resources.path} has no ClusterNode of that name in {named(cluster)}"
                    f"{meant(named(part), there) or f'; it has {known}'}",
                )  # fmt: skip
                continue
            described, offer = there[named(part)]
            wanted, most = int(part.value("NumberOfNodes")), described.value("MaxNumNodes")
            try:
                hosts = expand(named(part))
            except ArgumentError as error:
                self.problems.add(part.line, where, str(error))
                continue
            if most and wanted > int(most):
                self.problems.add(part.line, where, f"NumberOfNodes is {wanted}, but MaxNumNodes there is {most}")
            elif wanted > len(hosts):
                name = f"{named(part).partition('[')[0]}[1-{wanted}]"
                self.problems.add(
                    part.line, where, f"NumberOfNodes is {wanted}, but the name stands for {len(hosts)}; nodes are "
                    f"reached over SSH by name, so write in both files what the hosts are called, such as {name}",
                )  # fmt: skip
            access = self._access(offer, cluster)
            for host in hosts[:wanted]:
                check_host(part, host, self.problems)
                own = offer._replace(node=dataclasses.replace(offer.node, name=host))
                setups.append(_setup(own, access, cluster, _limit(cluster)))
        return setups

    def _check_twice(self, setups: list[NodeSetup]) -> None:
        names = [setup.name for setup in setups]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.problems.add(self.root.line, "", f"the node {name} is named more than once; name it once")

    def _home(self, setup: NodeSetup | None) -> tuple[Node | None, tuple[tuple[str, str], ...]]:
        """What this machine offers, and the shared disks it has: by MasterNode, by a ComputeNode, or by both."""
        part = self.root.find("MasterNode")
        node = None if setup is None else setup.node
        if part is None:
            return node, node.disks if node else ()
        master = node_of(os.uname().nodename, part, self.problems, self.resources.disks)
        disks = dict([*(node.disks if node else ()), *master.disks])
        if not master.processors:
            return node, tuple(disks.items())
        if node is not None:  # both say that it runs tasks: what they offer adds up
            master = dataclasses.replace(node, processors=(*master.processors, *node.processors))
        return master, tuple(disks.items())

    def _check_cloud(self, cloud: Part) -> None:
        for part in cloud.all("CloudProvider"):
            if not self._is_known(part):
                continue
            there = self.resources.parts[title(part)]
            for group, kind in (("Images", "Image"), ("InstanceTypes", "InstanceType")):
                used, offered = part.find(group), there.find(group)
                known = [named(each) for each in offered.all(kind)] if offered else []
                for each in used.all(kind) if used else ():
                    if named(each) not in known:
                        self.problems.add(
                            each.line, f"{title(part)} > {title(each)}",
                            f"{self.resources.path} has no {kind} of that name{meant(named(each), known)}",
                        )  # fmt: skip

    def _service(self, part: Part) -> HttpService:
        return dataclasses.replace(self.resources.http[part.attributes["BaseUrl"]], limit_of_tasks=_limit(part))


def _limit(part: Part) -> int | None:
    text = part.value("LimitOfTasks")
    return int(text) if text else None
