"""The ``@software`` decorator: how a function is run is written in a JSON file."""

from __future__ import annotations

import builtins
import importlib
import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.api import parameter
from taskflow.api.arguments import by_name, checked, snake_case, warn, warn_unknown
from taskflow.api.task import TaskFunction
from taskflow.model.errors import ArgumentError, TaskflowError
from taskflow.model.parameters import Parameter, StdStream
from taskflow.model.policies import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

#: The types, and the keys that each must have besides: arguments of the decorator of that name.
TYPES = {
    "task": (), "workflow": (), "mpi": ("runner",), "binary": ("binary",), "mpmd_mpi": ("runner", "programs"),
    "multinode": (), "http": ("service_name", "resource", "request"), "compss": ("app_name",),
}  # fmt: skip
#: Other sections whose content are arguments of a decorator, which must have these; from the innermost decorator on.
_DECORATORS = {
    "constraints": (), "container": ("engine", "image"), "prolog": ("binary",), "epilog": ("binary",)
}  # fmt: skip
_HOMES = {
    "mpi": "mpi", "mpmd_mpi": "mpi", "binary": "binary", "multinode": "multinode", "http": "http", "compss": "compss",
    "constraint": "constraint", "container": "container", "prolog": "programs", "epilog": "programs",
}  # fmt: skip
_ANNOTATION_KEYS = {"stdiostream": "stream"}
#: Keys of ``execution`` that are for ``@task``, whatever the type.
_OF_TASK = ("type", "priority", "returns", "on_failure", "time_out")
_KEYS = ("execution", "parameters", "constraints", "container", "prolog", "epilog")


