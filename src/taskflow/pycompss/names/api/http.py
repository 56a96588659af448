"""``@http``: a task that is a request to a service."""

from taskflow.api.http import HTTP, http

__all__ = ["HTTP", "http"]
