"""The task graph of a run as DOT text, drawn from its journal.

Reads the journal twice: once to see whether a full drawing could still be looked at, then to write it while
reading. Beyond `MAX_TASKS` or `MAX_EDGES` each function becomes one node. What is drawn:

* a node per task, coloured by function; a thick red border if it failed, a dashed one if it was cancelled;
* an edge per dependency, labelled with the versions that pass along it;
* an octagon per synchronisation of the main program, with edges from the tasks it waited for. What the main
  program itself made comes from its latest octagon (``main`` before the first). Tasks after a barrier hang
  from it, unless they already follow it through a task that does;
* a cluster per group, nested like the groups. A group name used twice is one cluster: only names are known.
"""

from __future__ import annotations

import colorsys
import html
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskflow.observe.functions import Functions, printable
from taskflow.observe.journal import read

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

MAX_TASKS = 10_000
MAX_EDGES = 20_000
_LABELS_PER_EDGE = 3

_OPENING = """digraph taskflow {
  rankdir=TB; compound=true;
  node [shape=ellipse, style=filled, fillcolor=white, fontname="Helvetica"];
  edge [fontname="Helvetica", fontsize=10];
"""
_CLOSING = "}\n"
_MAIN = 'label="main", shape=octagon, fillcolor="#8b0000", fontcolor=white'


def write_dot(journal_path: str | os.PathLike[str], out_path: str | os.PathLike[str]) -> None:
    """Write the task graph of the journal as a DOT file."""
    lines = dot_lines(journal_path)  # a damaged journal is noticed here, before an old drawing is overwritten
    with open(out_path, "w", encoding="utf-8", errors="replace") as out:
        out.writelines(lines)


def dot_lines(journal_path: str | os.PathLike[str]) -> Iterable[str]:
    """Return the task graph of the journal as lines of DOT text."""
    return _collapsed(journal_path) if _is_too_large(journal_path) else _full(journal_path)


def _is_too_large(path: str | os.PathLike[str]) -> bool:
    # Edges at barriers are not counted: each task has at most one to and one from a barrier.
    tasks = edges = 0
    for record in read(path):
        kind = record["e"]
        if kind == "task":
            tasks += 1
            edges += len(record["deps"])
        elif kind == "tasks":
            tasks += record["count"]
        elif kind == "sync":
            edges += len(record.get("tasks") or ())
        if tasks > MAX_TASKS or edges > MAX_EDGES:
            return True
    return False


# --- every task a node --------------------------------------------------------------------------------------


def _full(path: str | os.PathLike[str]) -> Iterator[str]:
    drawing = _Drawing()
    yield _OPENING
    for record in read(path):
        yield from drawing.feed(record)
    yield from _legend(drawing.functions, drawing.tasks)
    yield _CLOSING


class _Drawing:
    """Turns records into lines of DOT, remembering only what a later line can depend on."""

    def __init__(self) -> None:
        self.functions = Functions()
        self.tasks: Counter[int] = Counter()  # tasks per function, for the legend
        self._clusters: dict[tuple[str, ...], int] = {}  # {("outer", "inner"): 1}
        self._syncs = 0
        self._main = ""  # latest synchronisation, the node that stands for the main program: "Synchro4"
        self._barrier = ""  # latest barrier: "Synchro2"
        self._since: dict[int, bool] = {}  # tasks since that barrier -> does no other task follow it yet?

    def feed(self, record: dict[str, Any]) -> Iterator[str]:
        """Yield what one record adds to the drawing."""
        self.functions.feed(record)
        kind = record["e"]
        if kind == "task":
            yield from self._task(record)
        elif kind == "tasks":
            first = record["first"]
            for task_id in range(first, first + record["count"]):
                yield from self._task({"id": task_id, "fn": record["fn"], "deps": ()})
        elif kind == "sync":
            yield from self._sync(record)
        elif kind == "failed" and record["final"]:
            yield f"  {record['id']:d} [color=red, penwidth=3];\n"
        elif kind == "cancelled":
            for task_id in record["ids"]:
                yield f'  {task_id:d} [style="filled,dashed"];\n'

    def _task(self, record: dict[str, Any]) -> Iterator[str]:
        task_id, fn = record["id"], record["fn"]
        self.tasks[fn] += 1
        yield self._node(record)
        versions: dict[int, list[str]] = {}  # producer -> labels
        for producer, version in record["deps"]:
            versions.setdefault(producer, []).append(version)
        if 0 in versions and not self._main:
            self._main = "Synchro0"
            yield f"  Synchro0 [{_MAIN}];\n"
        if self._barrier and not any(producer == 0 or producer in self._since for producer in versions):
            yield f"  {self._barrier} -> {task_id:d} [color=grey];\n"
        for producer, labels in versions.items():
            source = f"{producer:d}" if producer else self._main
            yield f"  {source} -> {task_id:d} [label={_quoted(_edge_label(labels))}];\n"
            if producer in self._since:
                self._since[producer] = False
        self._since[task_id] = True

    def _node(self, record: dict[str, Any]) -> str:
        task_id, fn = record["id"], record["fn"]
        label = _quoted(f"{task_id:d}\n{self.functions.name(fn)}")
        tooltip = f", tooltip={_quoted(printable(record['line']))}" if record.get("line") else ""
        text = f'{task_id:d} [label={label}, fillcolor="{_colour(fn)}"{tooltip}];'
        # A cluster is opened anew for each of its tasks: DOT merges those of one name, so none is kept.
        groups = tuple(printable(group) for group in record.get("groups") or ())
        for depth in range(len(groups), 0, -1):
            known = groups[:depth] in self._clusters
            number = self._clusters.setdefault(groups[:depth], len(self._clusters) + 1)
            title = "" if known else f"label={_quoted(groups[depth - 1])}; "
            text = f"subgraph cluster_{number} {{ {title}{text} }}"
        return f"  {text}\n"

    def _sync(self, record: dict[str, Any]) -> Iterator[str]:
        what = record["what"]
        is_barrier = what.startswith("barrier")
        self._syncs += 1
        name, before = f"Synchro{self._syncs}", self._main
        waited = record.get("tasks")
        if waited is None:  # everything so far: enough to draw the ends of the chains
            waited = [task_id for task_id, is_last in self._since.items() if is_last] if is_barrier else []
            finished = list(self._since)
        else:
            finished = waited
        yield f"  {name} [{_sync_style(what, what)}];\n"
        for task_id in dict.fromkeys(waited):
            yield f"  {task_id:d} -> {name} [color=grey];\n"
        if before and not waited:  # so that it keeps its place in the order of the main program
            yield f"  {before} -> {name} [color=grey, style=dashed];\n"
        self._main = name
        if is_barrier:
            self._barrier = name
            for task_id in finished:
                self._since.pop(task_id, None)


