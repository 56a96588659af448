"""``@epilog``: a program after the task."""

from taskflow.api.programs import epilog

Epilog = epilog

__all__ = ["Epilog", "epilog"]
