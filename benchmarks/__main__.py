"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import catalog, machine, report
from benchmarks.model import Workload
from benchmarks.runner import Result
from benchmarks.suite import Options, run_suite
from benchmarks.workloads import WORKLOADS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure taskflow and its peers on the same workloads, in the same run.",
        epilog=f"Peers: {', '.join(catalog.PEERS)}. Workloads: {', '.join(WORKLOADS)}.",
    )
    parser.add_argument("--peers", default="all", help="all, none, or names with commas (default: all)")
    parser.add_argument(
        "--workloads",
        default="default",
        help="default, all, or names with commas (default: those with goals)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and one repetition: a smoke test")
    parser.add_argument("--reps", type=int, help="runs of each cell (default 3, with --quick 1)")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded workers (default 2)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report there, e.g. docs/performance.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single run there")
    parser.add_argument("--no-inline", action="store_true", help="leave out the plain calls")
    parser.add_argument("--no-taskflow", action="store_true", help="measure the peers alone")
    return parser


def _names(parser: argparse.ArgumentParser, text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            parser.error(f"unknown {what} {name!r}; there are {', '.join(known)}")
    return names


def _workloads(parser: argparse.ArgumentParser, text: str) -> list[Workload]:
    if text == "all":
        return list(WORKLOADS.values())
    if text == "default":
        return [workload for workload in WORKLOADS.values() if workload.default]
    return [WORKLOADS[name] for name in _names(parser, text, list(WORKLOADS), "workload")]


def _progress(result: Result) -> None:
    figures = ", ".join(f"{key} {report.number(value)}" for key, value in result.figures.items())
    text = figures or f"{result.status}: {result.error}"
    print(
        f"{result.workload:16} {result.runtime:12} {result.wall_s:6.1f} s  {text}",
        file=sys.stderr,
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 1 if a run of taskflow failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = {"all": ",".join(catalog.PEERS), "none": ""}.get(options.peers, options.peers)
    peers = _names(parser, given, catalog.PEERS, "peer")
    workloads = _workloads(parser, options.workloads)
    wanted = [
        *(() if options.no_taskflow else ["taskflow"]),
        *(() if options.no_inline else ["inline"]),
        *peers,
    ]
    skipped = [name for name in wanted if not catalog.installed(name)]
    for name in skipped:
        print(f"{name}: not installed, skipped", file=sys.stderr)
    runtimes = [name for name in wanted if name not in skipped]
    facts = machine.describe() | {"date": time.strftime("%Y-%m-%d")}
    settings = Options(options.reps or (1 if options.quick else 3), options.quick, options.workers)
    results = list(run_suite(workloads, runtimes, settings, _progress))
    how = "python -m benchmarks" + (" --quick" if options.quick else "") + f" --reps {settings.reps}"
    text = report.markdown(report.Table(workloads, runtimes, results), facts, skipped, how)
    print(text)
    if options.write:
        report.write(options.write, text)
    if options.json:
        everything = {"machine": facts, "runs": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(everything, indent=1), encoding="utf-8")
    return int(any(r.runtime == "taskflow" and r.status in ("error", "timeout") for r in results))


if __name__ == "__main__":
    sys.exit(main())
