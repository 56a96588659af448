"""The session that the body of a nested task sees, in the executor: its calls of task functions submit tasks.

::

    body ─► api/ (binding, futures, compss_*) ─► NestedSession ─► node.nested.Channel ─► master (drivers.nesting)

Everything about a call that can be known here is done here by the very code that does it for the main program; what
is sent is the bound call, in which data have numbers. So the master runs no code of the user's, and nobody waits for
it but those who want a value.
"""

from __future__ import annotations

import functools
import itertools
import os
import select
import sys
import threading
import types
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow import runtime
from taskflow.api.task import assembled
from taskflow.core.accesses import refuse_deleted, write
from taskflow.core.graph import FAILED, FILE, LINKED, SEGMENT, VALUE, Datum, Failure, Group, Version
from taskflow.core.master import Master
from taskflow.data.files import absolute
from taskflow.data.serialization import decode_blob
from taskflow.data.store import Snapshots
from taskflow.data.tracking import FileDatum, Registry
from taskflow.drivers.engine import Engine
from taskflow.model.errors import NotRunningError, RemoteTraceback, TaskflowError
from taskflow.model.functions import FunctionRecord
from taskflow.model.parameters import Direction
from taskflow.node import nested
from taskflow.wire.nested import (
    O_ABANDON,
    O_CALL,
    O_DROP,
    O_FORGET,
    O_FUNCTION,
    O_GROUP,
    O_LOOK,
    O_ROOM,
    O_SESSION,
    O_WAIT,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.core.graph import Task, Watch

ROOM_EVERY = 1000  #: calls after which the body asks whether too many of its children are unfinished


class Body:
    """What is run in place of a nested task function: the function, with a session round it.

    ``function_id`` is the master's number of it, ``nesting`` says whether the functions it calls are nested too.
    """

    def __init__(self, function: Callable[..., Any], function_id: int, nesting: bool) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._function_id = function_id
        self._nesting = nesting

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body."""
        channel = nested.channel
        if channel is None:
            raise TaskflowError("a nested task was called outside an executor")
        session = channel.session
        if session is None:
            session = channel.session = NestedSession(channel)
        outer, runtime.session = runtime.session, session
        try:
            session.begin(self._function, self._function_id, self._nesting)
            result = self._function(*args, **kwargs)
            if type(result) is types.GeneratorType:
                result = list(result)
            session.settle_files()
            return result
        finally:
            runtime.session = outer


class NestedSession(runtime.Session):
    """The session of the bodies that one executor runs, one after the other."""

    def __init__(self, channel: nested.Channel) -> None:  # what the main program's session makes is the master's
        self.channel = channel
        channel.accept = self._accept
        self.engine: NestedEngine = NestedEngine(self)
        self.submit_plain = self.engine.submit_plain
        self.task_ids = itertools.count(1)
        self.datum_ids = itertools.count(1)
        self.function_ids = itertools.count(1)
        self.stopped = self.launched = self.opened = False
        self.nesting = False
        self.check = None
        self.notebook = None
        self.unset_variables = set()
        self.run_dir = channel.interpreter.scratch.rpartition("/scratch/")[0]  # type: ignore[assignment]
        self._functions: dict[int, tuple[Any, int]] = {}  # by identity of the plain function: itself, master's number
        self._requests = itertools.count(1)
        self._reset()

    def __repr__(self) -> str:
        return f"<taskflow session of nested task {self.channel.task_id}>"

    def _reset(self) -> None:
        self.registry = Registry(_let_go)
        self.files = Files(self)  # type: ignore[assignment]
        self.groups = {}
        self.open_groups = 0
        self._local = threading.local()
        self._answers: dict[int, tuple[Any, Any]] = {}
        self._watched: dict[int, tuple[Version, Watch]] = {}
        self._due: deque[Watch] = deque()
        self._listening = False
        self._told: list[BaseException] = []
        self.engine.reset()

    def begin(self, function: Any, function_id: int, nesting: bool) -> None:
        """A body begins. From now on, until `end`, the interpreter asks this session about the task's outputs."""
        interpreter = self.channel.interpreter
        self._functions[id(function)] = (function, function_id)
        self.nesting = nesting
        self.channel.begin(interpreter.task_id)
        interpreter.nested = self

    def end(self) -> None:
        """The task has ended, and its outputs are known."""
        self.channel.interpreter.nested = None
        self._watched.clear()
        self.channel.end()
        self._reset()

    def stop(self, *, cancel: bool = False, code: int = 0) -> None:  # noqa: ARG002
        """Raises TaskflowError: a task cannot end the session that it runs in."""
        raise TaskflowError("taskflow.stop() was called inside a task; only the main program can stop the session")

    # ------------------------------------------------------------------ questions to the master

    def ask(self, operation: str, *args: Any, seconds: float | None = None) -> Any:
        """Say an operation and wait for the answer, or None after so many seconds. Raises what the master raised."""
        request = next(self._requests)
        self.channel.say((operation, request, *args))
        deadline = None if seconds is None else monotonic() + seconds
        arrived = False
        try:
            arrived = self.channel.wait(lambda: request in self._answers, deadline, _pause)
        finally:
            if not arrived:
                self.channel.say((O_ABANDON, request))
        if not arrived:
            return None
        well, value = self._answers.pop(request)
        if not well:
            error = _rebuilt(value)
            self._told.append(error)
            raise error
        return value

    def _accept(self, answer: tuple[int, Any, Any]) -> None:
        request, well, value = answer
        watched = self._watched.pop(request, None)
        if watched is None:
            self._answers[request] = (well, value)
            return
        version, watch = watched
        self._fill([version], value)
        self._due.append(watch)

    def _call_master(self, name: str, *args: Any) -> Any:
        return self.ask(O_SESSION, name, args)

    # ------------------------------------------------------------------ tasks

    def sent_definition(self, function: Any) -> tuple[Any, ...] | None:
        """The definition of a function that this executor got from the master, so that it need not be pickled."""
        known = self._functions.get(id(function))
        return None if known is None else ("known", known[1])

    def new_path(self) -> list[list[str]]:
        """Where this process finds modules: the next one to run the function may know less."""
        return [[os.path.abspath(entry or ".") for entry in sys.path]]

    def demand_of(self, requirements: Any, name: str, hosts: int = 1, per_node: int = 1) -> Any:
        """What a task takes from its nodes while it runs. Raises RequirementsError if it could never run."""
        return self._call_master("demand_of", requirements, name, hosts, per_node)

    def open_service(self, name: str) -> None:
        """See to it that requests to a service can be made. Raises ArgumentError if nobody has said where it is."""
        self._call_master("open_service", name)

    def register(self, record: FunctionRecord) -> None:
        """Make a task function known to the master."""
        fields = {name: getattr(record, name) for name in FunctionRecord.__slots__ if name not in _OF_MASTER}
        self.channel.say((O_FUNCTION, record.id, fields))

    # ------------------------------------------------------------------ waiting

    def wait_versions(self, versions: Sequence[Version], timeout: float | None = None, what: str = "") -> bool:  # noqa: ARG002
        """Wait until the body can read the versions (or they failed)."""
        pending = [version for version in versions if not version.state]
        if pending:
            handles = list({version.datum_id for version in pending})
            self.engine.refuse_unknown(handles)
            found = self.ask(O_WAIT, handles, seconds=timeout)
            if found is None:
                return False
            self._fill(pending, found)
        return True

    def look(self, version: Version) -> bool:
        """Whether the version is there.

        If it is not, the computing unit is lent: a body that asks in a loop must not keep it from what it asks for.
        """
        if not version.state and version.datum_id in self.engine.known:
            found = self.ask(O_LOOK, version.datum_id)
            if found:
                self._fill([version], found)
        return bool(version.state)

    def _fill(self, versions: Sequence[Version], found: list[tuple[int, int, Any, Any]]) -> None:
        answers = {answer[0]: answer for answer in found}
        for version in versions:
            _, state, value, ignored = answers[version.datum_id]
            if state == SEGMENT:  # now: it is there for sure only until the next call
                state, value = VALUE, self.engine.store.read(value)
            elif state == FAILED:
                value = self._failure(*value)
            if ignored is not None:
                version.ignored = self._failure(*ignored)
            version.value = value
            version.state = state

    def _failure(self, encoded: tuple[Any, str], task_id: int, cancelled: bool) -> Failure:
        error = _rebuilt(encoded)
        self._told.append(error)
        return Failure(error, task_id, cancelled=cancelled)

    def is_of_a_child(self, error: BaseException | None) -> bool:
        """Whether an exception is the failure of a child, or was raised because of one."""
        while error is not None:
            if any(error is told for told in self._told):
                return True
            error = error.__cause__ or error.__context__
        return False

    def watch(self, version: Version, watch: Watch) -> bool:
        """Have the watch called when the version is there; False if it is already. A thread listens meanwhile."""
        if version.state:
            return False
        self.engine.refuse_unknown([version.datum_id])
        if not self.channel.has_threads:
            raise TaskflowError("a simulated run has no threads in nested tasks, as callbacks need them; use result()")
        request = next(self._requests)
        self._watched[request] = (version, watch)
        self.channel.say((O_WAIT, request, [version.datum_id]))
        if not self._listening:
            self._listening = True
            threading.Thread(target=self._listen, name="taskflow-callbacks", daemon=True).start()
        return True

    def _listen(self) -> None:
        try:
            while self._watched or self._due:
                self.channel.wait(lambda: bool(self._due), None, _pause)
                while self._due:
                    self._due.popleft().callback()
        except NotRunningError:
            return  # the task has ended, and nobody is there to be called
        finally:
            self._listening = False

    def barrier(self, what: str = "barrier") -> None:  # noqa: ARG002
        """Wait for every task that this body has called; raise the first failure it has not been told of."""
        self._call_master("barrier_group", None)

    # ------------------------------------------------------------------ groups

    def open_group(self, name: str) -> Group:
        """Tasks called by this thread from now on belong to the group."""
        known = self.groups.get(name)
        group = super().open_group(name)
        if group is not known:
            self.channel.say((O_GROUP, name))
        return group

    def barrier_group(self, name: str) -> None:
        """Wait for the tasks of a group; raise their first failure. An unknown name returns at once."""
        if name in self.groups:
            self._call_master("barrier_group", name)

    def cancel_group(self, name: str) -> None:
        """Cancel the unfinished tasks of a group. An unknown name has no effect."""
        if name in self.groups:
            self._call_master("cancel_group", name)

    def cancel_all(self, error: TaskflowError | None = None) -> None:  # noqa: ARG002
        """Cancel every unfinished task that this body has called."""
        self._call_master("cancel_group", None)

    def set_wall_clock(self, seconds: float) -> None:  # noqa: ARG002
        """Raises TaskflowError: the limit is the program's."""
        raise TaskflowError("compss_set_wall_clock was called inside a task; call it in the main program")

    # ------------------------------------------------------------------ files

    def file_datum(self, path: str | os.PathLike[str], *, directory: bool) -> FileDatum:
        """The datum of a file."""
        name = absolute(path)
        datum = self.files.own.get(name)  # type: ignore[attr-defined]
        if datum is None:
            version = Version(next(self.datum_ids))
            version.state = FILE
            version.value = name
            datum = self.files.own[name] = FileDatum(version, name, directory=directory)  # type: ignore[attr-defined]
        return datum  # type: ignore[no-any-return]

    def bring_back(self, datum: FileDatum, what: str) -> None:  # noqa: ARG002
        """Put the last version of a file at its path, waiting for it."""
        self._call_master("bring_back_path", datum.path)
        self.files.own.pop(datum.path, None)  # type: ignore[attr-defined]

    def free_name(self, path: str, keep: Version | None = None) -> None:  # noqa: ARG002
        """Wait until no pending task reads the file at the path, so that it may change."""
        self._call_master("free_name", path)

    def wait_readers(self, path: str) -> None:
        """Wait until no pending task reads the file at the path."""
        self._call_master("wait_readers", path)

    def bring_back_all(self) -> None:
        """Every file that this body's children have used to its place."""
        for datum in list(self.files.own.values()):  # type: ignore[attr-defined]
            self.bring_back(datum, "barrier")

    def settle_files(self) -> None:
        """The body has returned: its own copies of files must stay until the children that read them have done so."""
        for path, datum in self.files.own.items():  # type: ignore[attr-defined]
            if path.startswith(f"{self.run_dir}/") and datum.versions == 1:
                self.wait_readers(path)

    # ------------------------------------------------------------------ outputs that children make

    def link_of(self, container: Any, position: Any) -> tuple[int, Any] | None:
        """How to report an output that is a child's, or contains a child's; None for any other."""
        value = container[position]
        registry = self.registry
        datum = value if isinstance(value, Datum) else None
        if datum is None and registry:
            datum = registry.find(value)
            if datum is None and registry.has_cells(container):
                datum = registry.find_cell(container, position, value)
            if datum is None and registry.has_cells(value):
                return self.link_assembled(value)
        if datum is None:
            return None
        if datum.current.datum_id not in self.engine.known:  # made by `put`, and never passed on
            container[position] = datum.result()  # type: ignore[attr-defined]
            return None
        self.engine.kept.append(datum.current)
        self.channel.flush()
        return (LINKED, datum.current.datum_id)

    def link_assembled(self, value: Any) -> tuple[int, Any]:
        """As `link_of`, for an object that contains futures: a task puts it together."""
        outer, runtime.session = runtime.session, self
        try:
            future = assembled(value)
        finally:
            runtime.session = outer
        self.engine.kept.append(future.current)
        self.channel.flush()
        return (LINKED, future.current.datum_id)

    def link_of_file(self, path: str) -> tuple[int, Any] | None:
        """How to report an output file that children write; None if the body has written it itself."""
        datum = self.files.own.get(absolute(path))  # type: ignore[attr-defined]
        if datum is None or datum.versions == 1:
            return None
        self.channel.flush()
        return (LINKED, datum.path)


class Files:
    """The files of a body: those its children have used, and behind them those the master knows of.

    ``own``: data by absolute path.
    """

    def __init__(self, session: NestedSession) -> None:
        self._session = session
        self.own: dict[str, FileDatum] = {}

    def get(self, path: str) -> FileDatum | None:
        """The datum of a file that tasks have used, or None."""
        datum = self.own.get(path)
        if datum is not None or os.path.lexists(path):
            return datum
        state = self._session._call_master("file_state", path)  # noqa: SLF001  a part of it
        if state is None:
            return None
        datum = self._session.file_datum(path, directory=state[1])
        datum.current.state = state[0]
        return datum

    def pop(self, path: str, default: Any = None) -> Any:
        """The path is not known any more."""
        self._session.channel.say((O_FORGET, path))
        return self.own.pop(path, default)


class NestedKernel(Master):
    """Stands where the main program's session has the kernel; the real one is the master's."""

    def __init__(self, session: NestedSession) -> None:
        super().__init__()
        self._session = weakref.proxy(session)

    def watch(self, version: Version, watch: Watch) -> bool:
        """See `Master.watch`."""
        return bool(self._session.watch(version, watch))


class NestedEngine(Engine):
    """The engine of a nested session: sends calls to the master.

    ``known``: the data that the master knows by their handles, each with a weak reference to the latest version here.
    ``kept``: what must not be dropped before the task has ended.
    """

    def __init__(self, session: NestedSession) -> None:
        interpreter = session.channel.interpreter
        self.kernel = NestedKernel(session)
        self.lock = threading.Lock()
        self.run_dir = ""
        self.store = interpreter.store
        self.released = deque(maxlen=0)
        self.functions = {}
        self.kept: list[Any] = []
        self._channel = session.channel
        self._session = weakref.proxy(session)
        self._places: dict[tuple[Any, int], str] = {}
        self.reset()

    def reset(self) -> None:
        """Another body begins."""
        self.known: dict[int, weakref.ref[Version]] = {}
        self.kept.clear()
        self.snapshots = Snapshots(self.store)
        self._calls = 0

    def flush(self) -> None:
        """Send every call."""
        self._channel.flush()

    def wait(self, latch: Any, timeout: float | None = None) -> bool:
        """There are no latches here: the session asks the master."""
        raise NotImplementedError

    def close(self, *, cancel: bool) -> None:
        """Nothing is open."""

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
        """Send a call."""
        refuse_deleted(task, accesses)
        new: list[tuple[int, int, Any]] = []
        marks = [
            (datum.path, datum.directory, int(direction))
            if isinstance(datum, FileDatum)
            else (self._handle(datum, new), None, int(direction))
            for datum, direction in accesses
        ]
        for datum, direction in accesses:
            if direction is Direction.IN_DELETE:
                datum.deleted = True
            elif direction.writes:
                before = datum.current  # lives on until the next one is known, or the datum would be dropped
                self._track(write(datum, None, 0))
                del before
        reads = [version.datum_id for version in task.reads]
        if reads:
            self.refuse_unknown(reads)
        results = [version.datum_id for version in task.writes]
        for version in task.writes:
            version.producer = None
            self._track(version)
        extras = {name: value for name, value in task.__dict__.items() if name != "groups"}
        self._channel.say((
            O_CALL, task.function.id, task.args, task.params, task.returns, results, marks, new, reads, extras,
            self._place(task), [group.name for group in task.groups],
        ))  # fmt: skip
        task.reads = task.writes = ()
        self._calls += 1
        if not self._calls % ROOM_EVERY:
            self._session.ask(O_ROOM)

    def submit_plain(self, task: Task) -> None:
        """As `submit`."""
        self.submit(task, ())

    def refuse_unknown(self, handles: Sequence[int]) -> None:
        """Raise NotRunningError for a datum of another task that ran here before."""
        for handle in handles:
            if handle not in self.known:
                raise NotRunningError(
                    "this future was made by another task, which has ended; a task can use what it has been given "
                    "and what its own calls have returned"
                )

    def _handle(self, datum: Datum, new: list[tuple[int, int, Any]]) -> int:
        version = datum.current
        handle = version.datum_id
        if handle not in self.known:
            if not version.state:
                self.refuse_unknown([handle])
            new.append((handle, version.state, version.value))
            self._track(version)
        return handle

    def _track(self, version: Version) -> None:
        handle = version.datum_id
        self.known[handle] = weakref.ref(version, functools.partial(self._dropped, self.known, handle))

    def _dropped(self, known: dict[int, Any], handle: int, reference: Any) -> None:
        if known.get(handle) is reference:
            del known[handle]
            if known is self.known:
                self._channel.say_later((O_DROP, handle))

    def _place(self, task: Task) -> str:
        place = (task.site, task.offset)
        text = self._places.get(place)
        if text is None:
            text = self._places[place] = task.location
        return text


#: What the master knows better of a function.
_OF_MASTER = frozenset({"id", "mean_s", "returns_held", "attempts", "busy_s", "implementations", "tried", "calls"})


def _let_go(datum: Datum) -> None:
    """A tracked object is gone: its versions go with it."""


def _pause(files: list[Any], seconds: float | None) -> bool:
    """Wait until one of the files can be read; False after so many seconds. The body may be interrupted here."""
    return bool(select.select(files, [], [], seconds)[0])


def _rebuilt(encoded: tuple[Any, str]) -> BaseException:
    """An exception that the master has sent."""
    blob, text = encoded
    error = decode_blob(blob)
    if text:
        error.__cause__ = RemoteTraceback(text)
    return error  # type: ignore[no-any-return]
