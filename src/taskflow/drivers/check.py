"""The main program's part of a checked run: notes what is called and declared, and concludes at the end.

It stands between the session and the engine of a checked run only, so that other runs do not even ask.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from taskflow.data.tracking import FileDatum
from taskflow.model.errors import FindingsError
from taskflow.model.parameters import Direction
from taskflow.observe.calls import Calls
from taskflow.observe.journal import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from taskflow.core.graph import Datum, Task
    from taskflow.drivers.engine import Engine
    from taskflow.model.functions import FunctionRecord
    from taskflow.observe.check import Checked


class Check:
    """The check of one session. ``fails``: findings are an error."""

    def __init__(self, engine: Engine, run_dir: Path, *, fails: bool) -> None:
        self.checked: Checked | None = None
        self._engine = engine
        self._journal_path = run_dir / FILE_NAME
        self._fails = fails
        self._calls = Calls(engine.journal)
        self._submit = engine.submit
        engine.submit = self._noting  # type: ignore[method-assign]
        engine.submit_plain = self._noting_plain  # type: ignore[method-assign]

    def _noting(self, task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
        writes = [datum.path for datum, direction in accesses if direction.writes and isinstance(datum, FileDatum)]
        alone = [datum.current.datum_id for datum, direction in accesses if direction is Direction.COMMUTATIVE]
        engine = self._engine
        t = engine.now_us()
        self._submit(task, accesses)
        with engine.lock:
            if self.checked is None:  # else another thread has stopped the session just now
                self._calls.called(task.id, t, task.location)
                if writes or alone:
                    self._calls.uses(task.id, writes, alone)

    def _noting_plain(self, task: Task) -> None:
        self._noting(task, ())

    def declared(self, record: FunctionRecord) -> dict[str, Any]:
        """What the journal needs to know of a task function in addition."""
        return {
            "declared": {name: repr(parameter)[1:-1].split()[0] for name, parameter in record.parameters.items()},
            "self": record.self_name,
        }

    def look(self) -> Checked:
        """What has been found up to now. Executors tell what they saw a little later than they tell results."""
        from taskflow.observe.check import check

        engine = self._engine
        with engine.lock:
            if self.checked is not None:
                return self.checked
            self._calls.flush()
            engine.journal.flush()
        return check(self._journal_path)

    def conclude(self) -> int:
        """All executors have ended: find out for good. Return the exit code that follows from it, or 0."""
        self.checked = self.look()
        return int(self._fails and bool(self.checked.findings))

    def show(self) -> None:
        """Tell the user."""
        if self.checked is not None and sys.stderr is not None:
            sys.stderr.write(f"{self.checked}\n")

    def judge(self) -> None:
        """Raise FindingsError if findings are an error, and there are any."""
        if self._fails and self.checked is not None and self.checked.findings:
            number = len(self.checked.findings)
            raise FindingsError(
                f"the check found {number} problem{'' if number == 1 else 's'}, listed above: correct the "
                f"declarations, or run with --check (check=True) to be told only"
            )
