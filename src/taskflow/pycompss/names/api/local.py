"""``@local``: a function of the main program that gets values."""

from taskflow.api.local import local

Local = local

__all__ = ["Local", "local"]
