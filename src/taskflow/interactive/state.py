"""Where the session of a notebook stands: tables and graphs, shown and returned."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.observe.graph import dot_lines
from taskflow.observe.journal import FILE_NAME, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskflow.runtime import Session

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under names of columns."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def __repr__(self) -> str:
        return f"<table {self.title!r} of {len(self.rows)} rows>"

    def __str__(self) -> str:
        cells = [self.columns, *[tuple(_text(value) for value in row) for row in self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        return "\n".join([self.title, *[line.rstrip() for line in lines]])

    def as_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def html(self) -> str:
        """The table for a notebook."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row) + "</tr>" for row in self.rows
        )
        return f"<table><caption>{html.escape(self.title)}</caption><tr>{head}</tr>{body}</table>"


@dataclasses.dataclass(frozen=True, repr=False)
class Graph:
    """A task graph. ``dot``: the drawing for Graphviz."""

    title: str
    dot: str

    def __repr__(self) -> str:
        return f"<{self.title}, {len(self.dot)} characters of DOT>"

    def __str__(self) -> str:
        return self.dot

    def html(self) -> str:
        """The drawing for a notebook: a picture if Graphviz is installed, else its text."""
        import shutil
        import subprocess

        program = shutil.which("dot")
        if program is None:
            return f"<pre>{html.escape(self.dot)}</pre>"
        drawn = subprocess.run([program, "-Tsvg"], input=self.dot, capture_output=True, text=True, check=True)
        return drawn.stdout[drawn.stdout.index("<svg") :]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------- what a user asks


def current_task_graph(fit: bool = False, refresh_rate: float = 1, timeout: float = 0, widget: Any = None) -> Graph:  # noqa: ARG001
    """Show the graph of the tasks that have not ended.

    All functions of this kind show what they return: in a notebook as tables and pictures, else as text. With
    ``timeout`` they show it anew every ``refresh_rate`` seconds for so long. Raise NotRunningError without a session.
    """
    return _shown(lambda: Graph("current task graph", graph_text(runtime.require(), unfinished=True)),
                  refresh_rate, timeout)  # fmt: skip


def complete_task_graph(fit: bool = False, refresh_rate: float = 1, timeout: float = 0, widget: Any = None) -> Graph:  # noqa: ARG001
    """Show the graph of all tasks. See `current_task_graph`."""
    return _shown(lambda: Graph("complete task graph", graph_text(runtime.require())), refresh_rate, timeout)


def tasks_info(refresh_rate: float = 1, timeout: float = 0) -> Table:
    """Show the task functions: calls, executions that have ended, and their seconds. See `current_task_graph`."""
    return _shown(_tasks_info, refresh_rate, timeout)


def tasks_status(refresh_rate: float = 1, timeout: float = 0) -> Table:
    """Show how many tasks wait, run, and have ended in which way. See `current_task_graph`."""
    return _shown(_tasks_status, refresh_rate, timeout)


def statistics(refresh_rate: float = 1, timeout: float = 0) -> Table:
    """Show the numbers of the session: times, tasks, rates, load. See `current_task_graph`."""
    return _shown(_statistics, refresh_rate, timeout)


def resources_status(refresh_rate: float = 1, timeout: float = 0) -> Table:
    """Show the executors: process, memory, what each runs and has queued. See `current_task_graph`."""
    return _shown(_resources_status, refresh_rate, timeout)


def monitoring_information(refresh_rate: float = 1, timeout: float = 0) -> dict[str, Table]:
    """Show all tables; a dictionary of them by the names of their functions. See `current_task_graph`."""
    return {
        "tasks_info": tasks_info(refresh_rate, timeout),
        "tasks_status": tasks_status(),
        "statistics": statistics(),
        "resources_status": resources_status(),
    }


# ---------------------------------------------------------------------- what is known


def _tasks_info() -> Table:
    session = runtime.require()
    engine = session.engine
    calls: dict[int, int] = {}
    for record in _records(session):
        if record["e"] == "task":
            calls[record["fn"]] = calls.get(record["fn"], 0) + 1
        elif record["e"] == "tasks":
            calls[record["fn"]] = calls.get(record["fn"], 0) + record["count"]
    with engine.lock:
        functions = list(engine.functions.values())
    rows: list[tuple[Any, ...]] = []
    for function in functions:
        if function.id in calls:
            mean = function.busy_s / function.attempts if function.attempts else 0.0
            name = function.name if function.module == "__main__" else f"{function.module}.{function.name}"
            rows.append((name, calls[function.id], function.attempts, function.busy_s, mean))
    return Table("Task functions", ("Function", "Calls", "Executions", "Seconds", "Mean seconds"), rows)


def _tasks_status() -> Table:
    counts = _counts(runtime.require())
    return Table("Tasks", ("State", "Tasks"), [(state.capitalize(), counts[state]) for state in counts])


