"""Data for tests."""

from taskflow.functions.data import chunks, generator

__all__ = ["chunks", "generator"]
