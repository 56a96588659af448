"""The runtimes by name, loaded only when asked for."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import platform
import sys
from pathlib import Path

from benchmarks.driver import Driver

PEERS = ("processpool", "loky", "joblib", "dask", "ray", "parsl")
"""Runtimes that taskflow is compared with; `inline` is a limit, not a peer."""

_DRIVERS = {
    "taskflow": "benchmarks.taskflow_driver:TaskflowDriver",
    "inline": "benchmarks.peers.inline:InlineDriver",
    "processpool": "benchmarks.peers.processpool:ProcessPoolDriver",
    "loky": "benchmarks.peers.loky:LokyDriver",
    "joblib": "benchmarks.peers.joblib:JoblibDriver",
    "dask": "benchmarks.peers.dask:DaskDriver",
    "ray": "benchmarks.peers.ray:RayDriver",
    "parsl": "benchmarks.peers.parsl:ParslDriver",
}

SOURCES = Path(__file__).resolve().parent.parent / "src"
"""Where taskflow is found when it is not installed, only checked out."""


def driver_class(name: str) -> type[Driver]:
    """The class of a driver; its runtime is not imported yet."""
    module, _, attribute = _DRIVERS[name].partition(":")
    found: type[Driver] = getattr(importlib.import_module(module), attribute)
    return found


def installed(name: str) -> bool:
    """Whether the runtime can be imported here, found out without importing it."""
    top = driver_class(name).module.partition(".")[0]
    return importlib.machinery.PathFinder.find_spec(top, [*sys.path, str(SOURCES)]) is not None


def version(name: str) -> str:
    """The version of a runtime; Python's own for what comes with Python."""
    distribution = driver_class(name).distribution
    if not distribution:
        return platform.python_version()
    module = importlib.import_module(driver_class(name).module)
    own = getattr(module, "__version__", None)
    return str(own) if own else importlib.metadata.version(distribution)
