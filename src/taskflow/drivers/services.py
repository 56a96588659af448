"""Tasks that are requests to services, in the process of the main program: one thread makes them all.

::

    kernel ── Services.outgoing ──► [lock] ServiceThread.start_all ── messages ──► event loop: a coroutine for each task
       ▲                                                                                 │
       └──────────── reports, as an executor's ◄── [lock] ◄──────────────────────────────┘

A service looks like an executor to the engine: it gets the messages of `wire.messages` and answers with reports. So
whatever is done for tasks, before and after they run, is done for these as well.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from taskflow.core.graph import FILE, VALUE
from taskflow.data.store import Store
from taskflow.drivers.engine import Link
from taskflow.model.errors import CancelError, MissingOutputError, TimeOutError
from taskflow.node.call import Call
from taskflow.node.interpreter import Interpreter
from taskflow.runners.web import Web
from taskflow.wire.messages import N_PATH, P_COPY, P_DIRECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.core.placement import Executor
    from taskflow.drivers.engine import Engine
    from taskflow.drivers.live import LiveEngine
    from taskflow.model.cluster import HttpService
    from taskflow.runners.web import Site

CLOSE_S = 5.0  #: what the thread is given to end

PLAIN, WITH_INPUTS = 3, 4  #: lengths of the short forms of tasks, see `wire.messages`


class ServiceInterpreter(Interpreter):
    """Runs the tasks of one service: any number at a time, each in a coroutine."""

    lends = False

    def __init__(self, engine: Engine, number: int, name: str, sites: Sequence[Site], epoch: float = 0.0) -> None:
        super().__init__(
            Store(engine.store.directory, f"x{number}"), f"{engine.run_dir}/scratch/x{number}", number=number,
            epoch=epoch,
        )  # fmt: skip
        self.name = name
        self.sites = sites

    async def serve(self, entry: tuple[Any, ...], web: Web) -> None:
        """Run one task, and report its end. Raises nothing."""
        task_id, function_id = entry[:2]
        returns = self.returns[function_id]
        seconds = self.limits.get(function_id, 0.0)
        kwargs: dict[str, Any] | None = None
        params: Any = ()
        if len(entry) == WITH_INPUTS:
            params = entry[3]
        elif len(entry) > WITH_INPUTS:
            _, _, _, kwargs, params, returns = entry[:6]
        call = Call(self, entry[2], kwargs, tuple([(where, _in_place(node)) for where, node in params]), lends=False)
        start = monotonic()
        try:
            request = self._request(function_id)
            for where, node in call.params:
                call.bind(where, node)
            prepared = request.prepare(call.args, call.kwargs)
            answer = await web.ask(self.sites, prepared.outgoing, self.name, seconds)
            results = request.results(answer, prepared, returns)
            del prepared
            self._put_out(task_id, results, call)
        except asyncio.TimeoutError as error:
            over = TimeOutError(f"the time of task {self.names[function_id]} with time_out={seconds:g} was over")
            self._fail(task_id, over if seconds else error)
        except asyncio.CancelledError:
            self.cancelled(task_id)
        except BaseException as error:  # noqa: BLE001  whatever a task raises is the main program's to see
            self._fail(task_id, error)
        finally:
            call.clean()
        end = monotonic()
        report = self.report
        report.ids.append(task_id)
        report.starts.append(start)
        report.ends.append(end)
        cost = report.costs.setdefault(function_id, [0, 0.0])
        cost[0] += 1
        cost[1] += end - start

    def cancelled(self, task_id: int) -> None:
        """Report that a task that was not wanted any more has ended."""
        self._fail(task_id, CancelError("the task was cancelled while it ran"))

    def _request(self, function_id: int) -> Any:
        """What the function asks. Raises what has kept it from being loaded."""
        if function_id in self.broken:
            raise self.broken[function_id]
        return self.functions[function_id]

    def _put_out(self, task_id: int, results: list[Any], call: Call) -> None:
        """Report what the request has returned, and what it has written to its arguments and to files."""
        outputs = [self._output(results, index, (task_id, index), durable=True) for index in range(len(results))]
        for container, position, target, _ in call.outputs():
            if target is None:
                outputs.append(self._output(container, position, (task_id, len(outputs)), durable=True))
                continue
            try:
                outputs.append((FILE, (target, os.lstat(target).st_size)))
            except FileNotFoundError:
                raise MissingOutputError(f"the service {self.name} has given nothing for the file {target}") from None
        if len(outputs) <= 1 and (not outputs or outputs[0][0] == VALUE):
            self.report.plain[task_id] = outputs[0][1] if outputs else None
        else:
            self.report.rich[task_id] = outputs


def _in_place(node: tuple[Any, ...]) -> tuple[Any, ...]:
    """Files are read where they are: nobody changes them here."""
    return (N_PATH, P_DIRECT, *node[2:]) if node[0] == N_PATH and node[1] == P_COPY else node


class ServiceLink(Link):
    """What the engine knows of one service, and what the thread does for it. ``tasks``: those that run, by id."""

    def __init__(self, executor: Executor, interpreter: ServiceInterpreter) -> None:
        super().__init__(executor)
        self.interpreter = interpreter
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.told = True  # nothing is to be reported


class ServiceThread:
    """The thread that makes the requests to all services."""

    def __init__(self, engine: LiveEngine, capacity: int) -> None:
        self._engine = engine
        self._capacity = capacity
        self._links: dict[int, ServiceLink] = {}
        self._web = Web()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="taskflow-services", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ called with the engine's lock held

    def open(self, name: str, number: int, places: Sequence[HttpService]) -> None:
        """There is a service."""
        engine = self._engine
        sites = self._web.sites_of(places)
        executor = engine.kernel.open_service(name, number, limit=limit_of(places), capacity=self._capacity)
        self._links[number] = ServiceLink(executor, ServiceInterpreter(engine, number, name, sites, engine.epoch))
        engine.journal.write({
            "e": "executor", "t": engine.now_us(), "x": number, "pid": 0, "state": "started", "service": name,
        })  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether requests are being made."""
        services = self._engine.kernel.services
        return services is not None and services.in_flight > 0

    def start_all(self) -> None:
        """Begin what the kernel has started."""
        services = self._engine.kernel.services
        if services is None:
            return
        outgoing = services.outgoing
        while outgoing:
            number, _ = outgoing.popitem()
            link = self._links[number]
            message = self._engine.compose(link)
            if message is not None and not self._engine.closing:
                self._loop.call_soon_threadsafe(self._accept, link, message)

    def cancel(self, executor: Executor, task_id: int) -> None:
        """A task that has been started is not wanted any more."""
        if self._engine.closing:
            return
        self._loop.call_soon_threadsafe(self._cancel, self._links[executor.id], task_id)

    # ------------------------------------------------------------------ without the lock

    def close(self) -> None:
        """End the thread, and with it all that it does."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            self._engine_has_ended()
        except BaseException as error:  # noqa: BLE001  whatever it is, nobody may wait for a dead thread
            self._engine.give_up(error)
        finally:
            loop.close()

    def _engine_has_ended(self) -> None:
        """The session is over: give up what is being done."""
        loop = self._loop
        unfinished = [task for link in self._links.values() for task in link.tasks.values()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            loop.run_until_complete(asyncio.wait(unfinished, timeout=CLOSE_S / 2))
        loop.run_until_complete(self._web.close())
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _accept(self, link: ServiceLink, message: tuple[Any, ...]) -> None:
        """Begin tasks."""
        ack, functions, drops, movable, _, tasks, _ = message
        interpreter = link.interpreter
        interpreter.define(functions)
        interpreter.movable.update(movable)
        interpreter.let_go(ack, drops)
        for entry in tasks:
            task = self._loop.create_task(interpreter.serve(entry, self._web))
            link.tasks[entry[0]] = task
            task.add_done_callback(functools.partial(self._ended, link, entry[0]))

    @staticmethod
    def _cancel(link: ServiceLink, task_id: int) -> None:
        task = link.tasks.get(task_id)
        if task is not None:
            task.cancel()

    def _ended(self, link: ServiceLink, task_id: int, task: asyncio.Task[None]) -> None:
        """A task has ended: report it, with others that end at the same time."""
        del link.tasks[task_id]
        if task.cancelled():  # before it had begun, so it could not say so itself
            link.interpreter.cancelled(task_id)
        elif (error := task.exception()) is not None:
            with self._engine.lock:
                self._engine.give_up(error)
        if link.told:
            link.told = False
            self._loop.call_soon(self._report, link)

    def _report(self, link: ServiceLink) -> None:
        link.told = True
        engine = self._engine
        try:
            interpreter = link.interpreter
            message = interpreter.next_report()
            interpreter.tidy()
            with engine.lock:
                if engine.closing:
                    return
                engine.hear(link, message)
                for line in interpreter.journal_lines:
                    engine.journal.write_raw(line)
                interpreter.journal_lines.clear()
                engine.kernel.settled(link.executor)
                engine.after_events()
                if engine.kernel.notices:
                    engine.wake()  # the keeper calls who is to be told
        except BaseException as error:  # noqa: BLE001  the runtime itself has failed: nobody may wait in vain
            with engine.lock:
                engine.give_up(error)


def limit_of(places: Sequence[HttpService]) -> int | None:
    """How many requests at a time a service takes that is in all these places; None: any number."""
    limits = [place.limit_of_tasks for place in places]
    return None if None in limits else sum([limit for limit in limits if limit is not None])
