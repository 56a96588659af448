"""What a run did, in numbers: read from its journal, for a person or a program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskflow.observe.functions import Functions, printable
from taskflow.observe.journal import read
from taskflow.observe.nodes import SHOWN_SPANS, NodeTally, NodeTimes, SpanTimes, rows_of, span_rows_of

if TYPE_CHECKING:
    import os

_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True)
class FunctionTimes:
    """The completed tasks of one function; times in seconds."""

    name: str
    count: int
    total: float
    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class ExecutorTimes:
    """What one executor did; utilisation is its busy share (0 to 1) of the time it was alive."""

    executor: int
    tasks: int
    busy: float
    utilisation: float


@dataclass(frozen=True)
class Summary:
    """One run. Counts are of tasks, except `retried`: failed attempts that were given another one."""

    run_id: str
    tasks: int
    done: int
    failed: int
    cancelled: int
    ignored: int
    retried: int
    elapsed: float
    exit: int | None  # None: the run was killed, or still goes on
    functions: tuple[FunctionTimes, ...]  # the most expensive first
    executors: tuple[ExecutorTimes, ...]
    deaths: tuple[str, ...]  # ("executor 3: SIGKILL",)
    nodes: tuple[NodeTimes, ...] = ()  # of a run on several
    spans: tuple[SpanTimes, ...] = ()  # completed tasks that had several nodes at once

    @property
    def executors_died(self) -> int:
        """How many executors died, rather than being stopped."""
        return len(self.deaths)


def summarise(journal_path: str | os.PathLike[str]) -> Summary:
    """Read a journal, finished or not, into its summary."""
    tally = _Tally()
    for record in read(journal_path):
        tally.feed(record)
    return tally.summary()


def _outcome(record: dict[str, Any]) -> str:
    if not record["final"]:
        return "retried"
    return "ignored" if record.get("outcome") == "ignored" else "failed"


@dataclass
class _Span:
    """Durations of one function, in microseconds."""

    count: int = 0
    total: int = 0
    min: int = 0
    max: int = 0

    def add(self, duration: int) -> None:
        if self.count == 0 or duration < self.min:
            self.min = duration
        self.max = max(self.max, duration)
        self.count += 1
        self.total += duration


@dataclass
class _Life:
    """One executor, in microseconds. A number may be given to a new process after the old one died."""

    tasks: int = 0
    busy: int = 0
    lived: int = 0  # lives that are over
    since: int | None = None  # start of the present life

    def end(self, t: int) -> None:
        if self.since is not None:
            self.lived += t - self.since
        self.since = None

    def times(self, executor: int) -> ExecutorTimes:
        utilisation = min(1.0, self.busy / self.lived) if self.lived else 0.0
        return ExecutorTimes(executor, self.tasks, self.busy / _SECOND, utilisation)


@dataclass
class _Tally:
    run_id: str = ""
    submitted: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latest: int = 0
    exit: int | None = None
    ended: int | None = None  # tasks that have ended in any way
    functions: Functions = field(default_factory=Functions)
    times: dict[int | None, _Span] = field(default_factory=dict)
    lives: dict[int, _Life] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    nodes: NodeTally = field(default_factory=NodeTally)
    services: set[int] = field(default_factory=set)  # what looks like an executor and is none
    spans: dict[int, tuple[int | None, int]] = field(default_factory=dict)  # function and duration, by task

    def feed(self, record: dict[str, Any]) -> None:
        self.functions.feed(record)
        self.nodes.feed(record)
        self.latest = max(self.latest, record.get("t", 0))
        kind = record["e"]
        if kind == "done":
            self._done(record)
        elif kind == "task":
            self.submitted += 1
        elif kind == "tasks":
            self.submitted += record["count"]
        elif kind == "failed":
            self.outcomes[_outcome(record)] += 1
        elif kind == "cancelled":
            self.outcomes["cancelled"] += len(record["ids"])
        elif kind == "executor":
            self._executor(record)
        elif kind == "run":
            self.run_id = printable(str(record.get("id", "")))
        elif kind == "end":
            self.exit = record["exit"]
            self.ended = record.get("tasks")

    def _done(self, record: dict[str, Any]) -> None:
        # An executor nobody announced counts as alive from the start of the run.
        life = self.lives.setdefault(record["x"], _Life(since=0))
        function_of, spans, several = self.functions.of, self.times, self.nodes.spans
        for task_id, start, end in zip(record["ids"], record["starts"], record["ends"], strict=False):
            fn = function_of(task_id)
            span = spans.get(fn)
            if span is None:
                span = spans[fn] = _Span()
            span.add(end - start)
            life.tasks += 1
            life.busy += end - start
            if several and task_id in several:
                self.spans[task_id] = (fn, end - start)
        self.latest = max(self.latest, *record["ends"], 0)

    def _executor(self, record: dict[str, Any]) -> None:
        life = self.lives.setdefault(record["x"], _Life())
        if record["state"] == "started":
            if "service" in record:
                self.services.add(record["x"])
            life.since = record["t"]
            return
        life.end(record["t"])
        if record["state"] == "died":
            why = printable(str(record.get("why") or "reason unknown"))
            self.deaths.append(f"executor {record['x']}: {why}")

    def summary(self) -> Summary:
        for life in self.lives.values():
            life.end(self.latest)
        functions = [self._function_times(fn, span) for fn, span in self.times.items()]
        return Summary(
            run_id=self.run_id,
            tasks=self.submitted,
            done=self._done_in_all(),
            failed=self.outcomes["failed"],
            cancelled=self.outcomes["cancelled"],
            ignored=self.outcomes["ignored"],
            retried=self.outcomes["retried"],
            elapsed=self.latest / _SECOND,
            exit=self.exit,
            functions=tuple(sorted(functions, key=lambda function: -function.total)),
            executors=tuple(life.times(x) for x, life in sorted(self.lives.items()) if x not in self.services),
            deaths=tuple(self.deaths),
            nodes=tuple(self.nodes.times()),
            spans=tuple([self._span_times(task_id, *what) for task_id, what in self.spans.items()]),
        )

    def _span_times(self, task_id: int, fn: int | None, duration: int) -> SpanTimes:
        return SpanTimes(task_id, self.functions.name(fn), self.nodes.names_of(task_id), duration / _SECOND)

    def _done_in_all(self) -> int:
        """Tasks that are done. Executors of a node that was lost may have had no time to tell of their last ones."""
        told = sum(span.count for span in self.times.values())
        if self.ended is None:
            return told
        return max(told, self.ended - sum(self.outcomes[name] for name in ("failed", "ignored", "cancelled")))

    def _function_times(self, fn: int | None, span: _Span) -> FunctionTimes:
        name = self.functions.name(fn)
        is_shared = any(self.functions.name(other) == name for other in self.times if other != fn)
        return FunctionTimes(
            name=self.functions.full_name(fn) if is_shared else name,
            count=span.count,
            total=span.total / _SECOND,
            mean=span.total / span.count / _SECOND,
            min=span.min / _SECOND,
            max=span.max / _SECOND,
        )


# --- as text ------------------------------------------------------------------------------------------------


def format_summary(summary: Summary) -> str:
    """Lay a summary out as plain text, in columns, without a line end at its end."""
    ending = "no end recorded" if summary.exit is None else f"exit code {summary.exit}"
    counts = f"{summary.tasks:,} tasks · {summary.done:,} done · {summary.failed:,} failed"
    counts += f" · {summary.cancelled:,} cancelled · {summary.retried:,} retried"
    if summary.ignored:
        counts += f" · {summary.ignored:,} failures ignored"
    lines = [f"Run {summary.run_id} · {_duration(summary.elapsed)} · {ending}", counts]
    if summary.deaths:
        lines.append(f"Executors died: {summary.executors_died:,} ({'; '.join(summary.deaths)})")
    absent = [node.name for node in summary.nodes if node.state == "failed" and not node.tasks]
    if absent:
        lines.append(f"Nodes that could not be used: {', '.join(absent)}")
    if summary.functions:
        rows = [["Function", "Tasks", "Total", "Mean", "Min", "Max"]]
        rows += ([f.name, f"{f.count:,}", *map(_duration, (f.total, f.mean, f.min, f.max))] for f in summary.functions)
        lines += ["", *_table(rows)]
    if summary.nodes:
        lines += ["", *_table(rows_of(summary.nodes, _duration))]
        lines += [f"{node.name or f'node {node.number}'}: {node.why}" for node in summary.nodes if node.why]
    if summary.spans:
        lines += ["", *_table(span_rows_of(summary.spans, _duration))]
        if len(summary.spans) > SHOWN_SPANS:
            lines.append(f"and {len(summary.spans) - SHOWN_SPANS:,} more")
    if summary.executors:
        rows = [["Executor", "Tasks", "Busy", "Utilisation"]]
        rows += (
            [f"{x.executor}", f"{x.tasks:,}", _duration(x.busy), f"{x.utilisation:.0%}"] for x in summary.executors
        )
        lines += ["", *_table(rows)]
    return "\n".join(lines)


def _table(rows: list[list[str]]) -> list[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _duration(seconds: float) -> str:
    """Three figures are plenty; the unit follows the size."""
    for below, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if seconds < below:
            value = seconds * factor
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
