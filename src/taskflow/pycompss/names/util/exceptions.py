"""Exceptions."""

from taskflow.pycompss.exceptions import (
    CancelError,
    DDSException,
    MissingImplementedException,
    NotImplementedException,
    NotInPyCOMPSsException,
    PyCOMPSsException,
    SerializerException,
    TimeOutError,
)

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
