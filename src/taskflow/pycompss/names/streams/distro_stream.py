"""Streams between tasks: they can be named, and say when one is made that this version has none."""

from __future__ import annotations

from typing import Any

from taskflow.model.errors import TaskflowError
from taskflow.pycompss.exceptions import NotImplementedException

AT_MOST_ONCE = "AT_MOST_ONCE"
AT_LEAST_ONCE = "AT_LEAST_ONCE"


class RegistrationException(TaskflowError):
    """A stream cannot be registered."""


class BackendException(TaskflowError):
    """The carrier of streams reports an error."""


class DistroStream:
    """What all streams have in common."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedException(f"{type(self).__name__}: this version of taskflow has no streams")


class FileDistroStream(DistroStream):
    """A stream of the files that appear in a folder."""


class ObjectDistroStream(DistroStream):
    """A stream of objects."""


class PscoDistroStream(DistroStream):
    """A stream of persistent objects."""


__all__ = [
    "AT_LEAST_ONCE",
    "AT_MOST_ONCE",
    "BackendException",
    "DistroStream",
    "FileDistroStream",
    "ObjectDistroStream",
    "PscoDistroStream",
    "RegistrationException",
]