def _counts(session: Session) -> dict[str, int]:
    kernel = session.engine.kernel
    with session.engine.lock:
        running = sum([
            len(executor.inflight) if executor.service else bool(executor.inflight)
            for executor in kernel.executors.values()
        ])  # fmt: skip
        ended = kernel.submitted - kernel.unfinished
        return {
            "submitted": kernel.submitted, "waiting": kernel.unfinished - running, "running": running,
            "done": ended - kernel.failed_count, "failed": kernel.failed_count,
        }  # fmt: skip


def _statistics() -> Table:
    session = runtime.require()
    counts = _counts(session)
    with session.engine.lock:
        elapsed = session.engine.now_us() / 1e6
        busy = sum(function.busy_s for function in session.engine.functions.values())
    ended = counts["done"] + counts["failed"]
    rows = [
        ("Session", session.id),
        ("Seconds since the start", elapsed),
        ("Tasks submitted", counts["submitted"]),
        ("Tasks ended", ended),
        ("Tasks per second", ended / elapsed if elapsed else 0.0),
        ("Seconds in tasks", busy),
        ("Load of the executors", busy / (elapsed * session.workers) if elapsed else 0.0),
    ]
    return Table("Statistics", ("Figure", "Value"), rows)


def _resources_status() -> Table:
    session = runtime.require()
    engine = session.engine
    with engine.lock:
        executors = []
        for executor in engine.kernel.executors.values():
            if executor.service:
                continue
            inflight = [task.function.name for task in executor.inflight.values()]
            executors.append((executor.id, inflight[0] if inflight else "-", max(len(inflight) - 1, 0)))
        processes = {number: _process_of(link) for number, link in getattr(engine, "links", {}).items()}
    rows = []
    for number, runs, queued in sorted(executors):
        process = processes.get(number, 0)
        rows.append((number, process or "-", _memory_of(process), runs, queued))
    return Table("Executors", ("Executor", "Process", "Memory (MiB)", "Runs", "Queued"), rows)


def _process_of(link: Any) -> int:
    """The process of an executor, 0 if it has none of its own."""
    handle = getattr(link, "handle", None)
    return int(handle.pid) if handle is not None else 0


def _memory_of(process: int) -> Any:
    if not process:
        return "-"
    import psutil

    try:
        return round(psutil.Process(process).memory_info().rss / (1 << 20), 1)
    except psutil.NoSuchProcess:
        return "ended"


# ---------------------------------------------------------------------- graphs


def _records(session: Session) -> Iterator[dict[str, Any]]:
    """The journal so far."""
    with session.engine.lock:
        session.journal.flush()
    return read(os.path.join(session.run_dir, FILE_NAME))


def graph_text(session: Session, *, unfinished: bool = False) -> str:
    """The DOT text of the tasks so far; ``unfinished``: without those that the journal tells have ended."""
    records = list(_records(session))
    if unfinished:
        records = list(_without_ended(records, all_ended=not session.engine.kernel.unfinished))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="ascii") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        file.flush()
        return "".join(dot_lines(file.name))


def _without_ended(records: list[dict[str, Any]], *, all_ended: bool) -> Iterator[dict[str, Any]]:
    ended: set[int] = set()
    for record in records:
        if record["e"] in ("done", "cancelled"):
            ended.update(record["ids"])
        elif record["e"] == "failed" and record["final"]:
            ended.add(record["id"])
    for record in records:
        kind = record["e"]
        if kind in ("run", "fn"):
            yield record
        elif all_ended:
            continue
        elif kind == "task" and record["id"] not in ended:
            yield {**record, "deps": [dependency for dependency in record["deps"] if dependency[0] not in ended]}
        elif kind == "tasks":
            for task_id in range(record["first"], record["first"] + record["count"]):
                if task_id not in ended:
                    yield {**record, "first": task_id, "count": 1}


# ---------------------------------------------------------------------- showing


def _shown(make: Callable[[], T], refresh_rate: float, timeout: float) -> T:
    """Show something, anew for some time; return the last of it."""
    deadline = time.monotonic() + timeout
    while True:
        found = make()
        _show(found)
        left = deadline - time.monotonic()
        if left <= 0:
            return found
        time.sleep(min(left, max(refresh_rate, 0.05)))
        _clear()


def _show(found: Any) -> None:
    display = _notebook()
    if display is not None:
        display.display(display.HTML(found.html()))
    else:
        sys.stdout.write(f"{found}\n")


def _clear() -> None:
    display = _notebook()
    if display is not None:
        display.clear_output(wait=True)


def _notebook() -> Any:
    """IPython's module for displays, if the program runs in a notebook of it."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    import importlib

    return importlib.import_module("IPython.display")
