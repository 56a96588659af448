"""The ``@binary`` decorator: a task that is a program; and what decorators of its kind check."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked, warn
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.parameters import Kind, StdStream
from taskflow.runners.binary import Program
from taskflow.runners.command import NO_PREFIX, NOT_ON_THE_COMMAND_LINE, places, truth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskflow.api.options import Body
    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")


def binary(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a program; put it above ``@task``. The body of the function is not executed.

    ``binary``: name or path of the program, or ``"{{parameter}}"`` for one that is given by an argument, such as a file
    that another task has made. ``args``: its arguments, a text that is split at blanks or a list of texts,
    in which ``{{parameter}}`` stands for an argument of the task; without it, every parameter is an argument, in the
    order of declaration, behind its ``Prefix``. Files that are declared as ``FILE_IN_STDIN``, ``FILE_OUT_STDOUT`` and
    so on are its standard streams instead. ``working_dir``: the folder it runs in, in which ``{{parameter}}`` may stand
    for a number or a text; without it, an empty one that is removed afterwards. ``fail_by_exit_value`` (default True):
    another exit value than 0 fails the task. Environment variables are expanded in all of them, where the task runs.

    With ``returns``, the task returns the exit value, otherwise None. Raises ArgumentError for wrong arguments and for
    names that the task has not, TypeError if there is no task below.
    """
    by_name("binary", args, 'binary="program"')
    known = checked("binary", arguments, ("working_dir", "args", "fail_by_exit_value", "engine", "image"), ("binary",))
    old = {name: known[name] for name in ("engine", "image") if name in known}
    if old:
        warn(
            "@binary: the arguments 'engine' and 'image' are deprecated; put @container(engine=..., image=...) above it"
        )

    def decorate(function: F) -> F:
        task = task_under(function, "binary")
        set_program(task, Program(binary=text_of("binary", known, "binary"), **described(task, "binary", known)))
        if not old:
            return function
        from taskflow.api.container import container

        return container(**old)(function)

    return decorate


def described(task: TaskFunction, decorator: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Program` that decorators have in common, from their arguments and from the task below.

    Raises ArgumentError for what makes no sense.
    """
    where = place_of(task, decorator)
    template = known.get("args")
    working_dir = os.fspath(known.get("working_dir") or "")
    check_template(template, task, where)
    if known.get("binary"):
        check_template(str(known["binary"]), task, where, "binary")
    check_fail_flag(known.get("fail_by_exit_value", True), where)
    for name in places(working_dir):
        parameter = task.plan.by_name.get(name)
        if parameter is None or parameter.kind is not Kind.OBJECT:
            raise ArgumentError(
                f"{where}: working_dir mentions {{{{{name}}}}}, but that must be a parameter of the task that is a "
                f"text or a number"
            )
    _check_streams(task, where)
    if template is not None:
        _warn_of_prefixes(task, where)
    declared = task.declared_results
    if declared is not None and declared > 1:
        raise ArgumentError(f"{where}: the task returns {declared} values, but all it can return is the exit value")
    return {
        "where": where, "args": template, "working_dir": working_dir, "object_name": task.plan.object_name,
        "parameters": task.plan.all_parameters(), "fail_by_exit_value": known.get("fail_by_exit_value", True),
    }  # fmt: skip


def set_program(task: TaskFunction, program: Body) -> None:
    """The program is run in place of the task's body. Raises ArgumentError if something is already."""
    task.options.set_body(program, task.plan.name)
    task.changed()


def place_of(task: TaskFunction, decorator: str) -> str:
    """How errors of a decorator begin: with the task and where it is defined."""
    code = getattr(task.__taskflow_function__, "__code__", None)
    return f"@{decorator} of task {task.plan.name}{f' ({code.co_filename}:{code.co_firstlineno})' if code else ''}"


def text_of(name: str, known: Mapping[str, Any], decorator: str) -> str:
    """An argument that is a text or a path, and not an empty one. Raises ArgumentError."""
    value = known[name]
    if isinstance(value, (str, os.PathLike)) and os.fspath(value).strip():
        return os.fspath(value)
    raise ArgumentError(f"@{decorator}: {name} is the name or the path of something to run, not {value!r}")


def check_template(
    template: str | Sequence[str] | None, task: TaskFunction, where: str, argument: str = "args"
) -> None:
    """Raise ArgumentError if it is none, or mentions what the task has not."""
    if template is None:
        return
    if not isinstance(template, (str, list, tuple)) or not all(isinstance(item, str) for item in template):
        raise ArgumentError(f"{where}: {argument} is a text or a list of texts, not {template!r}")
    if task.plan.takes_keywords:
        return
    for name in places(template):
        if name not in task.plan.signature.parameters:
            raise ArgumentError(f"{where}: {argument} mentions {{{{{name}}}}}, but the task has no parameter {name!r}")


def check_fail_flag(value: Any, where: str, name: str = "fail_by_exit_value") -> None:
    """Raise ArgumentError if it says neither yes nor no; variables are looked at when the task runs."""
    if not (isinstance(value, str) and "$" in value):
        truth(value, where, name)


def _warn_of_prefixes(task: TaskFunction, where: str) -> None:
    for name, parameter in task.plan.all_parameters().items():
        if parameter.prefix not in ("", NO_PREFIX, NOT_ON_THE_COMMAND_LINE):
            warn(
                f"{where}: the Prefix of {name!r} has no effect, since args says what the arguments are; say it there: "
                f"{parameter.prefix}{{{{{name}}}}}"
            )


def _check_streams(task: TaskFunction, where: str) -> None:
    taken: dict[StdStream, str] = {}
    for name, parameter in task.plan.all_parameters().items():
        stream = parameter.stream
        if stream is StdStream.UNSPECIFIED:
            continue
        if parameter.kind is not Kind.FILE:
            raise ArgumentError(f"{where}: parameter {name!r} is {stream.name}, so it must be a file, as FILE_IN")
        if stream in taken:
            raise ArgumentError(f"{where}: both {taken[stream]!r} and {name!r} are {stream.name}")
        taken[stream] = name
        if stream is not StdStream.STDIN and not parameter.direction.writes:
            warn(f"{where}: what is written to {name!r} is lost, since it is only read; say FILE_OUT_{stream.name}")
