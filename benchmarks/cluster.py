"""Measurements over three machines: ``python -m benchmarks.cluster``.

The machines are the hosts that the tests make of namespaces (`tests.cluster.hosts`): real addresses, SSH and TLS, and
no wire in between, so what is measured is what the runtime costs. All of them share the cores of this machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, report
from benchmarks.runner import ROOT
from tests.cluster.hosts.namespaces import MASTER, NamespaceCluster, reason_to_skip

BEGIN, END = "<!-- cluster: begin -->", "<!-- cluster: end -->"
APP = str(ROOT / "benchmarks" / "apps" / "on_nodes.py")
FOLDER = "/root/benchmark"
LIMIT_S = 120.0
_NODES = ("node1", "node2", "node3")
_SOFTWARE = {"node1": "first", "node2": "second"}
_RECEIVE = """
import socket, sys, time
size = int(sys.argv[1]) << 20
with socket.create_server(("", 7777)) as server:
    print("up", flush=True)
    peer, _ = server.accept()
    memory = bytearray(size)
    view, at = memoryview(memory), 0
    begin = time.perf_counter()
    while at < size:
        at += peer.recv_into(view[at:])
    print(size / 1e9 / (time.perf_counter() - begin), flush=True)
"""
_SEND = """
import socket, sys
data = memoryview(bytes(64 << 20))
with socket.create_connection(("node2", 7777)) as peer:
    for _ in range(int(sys.argv[1]) // 64):
        peer.sendall(data)
"""


@dataclass(frozen=True)
class Row:
    """A line of the table. ``must``, ``aim``: at least so much of a rate, at most so much of a time."""

    text: str
    unit: str
    value: float | None
    spread: str
    must: float | None = None
    aim: float | None = None
    note: str = ""

    def cells(self) -> list[str]:
        """The words of the line."""
        is_rate = "/s" in self.unit or "raw" in self.unit

        def goal(wanted: float | None) -> str:
            if wanted is None or self.value is None:
                return "-"
            return f"{report.number(wanted)} {'✓' if (self.value >= wanted) == is_rate else '✗'}"

        value = "-" if self.value is None else report.number(self.value)
        return [self.text, self.unit, value, self.spread, goal(self.must), goal(self.aim), self.note]


class Bench:
    """Runs the program of the measurements on the master of a cluster."""

    def __init__(self, cluster: NamespaceCluster, reps: int) -> None:
        self.cluster = cluster
        self.reps = reps
        self.errors: list[str] = []
        self.runs = 0
        cluster.path(MASTER, FOLDER).mkdir()

    def describe(self, nodes: Sequence[str], units: int) -> list[str]:
        """Write the description of the nodes; the options that name it."""
        resources = project = ""
        for node in nodes:
            software = _SOFTWARE.get(node, "third")
            resources += (
                f'<ComputeNode Name="{node}"><Processor Name="cpu"><ComputingUnits>{units}</ComputingUnits></Processor>'
                f"<Software><Application>{software}</Application></Software></ComputeNode>"
            )
            python = f"<Application><PythonInterpreter>{sys.executable}</PythonInterpreter></Application>"
            project += f'<ComputeNode Name="{node}">{python}</ComputeNode>'
        folder = self.cluster.path(MASTER, FOLDER)
        (folder / "resources.xml").write_text(f"<ResourcesList>{resources}</ResourcesList>")
        (folder / "project.xml").write_text(f"<Project><MasterNode/>{project}</Project>")
        return ["--resources=resources.xml", "--project=project.xml"]

    def once(self, what: str, size: int, nodes: Sequence[str], units: int) -> dict[str, float]:
        """One run; empty if it failed."""
        self.runs += 1
        options = [*self.describe(nodes, units), f"--run-dir=run{self.runs}"]
        try:
            done = self.cluster.run(
                MASTER, [sys.executable, "-m", "taskflow", *options, APP, what, str(size)], cwd=FOLDER,
                env={"PYTHONPATH": str(ROOT / "src")}, timeout=LIMIT_S,
            )  # fmt: skip
        except TimeoutError as error:
            self.errors.append(f"{what}: {error}")
            return {}
        if done.returncode:
            self.errors.append(f"{what}: exit {done.returncode}: {(done.stderr.strip() or done.stdout)[-2000:]}")
            return {}
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        if what == "transfer":
            figures["link_gb_per_s"] = self._largest_transfer()
        print(
            f"{what:12} {', '.join(f'{key} {report.number(value)}' for key, value in figures.items())}", file=sys.stderr
        )
        return figures

    def _largest_transfer(self) -> float:
        """GB/s of the largest transfer of the last run, as the journal has it."""
        journal = self.cluster.path(MASTER, f"{FOLDER}/run{self.runs}/journal.jsonl").read_text().splitlines()
        moved = [event for event in map(json.loads, journal) if event["e"] == "moved"]
        largest = max(moved, key=lambda event: int(event["bytes"]))
        return float(largest["bytes"] / 1e3 / largest["us"])

    def measure(self, what: str, size: int, nodes: Sequence[str] = _NODES, units: int = 2) -> dict[str, list[float]]:
        """The figures of all repetitions."""
        found: dict[str, list[float]] = {}
        for _ in range(self.reps):
            for key, value in self.once(what, size, nodes, units).items():
                found.setdefault(key, []).append(value)
        return found

    def raw_link(self, megabytes: int) -> float:
        """GB/s of a bare socket from node to node."""
        python = self.cluster.python
        server = self.cluster.start(
            "node2", [python, "-c", _RECEIVE, str(megabytes)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert server.stdout is not None
        server.stdout.readline()
        self.cluster.run("node1", [python, "-c", _SEND, str(megabytes)])
        rate = float(server.stdout.readline())
        server.wait()
        return rate


def rows(bench: Bench, *, quick: bool) -> list[Row]:
    """Measure everything."""
    tasks, megabytes = (10_000, 128) if quick else (100_000, 1024)

    def row(text: str, unit: str, values: list[float], **more: float | str) -> Row:
        if not values:
            return Row(text, unit, None, "-", note="failed")
        spread = f"{report.number(min(values))} to {report.number(max(values))}" if len(values) > 1 else "-"
        return Row(text, unit, statistics.median(values), spread, **more)  # type: ignore[arg-type]

    first = bench.once("startup", 3, _NODES, 2).get("s")
    again = bench.measure("startup", 3).get("s", [])
    trip = bench.measure("roundtrip", 200 if quick else 1000, _NODES[:1])
    raw = [bench.raw_link(megabytes) for _ in range(bench.reps)]
    moved = bench.measure("transfer", megabytes, _NODES[:2])
    sent = moved.get("link_gb_per_s", [])
    link = statistics.median(raw)
    spread = bench.measure("spread", 200).get("s", [])
    ideal = 200 * 0.02 / 6
    return [
        row("start of 3 nodes over SSH, the first time", "s", [first] if first else [],
            note="the package is sent; from the start of the program until each node has run a task"),
        row("start of 3 nodes over SSH, again", "s", again, aim=1.5),
        row("no-op tasks through one remote node", "tasks/s",
            bench.measure("throughput", tasks, _NODES[:1]).get("per_second", []), must=20_000, aim=50_000),
        row("submit and wait on one remote node", "us", trip.get("us", [])),
        row("a hop of a chain on one remote node", "us", trip.get("hop_us", [])),
        row("a bare socket from node to node", "GB/s", raw),
        row(f"an array of {megabytes} MB from node to node", "GB/s", sent, note="with TLS, stored there"),
        row("the same", "of the raw link", [rate / link for rate in sent], must=0.5, aim=0.8),
        row("the same, between two tasks", "GB/s", moved.get("gb_per_s", []),
            note="from the memory of one to that of the other"),
        row("200 tasks of 20 ms on 3 nodes", "s", spread, note=f"6 computing units: {ideal:.2f} at best"),
    ]  # fmt: skip


def markdown(table: Sequence[Row], facts: dict[str, str], how: str) -> str:
    """The section's text."""
    lines = [
        (
            f"Measured with `{how}` on {facts['cores']} cores ({facts['cpu']}), {facts['memory']}, {facts['system']}, "
            f"Python {facts['python']}, {facts['date']}; load average before the run {facts['load']}. A master and "
            "three nodes in namespaces of one machine, which share its cores; values are medians."
        ),
        "",
        *_table(["what", "unit", "value", "range", "must", "aim", "note"], [row.cells() for row in table]),
        "",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---", "---", "---:", "---", "---", "---", "---"], *body)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if something failed or a goal that must be reached was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description="Measure a cluster of 3 nodes.")
    parser.add_argument("--quick", action="store_true", help="small sizes and one repetition: a smoke test")
    parser.add_argument("--reps", type=int, help="runs of each (default 3, with --quick 1)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there, e.g. docs/performance.md")
    options = parser.parse_args(arguments)
    if reason := reason_to_skip():
        print(f"No cluster can be made here: {reason}", file=sys.stderr)
        return 2
    facts = machine.describe() | {"date": time.strftime("%Y-%m-%d")}
    how = "python -m benchmarks.cluster" + (" --quick" if options.quick else "")
    with NamespaceCluster(len(_NODES), memory="6g") as cluster:
        bench = Bench(cluster, options.reps or (1 if options.quick else 3))
        table = rows(bench, quick=options.quick)
    text = markdown(table, facts, how)
    print(text)
    for error in bench.errors:
        print(error, file=sys.stderr)
    if options.write:
        report.write(options.write, text, BEGIN, END)
    return int(bool(bench.errors) or any(row.cells()[4].endswith("✗") for row in table))


if __name__ == "__main__":
    sys.exit(main())
