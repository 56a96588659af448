"""Futures, and kinds of functions."""

from enum import IntEnum

from taskflow.api.futures import Future


class EmptyReturn:
    """Marks a value that was not returned; nothing makes one."""


class FunctionType(IntEnum):
    """What a task function is."""

    FUNCTION = 1
    INSTANCE_METHOD = 2
    CLASS_METHOD = 3


__all__ = ["EmptyReturn", "FunctionType", "Future"]
