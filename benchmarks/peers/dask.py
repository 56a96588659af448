"""dask.distributed on one machine, with futures as arguments."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from benchmarks.driver import Driver, Function, Handle


class DaskDriver(Driver):
    """A LocalCluster of single-threaded worker processes under nannies, the dashboard off."""

    name = "dask"
    module = "distributed"
    distribution = "distributed"
    dataflow = True

    def start(self, workers: int) -> None:
        self.distributed = importlib.import_module("distributed")
        self.cluster = self.distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self.client = self.distributed.Client(self.cluster)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def submit(self, fn: Function, *args: Any) -> Handle:
        return self.client.submit(fn, *args, pure=False)

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        values: list[Any] = self.client.gather(list(handles))
        return values

    def settle(self, handles: Sequence[Handle]) -> None:
        self.distributed.wait(list(handles))

    def put(self, value: Any) -> Handle:
        return self.client.scatter(value)
