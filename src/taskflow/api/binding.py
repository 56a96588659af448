"""From the arguments of a call to what the kernel and the executors need: accesses and nodes.

`Plan` is compiled once per task function; `Binder` does one call. Values that are plain (numbers, short texts, None) in
plain IN parameters stay where they are and cost nothing; everything else becomes a node (see `wire.messages`), and what
is tracked an access. Arguments are pickled here, in the thread that calls, so the task sees them as they are now.
"""

from __future__ import annotations

import inspect
import os
import pickle
from typing import TYPE_CHECKING, Any

from taskflow.api.futures import Future
from taskflow.core.graph import BLOB, FILE, SEGMENT, VALUE, Datum, Task, Version
from taskflow.data.files import OwnedPath, absolute, remove_any
from taskflow.data.serialization import FIXED_TYPES, INLINE_LIMIT, encode, is_plain
from taskflow.model.errors import SerializationError, UnavailableError
from taskflow.model.parameters import Direction, Kind, Parameter
from taskflow.wire.messages import N_BLOB, N_DICT, N_LIST, N_NEW, N_PATH, N_READ, N_SAME, N_SEGMENT, N_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.data.tracking import FileDatum
    from taskflow.runtime import Session

Node = tuple[Any, ...]
PLAIN = Parameter()
_NESTED_TYPES = (list, tuple, set, frozenset, bytearray)
_OBJECT = pickle.dumps(object)
#: Defaults of these types travel with each call: executors must not share one that a task may change.
_MUTABLE_TYPES = (list, dict, set, bytearray)


