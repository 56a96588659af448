"""The nodes of a run, read from its journal: what each ran, what was moved to and from it, when it was lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskflow.observe.functions import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_SPANS = 20  #: tasks that had several nodes, in a table
_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True)
class NodeTimes:
    """What one node did. A node that was lost and came back is two: each life has a number of its own.

    ``busy``: seconds, of all its executors; ``retried``: attempts that failed there and were repeated; ``received`` and
    ``sent``: bytes of data. ``state``: "joined" while it is there, "lost", "failed" (it never came) or "left"; ``why``
    tells more. ``shared``: tasks that ran on another node, and had this one, too.
    """

    number: int
    name: str
    executors: int
    tasks: int
    busy: float
    retried: int
    received: int
    sent: int
    state: str
    why: str
    shared: int = 0


@dataclass(frozen=True)
class SpanTimes:
    """A task that had several nodes at once: their names, that of the one that it ran on first; ``seconds`` it took."""

    task: int
    function: str
    nodes: tuple[str, ...]
    seconds: float


@dataclass
class _Node:
    name: str = ""
    state: str = "joined"
    why: str = ""
    executors: set[int] = field(default_factory=set)
    tasks: int = 0
    busy: int = 0
    retried: int = 0
    received: int = 0
    sent: int = 0
    shared: int = 0


@dataclass
class NodeTally:
    """Collects what the records of a journal say about nodes. Fed with all of them, in order."""

    nodes: dict[int, _Node] = field(default_factory=dict)
    moved: int = 0  # transfers
    moves_failed: int = 0
    spans: dict[int, list[int]] = field(default_factory=dict)  # nodes of the last attempt at a task that has several
    _node_of: dict[int, int] = field(default_factory=dict)  # by executor

    def feed(self, record: dict[str, Any]) -> None:
        """Take in one record."""
        kind = record["e"]
        if kind == "done":
            node = self._of_executor(record["x"])
            node.tasks += len(record["ids"])
            node.busy += sum(record["ends"]) - sum(record["starts"])
            if self.spans:
                for number in [other for task_id in record["ids"] for other in self.spans.get(task_id, ())[1:]]:
                    self._of(number).shared += 1
        elif kind == "span":
            self.spans[record["id"]] = record["nodes"]
        elif kind == "failed":
            if not record["final"]:
                self._of_executor(record["x"]).retried += 1
        elif kind == "executor":
            if record["state"] == "started" and "service" not in record:
                number = self._node_of[record["x"]] = record.get("node", 0)
                self._of(number).executors.add(record["x"])
        elif kind == "node":
            name = printable(str(record.get("name", "")))
            self._forget_failure(name)
            node = self._of(record["node"])
            node.name = name
            node.state, node.why = record["state"], printable(str(record.get("why", "")))
        elif kind == "moved":
            self.moved += 1
            self._of(record["to"]).received += record["bytes"]
            self._of(record["from"]).sent += record["bytes"]
        elif kind == "move failed":
            self.moves_failed += 1

    def names_of(self, task_id: int) -> tuple[str, ...]:
        """The names of the nodes that a task has had at once, that of its own first; nothing if that was one."""
        return tuple([self._of(number).name or f"node {number}" for number in self.spans.get(task_id, ())])

    def _forget_failure(self, name: str) -> None:
        """A node that could not be started is tried again and again: only what came of it in the end counts."""
        for number, node in list(self.nodes.items()):
            if node.name == name and node.state == "failed":
                del self.nodes[number]

    def _of(self, number: int) -> _Node:
        return self.nodes.setdefault(number, _Node("home" if not number else ""))

    def _of_executor(self, executor: int) -> _Node:
        return self._of(self._node_of.get(executor, 0))

    def times(self) -> Iterator[NodeTimes]:
        """The nodes by their numbers; home only if tasks or data were there. Nothing if there was no other node."""
        if not any(self.nodes):
            return
        for number, node in sorted(self.nodes.items()):
            yield NodeTimes(
                number, node.name, len(node.executors), node.tasks, node.busy / _SECOND, node.retried, node.received,
                node.sent, node.state, node.why, node.shared,
            )  # fmt: skip


def rows_of(nodes: tuple[NodeTimes, ...], duration: Any) -> list[list[str]]:
    """A table of the nodes; ``duration`` writes seconds."""
    shared = any(node.shared for node in nodes)
    rows = [["Node", "Executors", "Tasks", *["Shared"] * shared, "Busy", "Retried", "Received", "Sent", "State"]]
    rows += (
        [
            node.name or f"node {node.number}", f"{node.executors:,}", f"{node.tasks:,}",
            *[f"{node.shared:,}"] * shared, duration(node.busy), f"{node.retried:,}", size(node.received),
            size(node.sent), node.state,
        ]
        for node in nodes
    )  # fmt: skip
    return rows


def span_rows_of(spans: tuple[SpanTimes, ...], duration: Any) -> list[list[str]]:
    """A table of the tasks that had several nodes, the longest first; ``duration`` writes seconds."""
    longest = sorted(spans, key=lambda span: -span.seconds)[:SHOWN_SPANS]
    rows = [[f"{span.task} {span.function}", duration(span.seconds), ", ".join(span.nodes)] for span in longest]
    return [["Task on several nodes", "Took", "Nodes"], *rows]


def size(nbytes: float) -> str:
    """A number of bytes for people; a MB is 10^6."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.{0 if unit == 'B' or nbytes >= 100 else 1}f} {unit}"
        nbytes /= 1000
    return f"{nbytes:,.1f} TB"
