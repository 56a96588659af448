"""Calls of some task functions make sense in a session only."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from taskflow import runtime
from taskflow.model.errors import NoSessionError
from taskflow.runners.binary import in_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.task import TaskFunction


@dataclasses.dataclass(frozen=True)
class InSession:
    """A layer that refuses calls where there is no session. ``where``: how errors begin; ``why`` it is needed."""

    where: str
    why: str = "its body is not what it does, and what it does needs a session"

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]  # noqa: ARG002
    ) -> Any:  # fmt: skip
        """Go on with the call. Raises NoSessionError."""
        if runtime.session is None and not in_task():
            raise NoSessionError(f"{self.where}: {self.why}; start the program by runtask")
        return submit(*args, **kwargs)
