"""loky's executor: the pool of the standard library made robust."""

from __future__ import annotations

import importlib

from benchmarks.driver import FuturePool


class LokyDriver(FuturePool):
    """The reusable executor, as loky's documentation recommends."""

    name = "loky"
    module = "loky"
    distribution = "loky"

    def start(self, workers: int) -> None:
        self.pool = importlib.import_module("loky").get_reusable_executor(max_workers=workers)
