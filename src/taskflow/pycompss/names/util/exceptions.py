"""Exceptions."""

from taskflow.pycompss.exceptions import (
    DDSException,
    MissingImplementedException,
    NotImplementedException,
    NotInPyCOMPSsException,
    PyCOMPSsException,
    SerializerException,
)

__all__ = [
    "DDSException",
    "MissingImplementedException",
    "NotImplementedException",
    "NotInPyCOMPSsException",
    "PyCOMPSsException",
    "SerializerException",
]
