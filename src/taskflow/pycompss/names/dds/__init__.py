"""Distributed data sets."""

from taskflow.dds import DDS

__all__ = ["DDS"]
