"""How many values a task function returns, from every form of ``returns`` or, without one, from its code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable


class Returns:
    """Declared results. ``count`` is None when it has to be found out at each call (see `resolve`).

    ``classes``: the user classes among the declared results, by position. ``same``: the name of the parameter that the
    call returns itself (``returns="{{p}}"``).
    """

    __slots__ = ("_expression", "classes", "count", "same")

    def __init__(self, count: int | None, classes: dict[int, type] | None = None, expression: str = "") -> None:
        self.count = count
        self.classes = classes or {}
        self.same = ""
        self._expression = expression

    def resolve(self, function: Callable[..., Any], arguments: Callable[[], dict[str, Any]]) -> int:
        """The number of results of one call; ``arguments()`` gives the call's arguments by name.

        Raises ArgumentError when the named global or parameter is no whole number.
        """
        if self.count is not None:
            return self.count
        expression = self._expression
        if expression.startswith("value_of("):
            path = expression[len("value_of(") : -1].strip().split(".")
            values = arguments()
            if path[0] not in values:
                raise ArgumentError(f"returns={expression!r}: {function.__qualname__} has no parameter {path[0]!r}")
            value = values[path[0]]
            for name in path[1:]:
                value = getattr(value, name)
        else:
            scope = getattr(function, "__globals__", {})
            if expression not in scope:
                raise ArgumentError(
                    f"returns={expression!r}: the module of {function.__qualname__} has no global of that name; "
                    f"use a number, a type, a global's name, 'value_of(parameter)' or '{{{{parameter}}}}'"
                )
            value = scope[expression]
        try:
            count = int(value)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"returns={expression!r} of {function.__qualname__}: its value {value!r} is not a whole number"
            ) from None
        return max(count, 0)


def parse_returns(returns: Any, function: Callable[..., Any]) -> Returns:
    """Understand a ``returns`` argument. False, 0 and None mean: find out from the function itself."""
    if returns is None or returns is False or (type(returns) is int and returns == 0):
        return infer(function)
    if returns is True:
        return Returns(1)
    if isinstance(returns, int):
        if returns < 0:
            raise ArgumentError(f"returns={returns} of {function.__qualname__}: a number of results is never negative")
        return Returns(returns)
    if isinstance(returns, str):
        text = returns.strip()
        if text.isdigit():
            return Returns(int(text)) if int(text) else infer(function)
        if text.startswith("{{") and text.endswith("}}"):
            same = Returns(0)
            same.same = text[2:-2].strip()
            return same
        return Returns(None, expression=text)
    if isinstance(returns, (list, tuple)):
        return Returns(len(returns), {place: kind for place, kind in enumerate(returns) if is_user_class(kind)})
    if is_user_class(returns):
        return Returns(1, {0: returns})
    return Returns(1)


def is_user_class(kind: Any) -> bool:
    """Whether it is a class of the user's, of which an empty instance can stand for the result."""
    if not isinstance(kind, type) or kind.__module__ == "builtins":
        return False
    # Classes of extension modules (numpy.ndarray and the like) have no Python-level constructor to call empty.
    return kind.__flags__ & (1 << 9) != 0


def infer(function: Callable[..., Any]) -> Returns:
    """From the return annotation, else from the ``return`` statements of the source."""
    annotation = getattr(function, "__annotations__", {}).get("return", _MISSING)
    if annotation is not _MISSING:
        return Returns(_count_of_annotation(annotation))
    return Returns(_count_of_source(function))


_MISSING = object()


def _count_of_annotation(annotation: Any) -> int:
    if annotation is None or annotation is type(None) or annotation == "None":
        return 0
    if isinstance(annotation, str):
        try:
            node = ast.parse(annotation, mode="eval").body
        except SyntaxError:
            return 1
        if isinstance(node, ast.Tuple):
            return len(node.elts)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("tuple", "Tuple", "typing.Tuple"):
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return 1 if any(isinstance(item, ast.Constant) and item.value is ... for item in items) else len(items)
        return 1
    if isinstance(annotation, tuple):
        return len(annotation)
    if getattr(annotation, "__origin__", None) is tuple:
        items = annotation.__args__
        return 1 if ... in items else len(items)
    return 1


def _count_of_source(function: Callable[..., Any]) -> int:
    if function.__name__ == "<lambda>":
        return 1
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return 0
    counter = _ReturnCounter()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                counter.visit(statement)
    return counter.most


class _ReturnCounter(ast.NodeVisitor):
    """The largest number of values in the ``return`` statements of a body, not of functions defined in it."""

    most = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        pass

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        pass

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            return
        count = len(node.value.elts) if isinstance(node.value, ast.Tuple) else 1
        self.most = max(self.most, count)
