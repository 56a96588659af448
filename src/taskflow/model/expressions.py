"""Expressions in constraints, such as ``"n * 2 + 1"``: parsed, checked and computed here, never evaluated as code."""

from __future__ import annotations

import ast
import operator
from numbers import Real
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LARGEST = 1e18  #: no constraint is larger; larger intermediate values would only cost time

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min, "max": max, "len": len, "int": int, "float": float, "round": round, "abs": abs, "sum": sum,
}  # fmt: skip

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip

_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip

_ALLOWED = (
    "numbers, arguments, globals, their attributes and elements, + - * / // % **, comparisons, 'a if b else c', and "
    + ", ".join(_FUNCTIONS)
)


class UnknownNameError(Exception):
    """The expression uses a name that has no value."""


class Expression:
    """A checked expression over the arguments of a call and the globals of the task's module.

    Raises ArgumentError if the text is anything but the arithmetic that is allowed; ``where`` begins the message.
    """

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        try:
            self._body = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ArgumentError(f"{where}: {text!r} is neither a number nor an expression ({error})") from None
        self._check(self._body)
        #: What it uses of the arguments and globals.
        self.names = {node.id for node in ast.walk(self._body) if isinstance(node, ast.Name)} - _FUNCTIONS.keys()

    def __repr__(self) -> str:
        return f"<expression {self.text}>"

    def _check(self, node: ast.AST) -> None:
        """Refuse everything that is not listed."""
        children: Sequence[ast.AST]
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            return
        if isinstance(node, ast.Name):
            return
        if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
            children = [node.value]
        elif isinstance(node, ast.Subscript):
            children = [node.value]
            if not (isinstance(node.slice, ast.Constant) and type(node.slice.value) in (int, str)):
                children = [node.value, node.slice]
        elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            children = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            children = [node.operand]
        elif isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            children = [node.left, *node.comparators]
        elif isinstance(node, ast.BoolOp):
            children = node.values
        elif isinstance(node, ast.IfExp):
            children = [node.test, node.body, node.orelse]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in _FUNCTIONS
            and not node.keywords
        ):
            children = node.args
        else:
            piece = ast.unparse(node)
            raise ArgumentError(f"{self.where}: {piece!r} is not allowed in {self.text!r}; it may have {_ALLOWED}")
        for child in children:
            self._check(child)

    def value(self, arguments: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
        """What it amounts to: names are arguments first, then globals.

        Raises UnknownNameError for a name that is neither, ArgumentError if it cannot be computed.
        """
        try:
            return self._compute(self._body, arguments, scope)
        except (UnknownNameError, ArgumentError):
            raise
        except Exception as error:
            raise ArgumentError(
                f"{self.where}: {self.text!r} cannot be computed: {type(error).__name__}: {error}"
            ) from error

    def _compute(self, node: Any, arguments: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
        kind = type(node)
        if kind is ast.Constant:
            return node.value
        if kind is ast.Name:
            if node.id in arguments:
                return arguments[node.id]
            if node.id in scope:
                return scope[node.id]
            raise UnknownNameError(node.id)
        if kind is ast.Attribute:
            return getattr(self._compute(node.value, arguments, scope), node.attr)
        if kind is ast.Subscript:
            return self._compute(node.value, arguments, scope)[self._compute(node.slice, arguments, scope)]
        if kind is ast.BinOp:
            left = self._compute(node.left, arguments, scope)
            return self._binary(type(node.op), left, self._compute(node.right, arguments, scope))
        if kind is ast.UnaryOp:
            return _UNARY[type(node.op)](self._compute(node.operand, arguments, scope))
        if kind is ast.Compare:
            left = self._compute(node.left, arguments, scope)
            for op, comparator in zip(node.ops, node.comparators, strict=True):
                right = self._compute(comparator, arguments, scope)
                if not _COMPARE[type(op)](left, right):
                    return False
                left = right
            return True
        if kind is ast.BoolOp:
            wanted = isinstance(node.op, ast.Or)
            value: Any = None
            for part in node.values:
                value = self._compute(part, arguments, scope)
                if bool(value) is wanted:
                    break
            return value
        if kind is ast.IfExp:
            branch = node.body if self._compute(node.test, arguments, scope) else node.orelse
            return self._compute(branch, arguments, scope)
        return _FUNCTIONS[node.func.id](*[self._compute(item, arguments, scope) for item in node.args])

    def _binary(self, op: type, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if not isinstance(operand, Real):
                raise ArgumentError(
                    f"{self.where}: {self.text!r} computes with {type(operand).__name__} {operand!r:.80}, "
                    f"which is no number"
                )
        if op is ast.Pow and (abs(right) > 64 or abs(left) > _LARGEST):
            raise ArgumentError(f"{self.where}: {self.text!r} has a power that is too large")
        result = _BINARY[op](left, right)
        if isinstance(result, complex) or abs(result) > _LARGEST:
            raise ArgumentError(f"{self.where}: {self.text!r} gives {result!r:.40}, which is no sensible number")
        return result
