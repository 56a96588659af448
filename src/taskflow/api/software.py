"""The ``@software`` decorator: how a function is run is written in a JSON file."""

from __future__ import annotations

import builtins
import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.api import parameter
from taskflow.api.arguments import checked, warn
from taskflow.api.constraint import constraint
from taskflow.api.programs import epilog, prolog
from taskflow.api.task import TaskFunction
from taskflow.model.errors import ArgumentError, TaskflowError, UnavailableError
from taskflow.model.parameters import Parameter
from taskflow.model.policies import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

TYPES = ("task", "workflow", "mpi", "binary", "mpmd_mpi", "multinode", "http", "compss")
_KEYS = ("execution", "parameters", "constraints", "container", "prolog", "epilog")


def software(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Read from a JSON file how a function is run; put it above a function, or above ``@task``.

    ``config_file``: the path of the file (environment variables are expanded). Its key ``execution`` has the ``type``:
    "task" makes the function a task; "workflow" calls it in the main program as it is. ``parameters`` maps parameters
    to the names of directions, and ``returns`` to a number or the name of a type. ``constraints``, ``prolog`` and
    ``epilog`` hold the arguments of the decorators of these names. The file is read when the function is first called
    in a session; without one the function is called as it is.

    A call raises ArgumentError, which names the file and the key, if the file is not right, and UnavailableError for
    what this version cannot do.
    """
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
        """What a call of the function is to call. Raises ArgumentError or UnavailableError."""
        name = base.plan.name
        if self.type == "workflow":
            return base.__taskflow_function__
        if self.type != "task":
            raise UnavailableError(
                f"{name} is to be run as {self.type!r}, as {self.path} says; this version of taskflow runs the types "
                f"'task' and 'workflow' only"
            )
        if "container" in self.content:
            raise UnavailableError(f"{name} is to be run in a container, as {self.path} says, which is not available")
        made = self._task(base)
        self._decorate(made)
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
            return {
                key.lower(): self._annotation(f"{name}.{key}", item) if key.lower() in ("type", "direction") else item
                for key, item in value.items()
            }
        if isinstance(value, str):
            found = getattr(parameter, value.strip().upper(), None)
            if isinstance(found, Parameter):
                return found
        raise self._wrong(f"parameters.{name}", f'it is the name of a direction, such as "FILE_IN", not {value!r}')

    @staticmethod
    def _returns(value: Any) -> Any:
        if isinstance(value, str):
            kind = getattr(builtins, value.strip(), None)
            if isinstance(kind, type):
                return kind
        return value

    def _decorate(self, made: TaskFunction) -> None:
        """Put the decorators on it whose arguments the file has."""
        for key, decorator in (("constraints", constraint), ("prolog", prolog), ("epilog", epilog)):
            if key in self.content:
                try:
                    decorator(**self.section(key))(made)
                except (TaskflowError, TypeError, ValueError) as error:
                    raise self._wrong(key, str(error)) from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
