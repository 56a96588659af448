"""joblib.Parallel: batches of calls without futures, so a graph is run level by level."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.driver import Call, Driver, Function, Handle


class JoblibDriver(Driver):
    """One `Parallel` kept open over the run; a handle is the value itself."""

    name = "joblib"
    module = "joblib"
    distribution = "joblib"
    batch = True

    def start(self, workers: int) -> None:
        joblib = importlib.import_module("joblib")
        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=workers).__enter__()

    def stop(self) -> None:
        self.parallel.__exit__(None, None, None)

    def submit(self, fn: Function, *args: Any) -> Handle:
        return self.submit_many(fn, [args])[0]

    def submit_many(self, fn: Function, calls: Iterable[Call]) -> list[Handle]:
        task = self.delayed(fn)
        values: list[Handle] = self.parallel(task(*args) for args in calls)
        return values

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        return list(handles)
