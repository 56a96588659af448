"""The exception that a task raises to end the work of its groups."""

from taskflow.model.errors import COMPSsException

__all__ = ["COMPSsException"]
