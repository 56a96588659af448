"""Tasks that are requests to services, in a simulated run: any number at a time by the virtual clock.

A request is really made when its virtual time is over, and the virtual clock stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

from taskflow.drivers.services import ServiceInterpreter, ServiceLink, limit_of
from taskflow.runners.web import Web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskflow.core.placement import Executor
    from taskflow.drivers.simulated import SimulatedEngine
    from taskflow.model.cluster import HttpService


class SimulatedServices:
    """What `services.ServiceThread` is in a live run."""

    def __init__(self, engine: SimulatedEngine, capacity: int) -> None:
        self._engine = engine
        self._capacity = capacity
        self._links: dict[int, ServiceLink] = {}
        self._unwanted: set[int] = set()
        self._latest: dict[Any, float] = {}  # when the last message of a link and direction arrives
        self._web = Web()
        self._loop = asyncio.new_event_loop()

    def open(self, name: str, number: int, places: Sequence[HttpService]) -> None:
        """There is a service."""
        engine = self._engine
        sites = self._web.sites_of(places)
        executor = engine.kernel.open_service(name, number, limit=limit_of(places), capacity=self._capacity)
        self._links[number] = ServiceLink(executor, ServiceInterpreter(engine, number, name, sites))

    def start_all(self) -> None:
        """Begin what the kernel has started."""
        services = self._engine.kernel.services
        assert services is not None
        while services.outgoing:
            number, _ = services.outgoing.popitem()
            message = self._engine.compose(self._links[number])
            if message is not None:
                self._post(self._accept, self._links[number], pickle.dumps(message, 5))

    def cancel(self, executor: Executor, task_id: int) -> None:  # noqa: ARG002  the same for every engine
        """A task that has been started is not wanted any more."""
        self._unwanted.add(task_id)

    def close(self) -> None:
        """The run is over."""
        for link in self._links.values():
            link.interpreter.tidy()
            for line in link.interpreter.journal_lines:
                self._engine.journal.write_raw(line)
        self._loop.run_until_complete(self._web.close())
        self._loop.close()

    def _post(self, arrive: Any, link: ServiceLink, data: bytes) -> None:
        """A message is on its way; none overtakes another."""
        key = (arrive, link.executor.id)
        when = max(self._latest.get(key, 0.0), self._engine.now + self._engine.delay(None))
        self._latest[key] = when
        self._engine.at(when, arrive, link, data)

    def _accept(self, link: ServiceLink, data: bytes) -> None:
        ack, functions, drops, movable, _, tasks, _ = pickle.loads(data)
        link.interpreter.define(functions)
        link.interpreter.movable.update(movable)
        link.interpreter.let_go(ack, drops)
        engine = self._engine
        for entry in tasks:
            duration = engine.random.expovariate(1 / engine.faults.task_s)
            engine.at(engine.now + duration, self._serve, link, entry, engine.now)

    def _serve(self, link: ServiceLink, entry: tuple[Any, ...], start: float) -> None:
        interpreter = link.interpreter
        if entry[0] in self._unwanted:
            interpreter.cancelled(entry[0])
        else:
            self._loop.run_until_complete(interpreter.serve(entry, self._web))
            interpreter.report.starts[-1], interpreter.report.ends[-1] = start, self._engine.now
        self._post(self._arrive, link, pickle.dumps(interpreter.next_report(), 5))

    def _arrive(self, link: ServiceLink, data: bytes) -> None:
        self._engine.hear(link, pickle.loads(data))
        self._engine.kernel.settled(link.executor)
