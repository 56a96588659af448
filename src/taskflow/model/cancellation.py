"""Apart from the other errors, because it needs `concurrent.futures`, which costs milliseconds at every start."""

from __future__ import annotations

from concurrent.futures import CancelledError

from taskflow.model.errors import TaskflowError


class TaskCancelledError(TaskflowError, CancelledError):
    """The value cannot be had: the task was cancelled, or another one whose result it needed. The cause says why."""
