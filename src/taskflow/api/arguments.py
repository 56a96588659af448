"""What all decorators check of their arguments: unknown ones, missing ones, and spellings of old programs."""

from __future__ import annotations

import difflib
import re
import warnings
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError, ArgumentWarning
from taskflow.tracebacks import line_of_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Old spellings that are not simply the camel case of the new one.
_IRREGULAR = {"varargsType": "varargs_type", "dfScript": "df_script", "storageBW": "storage_bw"}


def snake_case(name: str) -> str:
    """``computingUnits`` and ``ComputingUnits`` as ``computing_units``."""
    return _IRREGULAR.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def by_name(decorator: str, args: tuple[Any, ...], example: str = "name=value") -> None:
    """Raise ArgumentError if a decorator has positional arguments: the function itself, if it has no parentheses."""
    if args:
        raise ArgumentError(f"@{decorator} takes its arguments by name, in parentheses: @{decorator}({example})")


def checked(
    decorator: str, given: Mapping[str, Any], known: Iterable[str], mandatory: Iterable[str] = (), **renamed: str
) -> dict[str, Any]:
    """The known arguments of a decorator under their present names.

    A camel-case spelling (``workingDir``), or another old name given in ``renamed``, is honoured with a warning; an
    unknown argument is left out with a warning. Raises ArgumentError if a mandatory one is missing.
    """
    known = {*known, *mandatory}
    arguments: dict[str, Any] = {}
    for name, value in given.items():
        present = name
        if name not in known:
            present = renamed.get(name) or (snake_case(name) if not name[:1].isupper() else name)
            if present not in known:
                warn_unknown(decorator, name, known)
                continue
            warn_old_name(decorator, name, present)
        arguments[present] = value
    for name in mandatory:
        if name not in arguments:
            raise ArgumentError(f"@{decorator} needs the argument {name!r}: @{decorator}({name}=...)")
    return arguments


def warn_unknown(decorator: str, name: str, known: Iterable[str], where: str = "") -> None:
    """Warn that an argument has no effect, with the nearest one that has; ``where``: "of f", say."""
    near = difflib.get_close_matches(snake_case(name), sorted(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    warn(f"@{decorator}{where and f' {where}'} has no argument {name!r}, it is ignored{hint}")


def warn_old_name(decorator: str, name: str, present: str) -> None:
    """Warn of an old spelling."""
    warn(f"@{decorator}: the argument {name!r} is deprecated; it is called {present!r} now")


def warn(text: str) -> None:
    """Warn on standard error, naming the first line outside of this package: there the decorator was written."""
    warnings.warn(text, ArgumentWarning, stacklevel=line_of_user())
