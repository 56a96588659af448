"""The report: taskflow against its goals, everyone against everyone, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.catalog import PEERS, driver_class
from benchmarks.model import Figure, Goal, Workload
from benchmarks.runner import Result

BEGIN = "<!-- benchmarks: begin -->"
END = "<!-- benchmarks: end -->"
OURS = "taskflow"
LEGEND = (
    "Every run has a process of its own, the runtimes take turns, every result is checked; a cell is the "
    "median of the runs. `vs` says how many times better taskflow is (above 1 is ahead, for rates and "
    "times alike). `inline` is plain calls in one process, the limit of one core, and not a peer. joblib "
    "takes batches and gives no futures. Differences below 20 % mean little on a shared machine."
)


class Table:
    """The runs of a suite, looked up by cell."""

    def __init__(self, workloads: Sequence[Workload], runtimes: Sequence[str], results: Sequence[Result]) -> None:
        self.workloads = workloads
        self.runtimes = runtimes
        self.results = results

    def runs(self, workload: str, runtime: str) -> list[Result]:
        """All runs of one runtime in one workload."""
        return [r for r in self.results if (r.workload, r.runtime) == (workload, runtime)]

    def taken_part(self, workload: Workload) -> bool:
        """Whether anybody ran that workload."""
        return any(r.workload == workload.name for r in self.results)

    def values(self, workload: str, runtime: str, key: str) -> list[float]:
        """A figure of each run that has it."""
        return [r.figures[key] for r in self.runs(workload, runtime) if r.status == "ok" and key in r.figures]

    def cells(self, workload: Workload, figure: Figure) -> dict[str, float]:
        """The medians of one row by runtime."""
        found: dict[str, float] = {}
        for name in self.runtimes:
            values = self.values(workload.name, name, figure.key)
            if not values and figure.peers_from and name != OURS:
                values = self.values(figure.peers_from, name, figure.key)
            if values:
                found[name] = median(values)
        return found


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def best_of(cells: dict[str, float], figure: Figure, dataflow: bool = False) -> str | None:
    """The best peer of a row, among all or among those with futures as arguments."""
    names = [name for name in PEERS if name in cells and (not dataflow or driver_class(name).dataflow)]
    if not names:
        return None
    return (max if figure.higher else min)(names, key=lambda name: cells[name])


def _versus(cells: dict[str, float], figure: Figure, best: str | None) -> str:
    """How many times better than that peer we are: above 1 is ahead, for rates and times alike."""
    if best is None or OURS not in cells:
        return "-"
    ours, theirs = cells[OURS], cells[best]
    over, under = (ours, theirs) if figure.higher else (theirs, ours)
    return f"{over / under:.2f}x {best}" if over > 0 and under > 0 else f"({number(theirs)}) {best}"


def _goals(goals: tuple[Goal, ...], cells: dict[str, float], figure: Figure, best: str | None) -> str:
    """Each goal with its bound and whether it was met."""
    words = []
    for goal in goals:
        bound = goal.bound(cells, cells[best] if best else None)
        text = goal.text
        if bound is not None and goal.value is None:
            text += f" = {number(bound)}"
        if bound is None:
            text += " ?"
        elif OURS in cells:
            text += " ✓" if figure.better(cells[OURS], bound) else " ✗"
        words.append(text)
    return ", ".join(words) or "-"


def _spread(values: list[float]) -> str:
    return "-" if len(values) < 2 else f"{number(min(values))} to {number(max(values))}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def goals_table(table: Table) -> list[str]:
    """taskflow: median, range, best peers, goals."""
    head = ["workload", "n", "unit", OURS, "range", "vs best peer", "vs best dataflow peer", "must", "aim"]
    lines = [_row(head), _row(["---"] * len(head))]
    for workload in filter(table.taken_part, table.workloads):
        for figure in workload.figures:
            cells = table.cells(workload, figure)
            best = best_of(cells, figure)
            runs = [r for r in table.results if r.workload == workload.name]
            lines.append(
                _row(
                    [
                        workload.name,
                        f"{runs[0].n:,}",
                        figure.unit,
                        number(cells[OURS]) if OURS in cells else "-",
                        _spread(table.values(workload.name, OURS, figure.key)),
                        _versus(cells, figure, best),
                        _versus(cells, figure, best_of(cells, figure, dataflow=True)),
                        _goals(figure.must, cells, figure, best),
                        _goals(figure.aim, cells, figure, best),
                    ]
                )
            )
    return lines


def _cell(table: Table, workload: Workload, figure: Figure, name: str, cells: dict[str, float]) -> str:
    if name in cells:
        return number(cells[name])
    runs = table.runs(workload.name, name)
    for status in ("timeout", "error"):
        for run in runs:
            if run.status == status:
                return run.error if status == "timeout" else "error"
    return "-"


def full_table(table: Table) -> list[str]:
    """The median of every runtime in every row."""
    head = ["workload", "unit", *table.runtimes]
    lines = [_row(head), _row(["---", "---", *["---:"] * len(table.runtimes)])]
    for workload in filter(table.taken_part, table.workloads):
        for figure in workload.figures:
            cells = table.cells(workload, figure)
            row = [_cell(table, workload, figure, name, cells) for name in table.runtimes]
            lines.append(_row([workload.name, figure.unit, *row]))
    return lines


def notes(table: Table, skipped: Sequence[str]) -> list[str]:
    """What a reader must know: who was left out, what failed."""
    lines = [f"- {name}: not installed, skipped." for name in skipped]
    seen: set[tuple[str, str, str]] = set()
    for r in table.results:
        for text in (r.error if r.status != "unsupported" else "", r.note):
            if text and (r.workload, r.runtime, text) not in seen:
                seen.add((r.workload, r.runtime, text))
                lines.append(f"- {r.workload}, {r.runtime}: {text.splitlines()[0]}")
    return lines


def markdown(table: Table, machine: dict[str, str], skipped: Sequence[str], how: str) -> str:
    """The whole report."""
    versions = {r.runtime: r.version for r in table.results if r.version}
    measured = (
        f"Measured with `{how}` on {machine['cores']} cores ({machine['cpu']}), {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}, {machine['date']}; "
        f"load average before the run {machine['load']}."
    )
    named = ", ".join(f"{name} {versions[name]}" for name in table.runtimes if name in versions)
    lines = [measured, "", f"Versions: {named}.", "", LEGEND, ""]
    if OURS in table.runtimes:
        lines += ["### taskflow and its goals", "", *goals_table(table), ""]
    lines += ["### All runtimes", "", *full_table(table), ""]
    remarks = notes(table, skipped)
    if remarks:
        lines += ["### Remarks", "", *remarks, ""]
    return "\n".join(lines)


def write(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what is between the markers, or the whole file if it has none."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin in old and end in old:
        before, _, rest = old.partition(begin)
        after = rest.partition(end)[2]
    else:
        before, after = "# Performance\n\n", "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
