"""``@software``: a task described in a file."""

from taskflow.api.software import software

Software = software

__all__ = ["Software", "software"]
