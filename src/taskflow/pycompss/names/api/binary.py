"""``@binary``: a task that is a program."""

from taskflow.api.binary import binary

Binary = binary

__all__ = ["Binary", "binary"]
