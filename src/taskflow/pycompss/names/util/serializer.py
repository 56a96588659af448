"""Where old versions of PyCOMPSs had `pycompss.util.serialization.serializer`."""

from taskflow.pycompss.exceptions import SerializerException
from taskflow.pycompss.serializer import (
    deserialize_from_bytes,
    deserialize_from_file,
    deserialize_from_handler,
    serialize_objects,
    serialize_to_bytes,
    serialize_to_file,
    serialize_to_handler,
)

__all__ = [
    "SerializerException",
    "deserialize_from_bytes",
    "deserialize_from_file",
    "deserialize_from_handler",
    "serialize_objects",
    "serialize_to_bytes",
    "serialize_to_file",
    "serialize_to_handler",
]
