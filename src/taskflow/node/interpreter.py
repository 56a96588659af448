"""Runs tasks: decodes arguments, calls the function, encodes what it returned or wrote.

One per executor. It does no communication: `node.executor` (a process) and the simulated driver feed it messages of
`wire.messages` and collect its reports. Tasks run strictly in the order given.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from taskflow.core.graph import BLOB, FILE, HELD, SEGMENT, VALUE
from taskflow.data import serialization
from taskflow.data.serialization import FIXED_TYPES, decode_blob, encode, is_bare_array, is_plain, state
from taskflow.model.errors import MissingOutputError, SerializationError
from taskflow.node.call import Call, Left, steps_text
from taskflow.node.environment import MEMORY_VARIABLE, task_environment
from taskflow.node.exceptions import encode_error
from taskflow.node.loans import Loan, may_be_for_want_of_a_copy
from taskflow.node.report import Key, Report
from taskflow.wire.messages import (
    N_LOCAL,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from taskflow.data.store import Descriptor, Store


class MissingInput(Exception):  # noqa: N818  a state of affairs, healed by the master
    """An input that an earlier task of this executor should have made is not there."""

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self.key = key


class Interpreter:
    """The task-running state of one executor.

    ``held``: large results kept in memory, by key. ``shared``: descriptors of those that were published.
    ``reports``: sent reports the master has not acknowledged; later tasks of the queue may use results in them.
    """

    lends = True  #: held arrays to tasks that read them (see `node.loans`)

    def __init__(
        self,
        store: Store,
        scratch: str,
        *,
        number: int = 0,
        epoch: float = 0.0,
        inline_limit: int = serialization.INLINE_LIMIT,
    ) -> None:
        self.store = store
        self.number = number
        self.epoch = epoch
        self.scratch = scratch
        self.inline_limit = inline_limit
        self.functions: dict[int, Callable[..., Any]] = {}
        self.broken: dict[int, BaseException] = {}
        self.names: dict[int, str] = {}
        self.returns: dict[int, int] = {}
        self.held: dict[Key, Any] = {}
        self.movable: set[Key] = set()
        self.shared: dict[Key, Descriptor] = {}
        self.reports: deque[Report] = deque()
        self.journal_lines: list[bytes] = []
        self._scratch_folders: list[str] = []
        self._folders: set[str] = set()
        self._copied: set[Key] = set()  # held results of which a reader has had a copy
        self._copying: set[int] = set()  # functions to which nothing is lent
        self._untold: list[Report] = []
        self.report = Report(1, number, epoch)
        self.await_news: Callable[[float], None] = _no_news
        self.limited: Callable[[Callable[..., Any], float, str], Callable[..., Any]] | None = None
        self.limits: dict[int, float] = {}
        self.limited_memory: Callable[[int], AbstractContextManager[None]] = _unwatched
        self.task_id = 0  # of the last task that was not plain
        self.nested: Any = None  # session of the task that runs, if it calls tasks (see `taskflow.nested`)

    @property
    def callers_of_bodies(self) -> tuple[Callable[..., Any], ...]:
        """The functions of the runtime that call bodies of tasks."""
        return (Interpreter.run_plain, Interpreter._attempt)

    # ------------------------------------------------------------------ instructions

    def define(self, functions: list[tuple[int, str, tuple[Any, ...], int, float]]) -> None:
        """Make functions known; one that cannot be loaded fails the tasks that call it, not the executor."""
        for function_id, name, definition, returns, time_out in functions:
            self.names[function_id] = name
            self.returns[function_id] = returns
            if definition[0] == "through" or not self.lends:
                self._copying.add(function_id)  # what it has called cannot be called again
            try:
                function = load_function(definition)
                if time_out:
                    self.limits[function_id] = time_out
                    if self.limited is not None:
                        function = self.limited(function, time_out, name)
                self.functions[function_id] = function
            except Exception as error:  # noqa: BLE001  reported with each task that needs it
                self.broken[function_id] = error

    def let_go(self, number: int, drops: list[Key]) -> None:
        """The master has entered the reports up to ``number`` and needs the results ``drops`` no longer.

        Comes in order with the tasks: those queued before it may use these results, those after it do not.
        """
        reports = self.reports
        while reports and reports[0].number <= number:
            reports.popleft()
        for key in drops:
            self.held.pop(key, None)
            self.shared.pop(key, None)
            self.movable.discard(key)
            self._copied.discard(key)

    def publish(self, keys: list[Key]) -> None:
        """Put held results into shared segments."""
        for key in keys:
            if key in self.shared:
                self.report.published[key] = self.shared[key]
            elif key in self.held:
                self._publish(key)
            else:
                self.report.gone.append(key)

    def _publish(self, key: Key) -> Any:
        value = self.held.pop(key)
        descriptor = self.store.write(encode(value, "result"))
        self.shared[key] = descriptor
        self.report.published[key] = descriptor
        return value

    def next_report(self) -> tuple[Any, ...]:
        """The message to send now; a new report begins.

        The journal's line of what it tells goes with the message after it: see `tidy`.
        """
        report = self.report
        self.reports.append(report)
        self.report = Report(report.number + 1, self.number, self.epoch)
        message = report.message()
        lines = self.journal_lines
        if lines:
            message = (*message[:9], b"\n".join(lines), message[10])
            self.journal_lines = []
        self._untold.append(report)
        return message

    def tidy(self) -> None:
        """Work that can wait until results are on their way: the journal's lines of the reports sent."""
        for report in self._untold:
            line = report.journal_line()
            if line:
                self.journal_lines.append(line)
        self._untold.clear()

    # ------------------------------------------------------------------ running

    def run_plain(self, task_id: int, function_id: int, args: tuple[Any, ...]) -> None:
        """Run a task whose arguments are all plain."""
        function = self.functions.get(function_id)
        if function is None:
            self._fail(task_id, self.broken[function_id])
            return
        returns = self.returns[function_id]
        try:
            value = [function(*args)]
        except BaseException as error:  # noqa: BLE001  whatever a task raises is the main program's to see
            self._fail(task_id, error)
            return
        if not returns:
            self.report.plain[task_id] = None
        elif type(value[0]) in FIXED_TYPES:
            self.report.plain[task_id] = value[0]
        else:
            try:
                self.report.rich[task_id] = [self._output(value, 0, (task_id, 0), durable=False)]
            except BaseException as error:  # noqa: BLE001
                self._fail(task_id, error)

    def fill_in(self, args: list[Any], inputs: list[tuple[int, tuple[Any, ...]]]) -> bool:
        """Put plain values made by tasks of this queue into the arguments; False if some input is not so simple."""
        plain = self.report.plain
        values = []
        for _, node in inputs:
            if node[0] != N_LOCAL:
                return False
            maker, index = node[1]
            if index or maker not in plain:
                return False
            values.append(plain[maker])
        for (place, _), value in zip(inputs, values, strict=True):
            args[place] = value
        return True

    def run(
        self,
        task_id: int,
        function_id: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        params: tuple[tuple[int | str, tuple[Any, ...]], ...],
        returns: int,
        durable: bool,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Run a task with arguments to decode, files, or several outputs; ``environment``: variables it sees."""
        function = self.functions.get(function_id)
        if function is None:
            self._fail(task_id, self.broken[function_id])
            return
        self.task_id = task_id
        call = Call(self, args, kwargs, params, function_id not in self._copying)
        done = self._attempt(function, call, task_id, function_id, returns, durable, environment)
        if not call.loans:
            return
        self._take_back(call.loans, function_id)
        if not done:
            self._copying.add(function_id)
            output, printed = call.output_before
            if self.report.output is output:
                del output[printed:]  # what has been sent cannot be taken back
            call = Call(self, args, kwargs, params, False)
            self._attempt(function, call, task_id, function_id, returns, durable, environment)

    def _attempt(  # noqa: PLR0915  one task from its arguments to its outputs
        self,
        function: Callable[..., Any],
        call: Call,
        task_id: int,
        function_id: int,
        returns: int,
        durable: bool,
        environment: dict[str, str] | None,
    ) -> bool:
        """Run a task; False if it failed, perhaps because what it was lent is read-only."""
        try:
            try:
                for where, node in call.params:
                    call.bind(where, node)
                call.written.clear()  # a result may stay in memory only if nothing else refers to it
            except MissingInput as missing:
                self.report.skipped.append((task_id, missing.key))
                self.report.consumed.extend(call.consumed)
                return True
            if environment is None:
                value = function(*call.args, **call.kwargs)
            else:
                limit = int(environment.get(MEMORY_VARIABLE, 0))
                with task_environment(environment), self.limited_memory(limit) if limit else nullcontext():
                    value = function(*call.args, **call.kwargs)
            if type(value) is Left:
                call.replace(value.arguments)
                value = value.value
            results = self._returned(value, returns, function_id)
            del value  # a result may stay in memory only if nothing else refers to it
            if call.loans:
                call.unlock()
            outputs: list[tuple[int, Any]] = []
            for index in range(len(results)):
                try:
                    outputs.append(self._output(results, index, (task_id, index), durable=durable))
                except SerializationError as error:
                    raise error.moved("result", f"result[{index}]" if returns > 1 else "result") from None
            call.check_untouched()
            for container, position, target, path in call.outputs():
                key = (task_id, len(outputs))
                if target is None:
                    try:
                        outputs.append(self._output(container, position, key, durable=durable))
                    except SerializationError as error:
                        raise error.moved("result", steps_text(path)) from None
                elif self.nested is not None and (link := self.nested.link_of_file(target)) is not None:
                    outputs.append(link)
                else:
                    try:
                        nbytes = os.lstat(target).st_size
                    except FileNotFoundError:
                        raise MissingOutputError(self._not_made(function_id, target)) from None
                    outputs.append((FILE, (target, nbytes)))
            if call.consumed:
                self.report.consumed.extend(call.consumed)
            if len(outputs) <= 1 and (not outputs or outputs[0][0] == VALUE):
                self.report.plain[task_id] = outputs[0][1] if outputs else None
            else:
                self.report.rich[task_id] = outputs
        except BaseException as error:  # noqa: BLE001  whatever a task raises is the main program's to see
            for key in [key for key in self.held if key[0] == task_id]:
                del self.held[key]
            if call.loans:
                if may_be_for_want_of_a_copy(error):
                    return False
                call.unlock()
            if call.consumed:
                self.report.consumed.extend(call.consumed)
            self._fail(task_id, error)
        finally:
            call.clean()
            if self.nested is not None:
                self.nested.end()
        return True

    def _take_back(self, loans: dict[Key, Loan], function_id: int) -> None:
        """Nothing of the attempt is left but what it has stored away: see that held arrays are as they were."""
        held = self.held
        state.on_array = None
        while loans:
            key, loan = loans.popitem()
            written = loan.end()
            del loan
            if key not in held:
                continue  # it has been published meanwhile
            if written:
                # Past the flag, by native code. What it was is lost: its maker has to run again if it is wanted.
                del held[key]
                self._copying.add(function_id)
                note = (
                    f"taskflow: {self.names[function_id]} wrote to an array that it was given to read, through an "
                    f"address; the array is made again if it is needed. Later tasks of the function get copies.\n"
                )
                os.write(2, note.encode())
            elif not _is_only_reference(held, key):
                held[key] = held[key].copy(order="K")  # somebody goes on using the one that was lent
                self._copying.add(function_id)

    def _not_made(self, function_id: int, target: str) -> str:
        return (
            f"task {self.names[function_id]} ended without making the output {os.path.basename(target)!r} that it "
            f"declared; write to exactly the path it is given, or declare the parameter as input"
        )

    def _returned(self, value: Any, returns: int, function_id: int) -> list[Any]:
        """The returned value as the list of declared results. Surplus items are dropped."""
        if returns == 0:
            return []
        if type(value).__name__ == "generator":
            value = list(value)
        if returns == 1:
            return [value]
        try:
            items = list(value)
        except TypeError:
            items = []
        if len(items) < returns:
            raise MissingOutputError(
                f"task {self.names[function_id]} declares returns={returns} but returned "
                f"{f'{len(items)} values' if items else repr(value)[:80]}"
            )
        return items[:returns]

    def _output(self, container: Any, position: Any, key: Key, *, durable: bool) -> tuple[int, Any]:
        """Encode one output; ``container[position]`` is the only reference the caller has to it."""
        nested = self.nested
        if nested is not None:
            link = nested.link_of(container, position)
            if link is not None:
                return link  # type: ignore[no-any-return]
        value = container[position]
        if type(value) in FIXED_TYPES or is_plain(value):
            return (VALUE, value)
        if type(value).__name__ == "generator":
            value = container[position] = list(value)
        if not durable and is_bare_array(value) and value.nbytes >= self.inline_limit:
            nbytes = value.nbytes
            del value
            if _is_only_reference(container, position):
                self.held[key] = container[position]
                return (HELD, nbytes)
            value = container[position]
        encoded = encode(value, "result", None if nested is None else nested.registry)
        if encoded.futures:
            if nested is not None:
                return nested.link_assembled(value)  # type: ignore[no-any-return]
            raise SerializationError("a task returned a future; take its value with compss_wait_on first")
        if encoded.nbytes < self.inline_limit:
            return (BLOB, encoded.blob())
        return (SEGMENT, self.store.write(encoded))

    def _fail(self, task_id: int, error: BaseException) -> None:
        encoded: tuple[Any, ...] = encode_error(error)
        if self.nested is not None and self.nested.is_of_a_child(error):
            encoded = (*encoded, True)
        self.report.failed.append((task_id, encoded))

    # ------------------------------------------------------------------ inputs made here

    def take_local(self, key: Key, call: Call, *, movable: bool, writes: bool) -> tuple[Any, bool]:
        """The value an earlier task of this executor made, as the reader's own; and whether it was used up."""
        if key in self.held:
            if not movable and key not in self.movable:
                # The main program often drops its name for a value right after the call (``x = step(x)``). Waiting
                # for the word of it is much cheaper than the copy it may spare.
                nbytes = self.held[key].nbytes
                if nbytes >= _WORTH_WAITING:
                    self.await_news(nbytes / _WAIT_BYTES_PER_S)
            if (movable or key in self.movable) and not call.loans and _is_only_reference(self.held, key):
                self.movable.discard(key)
                self.shared.pop(key, None)
                return self.held.pop(key), True
            if not writes and (view := call.borrow(key, self.held[key])) is not None:
                return view, False
            if key not in self._copied:
                # Others may read it too. A copy on the heap costs a third of publishing it.
                self._copied.add(key)
                return self.held[key].copy(order="K"), False
            # They do: publish it, so that readers from now on need no copy, and let this one have the original.
            return self._publish(key), False
        if key in self.shared:
            return self.store.read(self.shared[key]), False
        task_id, index = key
        for report in (self.report, *reversed(self.reports)):
            if index == 0 and task_id in report.plain:
                return report.plain[task_id], False
            if task_id in report.rich:
                kind, value = report.rich[task_id][index]
                if kind == VALUE:
                    return value, False
                if kind == BLOB:
                    return decode_blob(value), False
                if kind == SEGMENT:
                    return self.store.read(value), False
                break
        raise MissingInput(key)

    def local_path(self, key: Key) -> str:
        """The file an earlier task of this executor made."""
        task_id, index = key
        for report in (self.report, *reversed(self.reports)):
            if task_id in report.rich:
                kind, value = report.rich[task_id][index]
                if kind == FILE:
                    return str(value[0])
        raise MissingInput(key)

    def make_folder(self, folder: str) -> None:
        """Make a folder of the run that outputs go to, if this executor has not seen to it before."""
        if folder not in self._folders:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._folders.add(folder)

    def scratch_path(self, number: int, name: str) -> str:
        """A path of that base name in a scratch folder; ``number`` keeps equal names of one task apart."""
        while number >= len(self._scratch_folders):
            folder = f"{self.scratch}/{len(self._scratch_folders)}"
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._scratch_folders.append(folder)
        return f"{self._scratch_folders[number]}/{name}"


def _unwatched(limit: int) -> AbstractContextManager[None]:  # noqa: ARG001  nobody is there to see it
    return nullcontext()


def _no_news(seconds: float) -> None:
    """Nobody is there to say anything."""


#: From this size on it is worth asking whether a copy can be spared, waiting as if it were copied at this rate.
_WORTH_WAITING = 4 << 20
_WAIT_BYTES_PER_S = 50e9


def _is_only_reference(container: Any, position: Any) -> bool:
    """Whether nobody but ``container`` refers to the array or to the array that it is a view of.

    Only then may it stay in memory as it is: an alias in a task function's globals could change it afterwards.
    """
    if sys.getrefcount(container[position]) > _LONE_REFERENCES:
        return False
    base = [container[position].base]
    while type(base[0]).__name__ == "ndarray":
        # One reference is the view's, one the list's.
        if sys.getrefcount(base[0]) > _LONE_REFERENCES + 1:
            return False
        base = [base[0].base]
    return True


_probe = [object()]
#: What `sys.getrefcount` says here of an object that only a container refers to.
_LONE_REFERENCES = sys.getrefcount(_probe[0])


def load_function(definition: tuple[Any, ...]) -> Callable[..., Any]:
    """Get at a task function's code (see `FunctionRecord.definition`)."""
    if type(definition[-1]) is list:
        path = definition[-1]
        if not set(path).issubset(sys.path):
            sys.path[:] = path + [folder for folder in sys.path if folder not in path]
    if definition[0] == "through":
        _, module, name, inner, settings = definition
        body: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return body(load_function(inner), *settings)  # type: ignore[no-any-return]
    if definition[0] == "wrapped":
        function = load_function(definition[2])
        for wrapper in decode_blob(definition[1]):
            function = wrapper(function)
        return function
    if definition[0] == "value":
        loaded = decode_blob(definition[1])
    else:
        loaded = importlib.import_module(definition[1])
        for name in definition[2].split("."):
            loaded = getattr(loaded, name)
    plain: Callable[..., Any] = getattr(loaded, "__taskflow_function__", loaded)
    return plain
