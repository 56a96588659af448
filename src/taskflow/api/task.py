"""The ``@task`` decorator."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import types
from typing import TYPE_CHECKING, Any, TypeVar, overload

from taskflow import runtime
from taskflow.api.binding import Binder, Plan, stored
from taskflow.api.futures import Future
from taskflow.api.options import TaskOptions
from taskflow.api.returns import Returns, parse_returns
from taskflow.api.settings import sort_arguments, task_options
from taskflow.core.graph import Task as TaskRecord
from taskflow.core.graph import Version
from taskflow.data.files import absolute
from taskflow.data.serialization import FIXED_TYPES, encode
from taskflow.model.errors import ArgumentError, RequirementsError, SerializationError
from taskflow.model.functions import Demand, FunctionRecord
from taskflow.model.parameters import Direction, Kind, Parameter, parse_annotation
from taskflow.model.policies import OnFailure, parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.needs import Needs
    from taskflow.api.options import BodyOfCall, Layer

F = TypeVar("F", bound="Callable[..., Any]")

#: Keywords of a call that are meant for the runtime, not for the function (unless it has a parameter of that name).
CALL_KEYWORDS = frozenset({
    "returns", "computing_nodes", "computingNodes", "processes_per_node", "on_failure", "defaults", "is_reduce",
    "chunk_size",
})  # fmt: skip


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class TaskFunction:
    """A task function: calling it in a session submits a task; elsewhere it is the plain function."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        returns: Any = None,
        priority: bool = False,
        target_direction: Parameter | Direction = Direction.INOUT,
        varargs_type: Any = Direction.IN,
        annotations: dict[str, Any] | None = None,
        options: TaskOptions | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.__taskflow_function__ = function
        self._declared = {
            "returns": returns, "priority": priority, "target_direction": target_direction,
            "varargs_type": varargs_type, "annotations": annotations or {},
        }  # fmt: skip
        name = function.__qualname__
        of_self = parse_annotation(target_direction, f"target_direction of task {name}", may_be_path=False)
        varargs = parse_annotation(varargs_type, f"varargs_type of task {name}")
        parsed = {
            parameter: parse_annotation(annotation, f"parameter {parameter!r} of task {name}")
            for parameter, annotation in (annotations or {}).items()
        }
        self._plan = Plan(function, parsed, varargs, of_self.direction)
        self._returns_lazily: Returns | None = None
        if returns:
            self._returns_lazily = parse_returns(returns, function)
            self._track_same(self._returns_lazily)
        self.priority = bool(priority)
        self.options = options or TaskOptions()
        self.layers: list[Layer] = []
        self._body = function  # with its wrappers: what a plain call runs
        self._record: FunctionRecord | None = None
        self._variants: dict[tuple[Any, ...], FunctionRecord] = {}  # records of calls that differ from the usual
        self._needs: Needs | None = None
        self._family: list[TaskFunction] = []  # all implementations, the original first
        self._varied = False  # what is needed, or which implementation is run, is found out at each call
        self._session: runtime.Session | None = None
        self._watched: list[tuple[dict[str, Any], str, Any]] = []  # globals that its code was sent with
        self._path_entries = 0  # of `sys.path`, as executors know it
        self._quick = 0  # 1 + number of results, when a plain call needs no binding

    def _track_same(self, returns: Returns) -> None:
        """``returns="{{p}}"`` makes p an output."""
        if not returns.same:
            return
        plan = self._plan
        if returns.same not in plan.by_name:
            raise ValueError(f"returns={{{{{returns.same}}}}}: task {plan.name} has no parameter {returns.same!r}")
        if not plan.by_name[returns.same].direction.writes:
            plan.by_name[returns.same] = Parameter(direction=Direction.INOUT)
            plan.by_position = [plan.by_name[name] for name in plan.positional]
            plan.plain = False

    @property
    def returns(self) -> Returns:
        """What it returns."""
        return self._returns

    @property
    def declared_results(self) -> int | None:
        """How many results ``returns`` says it has; None if it does not, or they are counted at each call."""
        return None if self._returns_lazily is None else self._returns_lazily.count

    @property
    def declared_returns(self) -> Any:
        """What is written down of its results: the argument ``returns``, else the annotation."""
        return self._declared["returns"] or self.__taskflow_function__.__annotations__.get("return")

    @property
    def _returns(self) -> Returns:
        if self._returns_lazily is None:
            # Reading the source takes milliseconds, so not before it is needed.
            self._returns_lazily = parse_returns(None, self.__taskflow_function__)
        return self._returns_lazily

    def __set_name__(self, owner: type, name: str) -> None:
        """Called when the class body it was defined in ends: this is an instance method."""
        if self._plan.name == f"{owner.__qualname__}.{name}":
            self._plan.become_method()

    def changed(self) -> None:
        """The options or the layers were changed: the next call makes them known to the session."""
        self._session = None
        self._body = self.__taskflow_function__
        for wrapper in self.options.wrapping():
            if getattr(wrapper, "in_plain_calls", False):
                self._body = wrapper(self._body)

    def redeclared(self, annotations: dict[str, Any], **declared: Any) -> TaskFunction:
        """A task function of the same code, options and layers, with other annotations or ``returns``.

        Raises TypeError or ValueError, as `task`.
        """
        annotations = {**self._declared["annotations"], **annotations}
        options = dataclasses.replace(self.options, wrappers=list(self.options.wrappers))
        made = TaskFunction(
            self.__taskflow_function__, **{**self._declared, **declared, "annotations": annotations}, options=options
        )
        made.layers = list(self.layers)
        made.changed()
        return made

    @property
    def plan(self) -> Plan:
        """The function's signature and annotations, compiled."""
        return self._plan

    def __repr__(self) -> str:
        return f"<task function {self._plan.name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    # ------------------------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task, or call the function if there is no session."""
        session = runtime.session
        if session is None:
            if self.layers:
                return self._layered(self._call_plainly_with, args, kwargs)
            return self._call_plainly(args, kwargs)
        if session is not self._session or (self._watched and self._is_outdated()):
            self._join(session)
        quick = self._quick
        plan = self._plan
        frame = sys._getframe(1)  # noqa: SLF001
        if quick and not kwargs and not session.open_groups and plan.least <= len(args) <= plan.most:
            places: list[int] = []
            reads: list[Version] = []
            if not FIXED_TYPES.issuperset(map(type, args)):
                for place, value in enumerate(args):
                    kind = type(value)
                    if kind in FIXED_TYPES:
                        continue
                    if kind is not Future or value.group is not None or value.deleted:
                        return self._call_fully(session, args, kwargs, frame)
                    places.append(place)
                    reads.append(value.current)
                args = tuple([None if type(value) is Future else value for value in args])
            task_id = next(session.task_ids)
            task = TaskRecord(task_id, self._record, args, frame.f_code, frame.f_lasti)  # type: ignore[arg-type]
            if quick == 1:
                version = None
            else:
                task.returns = 1
                version = Version(next(session.datum_ids), task, task_id)
                task.writes = (version,)
            if places:
                task.params = tuple(places)
                task.reads = reads
                session.submit(task)
            else:
                session.submit_plain(task)
            return None if version is None else Future(version)
        if self.layers:
            return self._layered(lambda *args, **kwargs: self._call_fully(session, args, kwargs, frame), args, kwargs)
        return self._call_fully(session, args, kwargs, frame)

    def _layered(self, submit: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call through the layers, the last one added first: it is the topmost decorator."""
        for layer in self.layers:
            submit = functools.partial(_through, layer, self, submit)
        return submit(*args, **kwargs)

    def _call_plainly_with(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_plainly(args, kwargs)

    def _call_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs:
            plan = self._plan
            for name in CALL_KEYWORDS.intersection(kwargs):
                if name not in plan.by_name and not (plan.takes_keywords and name != "returns"):
                    del kwargs[name]
        if self.options.body is None:
            return self._body(*args, **kwargs)
        result = self._body(*args, **kwargs)
        return None if self._returns.count == 0 else result

    def _call_fully(
        self, session: runtime.Session, args: tuple[Any, ...], kwargs: dict[str, Any], frame: types.FrameType
    ) -> Any:
        if len(sys.path) != self._path_entries:
            self._join(session)  # modules are found elsewhere now, perhaps those of the arguments: tell executors
        plan = self._plan
        returns = self._returns
        said = {name: kwargs.pop(name) for name in CALL_KEYWORDS.intersection(kwargs) if name not in plan.by_name}
        if "returns" in said:
            returns = parse_returns(said["returns"], self.__taskflow_function__)
        plan.check(args, kwargs)
        if plan.defaults:
            args, kwargs = plan.completed(args, kwargs)
        record = self._record
        assert record is not None
        if said or self._varied:
            record = self._record_of_call(session, said, args, kwargs)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back  # called by a part of the library: what counts is who called that
        task = TaskRecord(next(session.task_ids), record, args, frame.f_code, frame.f_lasti)
        if self.priority:
            task.priority = True
        if record.nested:
            task.durable = True  # run again for a lost result, it would call its tasks again
        count = returns.resolve(self.__taskflow_function__, lambda: plan.arguments(args, kwargs))
        task.returns = count
        accesses = Binder(session, task, plan).bind(args, kwargs)
        results: list[Any] = []
        if count:
            versions = [Version.output(next(session.datum_ids), 1, task, index) for index in range(count)]
            task.writes = versions
            results = [Future(version) for version in versions]
        session.submit(task, accesses)
        if returns.same:
            return plan.arguments(args, kwargs)[returns.same]
        for index, kind in returns.classes.items():
            results[index] = _stand_in(session, kind, results[index])
        if count > 1:
            return results
        return results[0] if count else None

    # ------------------------------------------------------------------ joining a session

    def _join(self, session: runtime.Session) -> None:
        """First call in a session: make the function known, which pickles it if it cannot be imported."""
        function = self.__taskflow_function__
        code = getattr(function, "__code__", None)
        returns = self._returns
        count = returns.count if returns.count in (0, 1) and not returns.same else -1
        options = self.options
        varying = hasattr(options.body, "of_call")
        needy = options.constraints or options.io or options.hosts != 1 or varying or options.programs
        if needy or runtime.implementations:
            from taskflow.api.needs import Needs, family_of

            self._family = family_of(self)
            self._needs = Needs(self) if needy else None
            if self._needs is not None:
                self._needs.warn_of_unset(session.unset_variables)
        if options.service:
            from taskflow.api.http import check_options

            check_options(self, self._family)
            self._needs = None
            session.open_service(options.service)
        self._varied = bool(self._family) or (self._needs is not None and self._needs.dynamic) or varying
        demand = None if self._varied else self._of_call(session, {}, {})[0]
        nested = (self.options.nested or session.nesting) and not options.service
        record = FunctionRecord(
            next(session.function_ids), self._plan.name, function.__module__ or "?",
            code.co_filename if code else "?", code.co_firstlineno if code else 0,
            -1 if count is None or nested else count,
            (*(session.sent_definition(function) or self._definition()), *session.new_path()),
        )  # fmt: skip
        self._equip(session, record, options.on_failure, options.defaults, demand)
        if self._record is not None and session is self._session:
            record.mean_s = self._record.mean_s
        self._record = record
        self._session = session
        self._path_entries = len(sys.path)
        self._variants = {}
        special = self.priority or self.layers or self.options.time_out or demand or self._varied or nested
        quick = self._plan.plain and count in (0, 1) and not (returns.classes or special or self.options.spread)
        self._quick = 1 + (count or 0) if quick else 0

    def _of_call(
        self, session: runtime.Session, said: dict[str, Any], arguments: dict[str, Any]
    ) -> tuple[Demand | None, BodyOfCall | None]:
        """What a call with these arguments takes of nodes, and its body, if that is not the same for all calls.

        Raises RequirementsError if it can never have that.
        """
        if self.options.service:
            return Demand(units=0), None
        needs = self._needs
        if needs is None:
            return None, None
        requirements = needs.requirements(arguments)
        body: Any = self.options.body
        if not hasattr(body, "of_call"):
            return session.demand_of(requirements, self._plan.name, needs.hosts(arguments)), None
        found: BodyOfCall = body.of_call(self, requirements.units, arguments, said)
        try:
            return session.demand_of(requirements, self._plan.name, found.hosts, found.per_node), found
        except RequirementsError as error:
            raise RequirementsError(f"{error}\n{found.note}") from None

    def _record_of_call(
        self, session: runtime.Session, said: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> FunctionRecord:
        """The record for a call that may differ from the usual one."""
        usual = self._record
        assert usual is not None
        policy = self.options.on_failure
        if "on_failure" in said:
            policy = parse_policy(said["on_failure"], f"a call of task {self._plan.name}")
        defaults = said.get("defaults", self.options.defaults)
        if not self._varied:
            return self._variant(session, policy, defaults, usual.needs)
        arguments = self._plan.arguments(args, kwargs)
        if not self._family:
            return self._variant(session, policy, defaults, *self._of_call(session, said, arguments))
        return self._choice(session, policy, defaults, said, arguments)

    def _choice(
        self, session: runtime.Session, policy: OnFailure, defaults: dict[str, Any], said: dict[str, Any],
        arguments: dict[str, Any],
    ) -> FunctionRecord:  # fmt: skip
        """The record that stands for all implementations that can run here."""
        fitting: list[FunctionRecord] = []
        problems: list[RequirementsError] = []
        for member in self._family:
            try:
                fitting.append(member.implementation(session, policy, defaults, said, arguments))
            except RequirementsError as problem:
                problems.append(problem)
        if not fitting:
            raise RequirementsError("\n".join(map(str, problems)))
        if len(fitting) == 1:
            return fitting[0]
        key = tuple(record.id for record in fitting)
        choice = self._variants.get(key)
        if choice is None:
            # Any demand will do: it leads to where the implementation is chosen, and with it what is really needed.
            hosts = max([1 if record.demand is None else record.demand.hosts for record in fitting])
            choice = self._variants[key] = self._another(session, policy, defaults, Demand(hosts=hosts))
            choice.implementations = tuple(fitting)
        return choice

    def implementation(
        self, session: runtime.Session, policy: OnFailure, defaults: dict[str, Any], said: dict[str, Any],
        arguments: dict[str, Any],
    ) -> FunctionRecord:  # fmt: skip
        """The record for a call with these arguments that is to run this very function.

        Raises RequirementsError if that can never be.
        """
        if session is not self._session:
            self._join(session)
        return self._variant(session, policy, defaults, *self._of_call(session, said, arguments))

    def _equip(
        self, session: runtime.Session, record: FunctionRecord, policy: OnFailure, defaults: Any, demand: Demand | None
    ) -> None:
        """Give a record what the runtime has to know besides the code, and make it known."""
        if demand is not None and demand.nodes is not None:
            record.requirements = demand.nodes
            demand = demand._replace(nodes=None)
            if demand == Demand():
                demand = None
        record.demand = demand
        record.spread = self.options.spread
        record.service = self.options.service
        record.nested = (self.options.nested or session.nesting) and not record.service
        if demand is not None:
            record.returns = -1  # so that its tasks are written in the long form, which has room for an environment
        record.policy = policy
        record.time_out = self.options.time_out
        record.defaults = self._encoded_defaults(session, defaults)
        record.parameters = self._plan.by_name
        record.self_name = self._plan.self_name
        session.register(record)

    def _encoded_defaults(self, session: runtime.Session, defaults: dict[str, Any]) -> dict[int | str, Any]:
        """Defaults for the outputs of an ignored failure, as executors and the kernel use them."""
        plan = self._plan
        encoded: dict[int | str, Any] = {}
        for name, value in defaults.items():
            if name == "returns":
                count = max(self._returns.count or 1, 1)
                several = count > 1 and isinstance(value, (list, tuple)) and len(value) == count
                encoded[name] = [self._default(session, item) for item in (value if several else [value] * count)]
                continue
            if name not in plan.by_name:
                raise ValueError(f"on_failure: task {plan.name} has no parameter {name!r} that could have a default")
            parameter = plan.by_name[name]
            if parameter.kind in (Kind.FILE, Kind.DIRECTORY):
                encoded[name] = absolute(value)
                if not os.path.exists(encoded[name]):
                    raise FileNotFoundError(
                        f"on_failure: the default {name}={value!r} of task {plan.name} does not exist"
                    )
            else:
                encoded[name] = self._default(session, value)
            if name in plan.positional:
                encoded[plan.positional.index(name)] = encoded[name]
        return encoded

    def _default(self, session: runtime.Session, value: Any) -> tuple[int, Any]:
        found = stored(session, value, f"a default of task {self._plan.name}")
        if found is None:
            raise ValueError(
                f"on_failure: a default of task {self._plan.name} contains a future; use compss_wait_on on it"
            )
        return found

    def _variant(
        self, session: runtime.Session, policy: OnFailure, defaults: dict[str, Any], demand: Demand | None,
        body: BodyOfCall | None = None,
    ) -> FunctionRecord:  # fmt: skip
        """The record of calls with another policy, other defaults, another demand or body than declared."""
        key = (policy, encode(defaults, "defaults").blob() if defaults else None, demand, body and body.key)
        variant = self._variants.get(key)
        if variant is None:
            variant = self._variants[key] = self._another(session, policy, defaults, demand, body)
        return variant

    def _another(
        self, session: runtime.Session, policy: OnFailure, defaults: dict[str, Any], demand: Demand | None,
        body: BodyOfCall | None = None,
    ) -> FunctionRecord:  # fmt: skip
        usual = self._record
        assert usual is not None
        definition = usual.definition
        if body is not None:
            definition = (*self._definition(body), *[part for part in definition[-1:] if type(part) is list])
        record = FunctionRecord(
            next(session.function_ids), usual.name, usual.module, usual.file, usual.line, usual.returns, definition
        )
        self._equip(session, record, policy, defaults, demand)
        return record

    def _definition(self, body: BodyOfCall | None = None) -> tuple[Any, ...]:
        """How executors get at what is to be run (see `FunctionRecord`), by calls of that body if they differ."""
        if self.options.service:
            return ("value", encode(self.options.body, f"what @http of {self._plan.name} says").blob())
        code = self._code()
        wrappers = self.options.wrapping(None if body is None else body.body)
        if not wrappers:
            return code
        return ("wrapped", encode(wrappers, f"what the decorators of {self._plan.name} add").blob(), code)

    def _code(self) -> tuple[Any, ...]:
        function = self.__taskflow_function__
        if self._is_importable():
            return ("ref", function.__module__, function.__qualname__)
        try:
            encoded = encode(function, function.__qualname__)
        except SerializationError as error:
            raise SerializationError(
                f"the code of task {self._plan.name} cannot be sent to executors: {error}"
            ) from None
        self._watched = _referenced_globals(function)
        if encoded.futures:
            raise SerializationError(
                f"task {self._plan.name} refers to a future in a global or enclosing variable; pass it as an argument"
            )
        return ("value", encoded.blob())

    def _is_outdated(self) -> bool:
        """Whether the program has rebound a global that the code was sent with (a helper edited in a notebook)."""
        return any(scope.get(name, _ABSENT) is not value for scope, name, value in self._watched)

    def _is_importable(self) -> bool:
        """Whether executors find this function under its module and qualified name."""
        function = self.__taskflow_function__
        if function.__module__ == "__main__":
            return False
        found: Any = sys.modules.get(function.__module__)
        if found is None or getattr(found, "__spec__", None) is None:
            return False
        for name in function.__qualname__.split("."):
            found = getattr(found, name, None)
            if found is None:
                return False
        return getattr(found, "__taskflow_function__", found) is function

    def __reduce__(self) -> Any:
        if self._is_importable():
            return _by_reference, (self.__taskflow_function__.__module__, self.__taskflow_function__.__qualname__)
        state = {"function": self.__taskflow_function__, "declared": self._declared, "options": self.options}
        return _blank, (), {**state, "layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["function"], **state["declared"], options=state["options"])  # type: ignore[misc]
        self.layers = state["layers"]
        self.changed()


def _through(layer: Layer, task: TaskFunction, submit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return layer(task, submit, args, kwargs)


_ABSENT = object()


def _referenced_globals(function: Any) -> list[tuple[dict[str, Any], str, Any]]:
    """The globals that a function of the main program uses, itself or through other functions of it.

    Each as (scope, name, value). A value changed in place, such as a list that grows, is not noticed by this.
    """
    found: list[tuple[dict[str, Any], str, Any]] = []
    pending = [function]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        current = getattr(current, "__taskflow_function__", current)
        if not isinstance(current, types.FunctionType) or id(current) in seen or current.__module__ != "__main__":
            continue
        seen.add(id(current))
        codes = [current.__code__]
        while codes:
            code = codes.pop()
            codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
            for name in code.co_names:
                value = current.__globals__.get(name, _ABSENT)
                if value is not _ABSENT and not isinstance(value, types.ModuleType):
                    found.append((current.__globals__, name, value))
                    pending.append(value)
    return found


def _blank() -> TaskFunction:
    return TaskFunction.__new__(TaskFunction)


def _by_reference(module: str, name: str) -> Any:
    import importlib

    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _stand_in(session: runtime.Session, kind: type, future: Future[Any]) -> Any:
    """An empty instance of the declared class, tracked as the future; the future itself if there is none.

    PyCOMPSs programs call task methods on it before the task has ended. `taskflow.future_of` gives the future.
    """
    try:
        instance = kind()
    except Exception:  # noqa: BLE001  no constructor without arguments, or one that needs a world we do not have
        return future
    session.registry.add(instance, future)
    return instance


@overload
def task(function: F, /) -> F: ...
@overload
def task(
    *,
    returns: Any = ...,
    priority: bool = ...,
    target_direction: Any = ...,
    varargs_type: Any = ...,
    on_failure: Any = ...,
    defaults: dict[str, Any] | None = ...,
    time_out: float = ...,
    numba: bool | str | dict[str, Any] = ...,
    numba_flags: dict[str, Any] = ...,
    numba_signature: Any = ...,
    numba_declaration: str | None = ...,
    nested: Any = ...,
    **annotations: Any,
) -> Callable[[F], F]: ...


def task(function: Any = None, /, **arguments: Any) -> Any:
    """Make a function a task function.

    In a session a call returns at once: None, a `Future`, or a list of futures, as ``returns`` says; without a session
    (plain ``python app.py``, or inside another task) the call is a plain call. Inside a task that is ``nested``, it
    submits a task as in the main program.

    ``returns``: how many values the function returns: a number, types, a global's name, ``"value_of(parameter)"``,
    ``"{{parameter}}"``; without it, what the annotation or the source says. ``priority``: run before ready tasks
    without priority. ``target_direction``: how methods use ``self`` (default INOUT). ``varargs_type``: direction of
    ``*args``. ``on_failure``: "RETRY" (the default: at most 4 executions), "FAIL", "CANCEL_SUCCESSORS" or "IGNORE",
    the latter with ``defaults``, values for "returns" and for output parameters. ``time_out``: seconds after which an
    execution has failed (0: never). ``numba``: compile the function in the executor (True, or the name of one of
    numba's decorators, with ``numba_flags``, ``numba_signature`` and ``numba_declaration`` for it). Every other keyword
    names a parameter and gives its direction (``a=INOUT``, ``path=FILE_OUT``).

    Old spellings (``timeOut``) and keywords that name no parameter are warned of. Raises ArgumentError, a TypeError
    and ValueError, naming the parameter, for annotations that make no sense.
    """
    if function is not None:
        return TaskFunction(function)

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            raise TypeError(f"put @{type(function).__name__} above @task, not below it")
        settings, annotations = sort_arguments(function, arguments)
        try:
            return TaskFunction(
                function, annotations=annotations, options=task_options(function, settings),
                **{name: settings[name] for name in _DECLARED if name in settings},
            )  # fmt: skip
        except ArgumentError as error:
            raise error.with_traceback(None) from None  # where in here it was found says nothing to users

    return decorate


#: The settings that the declaration of parameters and results consists of.
_DECLARED = ("returns", "priority", "target_direction", "varargs_type")


def _assemble(value: Any) -> Any:
    return value


_assemble_task = TaskFunction(_assemble, returns=1)


def assembled(value: Any) -> Any:
    """A future for an object that contains futures, with them replaced by their values."""
    return _assemble_task(value)


Task = task
