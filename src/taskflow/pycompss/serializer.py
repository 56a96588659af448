"""Values to bytes or files and back, as the runtime itself does it: what cannot be imported travels by value."""

from __future__ import annotations

import pickle
from typing import IO, Any

from taskflow.data.serialization import decode_blob, encode
from taskflow.model.errors import SerializationError

#: Switches that programs set; serialization here needs neither.
FORCED_SERIALIZER = -1
DISABLE_GC = False


def serialize_to_bytes(obj: Any, logger: Any = None) -> bytes:
    """Bytes that `deserialize_from_bytes` understands. Raises SerializerException naming what cannot be pickled."""
    encoded = encode(obj, "object")
    if encoded.futures:
        raise SerializationError("the object contains the future of a task; wait for it first: x = compss_wait_on(x)")
    return pickle.dumps(encoded.blob(), protocol=5)


def deserialize_from_bytes(data: bytes, logger: Any = None) -> Any:
    """The value of `serialize_to_bytes`."""
    return decode_blob(pickle.loads(data))


def serialize_to_handler(obj: Any, handler: IO[bytes], logger: Any = None) -> None:
    """Write a value to an open binary file."""
    handler.write(serialize_to_bytes(obj, logger))


def deserialize_from_handler(handler: IO[bytes], logger: Any = None) -> Any:
    """Read the next value from an open binary file."""
    return decode_blob(pickle.load(handler))


def serialize_to_file(obj: Any, file_name: str, logger: Any = None) -> None:
    """Write a value to a file."""
    data = serialize_to_bytes(obj, logger)
    with open(file_name, "wb") as handler:
        handler.write(data)


def deserialize_from_file(file_name: str, logger: Any = None) -> Any:
    """Read the value of a file."""
    with open(file_name, "rb") as handler:
        return deserialize_from_handler(handler, logger)


def serialize_objects(to_serialize: Any, logger: Any = None) -> None:
    """Write several values: pairs of an object and the name of its file."""
    for obj, file_name in to_serialize:
        serialize_to_file(obj, file_name, logger)


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
