"""``runtask cluster check``: connect to each node, and say what is there and what is wrong.

Nodes are started as for a run, so what works here works there: the same configuration, the same choice of a Python, the
same package sent along. What is measured comes from `launch.probe` on the node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from taskflow.cli.options import UsageError
from taskflow.launch import probe
from taskflow.launch.agents import Errand, Failure, Launcher, on_each, own_address, start, version_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskflow.launch.agents import RemoteProcess
    from taskflow.launch.ssh import Attempt
    from taskflow.model.cluster import Cluster, ClusterOptions, NodeSetup
    from taskflow.model.requirements import Node

PACKAGES = ("cloudpickle", "numpy")  #: looked for without being asked; a difference is worth a note, and no more
LIMIT_S = 60.0  #: for each node
ROUNDS = 5  #: the quickest of so many answers tells clock and round trip
TURN_S = 5.0  #: links are measured one after the other, but no node waits longer for its turn
CLOCK_S = 2.0  #: a clock that is further off is worth a note
SLACK = 1.05  #: memory is rounded in many ways


@dataclasses.dataclass
class Report:
    """What was found on one node. ``wrong``: a run would fail there; ``notes``: it may surprise."""

    name: str
    reached: bool
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    says: dict[str, Any] = dataclasses.field(default_factory=dict)
    connect_s: float = 0.0
    round_trip_s: float = 0.0
    clock_s: float = 0.0
    link_bytes_s: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def state(self) -> str:
        """In a word."""
        return "not reached" if not self.reached else "wrong" if self.wrong else "ok"


@dataclasses.dataclass
class Wishes:
    """The options of the check that are not of machines."""

    packages: list[str] = dataclasses.field(default_factory=list)
    as_json: bool = False
    limit: float = LIMIT_S


def take_wishes(words: list[str]) -> tuple[Wishes, list[str]]:
    """The options of the check, and the words that are left. Raises UsageError."""
    wishes = Wishes()
    left: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if word == "--json":
            wishes.as_json = True
        elif option not in ("--packages", "--timeout"):
            left.append(word)
        else:
            if not equals:
                value = rest.pop(0) if rest else ""
            if option == "--packages":
                wishes.packages += [name.strip() for name in value.split(",") if name.strip()]
            else:
                wishes.limit = _seconds(value)
    return wishes, left


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--timeout wants a number of seconds, not {text!r}")
    return seconds


def check(cluster: Cluster, options: ClusterOptions, wishes: Wishes) -> int:
    """Check the nodes of a cluster; the exit code is 1 if something is wrong. Raises SshError."""
    reports = reports_of(cluster, options, wishes.packages, wishes.limit)
    if wishes.as_json:
        found = [{**dataclasses.asdict(report), "state": report.state} for report in reports]
        sys.stdout.write(json.dumps({"source": cluster.source, "nodes": found}, indent=2) + "\n")
    else:
        sys.stdout.write(table(reports, wishes.packages))
    return 1 if any(report.wrong for report in reports) else 0


def reports_of(cluster: Cluster, options: ClusterOptions, packages: Sequence[str], limit: float) -> list[Report]:
    """What is found on this machine, if it is to run tasks, and on all nodes at once. Raises SshError."""
    launcher = Launcher(options.ssh_config, tunnel=options.tunnel, home_disks=cluster.home_disks)
    launcher.network  # noqa: B018  a configuration that cannot be read is one problem, not one of each node
    names = list(dict.fromkeys([*PACKAGES, *packages]))
    reports = []
    if cluster.home is not None:
        report = Report(cluster.home.name, reached=True, facts=probe.facts(names, _disks(cluster.home_disks), ""))
        _compare(report, cluster.home, packages)
        reports.append(report)
    with _Port(options.listen) as port:
        inspection = _Inspection(launcher, options, port, names, packages)
        results = on_each(cluster.nodes, inspection, limit)
    for setup, result in zip(cluster.nodes, results, strict=True):
        if isinstance(result, Failure):
            reports.append(Report(setup.name, reached=False, says=_said(setup.node), wrong=[result.why]))
        else:
            reports.append(result)
    return reports


class _Port:
    """A port here that nodes can send bytes to, as long as the check lasts. What comes is counted and thrown away."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0), backlog=256)
        threading.Thread(target=self._serve, name="taskflow-check", daemon=True).start()

    def __enter__(self) -> int:
        return int(self._socket.getsockname()[1])

    def __exit__(self, *exception: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(guest,), name="taskflow-check", daemon=True).start()

    @staticmethod
    def _take(guest: socket.socket) -> None:
        with guest, contextlib.suppress(OSError, struct.error):
            guest.settimeout(LIMIT_S)
            while True:
                left = min(probe.LENGTH.unpack(guest.recv(probe.LENGTH.size, socket.MSG_WAITALL))[0], probe.MOST_BYTES)
                while left:
                    data = guest.recv(min(left, 1 << 18))
                    if not data:
                        return
                    left -= len(data)
                guest.sendall(b".")


