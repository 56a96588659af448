"""Constants that only PyCOMPSs programs know."""

from __future__ import annotations

from enum import IntEnum


class TYPE(IntEnum):
    """Codes of what a value is."""

    BOOLEAN = 0
    CHAR = 1
    BYTE = 2
    SHORT = 3
    INT = 4
    LONG = 5
    FLOAT = 6
    DOUBLE = 7
    STRING = 8
    STRING_64 = 9
    FILE = 10
    DIRECTORY = 11
    OBJECT = 12
    PSCO = 13
    EXTERNAL_PSCO = 14
    BINDING_OBJECT = 15
    COLLECTION = 16
    DICT_COLLECTION = 17
    STREAM = 18
    EXTERNAL_STREAM = 19
    ENUM = 20
    NULL = 21


class PREFIX:
    """What stands for no prefix."""

    PREFIX = "null"
