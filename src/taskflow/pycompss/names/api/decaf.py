"""``@decaf``: a task that is a Decaf workflow."""

from taskflow.api.launchers import decaf

Decaf = decaf

__all__ = ["Decaf", "decaf"]
