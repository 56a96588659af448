"""``@prolog``: a program before the task."""

from taskflow.api.programs import prolog

Prolog = prolog

__all__ = ["Prolog", "prolog"]
