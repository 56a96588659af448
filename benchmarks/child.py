"""One run in a process of its own: start the runtime, warm it up, run one workload, write the figures.

Started by :mod:`benchmarks.runner` as ``python -m benchmarks.child SPEC`` with a JSON object.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks import catalog, functions, procfs
from benchmarks.driver import Driver, UnsupportedError
from benchmarks.model import Context, Size
from benchmarks.workloads import WORKLOADS


def _warm_up(driver: Driver, workers: int) -> None:
    """Ten small tasks a worker, which also load numpy there."""
    driver.gather(driver.submit_many(functions.warm, [(i,) for i in range(10 * workers)]))


def _measure(driver: Driver, spec: dict[str, Any]) -> dict[str, Any]:
    workload = WORKLOADS[spec["workload"]]
    if workload.run is None:
        raise UnsupportedError(f"{workload.name} is timed from outside")
    if workload.warm:
        _warm_up(driver, spec["workers"])
    figures = workload.run(
        driver, Size(spec["n"], spec["mb"]), Context(workers=spec["workers"], folder=Path(spec["folder"]))
    )
    figures["main_mb"] = procfs.peak_mb()
    figures["tree_mb"] = procfs.tree_mb()
    return {"status": "ok", "figures": figures, "version": catalog.version(driver.name)}


def _write(path: Path, outcome: dict[str, Any]) -> None:
    """Atomic, and before the runtime stops: one that hangs there has still been measured."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(outcome), encoding="utf-8")
    part.replace(path)


def main() -> int:
    """Run what the specification on the command line says."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    out = Path(spec["out"])
    procfs.adopt_orphans()  # workers that detach themselves are counted in the memory of the tree, too
    driver = catalog.driver_class(spec["runtime"])()
    try:
        driver.start(spec["workers"])
        _write(out, _measure(driver, spec))
    except UnsupportedError as error:
        _write(out, {"status": "unsupported", "error": str(error)})
    except Exception as error:
        traceback.print_exc()
        _write(out, {"status": "error", "error": f"{type(error).__name__}: {error}"[:500]})
    driver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
