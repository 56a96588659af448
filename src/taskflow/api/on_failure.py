"""The ``@on_failure`` decorator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.policies import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def on_failure(*args: Any, management: Any = None, **defaults: Any) -> Callable[[F], F]:
    """Say what a task's failure does; put it above ``@task``.

    ``management``: "RETRY" (at most 4 executions), "FAIL", "CANCEL_SUCCESSORS" or "IGNORE". Every other keyword is a
    default for the task's outputs if its failure is ignored: ``returns=`` for what it returns, and for an output
    parameter a value, or the path of a file (or directory) that is copied.

    Raises ArgumentError without ``management``, and for a policy or a parameter that does not exist.
    """
    by_name("on_failure", args, 'management="RETRY"')
    if management is None:
        raise ArgumentError("@on_failure needs management=, one of 'RETRY', 'FAIL', 'CANCEL_SUCCESSORS' and 'IGNORE'")

    def decorate(function: F) -> F:
        task = task_under(function, "on_failure")
        where = f"@on_failure of {task.plan.name}"
        task.options.on_failure = parse_policy(management, where)
        for name in defaults:
            if name != "returns" and name not in task.plan.by_name and not task.plan.takes_keywords:
                raise ArgumentError(f"{where}: the task has no parameter {name!r} that could have a default")
        task.options.defaults.update(defaults)
        task.changed()
        return function

    return decorate