class _Inspection:
    """What is done for each node."""

    def __init__(
        self, launcher: Launcher, options: ClusterOptions, port: int, names: list[str], packages: Sequence[str]
    ) -> None:
        self._launcher = launcher
        self._options = options
        self._port = port
        self._names = names
        self._packages = packages
        self._turn = threading.Lock()

    def __call__(self, setup: NodeSetup, attempt: Attempt) -> Report:
        """Inspect a node. Raises SshError if nothing can be started there."""
        report = Report(setup.name, reached=True)
        began = time.monotonic()
        connection = self._launcher.network.connect(setup, attempt)
        report.connect_s = time.monotonic() - began
        try:
            if self._options.tunnel:
                home: tuple[str, int] = (
                    "127.0.0.1",
                    connection.forward(self._port, self._options.listen or "127.0.0.1"),
                )
            else:
                home = (connection.home or own_address(), self._port)
        except BaseException:
            connection.close()
            raise
        mark = f"taskflow-{secrets.token_hex(8)}"
        wanted = {
            "mark": mark, "packages": self._names, "folders": _folders(setup), "working_dir": setup.working_dir,
            "home": home,
        }  # fmt: skip
        archives = (self._launcher.package(),)
        errand = Errand("taskflow.launch.probe:main", json.dumps(wanted), archives, title="cluster check", mark=mark)
        process = start(connection, setup, errand, attempt)
        try:
            attempt.stage = f"looking at what is on {connection.route.where}"
            report.facts = process.message(attempt)
            attempt.stage = f"measuring the connection to {connection.route.where}"
            self._measure(process, report, attempt)
            problem = version_problem(process)
            if problem:
                report.wrong.append(problem)
        finally:
            process.close()
        why = report.facts.pop("home")
        if why:
            report.wrong.append(_cut_off(why, tunnel=self._options.tunnel))
        _compare(report, setup.node, self._packages)
        return report

    def _measure(self, process: RemoteProcess, report: Report, attempt: Attempt) -> None:
        """Clock, round trip, and the speed of the way from there to here."""
        trips: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            said = time.time()
            process.write(b"time\n")
            there = process.message(attempt)["time"]
            heard = time.time()
            trips.append((heard - said, there - (said + heard) / 2))
        report.round_trip_s, report.clock_s = min(trips)
        if abs(report.clock_s) > CLOCK_S:
            report.notes.append(
                f"its clock is {abs(report.clock_s):.1f} s {'ahead' if report.clock_s > 0 else 'behind'}; times of"
                f" files will not fit together: run a time service (chrony, systemd-timesyncd) there"
            )
        if not report.facts["home"]:
            is_ours = self._turn.acquire(timeout=min(TURN_S, attempt.left))
            try:
                process.write(b"link\n")
                report.link_bytes_s = process.message(attempt)["bytes_s"]
            finally:
                if is_ours:
                    self._turn.release()


def _cut_off(why: str, *, tunnel: bool) -> str:
    if tunnel:
        return f"the tunnel through SSH leads nowhere ({why}); is forwarding allowed in its sshd_config?"
    return (
        f"it cannot connect to this machine ({why}), as agents do; a firewall may be in between: --tunnel sends"
        f" everything through the SSH connection, --listen names the address to use"
    )


def _folders(setup: NodeSetup) -> list[tuple[str, str]]:
    named = [("AppDir", setup.app_dir)] if setup.app_dir else []
    named += [("Pythonpath", folder) for folder in setup.pythonpath if not folder.endswith((".zip", ".egg"))]
    named += [("LibraryPath", folder) for folder in setup.library_path]
    return named + _disks(setup.disks)


