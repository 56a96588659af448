"""Decorators of programs that use a runner which this version does not have: MPI, containers, services and others.

They can be imported and can decorate, with all their checks. What cannot be done is said when the task is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from taskflow import runtime
from taskflow.api.arguments import checked
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.pycompss.exceptions import NotImplementedException, NotInPyCOMPSsException

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.task import TaskFunction


class RunnerDecorator:
    """A decorator that says how the body of a task is run, for a runner that is not there."""

    name: ClassVar[str]
    mandatory: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    runs_body_plainly: ClassVar[bool] = False  #: without a session the body of the function is run

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            raise ArgumentError(f"@{self.name} takes its arguments by name, in parentheses: @{self.name}(name=value)")
        self.arguments = self.check(kwargs)

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments under their present names."""
        return checked(self.name, given, self.optional, self.mandatory)

    def __call__(self, target: Any) -> TaskFunction:
        """Decorate a task function."""
        task = task_under(target, self.name)
        task.layers.append(self._refuse)
        task.changed()
        return task

    def _refuse(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if runtime.session is not None:
            raise NotImplementedException(
                f"task {task.plan.name} is to be run by @{self.name}, which this version of taskflow cannot do; "
                f"take @{self.name} away to run its body as a Python task"
            )
        if self.runs_body_plainly:
            return submit(*args, **kwargs)
        raise NotInPyCOMPSsException(
            f"task {task.plan.name} is to be run by @{self.name}: its body is not what it does, so it cannot be called "
            f"as a plain function"
        )
