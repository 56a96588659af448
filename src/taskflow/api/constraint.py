"""The ``@constraint`` and ``@IO`` decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, warn_old_name
from taskflow.api.needs import Needs
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.requirements import canonical, check_names

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def constraint(*args: Any, **constraints: Any) -> Callable[[F], F]:
    """Say what a task needs of the node that runs it; put it above ``@task``.

    ``computing_units`` (default 1), ``memory_size`` and ``storage_size`` (GB) are taken from the node while the task
    runs. They may be numbers, the name of an argument or of a global of the module, an expression over these
    (``"n * 2 + 1"``), or an environment variable (``"$UNITS"``). The others, such as ``processor_architecture`` or
    ``app_software``, say which nodes will do; their text is meant literally, but for environment variables.

    Raises ArgumentError for names and values that make no sense, TypeError if there is no task below. A call of a task
    that no node can ever run raises RequirementsError.
    """
    by_name("constraint", args, "computing_units=2")
    for name in constraints:
        present = canonical(name)
        if present is not None and present != name:
            warn_old_name("constraint", name, present)

    def decorate(function: F) -> F:
        task = task_under(function, "constraint")
        task.options.constraints.update(check_names(constraints, f"@constraint of task {task.plan.name}"))
        Needs(task)  # what is wrong with it is told now
        task.changed()
        return function

    return decorate


def io(*args: Any) -> Callable[[F], F]:
    """Say that a task needs no computing unit: it reads or writes, and runs beside those that compute.

    Put it above ``@task``, as ``@IO()``. Raises TypeError if there is no task below.
    """
    if args:
        raise ArgumentError("@IO is written with empty parentheses: @IO()")

    def decorate(function: F) -> F:
        task = task_under(function, "IO")
        task.options.io = True
        task.changed()
        return function

    return decorate


IO = io
