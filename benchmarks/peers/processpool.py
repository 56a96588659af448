"""`concurrent.futures.ProcessPoolExecutor`, the yardstick that every Python has."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from benchmarks.driver import FuturePool


class ProcessPoolDriver(FuturePool):
    """The pool of the standard library with its default start method."""

    name = "processpool"
    module = "concurrent.futures.process"

    def start(self, workers: int) -> None:
        self.pool = ProcessPoolExecutor(max_workers=workers)
