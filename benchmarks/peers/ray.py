"""Ray on one machine, with object references as arguments."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from benchmarks.driver import Driver, Function, Handle


class RayDriver(Driver):
    """A local Ray without its dashboard."""

    name = "ray"
    module = "ray"
    distribution = "ray"
    dataflow = True

    def start(self, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray = importlib.import_module("ray")
        self.ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
        self.remotes: dict[Function, Any] = {}

    def stop(self) -> None:
        self.ray.shutdown()

    def submit(self, fn: Function, *args: Any) -> Handle:
        remote = self.remotes.get(fn)
        if remote is None:
            remote = self.remotes[fn] = self.ray.remote(fn)
        return remote.remote(*args)

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        values: list[Any] = self.ray.get(list(handles))
        return values

    def settle(self, handles: Sequence[Handle]) -> None:
        self.ray.wait(list(handles), num_returns=len(handles), fetch_local=False)

    def put(self, value: Any) -> Handle:
        return self.ray.put(value)