class Plan:
    """What a signature and its annotations say, looked up by position or keyword.

    ``plain``: every parameter is a plain IN object, so a call with plain arguments needs no binding at all.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        annotations: dict[str, Parameter],
        varargs: Parameter,
        self_direction: Direction,
    ) -> None:
        self.name = function.__qualname__
        self.signature = inspect.signature(function)
        self.positional: list[str] = []
        self.by_name: dict[str, Parameter] = {}
        self.required: set[str] = set()
        self.varargs: Parameter | None = None
        self._varargs_name = ""
        self.self_name = ""  # of the parameter that is the object of a method
        self.takes_keywords = False
        for name, parameter in self.signature.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                self.varargs = annotations.get(name, varargs)
                self._varargs_name = name
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                self.takes_keywords = True
                continue
            if parameter.kind is not parameter.KEYWORD_ONLY:
                self.positional.append(name)
            self.by_name[name] = annotations.get(name, PLAIN)
            if parameter.default is parameter.empty:
                self.required.add(name)
        if self.takes_keywords:
            self.by_name = {**annotations, **self.by_name}
        self._annotated = set(annotations)
        self._self_direction = self_direction
        is_method = "." in self.name and not self.name.rpartition(".")[0].endswith("<locals>")
        if is_method and self.positional[:1] == ["self"] and "self" not in annotations:
            self.by_name["self"] = Parameter(direction=self_direction)
            self.self_name = "self"
        self.by_position = [self.by_name[name] for name in self.positional]
        self.least = sum(1 for name in self.positional if name in self.required)
        self.most = len(self.positional) if self.varargs is None else 1 << 30
        keyword_only = self.required - set(self.positional)
        self.defaults = {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if self._default_travels(name, parameter.default)
        }
        self.plain = (
            not keyword_only
            and not self.defaults
            and all(_is_plain_parameter(parameter) for parameter in self.by_name.values())
            and (self.varargs is None or _is_plain_parameter(self.varargs))
        )

    @property
    def object_name(self) -> str:
        """The parameter that is the object or the class of a method, or nothing."""
        first = self.positional[0] if self.positional else ""
        is_class = first == "cls" and "." in self.name and not self.name.rpartition(".")[0].endswith("<locals>")
        return first if is_class else self.self_name

    def all_parameters(self) -> dict[str, Parameter]:
        """What is declared of all parameters, that of ``*args`` too, by name."""
        return self.by_name if self.varargs is None else {**self.by_name, self._varargs_name: self.varargs}

    def _default_travels(self, name: str, default: Any) -> bool:
        """Whether a default is bound like an argument when it is used: a path, a tracked or a mutable object."""
        if default is inspect.Parameter.empty or name not in self.by_name:
            return False
        if default is None:
            return self.by_name[name].kind in (Kind.COLLECTION, Kind.DICTIONARY)  # tasks get an empty one for it
        return type(default) in _MUTABLE_TYPES or not _is_plain_parameter(self.by_name[name])

    def completed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call together with the defaults that travel."""
        given = self.signature.bind(*args, **kwargs).arguments
        for name, default in self.defaults.items():
            if name in given:
                continue
            if self.signature.parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY:
                for earlier in self.positional[len(args) : self.positional.index(name) + 1]:
                    args = (*args, self.signature.parameters[earlier].default)
            else:
                kwargs[name] = default
        return args, kwargs

    def become_method(self) -> None:
        """The function turned out to be an instance method: its first parameter, whatever its name, is the object."""
        if self.positional and self.positional[0] not in self._annotated:
            self.self_name = self.positional[0]
            self.by_name[self.self_name] = Parameter(direction=self._self_direction)
            self.by_position = [self.by_name[name] for name in self.positional]
            self.plain = self.plain and _is_plain_parameter(self.by_position[0])

    def check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise TypeError, as a plain call would, if the arguments do not fit the signature."""
        count = len(args)
        if self.least <= count <= self.most and not kwargs and not (self.required - set(self.positional)):
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}; it is defined as {self.name}{self.signature}") from None

    def arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The call's arguments by name, defaults included."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)


def _is_plain_parameter(parameter: Parameter) -> bool:
    return parameter.kind is Kind.OBJECT and parameter.direction is Direction.IN


class Binder:
    """Binds the arguments of one call."""

    def __init__(self, session: Session, task: Task, plan: Plan) -> None:
        self.session = session
        self.task = task
        self.plan = plan
        self.accesses: list[tuple[Datum, Direction]] = []
        self._reads = 0
        self._writes = task.returns
        # What the task writes, so that one object given twice is one object in the task.
        self._written: dict[Datum, int] = {}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Datum, Direction]]:
        """Fill the task's args, kwargs and params; return its accesses.

        Raises SerializationError, TypeError, ValueError or FileNotFoundError naming the argument that is wrong.
        """
        plan = self.plan
        params: list[tuple[int | str, Node]] = []
        plain: list[Any] = list(args)
        by_position = plan.by_position
        fixed = len(by_position)
        for position, value in enumerate(args):
            if position < fixed:
                parameter = by_position[position]
                name = plan.positional[position]
            else:
                parameter = plan.varargs or PLAIN
                name = f"args[{position}]"
            if type(value) in FIXED_TYPES and parameter.kind is Kind.OBJECT:
                continue
            try:
                bind = self._node if parameter.weight == 1.0 else self._weighted
                node = bind(value, parameter, name)
            except SerializationError as error:
                raise self._cannot_travel(error, name, f"args[{position}]") from None
            if node[0] == N_VALUE:
                plain[position] = node[1]
            else:
                plain[position] = None
                params.append((position, node))
        self.task.args = tuple(plain)
        if kwargs:
            plain_keywords: dict[str, Any] = {}
            for name, value in kwargs.items():
                try:
                    parameter = plan.by_name.get(name, PLAIN)
                    bind = self._node if parameter.weight == 1.0 else self._weighted
                    node = bind(value, parameter, name)
                except SerializationError as error:
                    raise self._cannot_travel(error, name, f"kwargs[{name!r}]") from None
                if node[0] == N_VALUE:
                    plain_keywords[name] = node[1]
                else:
                    params.append((name, node))
            self.task.kwargs = plain_keywords
        self.task.params = tuple(params)
        return self.accesses

    def _cannot_travel(self, error: SerializationError, name: str, root: str) -> SerializationError:
        """The error with the argument named by its place in the call: ``args[1].model.lock``."""
        path = error.path.replace(name, root, 1) if error.path.startswith(name) else error.path
        return SerializationError.at(path, f"{self._where(name)} cannot be sent: {path} {error.reason}", error.reason)

    def _where(self, name: str) -> str:
        return f"argument {name!r} of task {self.plan.name}"

    def _again(self, datum: Datum) -> Node | None:
        """The node of a datum that an earlier argument of the call has as an output."""
        index = self._written.get(datum)
        return None if index is None else (N_SAME, index, False)

    def _access(self, datum: Datum, direction: Direction) -> tuple[int, int]:
        """Note an access; return its index among the reads and among the writes (-1: none)."""
        self.accesses.append((datum, direction))
        read = write = -1
        if direction.reads:
            read = self._reads
            self._reads += 1
        if direction.writes:
            write = self._writes
            self._writes += 1
            self._written[datum] = write - self.task.returns
        return read, write

    def _weighted(self, value: Any, parameter: Parameter, name: str) -> Node:
        """The node of an argument whose data draw the task with another weight than others."""
        first = self._reads
        node = self._node(value, parameter, name)
        if self._reads > first:
            self.task.weights = {
                **(self.task.weights or {}), **dict.fromkeys(range(first, self._reads), parameter.weight)
            }  # fmt: skip
        return node

    def _node(self, value: Any, parameter: Parameter, name: str) -> Node:
        kind = parameter.kind
        if kind is Kind.OBJECT:
            return self._object(value, parameter.direction, name)
        if kind is Kind.FILE or kind is Kind.DIRECTORY:
            return self._path(value, parameter, name)
        if isinstance(value, Future) or self.session.registry.find(value) is not None:
            return self._object(value, parameter.direction, name)
        if kind is Kind.DICTIONARY:
            return self._dictionary(value, parameter, parameter.depth, name)
        if kind is Kind.STREAM:
            raise UnavailableError(f"{self._where(name)}: streams are not available in this version")
        return self._collection(value, parameter, parameter.depth, name)

    # ------------------------------------------------------------------ objects

    def _object(self, value: Any, direction: Direction, name: str) -> Node:
        """An object parameter; plain values are never tracked."""
        if isinstance(value, Future):
            return self._tracked(value, value, direction)
        datum = self.session.registry.find(value) if self.session.registry else None
        if datum is not None:
            if direction is Direction.IN_DELETE:
                self.session.registry.discard(value)
            return self._tracked(datum, value, direction)
        if is_plain(value):
            return (N_VALUE, value, False)
        if direction is Direction.IN or direction is Direction.IN_DELETE:
            registry = self.session.registry
            if registry and registry.has_cells(value):
                # A collection whose elements tasks wrote: what counts are their versions.
                if isinstance(value, dict):
                    return self._dictionary(value, PLAIN, None, name)
                return self._collection(value, PLAIN, None, name)
            return self._snapshot(value, name)
        datum = self._new_datum(VALUE, None) if direction is Direction.OUT else self._root(value, name)
        self.session.registry.add(value, datum)
        return self._tracked(datum, value, direction)

    def _tracked(self, datum: Datum, value: Any, direction: Direction) -> Node:
        if direction is Direction.CONCURRENT:
            # Tasks in different processes have no object in common, so what one of them adds would be lost. One after
            # the other they do what they were asked to, in some order.
            direction = Direction.COMMUTATIVE
        again = self._again(datum)
        if again is not None:
            return again
        read, write = self._access(datum, direction)
        if read < 0:
            kind = object if isinstance(value, Future) else type(value)
            # The placeholders of a collection are often plain objects.
            blob = _OBJECT if kind is object else encode(kind, "the class of an OUT argument").blob()
            return (N_NEW, blob, True)
        return (N_READ, read, write >= 0)

    def _snapshot(self, value: Any, name: str) -> Node:
        """An IN object that no task writes: its value as it is now."""
        encoded = encode(value, name, self.session.registry)
        hidden = tuple(self._access(future, Direction.IN)[0] for future in encoded.futures)
        if encoded.nbytes < INLINE_LIMIT:
            return (N_BLOB, encoded.blob(), hidden, False)
        return (N_SEGMENT, self.session.engine.snapshots.segment_of(value, encoded), hidden, False)

    def _new_datum(self, state: int, value: Any) -> Datum:
        number = next(self.session.datum_ids)
        version = Version(number)
        version.state = state
        version.value = value
        return Datum(version)

    def _root(self, value: Any, name: str) -> Datum:
        """A datum whose first version is the main program's object as it is now."""
        found = stored(self.session, value, name)
        if found is not None:
            return self._new_datum(*found)
        # Its value is only complete once the tasks behind the futures in it have ended: a task puts it together.
        from taskflow.api.task import assembled

        datum = assembled(value)
        assert isinstance(datum, Datum)
        return datum

    # ------------------------------------------------------------------ collections

    def _collection(self, value: Any, parameter: Parameter, depth: int | None, name: str) -> Node:
        try:
            items = [] if value is None else list(value)
        except TypeError:
            raise TypeError(
                f"{self._where(name)} is declared as a collection, but a {type(value).__name__} cannot be iterated"
            ) from None
        deeper = None if depth is None else depth - 1
        nodes = []
        files = parameter.kind is Kind.COLLECTION_FILE
        for place, item in enumerate(items):
            if type(item) is Future and not files:
                nodes.append(self._tracked(item, item, parameter.direction))
                continue
            inner = f"{name}[{place}]"
            if (
                type(item) in _NESTED_TYPES
                and (deeper is None or deeper > 0)
                and self.session.registry.find(item) is None
            ):
                nodes.append(self._collection(item, parameter, deeper, inner))
            else:
                nodes.append(self._element(value, place, item, parameter, inner))
        return (N_LIST, nodes)

    def _dictionary(self, value: Any, parameter: Parameter, depth: int | None, name: str) -> Node:
        if value is None:
            return (N_DICT, [])
        if not isinstance(value, dict):
            raise TypeError(f"{self._where(name)} is declared as a dictionary, but is a {type(value).__name__}")
        deeper = None if depth is None else depth - 1
        pairs = []
        for key, item in value.items():
            if isinstance(key, Future):
                raise TypeError(f"{self._where(name)}: a future cannot be a key; use compss_wait_on on it first")
            inner = f"{name}[{key!r}]"
            key_direction = Direction.IN if parameter.direction is Direction.OUT else parameter.direction
            key_node = self._object(key, key_direction, f"a key of {name}")
            if type(item) is dict and (deeper is None or deeper > 0) and self.session.registry.find(item) is None:
                item_node = self._dictionary(item, parameter, deeper, inner)
            else:
                item_node = self._element(value, key, item, parameter, inner)
            pairs.append((key_node, item_node))
        return (N_DICT, pairs)

    def _element(self, container: Any, place: Any, item: Any, parameter: Parameter, name: str) -> Node:
        """One tracked element of a collection or dictionary."""
        if parameter.kind is Kind.COLLECTION_FILE:
            return self._path(item, parameter, name)
        direction = parameter.direction
        if not is_plain(item):
            return self._object(item, direction, name)
        registry = self.session.registry
        datum = registry.find_cell(container, place, item) if registry else None
        if datum is None:
            if not direction.writes:
                return (N_VALUE, item, False)
            datum = self._new_datum(VALUE, item)
            registry.add_cell(container, place, item, datum)
        return self._tracked(datum, item, direction)

    # ------------------------------------------------------------------ files

    def _path(self, value: Any, parameter: Parameter, name: str) -> Node:
        if value is None:
            return (N_VALUE, None, False)
        if isinstance(value, Future) or not isinstance(value, (str, os.PathLike)):
            raise TypeError(
                f"{self._where(name)} is declared as a {_noun(parameter)}, which takes a path, but is {value!r}"
            )
        directory = parameter.kind is Kind.DIRECTORY
        path = absolute(value)
        direction = parameter.direction
        known = self.session.files.get(path)
        if known is None:
            _check_path(path, directory=directory, reads=direction.reads, where=self._where(name))
        datum = self.session.file_datum(path, directory=directory)
        again = self._again(datum)
        if again is not None:
            return again
        if direction.reads and datum.current.state == FILE and not isinstance(datum.current.value, OwnedPath):
            self.task.durable = True  # run again later for a lost result, it might find another file there
        base = f"{datum.current.label}.IT" if parameter.keep_rename else os.path.basename(path)
        read, write = self._access(datum, direction)
        if direction is Direction.IN_DELETE:
            self._delete_after(datum)
        return (N_PATH, direction, read, write, directory, base)

    def _delete_after(self, datum: FileDatum) -> None:
        self.session.files.pop(datum.path, None)
        self.session.wait_readers(datum.path)
        version = datum.current
        if version.state != FILE or str(version.value) != datum.path:
            # Tasks have written newer versions: what lies at the path is one that nobody needs any more.
            remove_any(datum.path)
        else:
            if self.task.deletes is None:
                self.task.deletes = []
            self.task.deletes.append(datum.path)


def stored(session: Session, value: Any, name: str) -> tuple[int, Any] | None:
    """Store an object of the main program as it is now: state and value of its version. None if it contains futures.

    Raises SerializationError.
    """
    if is_plain(value):
        return VALUE, value
    encoded = encode(value, name, session.registry)
    if encoded.futures:
        return None
    if encoded.nbytes < INLINE_LIMIT:
        return BLOB, encoded.blob()
    return SEGMENT, session.engine.store.keep(encoded)


def _noun(parameter: Parameter) -> str:
    return {Kind.DIRECTORY: "directory", Kind.COLLECTION_FILE: "collection of files"}.get(parameter.kind, "file")


def _check_path(path: str, *, directory: bool, reads: bool, where: str) -> None:
    noun = "directory" if directory else "file"
    if reads:
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"{where}: there is no {noun} {path}; if another task makes it, declare it there as "
                f"{'DIRECTORY' if directory else 'FILE'}_OUT"
            )
        if os.path.isdir(path) is not directory:
            raise (NotADirectoryError if directory else IsADirectoryError)(f"{where}: {path} is not a {noun}")
    elif not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(f"{where}: the folder of {path} does not exist; make it first")
