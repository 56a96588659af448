"""The ``@prolog`` and ``@epilog`` decorators: programs that run before and after the body of a task."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from taskflow.api.arguments import checked
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.runners import binary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")


@dataclasses.dataclass(frozen=True)
class Program:
    """A wrapper of a task's function that runs a program before it (prolog) or after it (epilog)."""

    when: str
    task: str
    binary: str
    args: str | Sequence[str]
    fail_by_exit_value: Any

    in_plain_calls: ClassVar[bool] = True

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with the program."""
        run = functools.partial(_before if self.when == "prolog" else _after, self, function)
        return functools.update_wrapper(run, function)

    @property
    def where(self) -> str:
        """How errors begin."""
        return f"@{self.when} of task {self.task}"

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the program for one call of the function. Raises ProgramError."""
        argv = [self.binary, *binary.arguments(self.args, _values(function, args, kwargs) if self.args else {})]
        ended = binary.run(argv, self.where)
        if ended.exit_value and binary.truth(self.fail_by_exit_value, self.where):
            raise ended.failure(self.where)


def _before(program: Program, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    program.run(function, args, kwargs)
    return function(*args, **kwargs)


def _after(program: Program, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    program.run(function, args, kwargs)
    return result


def _values(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, those in ``**kwargs`` too."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    values = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            values.update(values.pop(name))
    return values


def prolog(**arguments: Any) -> Callable[[F], F]:
    """Run a program on the executor before the body of a task; put it above ``@task``.

    ``binary``: the program. ``args``: its arguments, a text that is split at blanks or a list of texts, in which
    ``{{parameter}}`` stands for an argument of the task. ``fail_by_exit_value`` (default True): another exit value than
    0 fails the task, and its body is not run. Environment variables are expanded.

    Raises ArgumentError for wrong arguments and for names that the task has not, TypeError if there is no task below.
    """
    return _decorator("prolog", arguments, fail_by_exit_value=True)


def epilog(**arguments: Any) -> Callable[[F], F]:
    """Run a program on the executor after the body of a task, as `prolog` before it.

    ``fail_by_exit_value`` is False unless it is given: the exit value does not matter.
    """
    return _decorator("epilog", arguments, fail_by_exit_value=False)


def _decorator(when: str, given: dict[str, Any], *, fail_by_exit_value: bool) -> Callable[[F], F]:
    known = checked(when, given, ("args", "fail_by_exit_value"), ("binary",))

    def decorate(function: F) -> F:
        task = task_under(function, when)
        fails = known.get("fail_by_exit_value", fail_by_exit_value)
        program = Program(when, task.plan.name, str(known["binary"]), known.get("args") or "", fails)
        _check(program, task)
        task.options.wrappers.append(program)
        task.changed()
        return function

    return decorate


def _check(program: Program, task: TaskFunction) -> None:
    where = program.where
    if any(isinstance(other, Program) and other.when == program.when for other in task.options.wrappers):
        raise ArgumentError(f"{where}: a task can have one {program.when}, and it has one already")
    if not program.binary.strip():
        raise ArgumentError(f"{where}: binary is empty; it is the name or the path of a program")
    if not isinstance(program.args, (str, list, tuple)) or not all(isinstance(item, str) for item in program.args):
        raise ArgumentError(f"{where}: args is a text or a list of texts, not {program.args!r}")
    if not isinstance(program.fail_by_exit_value, str) or "$" not in program.fail_by_exit_value:
        binary.truth(program.fail_by_exit_value, where)
    if task.plan.takes_keywords:
        return
    for name in binary.places(program.args):
        if name not in task.plan.signature.parameters:
            raise ArgumentError(f"{where}: args mentions {{{{{name}}}}}, but the task has no parameter {name!r}")
