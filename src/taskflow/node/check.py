"""The interpreter of a checked run: sees whether tasks do with their data what they declare.

Each task function is wrapped. Round its call, the arguments are compared with what they were before (`data.content`),
and the files that it opens are noted (`node.file_uses`). Nothing is judged here: what was seen goes to the journal in
records of kind ``check``, and `observe.check` makes findings of those of all executors.
"""

from __future__ import annotations

import inspect
import json
import operator
import os
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from taskflow.data.content import Content, path_content
from taskflow.node.file_uses import FileUses
from taskflow.node.interpreter import Interpreter
from taskflow.wire.messages import N_DICT, N_LIST, N_NEW, N_PATH, N_SAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskflow.data.store import Store

Node = tuple[Any, ...]

IDS = 16  #: tasks of one function that an executor names in its records about one thing
MAX_RECORDS = 20_000  #: about files; tasks that use more of them are not a matter of declarations
GLOBAL_LIMIT = 1 << 20  #: bytes; a larger global variable is not looked at again


class CheckedInterpreter(Interpreter):
    """Runs tasks and notes what they do with their parameters, with files and with global variables."""

    lends = False  # a write that is refused cannot be noted

    def __init__(self, store: Store, scratch: str, **settings: Any) -> None:
        super().__init__(store, scratch, **settings)
        run_dir = os.path.dirname(os.path.dirname(os.path.realpath(scratch)))
        self.own_folders = (f"{run_dir}/", f"{os.path.realpath(store.directory)}/")
        self.task_id = 0
        self.nodes: tuple[tuple[int | str, Node], ...] = ()
        self.wants_result = False
        self._tallies: dict[tuple[int, str, str], Tally] = {}

    @property
    def callers_of_bodies(self) -> tuple[Callable[..., Any], ...]:
        """As `Interpreter.callers_of_bodies`."""
        return (*super().callers_of_bodies, Watched.__call__)

    def define(self, functions: list[tuple[int, str, tuple[Any, ...], int, float]]) -> None:
        """Make functions known, wrapped."""
        super().define(functions)
        for function_id, *_ in functions:
            if function_id in self.functions:
                watched = Watched(self, function_id, self.functions[function_id])
                self.functions[function_id] = watched
                for name in watched.globals:
                    self.saw(function_id, "uses global", watched.full_name(name))

    def run_plain(self, task_id: int, function_id: int, args: tuple[Any, ...]) -> None:
        """Run a task whose arguments are all plain."""
        self.task_id = task_id
        self.nodes = ()
        self.wants_result = bool(self.returns[function_id])
        super().run_plain(task_id, function_id, args)

    def run(
        self,
        task_id: int,
        function_id: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        params: tuple[tuple[int | str, Node], ...],
        returns: int,
        durable: bool,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Run any other task."""
        self.task_id = task_id
        self.nodes = params
        self.wants_result = bool(returns)
        super().run(task_id, function_id, args, kwargs, params, returns, durable, environment)

    def saw(self, function_id: int, what: str, name: str, detail: str = "", task_id: int = 0) -> None:
        """Note something about a parameter, a file or a global variable of a function."""
        key = (function_id, what, name)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(detail)
        tally.add(task_id)

    def saw_file(self, function_id: int, what: str, path: str, task_id: int) -> None:
        """Note the use of a file."""
        if len(self._tallies) < MAX_RECORDS:
            self.saw(function_id, what, path, "", task_id)

    def tidy(self) -> None:
        """Also tell the journal what was seen since the last time."""
        super().tidy()
        for (function_id, what, name), tally in self._tallies.items():
            if tally.count:
                record = {
                    "e": "check", "fn": function_id, "x": self.number, "what": what, "name": name,
                    "count": tally.count, "tasks": tally.ids, "detail": tally.detail,
                }  # fmt: skip
                self.journal_lines.append(json.dumps(record).encode())
                tally.told()


class Tally:
    """How often something was seen, and the first tasks in which it was."""

    __slots__ = ("_room", "count", "detail", "ids")

    def __init__(self, detail: str) -> None:
        self.count = 0
        self.ids: list[int] = []
        self.detail = detail
        self._room = IDS

    def add(self, task_id: int) -> None:
        """Count one more task."""
        self.count += 1
        if self._room and task_id:
            self._room -= 1
            self.ids.append(task_id)

    def told(self) -> None:
        """The record has been written: what comes now is for the next one."""
        self.count = 0
        self.ids = []


class Look(NamedTuple):
    """What an argument, and the files in it, contain at a moment; and the very elements of a collection."""

    content: Content
    files: list[Any]
    elements: list[Any]

    def change(self, later: Look, name: str) -> str | None:
        """The part that differs later, or None."""
        if self.files != later.files or len(self.elements) != len(later.elements):
            return name
        if any(map(operator.is_not, self.elements, later.elements)):
            return name  # a task that puts an equal value in an element has written it
        return self.content.change(later.content, name)


class Watched:
    """A task function that is watched while it runs.

    ``globals``: the global variables that it uses, itself or through other functions of its module.
    """

    def __init__(self, owner: CheckedInterpreter, function_id: int, function: Callable[..., Any]) -> None:
        self._owner = owner
        self._id = function_id
        self._function = function
        inner = inspect.unwrap(function)
        self._positional, self._rest = _parameter_names(function)
        self._scope: dict[str, Any] = getattr(inner, "__globals__", {})
        self.globals = _global_names(inner)
        self._unwatched: set[str] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; note what it has changed and which files it used."""
        owner = self._owner
        task_id, wants_result = owner.task_id, owner.wants_result
        before = [
            (name, node, value, look)
            for where, node in owner.nodes
            for name, value in [(self._name(where), kwargs[where] if isinstance(where, str) else args[where])]
            if (look := self._look(name, node, value)) is not None
        ]
        globals_before = [
            (name, value_now) for name in self.globals if (value_now := self._global_content(name)) is not None
        ]
        files = FileUses()
        ended = False
        try:
            with files:
                result = self._function(*args, **kwargs)
                if wants_result and type(result) is types.GeneratorType:
                    result = list(result)  # it is the task's body that runs here
            ended = True
        finally:
            for name, node, value, look in before:
                self._compare(task_id, name, node, look, self._look(name, node, value), ended=ended)
            for name, old in globals_before:
                self._compare_global(task_id, name, old)
            for path, what in files.of_user(owner.own_folders):
                owner.saw_file(self._id, what, path, task_id)
        return result

    def full_name(self, name: str) -> str:
        """A global variable with its module."""
        return f"{self._scope.get('__name__', '?')}.{name}"

    def _name(self, where: int | str) -> str:
        if isinstance(where, str):
            return where
        return self._positional[where] if where < len(self._positional) else self._rest or f"args[{where}]"

    def _look(self, name: str, node: Node, value: Any) -> Look | None:
        """What an argument contains now; None if that cannot be told."""
        if node[0] == N_SAME:
            return None  # told of the parameter that was given the object first
        try:
            elements = list(_elements(node, value)) if _is(node, _writes) else []
            return Look(Content(value), [path_content(path) for path in _paths(node, value)], elements)
        except Exception as problem:  # noqa: BLE001  pickling runs code of the user, which may raise anything
            self._owner.saw(self._id, "unchecked", name, f"{type(problem).__name__}: {problem}"[:200])
            return None

    def _compare(
        self,
        task_id: int,
        name: str,
        node: Node,
        before: Look,
        after: Look | None,
        *,
        ended: bool,
    ) -> None:
        if after is None:
            return
        change = before.change(after, name)
        saw = self._owner.saw
        if not _is(node, _writes):
            if change is not None:
                saw(self._id, "changed", name, change, task_id)
        elif change is not None:
            saw(self._id, "written", name, "", task_id)
        elif ended:
            saw(self._id, "unwritten", name, "OUT" if _is(node, _makes) else "INOUT", task_id)

    def _compare_global(self, task_id: int, name: str, before: Content) -> None:
        after = self._global_content(name)
        change = None if after is None else before.change(after, name)
        if change is not None:
            self._owner.saw(self._id, "changed global", self.full_name(name), change, task_id)

    def _global_content(self, name: str) -> Content | None:
        """What a global variable contains; None if it is not watched, or None: a value made when first needed."""
        value = self._scope.get(name)
        if value is None or name in self._unwatched:
            return None
        try:
            content = Content(value)
        except Exception:  # noqa: BLE001  best effort: much that stands in modules cannot be pickled
            self._unwatched.add(name)
            return None
        if content.nbytes > GLOBAL_LIMIT:
            self._unwatched.add(name)
        return content


# ---------------------------------------------------------------------- nodes


def _is(node: Node, property_of_leaf: Callable[[Node], bool]) -> bool:
    """Whether some part of a parameter has the property."""
    if node[0] == N_LIST:
        return any(_is(part, property_of_leaf) for part in node[1])
    if node[0] == N_DICT:
        return any(_is(part, property_of_leaf) for pair in node[1] for part in pair)
    return property_of_leaf(node)


def _writes(leaf: Node) -> bool:
    return bool(leaf[-1])


def _makes(leaf: Node) -> bool:
    return bool(leaf[0] == N_NEW)


def _elements(node: Node, value: Any) -> Iterator[Any]:
    """The elements of a collection or dictionary, those of nested ones too."""
    if node[0] in (N_LIST, N_DICT):
        items = value.values() if node[0] == N_DICT else value
        parts = [pair[1] for pair in node[1]] if node[0] == N_DICT else node[1]
        for part, item in zip(parts, items, strict=False):  # the task may have changed the list
            yield item
            yield from _elements(part, item)


def _paths(node: Node, value: Any) -> Iterator[str]:
    """The paths of files and folders in an argument."""
    if node[0] == N_PATH:
        yield value
    elif node[0] == N_LIST:
        for part, item in zip(node[1], value, strict=False):  # the task may have changed the list
            yield from _paths(part, item)
    elif node[0] == N_DICT:
        for (_, part), item in zip(node[1], value.values(), strict=False):
            yield from _paths(part, item)


# ---------------------------------------------------------------------- functions


def _parameter_names(function: Callable[..., Any]) -> tuple[list[str], str]:
    """Names of the positional parameters, and of the one that takes the rest; nothing if they cannot be told."""
    positional: list[str] = []
    rest = ""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # native code without a signature
        return positional, rest
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = name
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(name)
    return positional, rest


_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def _global_names(function: Any) -> list[str]:
    """The variables of its module that a function uses, itself or through other functions of the module.

    Code is left out, and so are names that say that they are the module's own business (``_table``, ``cache``).
    """
    if not isinstance(function, types.FunctionType):
        return []
    scope = function.__globals__
    found: set[str] = set()
    seen: set[types.CodeType] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        if code in seen:
            continue
        seen.add(code)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        for name in code.co_names:
            value = getattr(scope.get(name), "__taskflow_function__", scope.get(name))
            if isinstance(value, types.FunctionType) and value.__globals__ is scope:
                codes.append(value.__code__)
            elif name in scope and not isinstance(value, _CODE):
                found.add(name)
    return sorted(name for name in found if not name.startswith("_") and "cache" not in name.lower())
