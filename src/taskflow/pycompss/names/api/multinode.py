"""``@multinode``: a task on several nodes."""

from taskflow.api.multinode import multinode

MultiNode = multinode

__all__ = ["MultiNode", "multinode"]
