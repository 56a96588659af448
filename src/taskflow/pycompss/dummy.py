"""The decorator that leaves functions as they are: all that is left of a task in a sequential program."""

from __future__ import annotations

from typing import Any


class Dummy:
    """A decorator without effect, with or without arguments."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """The function itself, where the decorator is written without parentheses."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return args[0]
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        """The function itself."""
        return function
