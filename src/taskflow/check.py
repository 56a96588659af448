"""The check of declared directions: which tasks do other things with their data than they declare.

Switched on with ``runtask --check`` or ``taskflow.start(check=True)``. The findings are shown when the run ends, and
kept in its journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskflow import runtime
from taskflow.model.errors import NotRunningError
from taskflow.observe.check import Checked, Finding
from taskflow.observe.check import check as of_journal

if TYPE_CHECKING:
    import os

__all__ = ["Checked", "Finding", "findings"]


def findings(run_dir: str | os.PathLike[str] | None = None) -> tuple[Finding, ...]:
    """What the check of a run found: of the last session of this process, or of the run with that folder.

    While the session runs it is what is known by now: executors tell what they saw a little later than they tell
    results. Raises NotRunningError if there has been no checked session, and JournalError or OSError if the folder has
    no journal that can be read.
    """
    if run_dir is not None:
        from pathlib import Path

        return of_journal(Path(run_dir, "journal.jsonl")).findings
    if runtime.last_check is None:
        raise NotRunningError(
            "no session of this process was checked: start the program with runtask --check, or call "
            "taskflow.start(check=True)"
        )
    return runtime.last_check.look().findings
