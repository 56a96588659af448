"""``@ompss``: a task that is an OmpSs program."""

from taskflow.api.launchers import ompss

OmpSs = ompss

__all__ = ["OmpSs", "ompss"]
