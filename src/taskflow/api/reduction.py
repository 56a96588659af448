"""The ``@reduction`` decorator: a task that reduces a collection is done as a tree of tasks over parts of it."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.api.arguments import by_name, checked
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.parameters import Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")


def reduction(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Reduce a collection by several tasks; put it above a ``@task`` with one COLLECTION_IN and one result.

    ``chunk_size``: how many elements, or results of earlier tasks, one task reduces; 0 (the default) is all of them. It
    may be a number, a text, or an environment variable (``"$CHUNK"``). ``is_reduce=False`` switches it off. A call may
    say both anew. Neighbours are reduced first, in order, so the function need be associative only: of its own results
    it makes a result. A part is reduced as soon as its elements are there. Other arguments go to every task.

    Raises ArgumentError for wrong arguments or parameters, TypeError if there is no task below.
    """
    by_name("reduction", args)
    known = checked("reduction", arguments, ("chunk_size", "is_reduce"))

    def decorate(function: F) -> F:
        task = task_under(function, "reduction")
        collections = [
            name for name, parameter in task.plan.by_name.items()
            if parameter.kind is Kind.COLLECTION and parameter.direction in (Direction.IN, Direction.IN_DELETE)
        ]  # fmt: skip
        if len(collections) != 1:
            raise ArgumentError(
                f"@reduction of task {task.plan.name} needs exactly one COLLECTION_IN parameter to reduce, not "
                f"{len(collections)}{': ' * bool(collections)}{', '.join(collections)}"
            )
        chunk_size = known.get("chunk_size", 0)
        if not (isinstance(chunk_size, str) and "$" in chunk_size):
            _whole(chunk_size, task)
        task.layers.append(Reduction(collections[0], chunk_size, bool(known.get("is_reduce", True))))
        task.changed()
        return function

    return decorate


@dataclasses.dataclass(frozen=True)
class Reduction:
    """The layer: turns one call into the calls of the tree."""

    collection: str
    chunk_size: Any
    is_reduce: bool

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The result of the last task of the tree."""
        plan = task.plan
        said = {name: kwargs.pop(name) for name in ("chunk_size", "is_reduce") if name in kwargs.keys() - plan.by_name}
        size = _whole(said.get("chunk_size", self.chunk_size), task)
        if not size or not said.get("is_reduce", self.is_reduce) or runtime.session is None:
            return submit(*args, **kwargs)
        others = {name: value for name, value in kwargs.items() if name not in plan.by_name and not plan.takes_keywords}
        kwargs = {name: value for name, value in kwargs.items() if name not in others}
        plan.check(args, kwargs)
        bound = plan.signature.bind(*args, **kwargs)
        elements = bound.arguments.get(self.collection)
        # The whole list may be a future, and elements without identity are known by their place in it.
        if not isinstance(elements, (list, tuple)) or runtime.session.registry.has_cells(elements):
            return submit(*args, **kwargs, **others)

        def reduce(part: list[Any]) -> Any:
            bound.arguments[self.collection] = part
            return submit(*bound.args, **bound.kwargs, **others)

        parts = list(elements)
        level = 0
        while len(parts) > size:
            chunks = [parts[start : start + size] for start in range(0, len(parts), size)]
            # A result that is left over goes up as it is; an element does not: it may be of another kind than results.
            parts = [chunk[0] if level and len(chunk) == 1 else reduce(chunk) for chunk in chunks]
            level += 1
        return parts[0] if level and len(parts) == 1 else reduce(parts)


def _whole(value: Any, task: TaskFunction) -> int:
    """A chunk size as a number. Raises ArgumentError."""
    text = os.path.expandvars(str(value)).strip()
    if not text.isdigit() or text == "1":
        meant = f" (which is {text!r})" if text != str(value) else ""
        raise ArgumentError(
            f"@reduction of task {task.plan.name}: chunk_size is a whole number, 2 or more, or 0 for no splitting, not "
            f"{value!r}{meant}"
        )
    return int(text)
