"""Parsl with its high-throughput executor, with app futures and File objects as arguments."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks import functions
from benchmarks.driver import Driver, Function, Handle


class ParslDriver(Driver):
    """One block of workers on this machine; one retry, so that it may survive a killed worker."""

    name = "parsl"
    module = "parsl"
    distribution = "parsl"
    dataflow = True

    def start(self, workers: int) -> None:
        self.parsl = importlib.import_module("parsl")
        config = importlib.import_module("parsl.config")
        executors = importlib.import_module("parsl.executors")
        providers = importlib.import_module("parsl.providers")
        self.file = importlib.import_module("parsl.data_provider.files").File
        self.apps: dict[Function, Any] = {}
        self.folder = tempfile.TemporaryDirectory(prefix="bench-parsl-", ignore_cleanup_errors=True)
        executor = executors.HighThroughputExecutor(
            label="bench",
            address="127.0.0.1",
            max_workers_per_node=workers,
            cores_per_worker=1,
            provider=providers.LocalProvider(init_blocks=1, max_blocks=1),
        )
        self.parsl.load(
            config.Config(
                executors=[executor],
                run_dir=self.folder.name,
                strategy="none",
                retries=1,
                initialize_logging=False,
            )
        )

    def stop(self) -> None:
        self.parsl.dfk().cleanup()
        self.parsl.clear()
        self.folder.cleanup()

    def _app(self, fn: Function) -> Any:
        app = self.apps.get(fn)
        if app is None:
            app = self.apps[fn] = self.parsl.python_app(fn)
        return app

    def submit(self, fn: Function, *args: Any) -> Handle:
        return self._app(fn)(*args)

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        return [handle.result() for handle in handles]

    def write_file(self, path: str, index: int) -> Handle:
        return self._app(functions.write_outputs)(index, outputs=[self.file(path)]).outputs[0]

    def read_file(self, written: Handle) -> Handle:
        return self._app(functions.read_inputs)(inputs=[written])
