"""What ``@task`` and the decorators above it say about how a task function is to be run.

A decorator above ``@task`` gets the `TaskFunction`, notes what it has to say in the function's `TaskOptions` (or adds a
*layer*, see below) and returns the same `TaskFunction`, so that decorators stack in any sensible order.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from taskflow.model.errors import ArgumentError
from taskflow.model.policies import OnFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.task import TaskFunction


class Layer(Protocol):
    """Something that happens, in the calling program, round each call of a task function.

    ``submit`` goes on with the call: to the next layer, then to the submission, or without a session to the plain call.
    """

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The result of the call, as the program sees it."""


@dataclasses.dataclass
class TaskOptions:
    """Settings of one task function.

    ``on_failure``, ``defaults`` and ``time_out`` (seconds, 0: none) are what `@task` or `@on_failure` say.
    ``constraints``: the keywords of `@constraint`, as they were given. ``io``: needs no computing unit.
    ``implements``: name of the task that it is another implementation of.
    ``nested``: its calls of task functions submit tasks. ``spread``: see `FunctionRecord`.
    ``wrappers``: picklable callables that take the function and return the one that is run instead, in the executor;
    the last one is outermost. Those with a true attribute ``in_plain_calls`` are applied to plain calls, too.
    """

    on_failure: OnFailure = OnFailure.RETRY
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    time_out: float = 0.0
    constraints: dict[str, Any] = dataclasses.field(default_factory=dict)
    io: bool = False
    implements: str = ""
    nested: bool = False
    spread: str = ""
    wrappers: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = dataclasses.field(default_factory=list)


def task_under(target: Any, decorator: str) -> TaskFunction:
    """The task function that a decorator was put above. Raises ArgumentError if there is none."""
    from taskflow.api.task import TaskFunction

    if isinstance(target, TaskFunction):
        return target
    if isinstance(target, (staticmethod, classmethod)):
        raise ArgumentError(f"put @{type(target).__name__} above @{decorator}, not below it")
    name = getattr(target, "__qualname__", repr(target))
    raise ArgumentError(f"@{decorator} of {name} needs @task (or a decorator that makes a task) directly below it")
