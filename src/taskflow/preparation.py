"""What a session needs before it can begin: cores, folders, engine, progress line. Imported when one is started."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskflow.model.cluster import ClusterOptions, HttpService
from taskflow.model.errors import ArgumentError, TaskflowError, TaskflowWarning
from taskflow.model.limits import HTTP_POOL_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from taskflow.core.scheduling import Scheduler
    from taskflow.drivers.check import Check
    from taskflow.drivers.engine import Engine
    from taskflow.drivers.remote import Launcher, Machines
    from taskflow.drivers.simulated import Faults
    from taskflow.model.cluster import Cluster
    from taskflow.observe.journal import Journal
    from taskflow.observe.progress import Progress
    from taskflow.runtime import Session


def machines(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a session for what `taskflow.start` was told of machines.

    Raises ArgumentError and ClusterFileError.
    """
    from taskflow.cluster.loading import cluster_of
    from taskflow.core.scheduling import scheduler_named

    if isinstance(given.get("nodes"), str):
        given["nodes"] = [given["nodes"]]
    given["nodes"] = tuple(given.get("nodes") or ())
    for name in ("resources", "project", "ssh_config", "plan"):
        given[name] = os.path.abspath(given[name]) if given.get(name) else ""
    if given.get("scheduler"):
        scheduler_named(given["scheduler"])  # so that a name that is none is told at once
    options = ClusterOptions(**given)
    if not options.node_timeout > 0:
        raise ArgumentError(f"--node-timeout is a number of seconds above 0, not {options.node_timeout!r}")
    cluster = cluster_of(options)
    notes = ("no machines are named (resources=..., or nodes=[...]), so this one runs all tasks",)
    for note in notes if cluster is None else cluster.notes:
        warnings.warn(note, TaskflowWarning, stacklevel=3)
    return {"cluster": cluster, "cluster_options": options}


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
    raise TaskflowError("no folder for the run can be made; name one with --run-dir")


def make_engine(
    kind: str, run_dir: str, segments: str, journal: Journal, workers: int, settings: dict[str, Any], seed: int | None,
    faults: Faults | None, bodies: Callable[[Any], AbstractContextManager[None]], others: Machines | None,
) -> Engine:  # fmt: skip
    """The engine of a new session. Raises ValueError for a kind that does not exist, or that knows no machines."""
    if others is not None and kind != "local":
        raise ValueError(f"the engine {kind!r} runs tasks on this machine only; name no other in resources and project")
    if kind == "local":
        from taskflow.drivers.live import LiveEngine

        return LiveEngine(run_dir, segments, journal, workers, settings, others)
    if kind == "simulated":
        from taskflow.drivers.simulated import SimulatedEngine

        return SimulatedEngine(
            run_dir, segments, journal, workers, seed or 0, faults, bodies, checked=settings["check"]
        )
    raise ValueError(f"unknown engine {kind!r}; there are 'local' and 'simulated'")


def make_machines(
    run: str, cluster: Cluster | None, options: ClusterOptions, launch: Launcher | None, words: Callable[[str], str]
) -> Machines | None:
    """What the engine has to know of other machines; None if there are none. ``launch`` starts agents there.

    ``launch`` is None where nothing else is said: then SSH does. ``words`` has messages call options as the user does.
    """
    if cluster is None or not cluster.nodes:
        return None
    from taskflow.drivers.remote import Machines

    if launch is None:
        from taskflow.launch.agents import Launcher as SshLauncher

        launch = SshLauncher(
            options.ssh_config, tunnel=options.tunnel, listen=options.listen, home_disks=cluster.home_disks, warn=_warn
        )
        if os.environ.get("TASKFLOW_LAUNCH_AGENT"):  # this run is a task of another
            from taskflow.launch.within import LauncherWithin

            launch = LauncherWithin(launch)
    return Machines(run, cluster, options, launch, _scheduler(cluster, options), words)


