"""Codes of what a value is."""

from taskflow.pycompss.constants import TYPE

DataType = TYPE

__all__ = ["TYPE", "DataType"]
