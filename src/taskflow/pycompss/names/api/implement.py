"""``@implement``: another way to run a task."""

from taskflow.api.implement import implement

Implement = implement

__all__ = ["Implement", "implement"]
