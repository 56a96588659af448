"""Command lines of programs: vectors of arguments made from templates, or from the parameters of a task."""

from __future__ import annotations

import glob
import itertools
import os
import re
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError
from taskflow.model.parameters import Kind, Parameter, StdStream

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping, Sequence

NO_PREFIX = "null"
NOT_ON_THE_COMMAND_LINE = "#"  #: a prefix that says so
PATHS = (Kind.FILE, Kind.DIRECTORY, Kind.COLLECTION_FILE)

_COLLECTIONS = (Kind.COLLECTION, Kind.COLLECTION_FILE)
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PLAIN = Parameter()


def places(template: str | Sequence[str]) -> list[str]:
    """The names in a template's ``{{name}}``."""
    return _PLACE.findall(template if isinstance(template, str) else " ".join(template))


def texts_of(
    signature: inspect.Signature, parameters: Mapping[str, Parameter], args: Sequence[Any], kwargs: Mapping[str, Any],
    without: str = "",
) -> dict[str, list[str]]:  # fmt: skip
    """What stands on a command line for each argument of a call, in the order of declaration.

    An argument is one text, but for a collection, which is one for each element, and for a path that is None, which is
    none. Paths are absolute. Those in ``*args`` are under the name of that parameter, those in ``**kwargs`` under their
    own. The parameter ``without`` is left out.
    """
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    found: dict[str, list[str]] = {}
    for name, value in bound.arguments.items():
        if name == without:
            continue
        kind = signature.parameters[name].kind
        parameter = parameters.get(name, _PLAIN)
        if kind is signature.parameters[name].VAR_KEYWORD:
            found.update((key, _texts(item, parameters.get(key, _PLAIN))) for key, item in value.items())
        elif kind is signature.parameters[name].VAR_POSITIONAL:
            found[name] = [text for item in value for text in _texts(item, parameter)]
        else:
            found[name] = _texts(value, parameter)
    return found


def _texts(value: Any, parameter: Parameter) -> list[str]:
    if parameter.kind in _COLLECTIONS and isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item, parameter)]
    if parameter.kind in PATHS:
        return [] if value is None else [os.path.abspath(os.fsdecode(value))]
    return [os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)]


def default_arguments(parameters: Mapping[str, Parameter], texts: Mapping[str, Sequence[str]]) -> list[str]:
    """The arguments without a template: the texts in order, each behind its prefix, but for standard streams."""
    found: list[str] = []
    for name, values in texts.items():
        parameter = parameters.get(name, _PLAIN)
        if parameter.stream is StdStream.UNSPECIFIED and parameter.prefix != NOT_ON_THE_COMMAND_LINE:
            prefix = "" if parameter.prefix == NO_PREFIX else parameter.prefix
            found += [prefix + value for value in values]
    return found


def arguments(
    template: str | Sequence[str], values: Mapping[str, Any], folder: str | None = None, *, absolute: bool = False
) -> list[str]:
    """The vector of arguments that a template stands for.

    A text is split at blanks before ``{{name}}`` is replaced, so a value with blanks remains one argument. For a value
    that is a list of texts there is an argument for each. Environment variables and the wildcards of shells are
    expanded in what the template says, not in the values. Files that wildcards stand for are looked for from
    ``folder`` (None: the present one); ``absolute``: their whole paths are what the program is given.
    """
    found: list[str] = []
    if isinstance(template, str):
        template = _PLACE.sub(r"{{\1}}", template).split()
    for token in template:
        pieces = _PLACE.split(token)  # text and names in turn
        choices = [
            _listed(_value(piece, values)) if place % 2 else [os.path.expandvars(piece)]
            for place, piece in enumerate(pieces)
        ]
        for chosen in itertools.product(*choices):
            found += _wildcards(chosen, folder, absolute=absolute)
    return found


def _value(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise ArgumentError(f"{{{{{name}}}}}: this call has no argument {name!r}, only {', '.join(values) or 'none'}")
    return values[name]


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [str(value)]


def _wildcards(chosen: Sequence[str], folder: str | None, *, absolute: bool) -> list[str]:
    """The files that a token stands for, or the token; ``chosen``: what it says and values in turn."""
    if any(glob.has_magic(text) for text in chosen[::2]):
        pattern = "".join(glob.escape(text) if place % 2 else text for place, text in enumerate(chosen))
        matches = sorted(glob.glob(pattern, root_dir=folder))
        if matches:
            return [os.path.join(folder or os.getcwd(), match) for match in matches] if absolute else matches
    return ["".join(chosen)]


def text(template: str, texts: Mapping[str, Sequence[str]]) -> str:
    """A template that stands for one text, with variables and values put in."""
    pieces = _PLACE.split(template)
    return "".join(
        " ".join(_value(piece, texts)) if place % 2 else os.path.expandvars(piece) for place, piece in enumerate(pieces)
    )


def truth(value: Any, where: str, name: str = "fail_by_exit_value") -> bool:
    """What an argument such as ``fail_by_exit_value`` means: a bool, a number, "true", "false" or "$VARIABLE".

    Raises ArgumentError, which names ``where`` it was said.
    """
    if isinstance(value, (bool, int)):
        return bool(value)
    meant = os.path.expandvars(str(value)).strip().lower()
    if meant in ("true", "false"):
        return meant == "true"
    if meant.lstrip("-").isdigit():
        return bool(int(meant))
    raise ArgumentError(f"{where}: {name} is True or False, not {value!r}")
