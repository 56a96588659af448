"""The status line of a running program: one line on standard error that keeps itself up to date.

No thread and no clock of its own: whoever drives the run calls `Progress.show` with the time as often as it
likes, and most calls return at once. What the line says is decided by `format_line`, apart from its output.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

TERMINAL_INTERVAL = 0.1  # seconds between two looks of the line
LOG_INTERVAL = 10.0  # the same where each look stays in a file
RATE_WINDOW = 10.0  # the rate is that of the last seconds: it follows a run that slows down


@dataclass(frozen=True)
class Counts:
    """Where a run stands; all of tasks, but for the executors that are alive."""

    submitted: int
    running: int
    done: int
    failed: int
    executors: int


class Progress:
    """Shows the state of a run on a terminal; in a file or a pipe it prints a line now and then."""

    def __init__(
        self, counts: Callable[[], Counts], stream: TextIO | None = None, *, started: float | None = None
    ) -> None:
        """Ask `counts` whenever a line is due; the run began at `started`, or else at the first `show`."""
        self._counts = counts
        self._stream: TextIO | None = sys.stderr if stream is None else stream  # None: nobody listens
        self._on_terminal = self._stream is not None and _is_terminal(self._stream)
        self._interval = TERMINAL_INTERVAL if self._on_terminal else LOG_INTERVAL
        self._started = started
        self._next = float("-inf")
        self._samples: deque[tuple[float, int]] = deque()  # (time, tasks finished by then), the oldest first
        self._is_shown = False

    def __repr__(self) -> str:
        """Show where it writes."""
        where = "terminal" if self._on_terminal else "lines"
        return f"<Progress [{where}, {'shown' if self._is_shown else 'clear'}]>"

    def show(self, now: float) -> None:
        """Bring the line up to date, if that is due by now (seconds on any steady clock)."""
        if now < self._next or self._stream is None:
            return
        self._next = now + self._interval
        if self._started is None:
            self._started = now
        counts = self._counts()
        line = format_line(counts, now - self._started, self._rate(now, counts.done + counts.failed))
        if not self._on_terminal:
            self._put(line + "\n")
            return
        self._put("\r" + _shortened(line, _columns(self._stream)) + "\x1b[K")
        self._is_shown = True

    def clear(self) -> None:
        """Wipe the line, so that something else can be printed. The next `show` brings it back."""
        if self._is_shown:
            self._put("\r\x1b[K")
            self._is_shown = False
            self._next = float("-inf")

    def _rate(self, now: float, finished: int) -> float:
        samples = self._samples
        if not samples and self._started is not None and self._started < now:
            samples.append((self._started, 0))
        samples.append((now, finished))
        while len(samples) > 2 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()
        then, before = samples[0]
        return (finished - before) / (now - then) if now > then else 0.0

    def _put(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):  # terminal hung up, stream closed: no reason to disturb the run
            self._stream = None


def format_line(counts: Counts, elapsed: float, rate: float) -> str:
    """Say where a run stands, after `elapsed` seconds and finishing `rate` tasks per second."""
    parts = [
        f"done {counts.done:,} of {counts.submitted:,}",
        f"running {counts.running:,}",
        f"failed {counts.failed:,}",
    ]
    if counts.executors == 0:
        parts.append("no executors")
    if rate > 0:
        parts.append(_rate_text(rate))
    parts.append(_clock(elapsed))
    left = counts.submitted - counts.done - counts.failed
    if rate > 0 and left > 0:
        parts.append(f"about {_clock(left / rate)} left")
    return "taskflow  " + " · ".join(parts)


def _rate_text(rate: float) -> str:
    if rate >= 10:
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _shortened(line: str, columns: int) -> str:
    # One column stays free: many terminals wrap when the last one is filled, and the line could not be wiped.
    return line if len(line) < columns else line[: max(columns - 2, 0)] + "…"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
