"""Runs each (runtime, workload, repetition) in a process of its own, with a time limit and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import procfs
from benchmarks.model import Figures, Size, Workload

ROOT = Path(__file__).resolve().parent.parent
GRACE = 2.0
"""Seconds that processes have to end after their main program did."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Result:
    """What came out of one run."""

    runtime: str
    workload: str
    rep: int
    n: int
    status: str
    """`ok`, `error`, `timeout` or `unsupported`."""
    figures: Figures = field(default_factory=dict)
    version: str = ""
    error: str = ""
    wall_s: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Finished:
    """How a process ended."""

    code: int
    seconds: float
    timed_out: bool
    left_behind: int
    output: str


def environment() -> dict[str, str]:
    """As in an activated environment, with this checkout importable and BLAS on one thread."""
    env = dict(os.environ)
    env.update(dict.fromkeys(_ONE_THREAD, "1"))
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # starts are measured as users have them
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


def run_process(argv: Sequence[str], folder: Path, timeout: float) -> Finished:
    """Run a command to its end or its time limit; nothing that it started stays alive."""
    procfs.adopt_orphans()
    spared = procfs.descendants(os.getpid())
    log = folder / "output.txt"
    expired = threading.Event()
    with log.open("wb") as stream:
        begin = perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def expire() -> None:
            expired.set()
            os.kill(process.pid, signal.SIGKILL)

        # Popen.wait(timeout) polls every 50 ms, too coarse for a start-up time: wait without, under a timer
        timer = threading.Timer(timeout, expire)
        timer.daemon = True
        timer.start()
        try:
            code = process.wait()
            seconds = perf_counter() - begin
        finally:
            timer.cancel()
            left = procfs.kill_all_but(spared, GRACE)
    return Finished(code, seconds, expired.is_set(), left, log.read_text(errors="replace"))


def run_child(runtime: str, workload: Workload, size: Size, *, rep: int, workers: int) -> Result:
    """Run a workload once in a fresh process."""
    result = Result(runtime, workload.name, rep, size.n, "error")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        out = folder / "result.json"
        work = folder / "work"
        work.mkdir()
        spec: dict[str, Any] = {"runtime": runtime, "workload": workload.name, "n": size.n, "mb": size.mb}
        spec |= {"workers": workers, "folder": str(work), "out": str(out)}
        command = [sys.executable, "-m", "benchmarks.child", json.dumps(spec)]
        finished = run_process(command, folder, workload.timeout)
        result.wall_s = finished.seconds
        _judge(result, out, finished, workload.timeout)
    return result


def _judge(result: Result, out: Path, finished: Finished, limit: float) -> None:
    """Fill in what the run wrote down, or why it wrote nothing."""
    notes: list[str] = []
    if out.exists():
        outcome = json.loads(out.read_text(encoding="utf-8"))
        result.status = outcome["status"]
        result.figures = outcome.get("figures", {})
        result.version = outcome.get("version", "")
        result.error = outcome.get("error", "")
        if finished.timed_out:
            notes.append("it did not stop and was killed")
        elif finished.code and result.status == "ok":
            notes.append(f"measured, but it exited with {finished.code}")
    elif finished.timed_out:
        result.status, result.error = "timeout", f"> {limit:g} s"
    else:
        result.error = f"exit {finished.code}: {_last_line(finished.output)}"
    if finished.left_behind and not finished.timed_out:
        notes.append(f"it left {finished.left_behind} processes behind")
    result.note = "; ".join(notes)


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1][:300] if lines else "no output"
