"""The ``@dt`` decorator: an argument of a task is made from what the call gives, by a task of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.options import task_under
from taskflow.api.parameter import COLLECTION_IN, DIRECTORY_IN, DIRECTORY_OUT, FILE_IN, FILE_OUT
from taskflow.api.task import CALL_KEYWORDS, task
from taskflow.model.errors import ArgumentError, MissingOutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")

OBJECT_TO_FILE = 0
FILE_TO_OBJECT = 1
FILE_TO_COLLECTION = 2
COLLECTION_TO_OBJECT = 3
COLLECTION_TO_FILE = 4
OBJECT_TO_DIRECTORY = 5
DIRECTORY_TO_OBJECT = 6
COLLECTION_TO_DIRECTORY = 7

#: Where a transformation to a file puts it, if nothing is said.
DESTINATION = "dt_file_out"

_NAMES = {
    OBJECT_TO_FILE: "OBJECT_TO_FILE", FILE_TO_OBJECT: "FILE_TO_OBJECT", FILE_TO_COLLECTION: "FILE_TO_COLLECTION",
    COLLECTION_TO_OBJECT: "COLLECTION_TO_OBJECT", COLLECTION_TO_FILE: "COLLECTION_TO_FILE",
    OBJECT_TO_DIRECTORY: "OBJECT_TO_DIRECTORY", DIRECTORY_TO_OBJECT: "DIRECTORY_TO_OBJECT",
    COLLECTION_TO_DIRECTORY: "COLLECTION_TO_DIRECTORY",
}  # fmt: skip
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


# ---------------------------------------------------------------------- the tasks


@task(returns=1)
def transform(data: Any, function: Any, options: dict[str, Any]) -> Any:
    """An object to an object."""
    return _plain(function)(data, **options)


@task(returns=1, data=COLLECTION_IN)
def col_to_obj(data: list[Any], function: Any, options: dict[str, Any]) -> Any:
    """A collection to an object."""
    return _plain(function)(data, **options)


@task(returns=1, data=FILE_IN)
def file_to_object(data: str, function: Any, options: dict[str, Any]) -> Any:
    """A file to an object."""
    return _plain(function)(data, **options)


@task(returns=1, data=DIRECTORY_IN)
def directory_to_object(data: str, function: Any, options: dict[str, Any]) -> Any:
    """A directory to an object."""
    return _plain(function)(data, **options)


@task(returns="value_of(size)", data=FILE_IN)
def file_to_col(data: str, function: Any, size: int, options: dict[str, Any]) -> Any:
    """A file to ``size`` objects."""
    items = list(_plain(function)(data, **options))
    if len(items) != size:
        raise MissingOutputError(
            f"the transformation {_plain(function).__name__} of a file was to give size={size} elements but gave "
            f"{len(items)}"
        )
    return items if size > 1 else items[0]


@task(out=FILE_OUT)
def object_to_file(data: Any, function: Any, out: str, options: dict[str, Any]) -> None:
    """An object to a file."""
    _plain(function)(data, out, **options)


@task(data=COLLECTION_IN, out=FILE_OUT)
def col_to_file(data: list[Any], function: Any, out: str, options: dict[str, Any]) -> None:
    """A collection to a file."""
    _plain(function)(data, out, **options)


@task(out=DIRECTORY_OUT)
def object_to_directory(data: Any, function: Any, out: str, options: dict[str, Any]) -> None:
    """An object to a directory."""
    _plain(function)(data, out, **options)


@task(data=COLLECTION_IN, out=DIRECTORY_OUT)
def col_to_directory(data: list[Any], function: Any, out: str, options: dict[str, Any]) -> None:
    """A collection to a directory."""
    _plain(function)(data, out, **options)


def _plain(function: Any) -> Callable[..., Any]:
    """The function itself: inside a task, a task function is called plainly."""
    plain: Callable[..., Any] = getattr(function, "__taskflow_function__", function)
    return plain


_TO_PATH: dict[int, Callable[..., Any]] = {
    OBJECT_TO_FILE: object_to_file, COLLECTION_TO_FILE: col_to_file,
    OBJECT_TO_DIRECTORY: object_to_directory, COLLECTION_TO_DIRECTORY: col_to_directory,
}  # fmt: skip
_TO_OBJECT: dict[int | None, Callable[..., Any]] = {
    None: transform, FILE_TO_OBJECT: file_to_object, COLLECTION_TO_OBJECT: col_to_obj,
    DIRECTORY_TO_OBJECT: directory_to_object,
}  # fmt: skip


# ---------------------------------------------------------------------- what is to be done


class DTObject:
    """One transformation: the parameter ``target`` becomes ``function(target, **options)``.

    ``type``: one of the constants of this module (default: object to object). To a file or a directory, the function
    is called with the ``destination`` as its second argument, and the parameter becomes that path. FILE_TO_COLLECTION
    needs ``size``, the number of elements. ``is_workflow``: the function is called in the main program and may call
    tasks. Of the other keywords, ``"{{name}}"`` stands for the call's argument ``name``.

    Raises ArgumentError.
    """

    def __init__(
        self,
        target: str,
        function: Callable[..., Any],
        *,
        type: int | None = None,
        destination: str | None = None,
        size: Any = None,
        is_workflow: bool = False,
        **options: Any,
    ) -> None:
        where = f"the transformation of {target!r}"
        if not isinstance(target, str):
            raise ArgumentError(f"@dt: the target is the name of a parameter, not {target!r}")
        if not callable(function):
            raise ArgumentError(f"{where} needs a function, not {function!r}")
        if type is not None and type not in _NAMES:
            raise ArgumentError(f"{where}: type is one of {', '.join(_NAMES.values())}, not {type!r}")
        if type == FILE_TO_COLLECTION and not str(size or "").strip().isdigit():
            raise ArgumentError(f"{where} to a collection needs its number of elements: size=..., not {size!r}")
        self.target = target
        self.function = function
        self.type = type
        self.destination = destination or DESTINATION
        self.size = int(size) if size is not None else 0
        self.is_workflow = bool(is_workflow)
        self.options = options

    def __repr__(self) -> str:
        kind = "" if self.type is None else f", {_NAMES[self.type]}"
        return f"<transformation of {self.target!r} by {getattr(self.function, '__name__', self.function)}{kind}>"

    def check(self, task: TaskFunction) -> None:
        """Raise ArgumentError if the task has not the parameters that are named here."""
        plan = task.plan
        mentioned = [found[1] for value in self.options.values() if (found := _named(value))]
        for name in (self.target, *mentioned):
            if name not in plan.by_name and not plan.takes_keywords:
                raise ArgumentError(
                    f"@dt of task {plan.name}: the task has no parameter {name!r}; it is defined as "
                    f"{plan.name}{plan.signature}"
                )

    def apply(self, value: Any, arguments: dict[str, Any]) -> Any:
        """What the parameter becomes. ``arguments``: those of the call, by name."""
        options = {name: _filled(option, arguments) for name, option in self.options.items()}
        to_path = self.type in _TO_PATH
        if self.is_workflow:
            if to_path:
                self.function(value, self.destination, **options)
                return self.destination
            return self.function(value, **options)
        if to_path:
            assert self.type is not None
            _TO_PATH[self.type](value, self.function, self.destination, options)
            return self.destination
        if self.type == FILE_TO_COLLECTION:
            items = file_to_col(value, self.function, self.size, options)
            return list(items) if self.size > 1 else [items]
        return _TO_OBJECT[self.type](value, self.function, options)


def _named(value: Any) -> re.Match[str] | None:
    return _TEMPLATE.fullmatch(value) if isinstance(value, str) else None


def _filled(value: Any, arguments: dict[str, Any]) -> Any:
    found = _named(value)
    return arguments[found[1]] if found else value


class Transformations:
    """The layer: transforms arguments, in the order of the decorators from top to bottom."""

    def __init__(self) -> None:
        self.steps: list[DTObject] = []

    def __call__(
        self, task: TaskFunction, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Go on with the transformed arguments. Raises ArgumentError for wrong ones in ``dt=`` of the call."""
        plan = task.plan
        steps: Sequence[DTObject] = self.steps
        if "dt" in kwargs and "dt" not in plan.by_name:
            steps = _steps_of_call(kwargs.pop("dt"), task)
        said = {name: kwargs.pop(name) for name in CALL_KEYWORDS.intersection(kwargs) if name not in plan.by_name}
        plan.check(args, kwargs)
        bound = plan.signature.bind(*args, **kwargs)
        for step in steps:
            arguments = plan.arguments(bound.args, bound.kwargs)
            if plan.takes_keywords:
                arguments = {**arguments, **kwargs}
            if step.target not in arguments:
                raise ArgumentError(f"@dt of task {plan.name}: the call gives no argument {step.target!r}")
            value = step.apply(arguments[step.target], arguments)
            if step.target in plan.signature.parameters:
                bound.arguments[step.target] = value
            else:
                kwargs[step.target] = value
                bound.arguments[next(reversed(plan.signature.parameters))][step.target] = value
        return submit(*bound.args, **bound.kwargs, **said)


