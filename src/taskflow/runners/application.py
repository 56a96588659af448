"""A whole program of tasks as the body of one task: a run within the run, on the nodes that the task has."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as ET

from taskflow.model.errors import ProgramError
from taskflow.runners.binary import Program
from taskflow.runners.command import truth


@dataclasses.dataclass(frozen=True)
class Application(Program):
    """A program of tasks. ``binary`` is its script; ``launcher`` what runs it ("": this version of taskflow).

    ``flags``: options of the launcher. ``worker_in_master``: the first node, on which its main program runs, has tasks,
    too. With one node and our own launcher, it has as many executors as the task has computing units; else it is told
    of its nodes by a ``resources.xml`` and a ``project.xml``.
    """

    launcher: str = ""
    flags: str = ""
    worker_in_master: bool | int | str = True

    decorator: ClassVar[str] = "compss"

    def argv(self, texts: dict[str, list[str]], folder: str) -> list[str]:
        """See `Program.argv`."""
        command = [sys.executable, "-m", "taskflow"]
        if self.launcher:
            remedy = "leave runcompss= away to run it by taskflow, or give the path of another launcher"
            command = [self.tool(self.launcher, folder, remedy)]
        flags = shlex.split(os.path.expandvars(self.flags))
        script = self.file(self.binary, folder, "app_name")
        return [*command, *self._machines(), *flags, script, *self.arguments(texts, folder)]

    def _machines(self) -> list[str]:
        """The options that name its nodes."""
        units = os.environ.get("COMPSS_NUM_THREADS", "1")
        hosts = os.environ.get("COMPSS_HOSTNAMES", "localhost").split(",")
        works = truth(self.worker_in_master, self.where, "worker_in_master")
        if not works and len(hosts) == 1:
            raise ProgramError(
                f"{self.where}: worker_in_master is false, but it has no other node that could run its tasks; say "
                f"computing_nodes=2 or more"
            )
        if len(hosts) == 1 and not self.launcher:
            return [f"--workers={units}"]
        scratch = os.environ.get("COMPSS_WORKING_DIR") or None
        if scratch:
            os.makedirs(scratch, mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="machines-", dir=scratch))
        project, resources = folder / "project.xml", folder / "resources.xml"
        project.write_bytes(_project(hosts[1:], units if works else ""))
        resources.write_bytes(_resources(hosts[1:], units))
        return [f"--project={project}", f"--resources={resources}"]


def _project(hosts: list[str], units_of_master: str) -> bytes:
    root = ET.Element("Project")
    master = ET.SubElement(root, "MasterNode")
    if units_of_master:
        _add_processor(master, units_of_master)
    for host in hosts:
        node = ET.SubElement(root, "ComputeNode", Name=host)
        ET.SubElement(node, "InstallDir").text = os.environ.get("COMPSS_HOME", "/opt/COMPSs/")
        ET.SubElement(node, "WorkingDir").text = tempfile.gettempdir()
    return _document(root)


def _resources(hosts: list[str], units: str) -> bytes:
    root = ET.Element("ResourcesList")
    for host in hosts:
        node = ET.SubElement(root, "ComputeNode", Name=host)
        _add_processor(node, units)
        adaptors = ET.SubElement(node, "Adaptors")
        adaptor = ET.SubElement(adaptors, "Adaptor", Name="es.bsc.compss.nio.master.NIOAdaptor")
        system = ET.SubElement(adaptor, "SubmissionSystem")
        ET.SubElement(system, "Interactive")
        ports = ET.SubElement(adaptor, "Ports")
        ET.SubElement(ports, "MinPort").text = "43001"
        ET.SubElement(ports, "MaxPort").text = "43002"
    return _document(root)


def _add_processor(parent: ET.Element, units: str) -> None:
    processor = ET.SubElement(parent, "Processor", Name="main")
    ET.SubElement(processor, "ComputingUnits").text = units


def _document(root: ET.Element) -> bytes:
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
