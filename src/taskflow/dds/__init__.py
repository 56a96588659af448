"""Distributed data sets: lists in partitions, transformed by tasks."""

from taskflow.dds.dataset import DDS
from taskflow.dds.hashing import stable_hash

__all__ = ["DDS", "stable_hash"]