# --- every function a node ----------------------------------------------------------------------------------


class _Counts:
    """What a collapsed graph shows; the numbers, not the tasks, so its size does not grow with the run."""

    def __init__(self) -> None:
        self.functions = Functions()
        self.tasks: Counter[int] = Counter()
        self.edges: Counter[tuple[int | None, int]] = Counter()  # (producer's, consumer's); None: main
        self.syncs: Counter[str] = Counter()
        self.waits: Counter[tuple[int | None, str]] = Counter()  # (function, kind of synchronisation)
        self._since: Counter[int] = Counter()  # tasks since the last barrier, by function

    def feed(self, record: dict[str, Any]) -> None:
        self.functions.feed(record)
        kind = record["e"]
        if kind == "task":
            self._submitted(record["fn"], 1)
            for producer, _ in record["deps"]:
                self.edges[self.functions.of(producer) if producer else None, record["fn"]] += 1
        elif kind == "tasks":
            self._submitted(record["fn"], record["count"])
        elif kind == "sync":
            self._sync(record["what"], record.get("tasks"))

    def _submitted(self, fn: int, count: int) -> None:
        self.tasks[fn] += count
        self._since[fn] += count

    def _sync(self, what: str, waited: list[int] | None) -> None:
        self.syncs[what] += 1
        if waited is not None:
            for task_id in waited:
                self.waits[self.functions.of(task_id), what] += 1
        elif what.startswith("barrier"):
            for fn, count in self._since.items():
                self.waits[fn, what] += count
            self._since.clear()


def _collapsed(path: str | os.PathLike[str]) -> list[str]:
    counts = _Counts()
    for record in read(path):
        counts.feed(record)
    tasks, edges = counts.tasks.total(), counts.edges.total()
    lines = [
        f"// Collapsed: {tasks:,} tasks and {edges:,} dependencies, too many to draw one by one.\n",
        f"// Drawn in full are up to {MAX_TASKS:,} tasks and {MAX_EDGES:,} edges.\n",
        "// Here each node is a function, and the numbers count tasks and dependencies.\n",
        _OPENING,
    ]
    for fn, count in counts.tasks.items():
        label = _quoted(f"{counts.functions.name(fn)}\n{count:,} tasks")
        lines.append(f'  f{fn:d} [label={label}, fillcolor="{_colour(fn)}"];\n')
    if any(producer is None for producer, _ in counts.edges):
        lines.append(f"  main [{_MAIN}];\n")
    for (producer, fn), count in counts.edges.items():
        source = "main" if producer is None else f"f{producer:d}"
        lines.append(f'  {source} -> f{fn:d} [label="{count:,}"];\n')
    nodes = {what: f"sync{number}" for number, what in enumerate(counts.syncs)}
    for what, count in counts.syncs.items():
        lines.append(f"  {nodes[what]} [{_sync_style(what, f'{count:,} times {what}')}];\n")
    for (waited, what), count in counts.waits.items():
        if waited is not None:
            lines.append(f'  f{waited:d} -> {nodes[what]} [label="{count:,}", color=grey];\n')
    lines += [*_legend(counts.functions, counts.tasks), _CLOSING]
    return lines


# --- shared -------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _edge_label(labels: list[str]) -> str:
    if len(labels) <= _LABELS_PER_EDGE:
        return printable(", ".join(labels))
    return printable(f"[{labels[0]}…{labels[-1]}]({len(labels)})")


def _sync_style(what: str, label: str) -> str:
    colour = "#ff4040" if what.startswith("barrier") else "#ff9f80"
    return f'label={_quoted(printable(label))}, shape=octagon, fillcolor="{colour}"'


def _colour(fn: int) -> str:
    # Steps of the golden ratio keep hues apart however many functions follow; pale, for the text is black.
    red, green, blue = colorsys.hsv_to_rgb(fn * 0.618034 % 1, 0.4, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _legend(functions: Functions, tasks: Counter[int]) -> Iterator[str]:
    if not tasks:
        return
    yield '  legend [shape=none, style="", label=<<table border="0" cellborder="1" cellspacing="0">\n'
    for fn, count in sorted(tasks.items()):
        name = html.escape(functions.full_name(fn))
        yield f'    <tr><td bgcolor="{_colour(fn)}">{name}</td><td align="right">{count:,}</td></tr>\n'
    yield "  </table>>];\n"
