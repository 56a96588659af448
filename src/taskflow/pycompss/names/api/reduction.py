"""``@reduction``: a task that reduces a collection."""

from taskflow.api.reduction import reduction

Reduction = reduction

__all__ = ["Reduction", "reduction"]
