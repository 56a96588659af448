"""What a session needs before it can begin: cores, folders, engine, progress line. Imported when one is started."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import TaskflowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from taskflow.drivers.check import Check
    from taskflow.drivers.engine import Engine
    from taskflow.drivers.simulated import Faults
    from taskflow.model.requirements import Node
    from taskflow.observe.journal import Journal
    from taskflow.observe.progress import Progress
    from taskflow.runtime import Session


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


def describe_node(cores: int, run_dir: str) -> tuple[Node, list[int]]:
    """What this machine offers to tasks, and the numbers of its GPUs. A GB is 10^9 bytes."""
    from taskflow.model.requirements import Node, Processor

    system = os.uname()
    distribution, version = _distribution()
    disk = os.statvfs(run_dir)
    gpus = _gpus()
    processors = [Processor(cores, "CPU", architecture=system.machine)]
    if gpus:
        processors.append(Processor(len(gpus), "GPU"))
    node = Node(
        name=system.nodename, processors=tuple(processors), memory_size=_memory() / 1e9,
        storage_size=disk.f_bavail * disk.f_frsize / 1e9, operating_system_type=system.sysname,
        operating_system_distribution=distribution, operating_system_version=version,
    )  # fmt: skip
    return node, gpus


def _memory(root: str = "/sys/fs/cgroup") -> int:
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


def _gpus(devices: str = "/dev") -> list[int]:
    """The numbers of the GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(number) for number in visible.split(",") if number.strip().isdigit()]
    names = [name.removeprefix("nvidia") for name in os.listdir(devices) if name.startswith("nvidia")]
    return sorted(int(number) for number in names if number.isdigit())


def make_run_dir(wanted: str | os.PathLike[str] | None, argv: list[str]) -> tuple[str, Path]:
    """Create the private folder of the run; return the run's id and the folder."""
    script = Path(argv[0]).stem if argv and argv[0] else "session"
    label = "".join(char if char.isalnum() or char in "-_" else "_" for char in script)[:40] or "session"
    identity = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"
    if wanted is not None:
        folder = Path(wanted).absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / "journal.jsonl").exists():
            raise TaskflowError(f"the run folder {folder} already holds a run; name another one")
        return identity, folder
    for base in (Path.cwd() / ".taskflow", Path.home() / ".taskflow", Path(tempfile.gettempdir())):
        folder = base / f"{label}-{identity}"
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError:
            continue
        return identity, folder
    raise TaskflowError("no folder for the run can be made; name one with --run-dir (or run_dir=...)")


def make_engine(
    kind: str, run_dir: str, segments: str, journal: Journal, workers: int, settings: dict[str, Any], seed: int | None,
    faults: Faults | None, bodies: Callable[[Any], AbstractContextManager[None]],
) -> Engine:  # fmt: skip
    """The engine of a new session. Raises ValueError for a kind that does not exist."""
    if kind == "local":
        from taskflow.drivers.live import LiveEngine

        return LiveEngine(run_dir, segments, journal, workers, settings)
    if kind == "simulated":
        from taskflow.drivers.simulated import SimulatedEngine

        return SimulatedEngine(
            run_dir, segments, journal, workers, seed or 0, faults, bodies, checked=settings["check"]
        )
    raise ValueError(f"unknown engine {kind!r}; there are 'local' and 'simulated'")


def make_progress(owner: Session, wanted: bool | None) -> Progress | None:
    """The status line of a session: wanted, unwanted, or (None) shown on terminals."""
    if wanted is False or (wanted is None and not (sys.stderr is not None and sys.stderr.isatty())):
        return None
    from taskflow.observe.progress import Counts, Progress

    def counts() -> Counts:
        kernel = owner.engine.kernel
        executors = list(kernel.executors.values())
        running = sum(1 for executor in executors if executor.inflight)
        done = kernel.submitted - kernel.unfinished - kernel.failed_count
        return Counts(kernel.submitted, running, done, kernel.failed_count, len(executors))

    return Progress(counts)


def make_check(engine: Engine, run_dir: Path, wanted: bool | str) -> Check | None:
    """The check of a session: wanted, wanted with the power to fail the run ("error"), or not."""
    if not wanted:
        return None
    from taskflow.drivers.check import Check

    return Check(engine, run_dir, fails=wanted == "error")


def make_segment_folder(identity: str) -> str:
    """A private folder for shared segments: in ``/dev/shm`` if it can be written, else among temporary files."""
    folder = "/dev/shm"  # noqa: S108  mkdtemp makes a folder of our own in it
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        folder = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix=f"taskflow-{identity}-", dir=folder)
