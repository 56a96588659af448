"""What a workload needs from a runtime: the few operations that every driver implements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from benchmarks import functions

Call = tuple[Any, ...]
Function = Callable[..., Any]
Handle = Any
"""Whatever a driver returns for a result to come; workloads only pass it on."""


class UnsupportedError(Exception):
    """The runtime cannot express the workload; it is left out of that row."""


class Driver:
    """A runtime under test.

    The defaults are those of a runtime that can only submit calls and return values; a driver overrides
    what its runtime can do better, in the way that a user of it would write.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    """Imported to know whether the runtime is installed, and timed by the `import` workload."""
    distribution: ClassVar[str] = ""
    """Distribution that tells the version; empty for the standard library."""
    dataflow: ClassVar[bool] = False
    """Whether a task may take the future of another task as an argument."""
    batch: ClassVar[bool] = False
    """Whether `submit_many` blocks until the whole batch is done (no futures at all)."""

    def start(self, workers: int) -> None:
        """Bring the runtime up with that many single-threaded workers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take the runtime down; no process may be left."""
        raise NotImplementedError

    def submit(self, fn: Function, *args: Any) -> Handle:
        """Start one task; arguments may be handles."""
        raise NotImplementedError

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        """The values of all handles, in order; the first error is raised."""
        raise NotImplementedError

    def submit_many(self, fn: Function, calls: Iterable[Call]) -> list[Handle]:
        """Start one task per tuple of arguments: the loop that a user would write."""
        submit = self.submit
        return [submit(fn, *args) for args in calls]

    def submit_inout(self, fn: Function, target: Handle, *args: Any) -> Handle:
        """Start a task that changes `target` in place; returns the handle that stands for it afterwards."""
        from benchmarks import arrays

        if fn is not arrays.bump:
            raise UnsupportedError(f"{self.name} has no INOUT arguments")
        return self.submit(arrays.bump_and_return, target)

    def settle(self, handles: Sequence[Handle]) -> None:
        """Wait until the results exist, without fetching them where the runtime can do that."""
        self.gather(handles)

    def outcomes(self, handles: Sequence[Handle]) -> list[Any]:
        """Like `gather`, with the exception in the place of each value that was lost."""
        return [self._outcome(handle) for handle in handles]

    def _outcome(self, handle: Handle) -> Any:
        try:
            return self.gather([handle])[0]
        except Exception as error:  # any failure of the runtime is a result here
            return error

    def put(self, value: Any) -> Handle:
        """Make an object of the main program cheap to pass to many tasks, where the runtime can."""
        return value

    def barrier(self) -> None:
        """Wait for every task of which no handle was kept."""
        raise UnsupportedError(f"{self.name} has no barrier")

    def write_file(self, path: str, index: int) -> Handle:
        """Start a task that writes a small file; returns what `read_file` takes."""
        return self.submit(functions.write_file_path, path, index)

    def read_file(self, written: Handle) -> Handle:
        """Start a task that reads the file of `write_file`."""
        return self.submit(functions.read_file, written)


class FuturePool(Driver):
    """Executors of `concurrent.futures` kind: no dataflow, so main waits for arguments and sends values."""

    pool: Any

    def stop(self) -> None:
        self.pool.shutdown(wait=True)

    def submit(self, fn: Function, *args: Any) -> Handle:
        return self.pool.submit(fn, *[a.result() if isinstance(a, Future) else a for a in args])

    def gather(self, handles: Sequence[Handle]) -> list[Any]:
        return [handle.result() for handle in handles]