def software(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Read from a JSON file how a function is run; put it above a function, or above ``@task``.

    ``config_file``: the path of the file (environment variables are expanded). Its key ``execution`` has the ``type``:
    "task" makes the function a task; "workflow" calls it in the main program as it is; "binary", "mpi", "mpmd_mpi",
    "multinode", "http" and "compss" are the decorators of these names, whose arguments are there, too. ``parameters``
    maps parameters to the names of directions, and ``returns`` to a number or the name of a type. ``constraints``,
    ``container``, ``prolog`` and ``epilog`` hold the arguments of the decorators of these names. The file is read when
    the function is first called in a session; without one the function is called as it is.

    A call raises ArgumentError, which names the file and the key, if the file is not right.
    """
    if args and callable(args[0]):
        by_name("software", args, 'config_file="file.json"')
    if len(args) == 1 and not arguments:
        arguments = {"config_file": args[0]}
    elif args:
        raise ArgumentError('@software takes one argument: @software(config_file="file.json")')
    known = checked("software", arguments, (), ("config_file",))
    if not isinstance(known["config_file"], (str, os.PathLike)):
        raise ArgumentError(f"@software: config_file is a path, not {known['config_file']!r}")

    def decorate(function: F) -> F:
        if isinstance(function, (staticmethod, classmethod)):
            raise TypeError(f"put @{type(function).__name__} above @software, not below it")
        made = function if isinstance(function, TaskFunction) else TaskFunction(function)
        made.layers.append(Software(os.fspath(known["config_file"])))
        made.changed()
        return made  # type: ignore[return-value]

    return decorate


class Software:
    """The layer: calls what the file makes of the function."""

    def __init__(self, config_file: str) -> None:
        self._config_file = config_file
        self._made: Callable[..., Any] | None = None

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run it as the file says, or without a session plainly."""
        if runtime.session is None:
            return submit(*args, **kwargs)
        if self._made is None:
            base = task.redeclared({})
            del base.layers[task.layers.index(self) :]  # those above have done their part already
            self._made = Document(self._config_file).prepared(base)
        return self._made(*args, **kwargs)

    def __reduce__(self) -> Any:
        return Software, (self._config_file,)


class Document:
    """The JSON document of one function."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(os.path.expandvars(path))
        try:
            with open(self.path, encoding="utf-8") as file:
                content = json.load(file)
        except FileNotFoundError:
            raise self._wrong("", f"there is no such file (config_file={path!r}, seen from {os.getcwd()})") from None
        except OSError as error:
            raise self._wrong("", f"it cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise self._wrong("", f"it is not valid JSON: {error}") from None
        if not isinstance(content, dict):
            raise self._wrong("", f"it holds {_kind(content)} in place of an object with the key 'execution'")
        for key in content:
            if key not in _KEYS:
                warn(f"@software: {self.path}: the key {key!r} is not known and has no effect")
        self.content: dict[str, Any] = content
        execution = self.section("execution", mandatory=True)
        if "type" not in execution:
            raise self._wrong("execution.type", f"it is missing; it is one of {', '.join(TYPES)}")
        self.type = str(execution["type"]).lower()
        if self.type not in TYPES:
            raise self._wrong("execution.type", f"it is one of {', '.join(TYPES)}, not {execution['type']!r}")

    def _wrong(self, key: str, what: str) -> ArgumentError:
        return ArgumentError(f"@software: {self.path}{', key ' * bool(key)}{key}: {what}")

    def section(self, key: str, *, mandatory: bool = False) -> dict[str, Any]:
        """The object under a key; empty if it is not there."""
        if key not in self.content:
            if mandatory:
                raise self._wrong(key, "it is missing")
            return {}
        value = self.content[key]
        if not isinstance(value, dict):
            raise self._wrong(key, f"it is an object, not {_kind(value)}")
        return value

    def prepared(self, base: TaskFunction) -> Callable[..., Any]:
        """What a call of the function is to call. Raises ArgumentError."""
        if self.type == "workflow":
            return base.__taskflow_function__
        made = self._task(base)
        arguments = {key: value for key, value in self.section("execution").items() if key not in _OF_TASK}
        if self.type != "task":
            self._decorate(made, self.type, "execution", arguments, TYPES[self.type])
        for name in arguments if self.type == "task" else ():
            warn_unknown("software", name, _OF_TASK, f"of {self.path}, key execution,")
        for key, mandatory in _DECORATORS.items():
            if key in self.content:
                self._decorate(made, key.removesuffix("s"), key, self.section(key), mandatory)
        return made

    def _task(self, base: TaskFunction) -> TaskFunction:
        execution = self.section("execution")
        parameters = {name: self._annotation(name, value) for name, value in self.section("parameters").items()}
        declared = {key: execution[key] for key in ("priority",) if key in execution}
        if "returns" in execution:
            declared["returns"] = self._returns(execution["returns"])
        if "returns" in parameters:
            declared["returns"] = parameters.pop("returns")
        plan = base.plan
        for name in parameters:
            if name not in plan.signature.parameters and not plan.takes_keywords:
                raise self._wrong(f"parameters.{name}", f"{plan.name}{plan.signature} has no such parameter")
        try:
            made = base.redeclared(parameters, **declared)
            if "on_failure" in execution:
                made.options.on_failure = parse_policy(execution["on_failure"], plan.name)
            made.options.time_out = float(execution.get("time_out", made.options.time_out))
        except (TypeError, ValueError) as error:
            raise self._wrong("execution or parameters", str(error)) from None
        return made

    def _annotation(self, name: str, value: Any) -> Any:
        """What a value of ``parameters`` means to ``@task``."""
        if name == "returns":
            return self._returns(value)
        if isinstance(value, dict):
            return {_ANNOTATION_KEYS.get(key.lower(), key.lower()): self._part(name, key, item)
                    for key, item in value.items()}  # fmt: skip
        if isinstance(value, str):
            found = getattr(parameter, value.strip().upper(), None)
            if isinstance(found, Parameter):
                return found
        raise self._wrong(f"parameters.{name}", f'it is the name of a direction, such as "FILE_IN", not {value!r}')

    def _part(self, name: str, key: str, value: Any) -> Any:
        """What an entry of an annotation in the form of an object means."""
        if key.lower() in ("type", "direction"):
            return self._annotation(f"{name}.{key}", value)
        if key.lower() in ("stream", "stdiostream") and isinstance(value, str):
            if value.strip().upper() not in StdStream.__members__:
                raise self._wrong(f"parameters.{name}.{key}", f"it is STDIN, STDOUT or STDERR, not {value!r}")
            return StdStream[value.strip().upper()]
        return value

    @staticmethod
    def _returns(value: Any) -> Any:
        if isinstance(value, str):
            kind = getattr(builtins, value.strip(), None)
            if isinstance(kind, type):
                return kind
        return value

    def _decorate(
        self, made: TaskFunction, name: str, key: str, arguments: dict[str, Any], mandatory: tuple[str, ...]
    ) -> None:
        """Put a decorator on it whose arguments the file has under the key."""
        given = {snake_case(argument) for argument in arguments}
        for argument in mandatory:
            if argument not in given:
                raise self._wrong(f"{key}.{argument}", f"it is missing; @{name} needs it")
        decorator = getattr(importlib.import_module(f"taskflow.api.{_HOMES[name]}"), name)
        try:
            decorator(**arguments)(made)
        except (TaskflowError, TypeError, ValueError) as error:
            raise self._wrong(key, str(error)) from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
