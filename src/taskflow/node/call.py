"""The arguments of one task while it runs: decoded from nodes, and afterwards the source of its outputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from taskflow.data.files import COPY_LIMIT, copy_any, fingerprint, remove_any
from taskflow.data.serialization import decode_blob
from taskflow.model.errors import MissingOutputError, TaskflowError
from taskflow.node.loans import Loan, lend
from taskflow.wire.messages import (
    N_BLOB,
    N_DICT,
    N_LIST,
    N_LOCAL,
    N_NEW,
    N_PATH,
    N_SAME,
    N_SEGMENT,
    N_VALUE,
    P_COPY,
    P_DIRECT,
    P_INOUT,
    P_SHARED,
)

if TYPE_CHECKING:
    from taskflow.node.interpreter import Interpreter
    from taskflow.node.report import Key

Params = tuple[tuple["int | str", tuple[Any, ...]], ...]


class Left(NamedTuple):
    """What a body returns that has run in other processes, on copies of its arguments.

    ``value``: what the task returns. ``arguments``: those that it may have changed, as it has left them, by position or
    keyword.
    """

    value: Any
    arguments: dict[int | str, Any]


class Call:
    """The arguments of one task while it runs."""

    def __init__(
        self,
        interpreter: Interpreter,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        params: Params,
        lends: bool,
    ) -> None:
        self.interpreter = interpreter
        self.params = params
        self.lends = lends
        self.loans: dict[Key, Loan] = {}  # held arrays that the task reads in place
        self.output_before: tuple[list[tuple[int, str]], int]  # what had been printed, if anything is lent
        self.args: list[Any] = list(args)
        self.kwargs: dict[str, Any] = dict(kwargs) if kwargs else {}
        self.consumed: list[Key] = []
        self._sinks: list[tuple[Any, tuple[Any, ...], str | None]] = []
        self.written: list[Any] = []
        self._copies: list[str] = []
        self._watched: list[tuple[str, tuple[int, int, int]]] = []

    def bind(self, where: int | str, node: tuple[Any, ...]) -> None:
        """Decode a node into its argument; remember what it writes."""
        container: Any = self.kwargs if isinstance(where, str) else self.args
        container[where] = self._decode(node, container, (where,))

    def _decode(self, node: tuple[Any, ...], root: Any, path: tuple[Any, ...]) -> Any:
        kind = node[0]
        value: Any
        if kind == N_VALUE:
            value = node[1]
        elif kind == N_BLOB:
            value = decode_blob(node[1], [self._decode(part, None, ()) for part in node[2]])
        elif kind == N_SEGMENT:
            value = self.interpreter.store.read(node[1], [self._decode(part, None, ()) for part in node[2]])
        elif kind == N_LOCAL:
            value, used_up = self.interpreter.take_local(node[1], self, movable=node[2], writes=node[3])
            if used_up:
                self.consumed.append(node[1])
        elif kind == N_LIST:
            return self._decode_list(node[1], root, path)
        elif kind == N_DICT:
            return self._decode_dict(node[1], root, path)
        elif kind == N_NEW:
            value = _empty_instance(node[1])
        elif kind == N_SAME:
            return self.written[node[1]]
        elif kind == N_PATH:
            return self._prepare_path(node, root, path)
        else:
            raise AssertionError(f"unknown node {kind}")
        if node[-1] and root is not None:
            self._sinks.append((root, path, None))
            self.written.append(value)
        return value

    def borrow(self, key: Key, array: Any) -> Any:
        """A view of a held array to read in place; None if this task must be given a copy.

        It must if it could not be run again from the same arguments.
        """
        if self.lends and not self.loans:
            movable = self.interpreter.movable
            self.lends = not self.consumed and all(_can_be_had_again(node, movable) for _, node in self.params)
            output = self.interpreter.report.output
            self.output_before = (output, len(output))
        return lend(self.loans, key, array) if self.lends else None

    def unlock(self) -> None:
        """The body has ended: what it returns of the arrays it was lent must not be read-only for who gets it."""
        for loan in self.loans.values():
            loan.unlock()

    def _decode_list(self, nodes: list[tuple[Any, ...]], root: Any, path: tuple[Any, ...]) -> list[Any]:
        return [self._decode(node, root, (*path, index)) for index, node in enumerate(nodes)]

    def _decode_dict(self, items: list[Any], root: Any, path: tuple[Any, ...]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in items:
            key = self._decode(key_node, None, ())
            if key_node[-1]:
                self._sinks.append(([key], (0,), None))
                self.written.append(key)
            result[key] = self._decode(value_node, root, (*path, key))
        return result

    def _prepare_path(self, node: tuple[Any, ...], root: Any, path: tuple[Any, ...]) -> str:
        _, mode, source, target, directory, writes = node
        if isinstance(source, tuple):
            source = self.interpreter.local_path(source)
        if writes:
            self._sinks.append((root, path, target))
            self.written.append(target)
        if mode == P_COPY:
            if not directory and os.path.getsize(source) > COPY_LIMIT:
                self._watched.append((source, fingerprint(source)))
                return str(source)
            copy = self.interpreter.scratch_path(len(self._copies), target)
            self._copies.append(copy)
            if directory:
                remove_any(copy)
            copy_any(source, copy, directory=directory)
            return copy
        if mode == P_DIRECT:
            return str(source)
        self.interpreter.make_folder(os.path.dirname(target))
        if mode == P_INOUT:
            copy_any(source, target, directory=directory)
        elif mode == P_SHARED:
            _share(source, target, directory=directory)
        return str(target)

    def replace(self, arguments: dict[int | str, Any]) -> None:
        """The body has run on copies of its arguments: these are what it has made of those that it may change."""
        for where, value in arguments.items():
            container: Any = self.kwargs if isinstance(where, str) else self.args
            container[where] = value

    def outputs(self) -> Any:
        """(container, position, path of a file, steps from the arguments) of each output that is not returned."""
        for root, path, target in self._sinks:
            if target is not None:
                yield None, None, target, path
                continue
            container = root
            try:
                for step in path[:-1]:
                    container = container[step]
                container[path[-1]]
            except (LookupError, TypeError):
                raise MissingOutputError(
                    f"the task removed element {''.join(f'[{step!r}]' for step in path[1:])} of a collection or "
                    f"dictionary it was given; their size is fixed"
                ) from None
            yield container, path[-1], None, path

    def check_untouched(self) -> None:
        """Raise if the task changed a large input file that it was given in place."""
        for path, before in self._watched:
            if fingerprint(path) != before:
                raise TaskflowError(
                    f"the task changed {path}, which it was given as FILE_IN; declare the parameter as FILE_INOUT"
                )

    def clean(self) -> None:
        """Remove private copies and drop all references to the arguments."""
        for copy in self._copies:
            remove_any(copy)
        self._sinks.clear()
        self.args.clear()
        self.kwargs.clear()


def steps_text(path: tuple[Any, ...]) -> str:
    """How a message names a part of an argument: ``args[0]['key']``."""
    root = f"kwargs[{path[0]!r}]" if isinstance(path[0], str) else f"args[{path[0]}]"
    return root + "".join(f"[{step!r}]" for step in path[1:])


def _can_be_had_again(node: tuple[Any, ...], movable: set[Key]) -> bool:
    """Whether the argument, and what is written through it, would be as it was at the first time."""
    kind = node[0]
    if kind == N_LOCAL:
        return not (node[2] or node[3] or node[1] in movable)
    if kind == N_PATH:
        return bool(node[1] == P_COPY)
    if kind == N_LIST:
        parts = node[1]
    elif kind == N_DICT:
        parts = [part for pair in node[1] for part in pair]
    else:
        parts = node[2] if kind in (N_BLOB, N_SEGMENT) else ()
    return all(_can_be_had_again(part, movable) for part in parts)


def _share(source: str | None, target: str, *, directory: bool) -> None:
    """Begin a file that several tasks write at once: exactly one of them copies the source."""
    if source is None or os.path.lexists(target):
        return
    staging = f"{target}.{os.getpid()}"
    copy_any(source, staging, directory=directory)
    try:
        if directory:
            os.rename(staging, target)
        else:
            os.link(staging, target)
    except OSError:
        if not os.path.lexists(target):
            raise
    remove_any(staging)


def _empty_instance(blob: Any) -> Any:
    kind = decode_blob(blob)
    try:
        return kind()
    except TypeError:
        return object()
