"""Maps."""

from taskflow.functions.map import map

__all__ = ["map"]
