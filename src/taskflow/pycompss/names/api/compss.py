"""``@compss``: a task that is a whole program of tasks."""

from taskflow.api.compss import compss

COMPSs = compss

__all__ = ["COMPSs", "compss"]
