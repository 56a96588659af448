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
    from collections.abc import Callable, Hashable, Mapping

    from taskflow.api.task import TaskFunction


class Layer(Protocol):
    """Something that happens, in the calling program, round each call of a task function.

    ``submit`` goes on with the call: to the next layer, then to the submission, or without a session to the plain call.
    """

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The result of the call, as the program sees it."""


class Body(Protocol):
    """What an executor runs in place of the body of a task's function: a program, ranks, something in a container.

    Picklable.
    """

    @property
    def decorator(self) -> str:
        """Its name, for messages."""

    @property
    def in_plain_calls(self) -> bool:
        """It is also run in place of the function when the task function is called without a session."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called with the arguments of the task."""

    def inside(self, container: Body) -> Body:
        """The same within a container. Raises ArgumentError if that makes no sense."""


@dataclasses.dataclass(frozen=True)
class BodyOfCall:
    """The body of one call, and how much it needs.

    ``hosts``: how many nodes it has at once, ``per_node``: how many times the constraints on each of them, ``note``: a
    sentence that says why. ``key``: the same for calls that run the same.
    """

    body: Body
    key: Hashable
    hosts: int = 1
    per_node: int = 1
    note: str = ""


class VaryingBody(Body, Protocol):
    """A body of which something is found out at each call."""

    def of_call(
        self, task: TaskFunction, units: int, arguments: Mapping[str, Any], said: Mapping[str, Any]
    ) -> BodyOfCall:
        """The body of a call with these arguments.

        ``units``: computing units that the constraints say. ``said``: keywords of the call that are meant for the
        runtime. Raises ArgumentError for what makes no sense.
        """


@dataclasses.dataclass
class TaskOptions:
    """Settings of one task function.

    ``on_failure``, ``defaults`` and ``time_out`` (seconds, 0: none) are what `@task` or `@on_failure` say.
    ``constraints``: the keywords of `@constraint`, as they were given. ``io``: needs no computing unit.
    ``hosts``: nodes that it has at once, the constraints being those of each: a number, or a text that says it at each
    call (see `api.needs`).
    ``programs``: those that start what it runs, which its nodes must have (see `model.requirements.PROGRAMS`).
    ``implements``: name of the task that it is another implementation of.
    ``nested``: its calls of task functions submit tasks. ``spread``: see `FunctionRecord`.
    ``body``: what is run in place of the function's body. ``container``: what that, or the function, is run in.
    ``wrappers``: picklable callables that take the function and return the one that is run instead, in the executor;
    the last one is outermost. Those with a true attribute ``in_plain_calls`` are applied to plain calls, too.
    """

    on_failure: OnFailure = OnFailure.RETRY
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    time_out: float = 0.0
    constraints: dict[str, Any] = dataclasses.field(default_factory=dict)
    io: bool = False
    hosts: int | str = 1
    programs: frozenset[str] = frozenset()
    implements: str = ""
    nested: bool = False
    spread: str = ""
    body: Body | VaryingBody | None = None
    container: Body | None = None
    wrappers: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = dataclasses.field(default_factory=list)

    def wrapping(
        self, body: Body | VaryingBody | None = None
    ) -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
        """All that is applied to the function in the executor, the innermost first; ``body``: that of a call."""
        body = body or self.body
        if self.container is not None:
            body = self.container if body is None else body.inside(self.container)
        return self.wrappers if body is None else [body, *self.wrappers]

    @property
    def service(self) -> str:
        """Name of the service that its tasks are requests to; nothing if they are run by executors."""
        return getattr(self.body, "service", "")

    def set_body(self, body: Body, task: str) -> None:
        """Say what is run in place of the function's body. Raises ArgumentError if something is already."""
        if self.body is not None:
            raise ArgumentError(
                f"@{body.decorator} of task {task}: it is run by @{self.body.decorator} already; take one of them away"
            )
        self.body = body


def task_under(target: Any, decorator: str) -> TaskFunction:
    """The task function that a decorator was put above. Raises ArgumentError if there is none."""
    from taskflow.api.task import TaskFunction

    if isinstance(target, TaskFunction):
        return target
    if isinstance(target, (staticmethod, classmethod)):
        raise ArgumentError(f"put @{type(target).__name__} above @{decorator}, not below it")
    name = getattr(target, "__qualname__", repr(target))
    raise ArgumentError(f"@{decorator} of {name} needs @task (or a decorator that makes a task) directly below it")
