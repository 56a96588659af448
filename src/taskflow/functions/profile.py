"""How much memory functions use."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

#: Environment variable with the file that reports are appended to.
REPORT_FILE = "COMPSS_PROFILING_FILE"
INTERVAL_S = 0.005  #: between two looks at the memory
_MIB = 1 << 20


class Profile:
    """Decorator, with parentheses, directly above a function: reports how much memory each call of it uses.

    ``full_report``: line by line, which needs the package memory_profiler; else one line with start time, name of the
    script, source file, function, seconds, memory before, after and at most, and its unit. ``precision``: decimals.
    ``backend``: "psutil", or one that memory_profiler knows. The report is printed, or appended to the file that the
    environment variable COMPSS_PROFILING_FILE names.

    Raises ArgumentError for wrong arguments; a call raises UnavailableError if the package is not there.
    """

    def __init__(self, full_report: bool = True, precision: int = 1, backend: str = "psutil") -> None:
        if precision < 0:
            raise ArgumentError(f"profile: precision is a number of decimals, not {precision!r}")
        if not full_report and backend != "psutil":
            raise ArgumentError(f"profile: only a full report has other backends than 'psutil', not {backend!r}")
        self.full_report = full_report
        self.precision = precision
        self.backend = backend

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its report."""
        run = self._line_by_line if self.full_report else self._in_one_line

        @functools.wraps(function)
        def profiled(*args: Any, **kwargs: Any) -> Any:
            return run(function, args, kwargs)

        return profiled

    def _line_by_line(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            from memory_profiler import LineProfiler, show_results
        except ImportError:
            raise UnavailableError(
                "profile(full_report=True) needs the package memory_profiler: install it, or use full_report=False"
            ) from None
        import io

        profiler = LineProfiler(backend=self.backend)
        try:
            return profiler(function)(*args, **kwargs)
        finally:
            text = io.StringIO()
            show_results(profiler, stream=text, precision=self.precision)
            _report(text.getvalue())

    def _in_one_line(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = time.time()
        with _Watch() as watch:
            try:
                return function(*args, **kwargs)
            finally:
                watch.stop()
                figures = [f"{value / _MIB:.{self.precision}f}" for value in (watch.first, watch.last, watch.peak)]
                _report(" ".join([
                    f"{began:.6f}", os.path.basename(sys.argv[0]) or "-", inspect.getsourcefile(function) or "-",
                    function.__qualname__, f"{time.time() - began:.6f}", *figures, "MiB",
                ]) + "\n")  # fmt: skip


class _Watch:
    """Looks at this process's memory from a thread, and once at the beginning and at the end."""

    def __enter__(self) -> Self:
        import psutil

        self._memory = psutil.Process().memory_info
        self._ended = threading.Event()
        self.first = self.last = self.peak = self._memory().rss
        self._thread = threading.Thread(target=self._look, name="taskflow-profile", daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.peak = max(self.peak, self._memory().rss)

    def stop(self) -> None:
        """The function has ended."""
        if not self._ended.is_set():
            self.last = self._memory().rss
            self.peak = max(self.peak, self.last)
            self._ended.set()
            self._thread.join()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _report(text: str) -> None:
    path = os.environ.get(REPORT_FILE)
    if not path:
        sys.stdout.write(text)
        return
    with open(path, "a", encoding="utf-8") as file:  # one write: lines of several executors do not mix
        file.write(text)


profile = Profile
