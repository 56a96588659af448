"""A hash that is the same in every process, and so can say which partition a key belongs to."""

from __future__ import annotations

import dataclasses
import numbers
import pickle
import zlib
from enum import Enum
from typing import Any


def stable_hash(key: Any) -> int:
    """A hash of a key that depends on neither the process nor the run; equal keys have equal hashes.

    Python's own is used for numbers only: that of texts is another in each run. Keys of classes that define what is
    equal by other means than dataclasses are told apart by their pickles; give `DDS.partition_by` a function of your
    own if equal ones have different pickles. Raises PicklingError, TypeError or AttributeError for others.
    """
    if key is None:
        return 0
    if isinstance(key, numbers.Number):
        return hash(key)
    if isinstance(key, str):
        return zlib.crc32(key.encode(errors="surrogatepass"))
    if isinstance(key, (bytes, bytearray)):
        return zlib.crc32(key)
    if isinstance(key, tuple):
        mixed = len(key)
        for item in key:
            mixed = (mixed * 1_000_003 ^ stable_hash(item)) & 0xFFFFFFFFFFFFFFFF
        return mixed
    if isinstance(key, frozenset):
        return sum(map(stable_hash, key))
    if isinstance(key, Enum):
        return stable_hash(key.name)
    if dataclasses.is_dataclass(key) and not isinstance(key, type):
        return stable_hash(tuple([getattr(key, field.name) for field in dataclasses.fields(key) if field.compare]))
    return zlib.crc32(pickle.dumps(key, protocol=4))
