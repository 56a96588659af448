"""The machines of a run: what the user's files and options say of each, for those who start nodes and use them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskflow.model.requirements import Node

#: Seconds without an answer after which a node counts as lost.
NODE_TIMEOUT_S = 8.0


@dataclasses.dataclass(frozen=True)
class NodeSetup:
    """A node and how to get there: what `launch` needs to start an agent on it. "" and 0 mean: not said.

    ``node``: what it offers to tasks. If nobody has said how many computing units it has (`Node.is_unit_count_known`
    is false), the agent counts the cores, and `Node.with_units` gives the node as it is. ``described``: what nobody has
    said of it, besides, is not known; if false, it was merely named, and has what its agent finds (`Node.found`).
    ``host``, ``user``, ``port``: where SSH connects to; the user's SSH configuration may say more.
    ``working_dir``: the folder under which runs keep their folders; not said: ``taskflow-<user id>`` in the temporary
    folder of the node. ``interpreter``: the Python to run there. ``pythonpath``, ``library_path``, ``classpath``,
    ``app_dir``, ``environment_script``: what its tasks find. ``identities``: files with private keys;
    ``known_hosts``: a file to use in place of the user's. ``min_port``, ``max_port``: the ports that its data server
    may listen on; 0: any.
    """

    node: Node
    host: str
    user: str = ""
    port: int = 0
    working_dir: str = ""
    interpreter: str = ""
    pythonpath: tuple[str, ...] = ()
    library_path: tuple[str, ...] = ()
    classpath: tuple[str, ...] = ()
    app_dir: str = ""
    environment_script: str = ""
    identities: tuple[str, ...] = ()
    known_hosts: str = ""
    min_port: int = 0
    max_port: int = 0
    described: bool = True

    @property
    def name(self) -> str:
        """The node's name, under which messages speak of it."""
        return self.node.name

    @property
    def queues(self) -> frozenset[str]:
        """The queues of the node, in capital letters."""
        return self.node.queues

    @property
    def disks(self) -> tuple[tuple[str, str], ...]:
        """(name of a shared disk, where it is mounted on the node)."""
        return self.node.disks


@dataclasses.dataclass(frozen=True)
class Part:
    """An element of one of the user's files as it stands there, with its line: what is read for later use."""

    name: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    parts: tuple[Part, ...] = ()

    def all(self, name: str) -> list[Part]:
        """The elements of that name in it."""
        return [part for part in self.parts if part.name == name]

    def find(self, *path: str) -> Part | None:
        """The first element down the path, None if there is none."""
        found: Part | None = self
        for name in path:
            found = next((part for part in found.parts if part.name == name), None) if found is not None else None
        return found

    def value(self, *path: str) -> str:
        """The text of the first element down the path, "" if there is none."""
        found = self.find(*path)
        return "" if found is None else found.text


@dataclasses.dataclass(frozen=True)
class HttpService:
    """A web server whose services tasks call. ``limit_of_tasks``: calls at a time, None: any number."""

    base_url: str
    services: tuple[str, ...] = ()
    limit_of_tasks: int | None = None


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All machines of a run.

    ``nodes``: those that are reached over SSH. ``home``: what the machine of the main program offers to tasks; None:
    it runs none. ``home_setup``: what is said of paths and environment for tasks at home. ``home_disks``: (name of a
    shared disk, where it is mounted at home), also if home runs no tasks. ``http_services``: for tasks that are calls
    of web services. ``unused``: what the files say besides, of clouds, data nodes and services. ``source``: the files
    or the option that say all this, for messages. ``notes``: sentences for people on what has no effect.
    """

    nodes: tuple[NodeSetup, ...] = ()
    home: Node | None = None
    home_setup: NodeSetup | None = None
    home_disks: tuple[tuple[str, str], ...] = ()
    http_services: tuple[HttpService, ...] = ()
    unused: tuple[Part, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[Node, ...]:
        """Every node that runs tasks, home first."""
        remote = tuple([setup.node for setup in self.nodes])
        return remote if self.home is None else (self.home, *remote)


@dataclasses.dataclass(frozen=True)
class ClusterOptions:
    """What the command line (or `taskflow.start`) says of the machines to use. Nothing said: this machine only.

    ``resources``, ``project``: XML files. ``nodes``: ``[user@]host[:computing units]`` of each node, without files.
    ``ssh_config``: a file in place of the user's. ``tunnel``: nodes connect through SSH and not directly. ``listen``:
    the address on which the main program waits for nodes, "" for all. ``node_timeout``: seconds without an answer
    after which a node counts as lost. ``keep_working_dir``: the folders of the run stay on the nodes.
    ``shutdown_in_node_failure``: the loss of a node ends the run. ``scheduler``: the policy that picks nodes, by name;
    "" for the usual one. ``plan``: a file with the plan of the policy "predefined". ``variables``: (name, value) of
    what the environment of tasks has on all nodes; ``prepended``: what comes before that of the node, with colons
    between the parts (PATH and the like).
    """

    resources: str = ""
    project: str = ""
    nodes: tuple[str, ...] = ()
    ssh_config: str = ""
    tunnel: bool = False
    listen: str = ""
    node_timeout: float = NODE_TIMEOUT_S
    keep_working_dir: bool = False
    shutdown_in_node_failure: bool = False
    scheduler: str = ""
    plan: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    prepended: tuple[tuple[str, str], ...] = ()

    @property
    def names_machines(self) -> bool:
        """Whether they say which machines there are."""
        return bool(self.resources or self.project or self.nodes)
