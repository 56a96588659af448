"""``@IO``: a task that needs no computing unit."""

from taskflow.api.constraint import IO, io

__all__ = ["IO", "io"]
