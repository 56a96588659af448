"""taskflow through its public API, with dependency analysis on."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import functions
from benchmarks.driver import Call, Driver, Function, Handle


class TaskflowDriver(Driver):
    """Start, call tasks, wait: what a script without the launcher does."""

    name = "taskflow"
    module = "taskflow"
    distribution = "taskflow-runtime"
    dataflow = True

    def start(self, workers: int) -> None:
        self.taskflow: Any = importlib.import_module("taskflow")
        self.tasks: dict[Function, Function] = dict(importlib.import_module("benchmarks.taskflow_tasks").TASKS)
        self.taskflow.start(workers=workers)

    def stop(self) -> None:
        self.taskflow.stop()

    def _task(self, fn: Function) -> Function:
        if fn not in self.tasks:
            self.tasks.update(importlib.import_module("benchmarks.taskflow_array_tasks").TASKS)
        if fn not in self.tasks:
            self.tasks[fn] = self.taskflow.task(returns=1)(fn)
        return self.tasks[fn]

    def submit(self, fn: Function, *args: Any) -> Handle:
        return self._task(fn)(*args)

    def submit_many(self, fn: Function, calls: Iterable[Call]) -> list[Handle]:
        task = self._task(fn)
        return [task(*args) for args in calls]

    def submit_inout(self, fn: Function, target: Handle, *args: Any) -> Handle:
        self._task(fn)(target, *args)
        return target

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        values: list[Any] = self.taskflow.compss_wait_on(list(handles))
        return values

    def settle(self, handles: Sequence[Handle]) -> None:
        self.taskflow.compss_barrier()

    def put(self, value: Any) -> Handle:
        return self.taskflow.put(value)

    def barrier(self) -> None:
        self.taskflow.compss_barrier()

    def write_file(self, path: str, index: int) -> Handle:
        self._task(functions.write_file)(path, index)
        return path
