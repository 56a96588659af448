"""The ``@implement`` decorator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.needs import register_implementation
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def implement(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task function another implementation of the task ``method`` of the module ``source_class``.

    Programs go on calling the original; for each call the runtime takes an implementation whose constraints the node
    can fulfil: each once, then the one that is quickest on average. Parameters and results must be the same. Without a
    session each is the plain function it is.

    Raises ArgumentError if an argument is missing or is no text, TypeError if there is no task below.
    """
    by_name("implement", args)
    given = checked("implement", arguments, (), ("source_class", "method"))
    for name, value in given.items():
        if not isinstance(value, str) or not value:
            raise ArgumentError(f"@implement: {name} is a name, not {value!r}")
    original = f"{given['source_class']}.{given['method']}"

    def decorate(function: F) -> F:
        task = task_under(function, "implement")
        task.options.implements = original
        register_implementation(task, original)
        task.changed()
        return function

    return decorate