def _disks(disks: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"MountPoint of the shared disk {name}", place) for name, place in disks]


# ---------------------------------------------------------------------- what is said and what is there


def _said(node: Node) -> dict[str, Any]:
    """What the description says, as far as it says it."""
    said = {"units": node.units, "memory": node.memory_size, "gpus": len(node.devices.get("GPU", ()))}
    return {name: value for name, value in said.items() if value}


def _compare(report: Report, node: Node, packages: Sequence[str]) -> None:
    facts = report.facts
    report.says = _said(node)
    report.wrong += [f"{what} names {path}, and there is no such folder on it" for what, path in facts["missing"]]
    if facts["working_dir_problem"]:
        report.wrong.append(
            f"its working folder {facts['working_dir']} cannot be used: {facts['working_dir_problem']}; name another"
            f" with <WorkingDir> in project.xml"
        )
    if node.units > facts["cores"]:
        report.wrong.append(
            f"it is said to have {node.units} computing units, and has {facts['cores']} cores for us: tasks would share"
            f" them; say {facts['cores']}"
        )
    has = facts["memory"] / 1e9
    if node.memory_size is not None and node.memory_size > has * SLACK:
        report.wrong.append(
            f"it is said to have {node.memory_size:g} GB of memory, and has {has:.1f}: tasks that fill it would be"
            f" killed; say {has:.1f}"
        )
    gpus = len(node.devices.get("GPU", ()))
    if gpus > facts["gpus"]:
        report.wrong.append(
            f"it is said to have {gpus} GPU{'s' * (gpus != 1)}, and we may use {facts['gpus']} there; look at"
            f" nvidia-smi, CUDA_VISIBLE_DEVICES, and the rights on /dev/nvidia*"
        )
    if node.storage_size is not None and node.storage_size * 1e9 > facts["free"] * SLACK:
        report.notes.append(
            f"it is said to have {node.storage_size:g} GB of storage, and {facts['free'] / 1e9:.0f} GB are free where"
            f" {facts['working_dir']} lies"
        )
    report.wrong += _differences(facts["packages"], packages)
    report.notes += _differences(facts["packages"], [name for name in PACKAGES[1:] if name not in packages])


def _differences(there: dict[str, str | None], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        here, version = probe.version_of(name), there[name]
        if version is None and (here is not None or name not in PACKAGES):
            yield f"the package {name} is not there; install it for the Python that is used there"
        elif here is not None and version is not None and version != here:
            yield f"the package {name} is {version} there and {here} here; values may not be understood on both sides"


# ---------------------------------------------------------------------- the table


def table(reports: Sequence[Report], packages: Sequence[str]) -> str:
    """All reports for people: a line for each node, and under it what is wrong and how to mend it."""
    named = list(dict.fromkeys([*PACKAGES, *packages]))
    head = ["node", "state", "Python", "units/cores", "GB said/has", "GPUs", *named, "clock", "round trip", "link"]
    rows = [head, *([report.name, report.state, *_cells(report, named)] for report in reports)]
    widths = [max(len(row[column]) for row in rows if len(row) > column) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    problems = []
    for report in reports:
        problems += [f"{report.name}: {text}" for text in (*report.wrong, *(f"note: {note}" for note in report.notes))]
    bad = sum(bool(report.wrong) for report in reports)
    end = f"{bad} of {len(reports)} cannot be used as described" if bad else "all can be used"
    return "\n".join([*lines, "", *problems, *([""] if problems else []), end, ""])


def _cells(report: Report, names: Sequence[str]) -> list[str]:
    if not report.reached:
        return []
    facts, says = report.facts, report.says
    link = ["-", "-", "this machine"]
    if report.round_trip_s:
        clock = f"{report.clock_s * 1e3:+.1f} ms" if abs(report.clock_s) < 1 else f"{report.clock_s:+.1f} s"
        link = [
            clock,
            f"{report.round_trip_s * 1e3:.1f} ms",
            f"{report.link_bytes_s / 1e6:.0f} MB/s" if report.link_bytes_s else "-",
        ]
    return [
        facts["python"],
        f"{says.get('units', '-')}/{facts['cores']}",
        f"{says.get('memory', '-')}/{facts['memory'] / 1e9:.1f}",
        str(facts["gpus"]),
        *(facts["packages"][name] or "-" for name in names),
        *link,
    ]
