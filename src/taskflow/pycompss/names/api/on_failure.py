"""``@on_failure``: what a failure does."""

from taskflow.api.on_failure import on_failure

OnFailure = onFailure = on_failure

__all__ = ["OnFailure", "onFailure", "on_failure"]
