"""``@task``."""

from taskflow.api.task import task

Task = task

__all__ = ["Task", "task"]
