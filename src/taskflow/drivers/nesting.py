"""The master's part of nested tasks: does what their bodies ask for, and lends their computing units while they wait.

::

    executor's body ──► operations ──► Nests.enter ──► Nest: its data, children, groups ──► kernel
          ▲                               │ waits           │ thread: what may take long (files, barriers)
          └──────────── answers ◄─────────┴─────────────────┘

While a parent waits, its executor is taken out of the team and another takes its place, so that as many computing
units work as before; the other way round when it goes on. So no depth of nesting ends with everybody waiting. An
executor that is not needed in the team rests until the next parent waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskflow.core.accesses import write
from taskflow.core.graph import (
    DONE,
    FAILED,
    FILE,
    HELD,
    SEGMENT,
    Datum,
    Failure,
    Group,
    Task,
    Version,
    Watch,
    last_good,
)
from taskflow.data.tracking import FileDatum
from taskflow.drivers.engine import Latch, ReadersLatch, RoomLatch
from taskflow.model.errors import CancelError, DeletedDataError, RemoteTraceback, TaskflowError, UnavailableError
from taskflow.model.functions import FunctionRecord
from taskflow.model.parameters import Direction
from taskflow.node.exceptions import encode_error
from taskflow.wire.nested import (
    O_ABANDON,
    O_CALL,
    O_DROP,
    O_FORGET,
    O_FUNCTION,
    O_GIVEN,
    O_GROUP,
    O_LOOK,
    O_ROOM,
    O_SESSION,
    O_WAIT,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskflow.core.master import Master
    from taskflow.drivers.engine import AnyLatch, Engine, Link

MAX_WAITING = 1000  #: executors whose tasks wait for their children
_QUICK = frozenset({"file_state"})  #: operations of the session that take no time and no lock
_OF_ALL = frozenset({"demand_of", "open_service"})  #: operations that are not on behalf of one task
_OF_FILES = frozenset({"bring_back_path", "free_name", "wait_readers"})  #: operations on files of the body's machine


class Nest:
    """One running task that calls tasks: what it has named, its children, and what it waits for.

    ``data`` by handle; ``paths``: files of the run folder that its children use, which are its arguments;
    ``children``: those that have not ended, and their failures; ``groups`` by name, the children under None;
    ``waiting``: latches by the number of the request, None for one that a thread works at.
    """

    def __init__(self, task: Task, link: Link) -> None:
        self.task = task
        self.link = link
        self.data: dict[int, Datum] = {}
        self.paths: set[str] = set()
        self.children = Group("")
        self.groups: dict[str | None, Group] = {None: self.children}
        self.waiting: dict[int, Any] = {}
        self.attempt = task.attempt
        self.ended = False
        self.view: Any = None

    @property
    def is_over(self) -> bool:
        """Whether this attempt of the task has ended."""
        return self.task.id not in self.link.executor.inflight or self.attempt != self.task.attempt

    def __repr__(self) -> str:
        return f"<nest of {self.task!r}, {len(self.children.members)} children, {len(self.data)} data>"


class Nests:
    """All nested tasks of a run, once there is one. Its methods are called with the engine's lock held."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kernel: Master = engine.kernel
        self._program = engine.program
        self._operations: dict[str, Callable[..., None]] = {
            O_CALL: self._call, O_WAIT: self._wait, O_DROP: self._drop, O_FUNCTION: self._function, O_ROOM: self._room,
            O_LOOK: self._look, O_SESSION: self._perform, O_ABANDON: self._abandon, O_GIVEN: self._given,
            O_GROUP: self._group, O_FORGET: self._forget,
        }  # fmt: skip

    # ------------------------------------------------------------------ parents

    def enter(self, link: Link, message: list[Any]) -> None:
        """Do what the body that runs on the executor says."""
        task_id, *operations = message
        nest = link.nests.get(task_id)
        if nest is None or nest.is_over:
            task = link.executor.inflight.get(task_id)
            if task is None:
                return  # of a task that does not count any more
            nest = link.nests[task_id] = Nest(task, link)
            self._kernel.calls(task.function)
        for name, *args in operations:
            self._operations[name](nest, *args)

    def settle(self, link: Link) -> None:
        """A report of the executor has been entered: tasks that called others may have ended."""
        links, self._kernel.links = self._kernel.links, []
        for version, source in links:
            self._take_over(version, source)
        for nest in list(link.nests.values()):
            if nest.is_over:
                self._end(nest)

    def lost(self, link: Link) -> None:
        """The executor has died, and its tasks have gone elsewhere."""
        for nest in list(link.nests.values()):
            self._end(nest)

    def _end(self, nest: Nest) -> None:
        """The task has ended or died: nobody can name its data any more.

        Its children go on, unless it is to be tried again: then it will call them again.
        """
        del nest.link.nests[nest.task.id]
        nest.link.executor.lent = False
        nest.ended = True
        for latch in nest.waiting.values():
            if latch is not None:
                self._engine.forget(latch)
        nest.waiting.clear()
        for handle in list(nest.data):
            self._drop(nest, handle)
        for path in nest.paths:
            self._program.forget_path(path)
        if nest.task.state < DONE and nest.children.members:
            error = CancelError(f"task {nest.task.id} {nest.task.function.name}, which had called it, is tried again")
            self._kernel.cancel_group(nest.children, error)
            self._engine.record_cancelled()

    # ------------------------------------------------------------------ the computing unit

    def _lend(self, link: Link) -> bool:
        """The task that runs there waits: have another executor in its place. False if there are too many that wait."""
        executor = link.executor
        if executor.lent:
            return True
        engine = self._engine
        if sum(other.executor.lent for other in engine.links.values()) >= MAX_WAITING:
            return False
        self._kernel.lend(executor)
        if len(executor.inflight) > 1:
            engine.tell(link, [(0, True, None)])
        return True

    def _resume(self, nest: Nest) -> None:
        """The task goes on, if it waits for nothing else: one executor less is needed."""
        executor = nest.link.executor
        if executor.lent and not nest.waiting:
            self._engine.tell(nest.link, [(0, False, None)])
            self._kernel.regain(executor)

    # ------------------------------------------------------------------ calls

    def _function(self, nest: Nest, number: int, fields: dict[str, Any]) -> None:
        nest.link.functions[number] = self._record(fields)

    def _record(self, fields: dict[str, Any]) -> FunctionRecord:
        """The record of a function as an executor describes it: one that is there, if it says the same."""
        functions = self._engine.functions
        definition = fields.pop("definition")
        if definition[0] == "known":
            definition = functions[definition[1]].definition
        for record in functions.values():
            if _code(record.definition) == _code(definition) and all(
                getattr(record, name) == value for name, value in fields.items()
            ):
                return record
        fields["definition"] = definition
        record = FunctionRecord(next(self._program.function_ids), "", "", "", 0, 0, ())
        for name, value in fields.items():
            setattr(record, name, value)
        self._program.enter_function(record)
        return record

    def _call(
        self, nest: Nest, number: int, args: tuple[Any, ...], params: Sequence[Any], returns: int,
        results: list[int], marks: list[tuple[Any, Any, int]], new: list[tuple[int, int, Any]], reads: list[int],
        extras: dict[str, Any], place: str, groups: list[str],
    ) -> None:  # fmt: skip
        """The body has called a task function.

        ``results``: handles of what it returns; ``marks``: its accesses, as (handle, None, direction) or (path of a
        file, whether it is a directory, direction); ``new``: (handle, state, value) of data met for the first time;
        ``reads``: handles of the futures at ``params``, in the short form; ``extras``: rare attributes of the task.
        """
        program = self._program
        data = nest.data
        record = nest.link.functions[number]
        task = Task(next(program.task_ids), record, args, place)
        task.__dict__.update(extras)
        task.params = tuple(params)
        task.returns = returns
        task.parent = nest.task.id
        task.groups = (nest.children, *[nest.groups[name] for name in groups])
        for handle, state, value in new:
            version = Version(next(program.datum_ids))
            if state == SEGMENT and self._engine.ledger is not None:
                value = self._engine.made_segment(value.give_away(), nest.link.executor.crew.number)  # noqa: PLW2901
            version.state, version.value = state, value
            data[handle] = Datum(version)
        if reads:
            task.reads = [data[handle].current for handle in reads]
        if results:
            versions = [
                Version.output(next(program.datum_ids), 1, task, index) for index in range(len(results))
            ]  # fmt: skip
            task.writes = versions
            for handle, version in zip(results, versions, strict=True):
                data[handle] = Datum(version)
        number = nest.link.executor.crew.number
        away = number and any(directory is not None for _, directory, _ in marks)
        accesses: list[tuple[Datum, Direction]] = []
        for name, directory, direction in () if away else marks:
            if directory is None:
                accesses.append((data[name], Direction(direction)))
                continue
            if name.startswith(self._engine.run_dir):
                nest.paths.add(name)
            accesses.append((program.file_datum(name, directory=directory), Direction(direction)))
        try:
            if away:
                raise _elsewhere(nest.task)
            if self._engine.ledger is not None:
                accesses = list(self._engine.with_arguments(task, accesses, number))
            self._kernel.submit(task, accesses)
        except (DeletedDataError, UnavailableError) as error:  # files: of objects the body knows it itself
            failure = Failure(error, task.id)
            nest.children.failures.append(failure)
            self._kernel.failures.append(failure)  # or nobody would hear of it if the body does not wait
            written = [datum for datum, direction in accesses if direction.writes and isinstance(datum, FileDatum)]
            for version in (*task.writes, *[write(datum, None, 0) for datum in written]):
                version.state, version.value, version.producer = FAILED, failure, None
            return
        self._engine.record(task)

    def _drop(self, nest: Nest, handle: int) -> None:
        datum = nest.data.pop(handle, None)
        if datum is not None and datum.current.state in (0, HELD):
            self._kernel.released(datum.current)

    def _given(self, nest: Nest, task_ids: list[int]) -> None:
        self._kernel.given_back(nest.link.executor, task_ids)

    def _group(self, nest: Nest, name: str) -> None:
        nest.groups[name] = Group(name)

    def _forget(self, nest: Nest, path: str) -> None:  # noqa: ARG002  all operations have one
        self._program.files.pop(path, None)

    # ------------------------------------------------------------------ waiting

    def _wait(self, nest: Nest, request: int, handles: list[int]) -> None:
        def answer() -> None:
            self._answer(nest, request, True, [self._found(nest, handle) for handle in handles])

        versions = [nest.data[handle].current for handle in handles]
        self._when(nest, request, Latch(versions, nest.link.executor.crew.number), answer)

    def _look(self, nest: Nest, request: int, handle: int) -> None:
        version = nest.data[handle].current
        if version.state and self._kernel.need(version, nest.link.executor.crew.number):
            self._answer(nest, request, True, [self._found(nest, handle)])
            return
        self._lend(nest.link)  # until it is there, or the body ends: it asks again and again
        self._engine.tell(nest.link, [(request, True, None)])

    def _room(self, nest: Nest, request: int) -> None:
        self._when(
            nest, request, RoomLatch(nest.children, self._engine.pending_limit),
            lambda: self._answer(nest, request, True, None),
        )  # fmt: skip

    def _when(self, nest: Nest, request: int, latch: AnyLatch, then: Callable[[], None]) -> None:
        """Do it once the latch is satisfied. Until then the parent waits."""
        if latch.satisfied(self._kernel):
            then()
        elif self._may_wait(nest, request):
            nest.waiting[request] = latch
            self._engine.when(latch, then)

    def _may_wait(self, nest: Nest, request: int) -> bool:
        if self._lend(nest.link):
            return True
        error = TaskflowError(
            f"{MAX_WAITING} nested tasks wait for tasks they have called, each in a process of its own; nest less "
            f"deeply, or turn nesting off for the innermost calls"
        )
        self._answer(nest, request, False, encode_error(error))
        return False

    def _answer(self, nest: Nest, request: int, well: bool, value: Any) -> None:
        nest.waiting.pop(request, None)
        if nest.ended:
            return
        self._resume(nest)
        self._engine.tell(nest.link, [(request, well, value)])

    def _abandon(self, nest: Nest, request: int) -> None:
        latch = nest.waiting.pop(request, None)
        if latch is not None:
            self._engine.forget(latch)

    def _found(self, nest: Nest, handle: int) -> tuple[int, int, Any, Any]:
        """What the body is told of a datum that it can read."""
        version = last_good(nest.data[handle].current)
        state, value = version.state, version.value
        if state in (SEGMENT, FILE) and self._kernel.dispatch is not None:
            error = self._kernel.dispatch.why_not_there(version, nest.link.executor.crew.number)
            if error is not None:
                state, value = FAILED, Failure(error, version.producer_id)
        if state == FAILED:
            value = _told(value)
        elif state == SEGMENT:
            value = value.descriptor
        elif state == FILE:
            value = str(value)
        return (handle, state, value, None if version.ignored is None else _told(version.ignored))

    # ------------------------------------------------------------------ what may take long

    def _perform(self, nest: Nest, request: int, name: str, args: tuple[Any, ...]) -> None:
        """An operation of the session, such as a barrier, or to bring back a file."""
        view = nest.view
        if view is None:
            view = nest.view = self._program.view(nest.groups)
        if nest.link.executor.crew.number and name in _OF_FILES:
            self._answer(nest, request, False, encode_error(_elsewhere(nest.task)))
        elif name in _QUICK:
            self._answer(nest, request, True, getattr(view, name)(*args))
        elif self._may_wait(nest, request):
            nest.waiting[request] = None
            self._engine.aside(lambda: self._do(nest, request, name, args))

    def _do(self, nest: Nest, request: int, name: str, args: tuple[Any, ...]) -> None:
        """In a thread of its own, without the lock."""
        well, value = True, None
        try:
            value = getattr(self._program if name in _OF_ALL else nest.view, name)(*args)
        except BaseException as error:  # noqa: BLE001  it is the body's to see
            well, value = False, _encoded(error)
        engine = self._engine
        with engine.lock:
            self._answer(nest, request, well, value)
            engine.flush()

    # ------------------------------------------------------------------ outputs that children make

    def source_of(self, link: Link, task_id: int, name: int | str) -> Version:
        """The version that an output is to become: of a datum by its handle, of a file by its path."""
        nest = link.nests[task_id]
        if isinstance(name, int):
            return nest.data[name].current
        if name not in self._program.files:  # see `_elsewhere`
            failed = Version(next(self._program.datum_ids))
            failed.state, failed.value = FAILED, Failure(_elsewhere(nest.task), task_id)
            return failed
        source: Version = self._program.files[name].current
        nest.paths.discard(name)
        self._program.release_path(name)
        return source

    def _take_links(self) -> list[tuple[Version, Version]]:
        links, self._kernel.links = self._kernel.links, []
        return links

    def _take_over(self, version: Version, source: Version) -> None:
        if source.state == FILE and source.readers:
            # The file is about to have a new owner, who may move it.
            self._engine.when(ReadersLatch(source), lambda: self._take_over(version, source))
        elif self._kernel.take_over(version, source):
            return
        elif source.state in (SEGMENT, FILE):
            # It is on another node, and nobody could make it again for this version: it is being brought home.
            self._engine.when(Latch([source]), lambda: self._take_over(version, source))
        else:
            source.add_waiter(Watch(lambda: self._take_over_later(version, source)))

    def _take_over_later(self, version: Version, source: Version) -> None:
        engine = self._engine
        with engine.lock:
            self._take_over(version, source)
            engine.flush()
        engine.wake()


def _elsewhere(task: Task) -> UnavailableError:
    return UnavailableError(
        f"task {task.id} {task.function.name} calls tasks with files and runs on another machine than the program, "
        f"which knows nothing of files there; have it run here, with @constraint(is_local=True), or pass objects"
    )


def _code(definition: tuple[Any, ...]) -> tuple[Any, ...]:
    """A definition without the folders in which modules are found."""
    return definition[:-1] if type(definition[-1]) is list else definition


def _told(failure: Failure) -> tuple[tuple[Any, str], int, bool]:
    """A failure that the body is told of."""
    failure.seen = True
    return _encoded(failure.error), failure.task_id, failure.cancelled


def _encoded(error: BaseException) -> tuple[Any, str]:
    """An exception for the body that waits, with the story that its cause tells."""
    cause = error.__cause__
    blob, text = encode_error(error)
    return blob, str(cause) if isinstance(cause, RemoteTraceback) else text
