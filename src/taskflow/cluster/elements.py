"""What the elements of resources.xml and project.xml say, in the terms of `model`."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from taskflow.cluster.hosts import HOST, USER
from taskflow.cluster.names import near
from taskflow.model.requirements import Node, Processor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.cluster.documents import Problems
    from taskflow.model.cluster import Part


def title(part: Part) -> str:
    """How messages call an element."""
    name = next((part.attributes[key] for key in ("Name", "wsdl", "BaseUrl") if key in part.attributes), "")
    return f"{part.name} {name}".strip()


def named(part: Part) -> str:
    """The name of an element that has one."""
    return part.attributes["Name"]


# ---------------------------------------------------------------------- what a node offers


def node_of(name: str, part: Part, problems: Problems, disks: Iterable[str], shared: Part | None = None) -> Node:
    """The node that a ComputeNode, ClusterNode or MasterNode describes.

    ``disks``: the shared disks that there are; ``shared``: an element that says more of it (a cluster of its nodes).
    """
    processors = tuple([_processor(each) for each in part.all("Processor")])
    if processors and not any(each.type == "CPU" for each in processors):
        problems.add(
            part.line, title(part), "it has no Processor of the Type CPU; every task needs computing units of one, so "
            "add it",
        )  # fmt: skip
    system = part.find("OperatingSystem") or (shared and shared.find("OperatingSystem")) or None
    software = [*part.all("Software"), *(shared.all("Software") if shared else ())]
    attached = [*part.all("SharedDisks"), *(shared.all("SharedDisks") if shared else ())]
    return Node(
        name=name,
        processors=processors,
        memory_size=_number(part, "Memory", "Size"),
        memory_type=part.value("Memory", "Type"),
        storage_size=_number(part, "Storage", "Size"),
        storage_type=part.value("Storage", "Type"),
        storage_bw=_number(part, "Storage", "Bandwidth"),
        operating_system_type=system.value("Type") if system else "",
        operating_system_distribution=system.value("Distribution") if system else "",
        operating_system_version=system.value("Version") if system else "",
        software=frozenset(each.text.upper() for group in software for each in group.all("Application")),
        disks=tuple([disk for group in attached for disk in _disks(group, problems, disks)]),
    )


def _processor(part: Part) -> Processor:
    pairs = [(each.value("Key"), each.value("Value")) for each in part.all("ProcessorProperty")]
    return Processor(
        int(part.value("ComputingUnits")), part.value("Type") or "CPU", named(part), part.value("Architecture"),
        float(part.value("Speed") or 0), frozenset(pairs), float(part.value("InternalMemorySize") or 0),
    )  # fmt: skip


def _number(part: Part, *path: str) -> float | None:
    text = part.value(*path)
    return float(text) if text else None


def _disks(part: Part, problems: Problems, known: Iterable[str]) -> Iterable[tuple[str, str]]:
    for disk in part.all("AttachedDisk"):
        name, mount_point = named(disk), disk.value("MountPoint")
        if name not in known:
            declare = f'; declare it at the top of resources.xml: <SharedDisk Name="{name}"/>'
            problems.add(disk.line, title(disk), f"there is no SharedDisk of that name{meant(name, known) or declare}")
        if not mount_point.startswith("/"):
            problems.add(disk.line, title(disk), f"its MountPoint begins with /; {mount_point!r} does not")
        yield name, os.path.normpath(mount_point)


def meant(name: str, known: Iterable[str]) -> str:
    """A hint at the name that is near."""
    found = near(name, known)
    return f"; did you mean {found}?" if found else ""


# ---------------------------------------------------------------------- how to get to a node


@dataclasses.dataclass(frozen=True)
class Access:
    """What Adaptors say of the way to a node. "", 0 and () mean: nothing."""

    user: str = ""
    port: int = 0
    min_port: int = 0
    max_port: int = 0
    identities: tuple[str, ...] = ()
    known_hosts: str = ""
    queues: frozenset[str] = frozenset()

    def updated(self, other: Access) -> Access:
        """This, where the other says nothing."""
        names = [field.name for field in dataclasses.fields(self)]
        return Access(**{name: getattr(other, name) or getattr(self, name) for name in names})


def access_of(part: Part | None, problems: Problems) -> Access:
    """What an Adaptors element says: of each thing, what the first adaptor that speaks of it says; and all queues."""
    access = Access()
    for adaptor in part.all("Adaptor") if part else ():
        min_port, max_port = (int(adaptor.value("Ports", name) or 0) for name in ("MinPort", "MaxPort"))
        if min_port > max_port:
            problems.add(adaptor.line, f"{title(adaptor)} > Ports", f"MinPort {min_port} is above MaxPort {max_port}")
        batch = adaptor.find("SubmissionSystem", "Batch")
        properties = adaptor.find("BatchProperties") or (batch and batch.find("BatchProperties"))
        queues = frozenset(queue.text.upper() for queue in batch.all("Queue")) if batch else frozenset[str]()
        said = Access(
            user_of(adaptor, problems), int((properties.value("Port") if properties else "") or 0), min_port, max_port,
            tuple([_path(each.text) for each in adaptor.all("IdentityPath")]), _path(adaptor.value("KnownHostsPath")),
        )  # fmt: skip
        access = dataclasses.replace(said.updated(access), queues=access.queues | queues)
    return access


def user_of(part: Part, problems: Problems) -> str:
    """What the User element in a node or an adaptor says."""
    user = part.value("User")
    if user and not USER.fullmatch(user):
        problems.add(part.line, f"{title(part)} > User", f"{user!r} cannot be the name of a user")
    return user


def check_host(part: Part, name: str, problems: Problems) -> None:
    """The name of a node is the host that is connected to."""
    if not HOST.fullmatch(name):
        problems.add(
            part.line, title(part), f"{name!r} cannot be the name of a host: letters, digits, '.', '-' and '_' (or an "
            f"address, or an alias of your SSH configuration)",
        )  # fmt: skip


# ---------------------------------------------------------------------- what tasks find there


@dataclasses.dataclass(frozen=True)
class Application:
    """What an Application element of project.xml says."""

    app_dir: str = ""
    library_path: tuple[str, ...] = ()
    classpath: tuple[str, ...] = ()
    pythonpath: tuple[str, ...] = ()
    environment_script: str = ""
    interpreter: str = ""


def application_of(part: Part | None) -> Application:
    """What tasks of a node find. Paths are those of the node."""
    if part is None:
        return Application()
    return Application(
        part.value("AppDir"), _folders(part.value("LibraryPath")), _folders(part.value("Classpath")),
        _folders(part.value("Pythonpath")), part.value("EnvironmentScript"), part.value("PythonInterpreter"),
    )  # fmt: skip


def _folders(text: str) -> tuple[str, ...]:
    return tuple([folder for folder in text.split(":") if folder])


def _path(text: str) -> str:
    """A path on the machine of the main program."""
    return os.path.abspath(os.path.expanduser(text)) if text else ""
