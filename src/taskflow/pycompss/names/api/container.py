"""``@container``: a task that is run in a container."""

from taskflow.api.container import container

Container = container

__all__ = ["Container", "container"]
