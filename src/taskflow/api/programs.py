"""The ``@prolog`` and ``@epilog`` decorators: programs that run before and after the body of a task."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.binary import check_fail_flag, check_template, place_of, text_of
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.runners.binary import Program, folder_of_body, program_folder
from taskflow.runners.command import arguments, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


@dataclasses.dataclass(frozen=True)
class Beside:
    """A wrapper of a task's function that runs a program before it (prolog) or after it (epilog)."""

    when: str
    program: Program

    in_plain_calls: ClassVar[bool] = True

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with the program."""
        return functools.update_wrapper(functools.partial(_run_both, self, function), function)

    def run(self, texts: dict[str, list[str]], folder: str | None) -> None:
        """Run the program for one call of the function. Raises ProgramError."""
        program = self.program
        there = folder or program_folder()
        argv = [program.program(program.binary, there, texts), *arguments(program.args or "", texts, there)]
        program.execute(argv, texts, there, {})


def _run_both(beside: Beside, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    signature = inspect.signature(function)
    texts = texts_of(signature, beside.program.parameters, args, kwargs, without=beside.program.object_name)
    with folder_of_body(function, texts) as folder:
        if beside.when == "prolog":
            beside.run(texts, folder)
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        beside.run(texts, folder)
        return result


def prolog(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Run a program on the executor before the body of a task; put it above ``@task``.

    ``binary``: the program. ``args``: its arguments, a text that is split at blanks or a list of texts, in which
    ``{{parameter}}`` stands for an argument of the task. ``fail_by_exit_value`` (default True): another exit value than
    0 fails the task, and its body is not run. Environment variables are expanded. Before a program (`binary` and its
    kin) it runs in the folder of that, else in the one that the main program was started in.

    Raises ArgumentError for wrong arguments and for names that the task has not, TypeError if there is no task below.
    """
    by_name("prolog", args, 'binary="program"')
    return _decorator("prolog", arguments, fail_by_exit_value=True)


def epilog(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Run a program on the executor after the body of a task, as `prolog` before it.

    ``fail_by_exit_value`` is False unless it is given: the exit value does not matter.
    """
    by_name("epilog", args, 'binary="program"')
    return _decorator("epilog", arguments, fail_by_exit_value=False)


def _decorator(when: str, given: dict[str, Any], *, fail_by_exit_value: bool) -> Callable[[F], F]:
    known = checked(when, given, ("args", "fail_by_exit_value"), ("binary",))

    def decorate(function: F) -> F:
        task = task_under(function, when)
        where = place_of(task, when)
        if any(isinstance(other, Beside) and other.when == when for other in task.options.wrappers):
            raise ArgumentError(f"{where}: a task can have one {when}, and it has one already")
        fails = known.get("fail_by_exit_value", fail_by_exit_value)
        check_template(known.get("args"), task, where)
        check_template(text_of("binary", known, when), task, where, "binary")
        check_fail_flag(fails, where)
        program = Program(
            where, text_of("binary", known, when), known.get("args"), "", fails, task.plan.all_parameters(),
            task.plan.object_name,
        )  # fmt: skip
        task.options.wrappers.append(Beside(when, program))
        task.changed()
        return function

    return decorate
