"""Plain calls in the main program: the physical limit of one core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.driver import Driver, Function, Handle


class InlineDriver(Driver):
    """Call the function on the spot; a handle is the value itself."""

    name = "inline"
    module = "os"
    dataflow = True

    def start(self, workers: int) -> None:
        pass

    def stop(self) -> None:
        pass

    def submit(self, fn: Function, *args: Any) -> Handle:
        return fn(*args)

    def submit_inout(self, fn: Function, target: Handle, *args: Any) -> Handle:
        fn(target, *args)
        return target

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        return list(handles)

    def barrier(self) -> None:
        pass
