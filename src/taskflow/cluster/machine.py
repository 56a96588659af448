"""This machine: what it offers to tasks, and a resources.xml that says so."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskflow.model.requirements import Node, Processor

#: What asking a GPU's driver may take; it is slow when the GPU has slept.
_PATIENCE_S = 30


def usable_cores() -> int:
    """Cores this process may use: its affinity mask, and the CPU quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, quota) if quota is not None else cores)


def _cgroup_quota(root: str = "/sys/fs/cgroup") -> int | None:
    """Whole cores granted by the control group (version 2, then 1), or None without a limit."""
    try:
        limit, period = Path(root, "cpu.max").read_text().split()
        if limit != "max":
            return max(1, int(limit) // int(period))
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(Path(root, "cpu", "cpu.cfs_quota_us").read_text())
        period_us = int(Path(root, "cpu", "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return max(1, limit_us // period_us) if limit_us > 0 and period_us > 0 else None


def describe_node(cores: int, folder: str) -> Node:
    """What this machine offers to tasks, with the disk that the folder is on. A GB is 10^9 bytes."""
    from taskflow.model.requirements import Node, Processor

    system = os.uname()
    distribution, version = _distribution()
    disk = os.statvfs(folder)
    gpus = visible_gpus()
    processors = [Processor(cores, "CPU", architecture=system.machine)]
    if gpus:
        processors.append(Processor(len(gpus), "GPU"))
    return Node(
        name=system.nodename, processors=tuple(processors), memory_size=usable_memory() / 1e9,
        storage_size=disk.f_bavail * disk.f_frsize / 1e9, operating_system_type=system.sysname,
        operating_system_distribution=distribution, operating_system_version=version,
    )  # fmt: skip


def programs_here() -> list[str]:
    """Which of the programs that start others are on this machine."""
    import shutil

    from taskflow.model.requirements import PROGRAMS

    return [names for names in PROGRAMS if any(map(shutil.which, names.split(" or ")))]


def usable_memory(root: str = "/sys/fs/cgroup") -> int:
    """Bytes of memory of the machine, or fewer if the control group allows fewer."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(total, int(Path(root, name).read_text()))
        except (OSError, ValueError):
            continue
    return total


def _distribution(release: str = "/etc/os-release") -> tuple[str, str]:
    """Name and version of the operating system, "" where they are not known."""
    try:
        lines = Path(release).read_text(encoding="utf-8").splitlines()
    except OSError:
        return "", ""
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    return said.get("NAME", "").strip('"'), said.get("VERSION_ID", "").strip('"')


def device_numbers(node: Node) -> dict[str, Sequence[int]]:
    """The numbers, for the drivers, of the devices that tasks on this machine get, if it has what the node has."""
    numbers: dict[str, Sequence[int]] = dict(node.devices)
    visible = visible_gpus()
    if len(visible) >= len(numbers.get("GPU", ())) > 0:
        numbers["GPU"] = visible[: len(numbers["GPU"])]
    return numbers


def visible_gpus(devices: str = "/dev") -> list[int]:
    """The numbers of the GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(number) for number in visible.split(",") if number.strip().isdigit()]
    names = [name.removeprefix("nvidia") for name in os.listdir(devices) if name.startswith("nvidia")]
    return sorted(int(number) for number in names if number.isdigit())


# ---------------------------------------------------------------------- a file that says so


def resources_xml() -> str:
    """A resources.xml of this machine, with what the system tells of it; the software is left to the user."""
    import tempfile

    from lxml import etree

    node = describe_node(usable_cores(), tempfile.gettempdir())
    root = etree.Element("ResourcesList")
    compute = etree.SubElement(root, "ComputeNode", Name=node.name)
    cpu = node.processors[0]
    _add_processor(compute, _cpu_name(), cpu.units, cpu.architecture, _cpu_speed(), "CPU", 0.0)
    for gpu in _gpus():
        _add_processor(compute, gpu.name, gpu.units, "", 0.0, "GPU", gpu.internal_memory_size)
    _add(compute, "Memory", Size=f"{node.memory_size:.1f}", Type="Volatile")
    _add(compute, "Storage", Size=f"{node.storage_size:.0f}", Type="Persistent")
    _add(
        compute, "OperatingSystem", Type=node.operating_system_type, Distribution=node.operating_system_distribution,
        Version=node.operating_system_version,
    )  # fmt: skip
    compute.append(etree.Comment(
        " What is installed, for constraints on app_software: <Software><Application>NAME</Application></Software> "
    ))  # fmt: skip
    etree.indent(root, "    ")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- Sizes are in GB, speeds in GHz. -->\n'
    return f"{head}{etree.tostring(root, encoding='unicode')}\n"


def _add_processor(
    compute: Any, name: str, units: int, architecture: str, speed: float, kind: str, memory: float
) -> None:
    processor = _add(
        compute, "Processor", ComputingUnits=str(units), Architecture=architecture,
        Speed=f"{speed:.2f}" if speed else "", Type=kind, InternalMemorySize=f"{memory:.1f}" if memory else "",
    )  # fmt: skip
    processor.set("Name", name)


def _add(parent: Any, name: str, **texts: str) -> Any:
    """A new element with elements of these texts; those without a text are left out."""
    from lxml import etree

    element = etree.SubElement(parent, name)
    for inner, text in texts.items():
        if text:
            etree.SubElement(element, inner).text = text
    return element


def _cpu_name(info: str = "/proc/cpuinfo") -> str:
    return _said_of_cpu("model name", info) or os.uname().machine


def _cpu_speed(info: str = "/proc/cpuinfo", system: str = "/sys/devices/system/cpu/cpu0/cpufreq") -> float:
    """GHz of a core, at most; 0 if nobody says."""
    try:
        return int(Path(system, "cpuinfo_max_freq").read_text()) / 1e6
    except (OSError, ValueError):
        pass
    try:
        return float(_said_of_cpu("cpu MHz", info)) / 1e3
    except ValueError:
        return 0.0


def _said_of_cpu(what: str, info: str) -> str:
    try:
        text = Path(info).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{what}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _gpus() -> list[Processor]:
    """The GPUs of this machine, those of one model together."""
    from taskflow.model.requirements import Processor

    counts: dict[tuple[str, float], int] = {}
    known = _gpus_told()
    for number in visible_gpus():
        model = known.get(number, ("GPU", 0.0))
        counts[model] = counts.get(model, 0) + 1
    return [Processor(count, "GPU", name, internal_memory_size=size) for (name, size), count in counts.items()]


def _gpus_told() -> dict[int, tuple[str, float]]:
    """Model and memory (GB) of each GPU by number, as far as ``nvidia-smi`` is there and tells them."""
    command = ["nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(_read_gpus(done.stdout.splitlines())) if not done.returncode else {}


def _read_gpus(lines: Iterable[str]) -> Iterable[tuple[int, tuple[str, float]]]:
    for line in lines:
        index, _, rest = line.partition(",")
        name, _, mebibytes = rest.rpartition(",")
        if index.strip().isdigit():
            size = mebibytes.strip()
            yield int(index), (name.strip() or "GPU", int(size) * 2**20 / 1e9 if size.isdigit() else 0.0)
