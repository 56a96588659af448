"""Decorators and functions whose implementation is under way elsewhere: they pass tasks through."""

from __future__ import annotations

from typing import Any

from taskflow.api.options import task_under
from taskflow.pycompss.exceptions import NotImplementedException


class PassThrough:
    """A decorator without effect."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.arguments = (args, kwargs)

    def __call__(self, target: Any) -> Any:
        """Give the task function as it is."""
        return task_under(target, "decorator")


def missing(name: str) -> Any:
    """A function that says that it is missing."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedException(f"{name} is not there yet")

    return function
