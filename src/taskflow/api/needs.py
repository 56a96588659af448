"""What the calls of a task function need of nodes, and its implementations: from decorators to the kernel's terms."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

from taskflow import runtime
from taskflow.api.arguments import warn
from taskflow.api.futures import Future
from taskflow.model.errors import ArgumentError
from taskflow.model.expressions import Expression, UnknownNameError
from taskflow.model.requirements import DYNAMIC, Requirements, resolve, variable, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskflow.api.task import TaskFunction


class Needs:
    """The constraints of one task function, and how many nodes it has. Those with expressions differ from call to call.

    Raises ArgumentError for an expression that is not allowed.
    """

    def __init__(self, task: TaskFunction) -> None:
        self.where = f"@constraint of task {task.plan.name}"
        self.io = task.options.io
        self._constraints = task.options.constraints
        self._scope: Mapping[str, Any] = getattr(task.__taskflow_function__, "__globals__", {})
        self._expressions = {
            name: Expression(value, f"{self.where}: {name}")
            for name, value in self._constraints.items()
            if name in DYNAMIC and isinstance(value, str) and _is_expression(value)
        }
        self._hosts = task.options.hosts
        self._programs = task.options.programs
        self._where_hosts = f"the number of nodes of task {task.plan.name}"
        self._hosts_expression: Expression | None = None
        if isinstance(self._hosts, str) and _is_expression(self._hosts):
            self._hosts_expression = Expression(self._hosts, self._where_hosts)

    @property
    def dynamic(self) -> bool:
        """Whether they depend on the arguments of the call, or on globals."""
        return bool(self._expressions) or (isinstance(self._hosts, str) and not self._hosts.strip().isdecimal())

    def hosts(self, arguments: Mapping[str, Any]) -> int:
        """How many nodes one call with these arguments has at once. Raises ArgumentError if that is no such number."""
        value: Any = self._hosts
        said = repr(value)
        if self._hosts_expression is not None:
            value = self._value_of(self._hosts_expression, arguments)
        elif isinstance(value, str) and (name := variable(value)):
            if name not in os.environ:
                raise ArgumentError(
                    f"{self._where_hosts} is taken from the environment variable {name}, which is not set; export it "
                    f"before the program starts, or set it in os.environ before the call"
                )
            value = os.environ[name]
        try:
            number = float(value)
            whole = int(number)
        except (TypeError, ValueError, OverflowError):
            hint = ""
            if self._hosts_expression is not None and value == self._hosts:
                hint = "; neither an argument of the call nor a global of the task's module has that name"
            raise ArgumentError(f"{self._where_hosts} is a whole number, not {said}{hint}") from None
        if whole != number or whole < 1:
            raise ArgumentError(f"{self._where_hosts} is a whole number of at least 1, not {value!r}")
        return whole

    def requirements(self, arguments: Mapping[str, Any]) -> Requirements:
        """The needs of one call with these arguments. Raises ArgumentError for values that make no sense."""
        constraints = self._constraints
        if self._expressions:
            constraints = dict(constraints)
            for name, expression in self._expressions.items():
                constraints[name] = self._value_of(expression, arguments)
        requirements = resolve(constraints, os.environ, self.where, io=self.io)
        return dataclasses.replace(requirements, programs=self._programs) if self._programs else requirements

    def warn_of_unset(self, told: set[str]) -> None:
        """Warn of environment variables that the constraints name and nobody has set, but for those in ``told``."""
        for name in sorted(variables(self._constraints) - os.environ.keys() - told):
            told.add(name)
            warn(
                f"{self.where}: the environment variable {name} is not set, so constraints that are taken from it have "
                f"no effect; export it before the program starts"
            )

    def _value_of(self, expression: Expression, arguments: Mapping[str, Any]) -> Any:
        for name in expression.names:
            if isinstance(arguments.get(name, self._scope.get(name)), Future):
                raise ArgumentError(
                    f"{expression.where}: {name} is the result of a task, which may not have ended when this one is "
                    f"called; use compss_wait_on on it first"
                )
        try:
            return expression.value(arguments, self._scope)
        except UnknownNameError:
            return expression.text  # then it is meant as text


def _is_expression(text: str) -> bool:
    if text.strip().startswith("$"):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


# ---------------------------------------------------------------------- implementations


def family_of(task: TaskFunction) -> list[TaskFunction]:
    """All implementations of what the task function does, the original first; nothing if it is the only one.

    Raises ArgumentError if one of them cannot stand in for another, or if there is no original.
    """
    if not runtime.implementations:
        return []
    original = task
    if task.options.implements:
        found = _find(task.options.implements)
        if found is None:
            raise ArgumentError(
                f"@implement of {task.plan.name}: there is no task {task.options.implements}; source_class is the "
                f"module it is defined in, which must have been imported before the first call"
            )
        original = found
    others = [other for name in _names_of(original) for other in runtime.implementations.get(name, {}).values()]
    for other in others:
        _check_same(original, other)
    return [original, *others] if others else []


def register_implementation(task: TaskFunction, original: str) -> None:
    """The task function is another implementation of the task of that name (module and function)."""
    function = task.__taskflow_function__
    # By name: a cell of a notebook that is run again replaces what it made before.
    runtime.implementations.setdefault(original, {})[f"{function.__module__}.{function.__qualname__}"] = task
    found = _find(original)
    if found is not None:
        found.changed()


def _names_of(task: TaskFunction) -> set[str]:
    function = task.__taskflow_function__
    return {f"{module}.{function.__qualname__}" for module in _module_names(function.__module__)}


def _module_names(module: str) -> set[str]:
    """The main program is known by the name of its file, too."""
    names = {module}
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            names.add(spec.name.removesuffix(".__main__"))
        elif getattr(main, "__file__", None):
            names.add(os.path.splitext(os.path.basename(str(main.__file__)))[0])
    return names


def _find(name: str) -> TaskFunction | None:
    """The task function of that module and name, if the module has been imported."""
    from taskflow.api.task import TaskFunction

    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:split])
        found: Any = sys.modules.get(module)
        if found is None and module in _module_names("__main__"):
            found = sys.modules["__main__"]
        if found is None:
            continue
        for part in parts[split:]:
            found = getattr(found, part, None)
        if isinstance(found, TaskFunction):
            return found
    return None


def _check_same(original: TaskFunction, other: TaskFunction) -> None:
    """Calls of the one must be calls of the other."""
    for what, of_original, of_other in (
        ("parameters", _signature(original), _signature(other)),
        ("returned values", original.returns.count, other.returns.count),
    ):
        if of_original != of_other:
            raise ArgumentError(
                f"@implement: {other.plan.name} cannot stand in for {original.plan.name}: their {what} differ: "
                f"{of_other} instead of {of_original}"
            )


def _signature(task: TaskFunction) -> list[str]:
    plan = task.plan
    text: list[str] = []
    for name, parameter in plan.signature.parameters.items():
        declared = plan.by_name.get(name)
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")  # type: ignore[call-overload]
        text.append(f"{star}{name}={declared.kind.name}_{declared.direction.name}" if declared else f"{star}{name}")
    return text
