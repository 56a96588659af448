"""The workloads that are whole processes, timed from outside: start-up, the launcher, the import."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.catalog import driver_class
from benchmarks.model import Figures, Workload, WrongResultError
from benchmarks.runner import ROOT, Finished, Result, environment, run_process

_IMPORT = "import time; begin = time.perf_counter(); import {module}; print(time.perf_counter() - begin)"


def _command(workload: str, runtime: str, workers: int) -> list[str] | str:
    """The command to time, or the reason why there is none."""
    if workload == "startup":
        return [sys.executable, "-m", "benchmarks.startup", runtime, str(workers)]
    if workload == "import":
        if runtime == "inline":
            return "nothing to import"
        return [sys.executable, "-c", _IMPORT.format(module=driver_class(runtime).module)]
    launcher = shutil.which("runtask", path=environment()["PATH"])
    if launcher is None:
        return "the command runtask is not installed in this environment"
    return [launcher, f"--workers={workers}", str(ROOT / "benchmarks" / "apps" / "one_task.py")]


def _figures(workload: str, finished: Finished) -> Figures:
    last = (finished.output.strip().splitlines() or [""])[-1]
    if workload == "import":
        return {"ms": float(last) * 1000}
    if "2" not in finished.output.split():
        raise WrongResultError(f"expected the answer 2, got {last!r:.200}")
    return {"s": finished.seconds}


def run_whole_process(runtime: str, workload: Workload, rep: int, workers: int) -> Result:
    """Time one process; before the first one, an uncounted one compiles what is not compiled yet."""
    result = Result(runtime, workload.name, rep, 1, "error")
    command = _command(workload.name, runtime, workers)
    if isinstance(command, str):
        result.status, result.error = "unsupported", command
        return result
    for _ in range(2 if rep == 0 else 1):
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            finished = run_process(command, Path(folder), workload.timeout)
    result.wall_s = finished.seconds
    if finished.timed_out:
        result.status, result.error = "timeout", f"> {workload.timeout:g} s"
    elif finished.code:
        last = (finished.output.strip().splitlines() or ["no output"])[-1]
        result.error = f"exit {finished.code}: {last[:300]}"
    else:
        try:
            result.figures = _figures(workload.name, finished)
            result.status = "ok"
        except ValueError as error:
            result.error = str(error)
        except WrongResultError as error:
            result.error = str(error)
    return result