def _steps_of_call(given: Any, task: TaskFunction) -> Sequence[DTObject]:
    steps = list(given) if isinstance(given, (list, tuple)) else [given]
    for step in steps:
        if not isinstance(step, DTObject):
            raise ArgumentError(f"dt= of a call of task {task.plan.name} is a dto(...) or a list of them, not {step!r}")
        step.check(task)
    _check_destinations(steps, task)
    return steps


def _check_destinations(steps: Sequence[DTObject], task: TaskFunction) -> None:
    """Raise ArgumentError if two parameters would become the same path."""
    targets: dict[str, str] = {}
    for step in steps:
        if step.type in _TO_PATH and targets.setdefault(step.destination, step.target) != step.target:
            raise ArgumentError(
                f"@dt of task {task.plan.name}: {targets[step.destination]!r} and {step.target!r} would both become "
                f"the path {step.destination!r}; give each a destination of its own"
            )


def dt(*arguments: Any, **options: Any) -> Callable[[F], F]:
    """Transform an argument before the task gets it; put it above ``@task``. Arguments as those of `DTObject`.

    Several apply from top to bottom. A call may say ``dt=dto(...)``, or a list of these, instead. Without a session the
    transformations are done at once.

    Raises ArgumentError for wrong arguments and for parameters that the task has not, TypeError if there is no task.
    """
    try:
        step = DTObject(*arguments, **options)
    except TypeError as error:
        text = str(error).replace("DTObject.__init__()", "@dt").replace("__init__()", "@dt")
        raise ArgumentError(f'{text}; it is written @dt("parameter", function, ...)') from None

    def decorate(function: F) -> F:
        task = task_under(function, "dt")
        step.check(task)
        layer = next((layer for layer in task.layers if isinstance(layer, Transformations)), None)
        if layer is None:
            layer = Transformations()
            task.layers.append(layer)
        layer.steps.insert(0, step)  # decorators apply from the bottom, transformations from the top
        _check_destinations(layer.steps, task)
        task.changed()
        return function

    return decorate


data_transformation = dt
dto = DTObject
