"""Values to bytes or files and back."""

from taskflow.pycompss.serializer import (
    DISABLE_GC,
    FORCED_SERIALIZER,
    deserialize_from_bytes,
    deserialize_from_file,
    deserialize_from_handler,
    serialize_objects,
    serialize_to_bytes,
    serialize_to_file,
    serialize_to_handler,
)

__all__ = [
    "DISABLE_GC",
    "FORCED_SERIALIZER",
    "deserialize_from_bytes",
    "deserialize_from_file",
    "deserialize_from_handler",
    "serialize_objects",
    "serialize_to_bytes",
    "serialize_to_file",
    "serialize_to_handler",
]
