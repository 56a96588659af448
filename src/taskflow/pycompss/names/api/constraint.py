"""``@constraint``: what a task needs."""

from taskflow.api.constraint import constraint

Constraint = constraint

__all__ = ["Constraint", "constraint"]
