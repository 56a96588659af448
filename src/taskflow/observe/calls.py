"""Where and when each task was called, for the journal of a checked run.

Other runs do without: a record for each task would cost as much as the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.observe.journal import Journal

TOGETHER = 256  #: calls from one place that share a record


class Calls:
    """Writes the records ``calls`` and ``uses``. Used, like the journal, by one thread at a time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._place = ""
        self._first = 0
        self._times: list[int] = []

    def __repr__(self) -> str:
        """Show the calls that are not written yet."""
        return f"<Calls [{len(self._times)} from {self._place}]>"

    def called(self, task_id: int, t: int, place: str) -> None:
        """Note a call."""
        times = self._times
        if times and (task_id != self._first + len(times) or place != self._place or len(times) == TOGETHER):
            self.flush()
            times = self._times
        if not times:
            self._first = task_id
            self._place = place
        times.append(t)

    def uses(self, task_id: int, writes: Sequence[str], alone: Sequence[int]) -> None:
        """Note the files that a task is declared to write, and the data that it changes while no other task does."""
        self._journal.write({"e": "uses", "id": task_id, "writes": writes, "alone": alone})

    def flush(self) -> None:
        """Write what was noted."""
        if self._times:
            self._journal.write({"e": "calls", "first": self._first, "at": self._place, "ts": self._times})
            self._times = []