def make_services(cluster: Cluster | None, given: Mapping[str, Any]) -> dict[str, tuple[HttpService, ...]]:
    """The places of each service: those that the files of the cluster say, but for services that are ``given``.

    Raises ArgumentError.
    """
    found: dict[str, list[HttpService]] = {}
    for place in () if cluster is None else cluster.http_services:
        for name in place.services:
            found.setdefault(name, []).append(place)
    for name, said in given.items():
        urls, limit = (said.get("url"), said.get("limit")) if isinstance(said, dict) else (said, None)
        if isinstance(urls, str):
            urls = [urls]
        if not isinstance(urls, (list, tuple)) or not urls or not all(isinstance(url, str) for url in urls):
            raise ArgumentError(
                f"services={{{name!r}: ...}}: a URL, a list of URLs, or a dict with 'url' and 'limit', "
                f"not {type(said).__name__}"
            )
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ArgumentError(f"services={{{name!r}: ...}}: limit is a number of requests at a time, not {limit!r}")
        found[name] = [HttpService(url, (name,), limit) for url in urls]
    return {name: tuple(places) for name, places in found.items()}


def http_pool_size() -> int:
    """Requests to services that are made at a time. Raises ArgumentError if the environment says nonsense."""
    text = os.environ.get("COMPSS_HTTP_POOL_SIZE") or str(HTTP_POOL_SIZE)
    if not text.strip().isdecimal() or int(text) < 1:
        raise ArgumentError(f"COMPSS_HTTP_POOL_SIZE is a number of requests at a time, not {text!r}")
    return int(text)


def _scheduler(cluster: Cluster, options: ClusterOptions) -> Scheduler | None:
    """What picks nodes; None: the usual. Raises ArgumentError and ClusterFileError."""
    if not options.scheduler:
        return None
    from taskflow.core.scheduling import scheduler_named

    scheduler = scheduler_named(options.scheduler)
    if scheduler.plan is None:
        return scheduler
    from taskflow.cluster.plans import read_plan

    if not options.plan:
        raise ArgumentError("the scheduler predefined needs a plan: name its file with --scheduler-config-file")
    plan = read_plan(options.plan, [node.name for node in cluster.members])
    return dataclasses.replace(scheduler, plan={task: planned.nodes[0] for task, planned in plan.items()})


def _warn(text: str) -> None:
    """Tell the user at once. From other threads too, so it is no Python warning."""
    if sys.stderr is not None:
        sys.stderr.write(f"taskflow: {text}\n")


def make_progress(owner: Session, wanted: bool | None) -> Progress | None:
    """The status line of a session: wanted, unwanted, or (None) shown on terminals."""
    if wanted is False or (wanted is None and not (sys.stderr is not None and sys.stderr.isatty())):
        return None
    from taskflow.observe.progress import Counts, Progress

    def counts() -> Counts:
        kernel = owner.engine.kernel
        executors = [executor for executor in kernel.executors.values() if not executor.service]
        running = sum([
            len(executor.inflight) if executor.service else bool(executor.inflight)
            for executor in kernel.executors.values()
        ])  # fmt: skip
        done = kernel.submitted - kernel.unfinished - kernel.failed_count
        return Counts(kernel.submitted, running, done, kernel.failed_count, len(executors))

    return Progress(counts)


def make_check(engine: Engine, run_dir: Path, wanted: bool | str) -> Check | None:
    """The check of a session: wanted, wanted with the power to fail the run ("error"), or not."""
    if not wanted:
        return None
    from taskflow.drivers.check import Check

    return Check(engine, run_dir, fails=wanted == "error")


def make_segment_folder(identity: str) -> tuple[str, int]:
    """A private folder for shared segments: in ``/dev/shm`` if it can be written, else among temporary files.

    With it comes the open file by which it is known to be in use (see `launch.leftovers`).
    """
    from taskflow.launch import leftovers

    folder = "/dev/shm"  # noqa: S108  mkdtemp makes a folder of our own in it
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        folder = tempfile.gettempdir()
    leftovers.sweep(folder)
    made = tempfile.mkdtemp(prefix=f"taskflow-{identity}-", dir=folder)
    return made, leftovers.claim(made)
