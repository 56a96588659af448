"""Directions and parameter annotations: what a task function says about each of its parameters."""

from __future__ import annotations

import dataclasses
import re
from enum import IntEnum
from typing import Any

from taskflow.model.errors import ArgumentError


class Direction(IntEnum):
    """How a task uses a datum. The numbers are those PyCOMPSs programs may know."""

    IN = 0
    OUT = 1
    INOUT = 2
    CONCURRENT = 3
    COMMUTATIVE = 4
    IN_DELETE = 5

    @property
    def reads(self) -> bool:
        """Whether the task needs the value written before it."""
        return self is not Direction.OUT

    @property
    def writes(self) -> bool:
        """Whether the task makes a new version."""
        return self not in (Direction.IN, Direction.IN_DELETE)


class Kind(IntEnum):
    """What a parameter's value is."""

    OBJECT = 0
    FILE = 1
    DIRECTORY = 2
    COLLECTION = 3
    COLLECTION_FILE = 4
    DICTIONARY = 5
    STREAM = 6


class StdStream(IntEnum):
    """Standard stream a file parameter is connected to (binary-like tasks)."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    UNSPECIFIED = 3


@dataclasses.dataclass(frozen=True)
class Parameter:
    """The annotation of one parameter.

    ``depth`` is the number of nesting levels of a collection that are tracked element by element (None: all).
    ``keep_rename`` tells whether the task sees the internal name of a file (True) or the user's base name.
    ``weight`` is the share of this parameter in the data-locality score, ``prefix`` and ``stream`` matter to
    binary-like tasks only, ``cache`` allows keeping the value in an executor's cache.
    """

    kind: Kind = Kind.OBJECT
    direction: Direction = Direction.IN
    depth: int | None = None
    stream: StdStream = StdStream.UNSPECIFIED
    prefix: str = "null"
    weight: float = 1.0
    keep_rename: bool = True
    cache: bool = True

    def __repr__(self) -> str:
        name = self.direction.name if self.kind is Kind.OBJECT else f"{self.kind.name}_{self.direction.name}"
        return f"<{name}>" if self.depth is None else f"<{name} depth={self.depth}>"


#: Keys of the dictionary form of an annotation, e.g. ``{Type: COLLECTION_IN, Depth: 2}``.
DICTIONARY_KEYS = ("type", "direction", "stream", "prefix", "depth", "weight", "keep_rename", "cache")


def parse_annotation(annotation: Any, where: str, *, may_be_path: bool = True) -> Parameter:
    """Turn a direction object or its dictionary form into a `Parameter`.

    ``where`` names the place for error messages ("parameter 'a' of task f"), ``may_be_path`` is for them, too.
    Raises ArgumentError saying what would be right.
    """
    if isinstance(annotation, Parameter):
        return annotation
    if isinstance(annotation, Direction):
        return Parameter(direction=annotation)
    if isinstance(annotation, str):
        raise ArgumentError(f"{where}: {annotation!r} is a text, not a direction; {_meant(annotation, may_be_path)}")
    if not isinstance(annotation, dict):
        raise ArgumentError(
            f"{where}: {annotation!r} is not a direction; use IN, INOUT, FILE_OUT, COLLECTION_IN, ... "
            f"or a dictionary such as {{Type: COLLECTION_IN, Depth: 2}}"
        )
    unknown = [key for key in annotation if key not in DICTIONARY_KEYS]
    if unknown:
        raise ArgumentError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(DICTIONARY_KEYS)}")
    base = annotation.get("type", Parameter())
    if not isinstance(base, Parameter):
        raise ArgumentError(f"{where}: Type must be a direction object such as COLLECTION_IN, not {base!r}")
    changes: dict[str, Any] = {}
    if "direction" in annotation:
        direction = annotation["direction"]
        changes["direction"] = direction.direction if isinstance(direction, Parameter) else Direction(direction)
    if "depth" in annotation:
        changes["depth"] = _positive_depth(annotation["depth"], where)
    if "stream" in annotation:
        stream = annotation["stream"]
        changes["stream"] = stream.stream if isinstance(stream, Parameter) else StdStream(stream)
    if "weight" in annotation:
        changes["weight"] = float(annotation["weight"])
    for key in ("prefix", "keep_rename", "cache"):
        if key in annotation:
            changes[key] = annotation[key]
    return dataclasses.replace(base, **changes)


_DIRECTION_NAME = re.compile(
    r"((FILE|DIRECTORY|COLLECTION|COLLECTION_FILE|DICTIONARY)_)?(IN|OUT|INOUT|IN_DELETE|CONCURRENT|COMMUTATIVE)"
    r"|FILE|DIRECTORY|COLLECTION|COLLECTION_FILE|DICTIONARY"
)


def _meant(text: str, may_be_path: bool) -> str:
    """What somebody who gave a text as direction may have meant."""
    name = text.strip().upper()
    known = _DIRECTION_NAME.fullmatch(name)
    hint = f"import {name} as you import task, and write it without quotes" if known else "use IN, OUT or INOUT"
    if may_be_path and not name.startswith(("FILE", "DIRECTORY")):
        hint += "; the path of a file takes FILE_IN, FILE_OUT or FILE_INOUT, that of a folder DIRECTORY_IN and so on"
    return hint


def _positive_depth(depth: Any, where: str) -> int:
    value = int(depth)
    if value < 1:
        raise ArgumentError(f"{where}: Depth must be 1 or more, not {depth!r}")
    return value
