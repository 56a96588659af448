"""The exceptions of ``pycompss.util.exceptions``. Those of our own errors that mean the same are the same classes."""

from __future__ import annotations

from taskflow.model.errors import (
    CancelError,
    NoSessionError,
    SerializationError,
    TaskflowError,
    TimeOutError,
    UnavailableError,
)

PyCOMPSsException = TaskflowError
SerializerException = SerializationError
NotImplementedException = UnavailableError
NotInPyCOMPSsException = NoSessionError


class MissingImplementedException(TaskflowError, NotImplementedError):
    """A function that a storage back-end has to supply is missing."""


class DDSException(TaskflowError):
    """A distributed data set was used in a way that makes no sense."""


__all__ = [
    "CancelError",
    "DDSException",
    "MissingImplementedException",
    "NotImplementedException",
    "NotInPyCOMPSsException",
    "PyCOMPSsException",
    "SerializerException",
    "TimeOutError",
]
