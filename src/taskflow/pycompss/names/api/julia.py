"""``@julia``: a task that is a Julia script."""

from taskflow.api.launchers import julia

Julia = julia

__all__ = ["Julia", "julia"]
