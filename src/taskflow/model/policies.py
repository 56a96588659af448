"""What the runtime does when an attempt of a task fails."""

from __future__ import annotations

from enum import Enum
from typing import Any

from taskflow.model.errors import ArgumentError

#: Executions that a task gets under RETRY: two on one node, two more where else it can run.
MAX_ATTEMPTS = 4


class OnFailure(Enum):
    """Failure policy of a task function; the names are those PyCOMPSs programs use."""

    RETRY = "RETRY"  #: run it again, at most `MAX_ATTEMPTS` times in all, then as FAIL
    FAIL = "FAIL"  #: the main program gets the exception where it waits; what depends on the task fails with it
    CANCEL_SUCCESSORS = "CANCEL_SUCCESSORS"  #: what depends on the task is cancelled, everything else goes on
    IGNORE = "IGNORE"  #: as if it had ended: its outputs get default values, or stay what they were

    @property
    def attempts(self) -> int:
        """How often a task is run before its failure counts."""
        return MAX_ATTEMPTS if self is OnFailure.RETRY else 1


def parse_policy(value: Any, where: str) -> OnFailure:
    """Understand a policy's name. Raises ArgumentError naming the four there are; ``where`` begins the message."""
    if isinstance(value, OnFailure):
        return value
    try:
        return OnFailure[str(value).strip().upper()]
    except KeyError:
        names = ", ".join(policy.name for policy in OnFailure)
        raise ArgumentError(f"{where}: there is no failure policy {value!r}; the policies are {names}") from None
