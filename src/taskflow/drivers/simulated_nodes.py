"""The nodes of a simulated cluster: what they are like, what they have, and how data get from one to another.

Values really are where the kernel thinks they are: each node has folders of its own, a transfer copies from one to
another at the end of its virtual time, and a node that dies takes its folders with it. So a task that the kernel has
sent to a node without its data finds none there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import weakref
from typing import TYPE_CHECKING, Any

from taskflow.data.files import copy_any, remove_any
from taskflow.data.shares import SEGMENT_ITEM
from taskflow.model.errors import NodeLostError, TaskflowError
from taskflow.model.requirements import Node, Processor

if TYPE_CHECKING:
    from taskflow.drivers.simulated import SimulatedEngine, SimulatedLink

MAX_LOSSES_OF_A_TASK = 1  #: nodes that may die while they run it, as far as can be seen then
MAX_FAILURES_OF_A_TRANSFER = 2  #: of one value to one node
SLOW = 30  #: times as long


@dataclasses.dataclass(frozen=True)
class SimulatedNode:
    """A node besides home.

    ``units``: its executors; ``speed``: of the node's processors, compared with home's; ``delay_s``: what messages take
    more than those at home; ``bytes_per_s``: of its network; ``joins_s``: when it is there; ``dies``: whether it may.
    """

    units: int = 2
    speed: float = 1.0
    memory_size: float = 8.0
    architecture: str = "amd64"
    gpus: int = 0
    delay_s: float = 1e-4
    bytes_per_s: float = 1e9
    joins_s: float = 0.0
    dies: bool = True


@dataclasses.dataclass(frozen=True)
class NodeFaults:
    """What goes wrong with nodes and transfers, and how often.

    ``death``: of the node, for each task that begins there and each transfer to or from it; ``max_deaths``: as many at
    most. ``silent``: share of deaths in which the node is only cut off, and goes on for itself. ``known_s``: until a
    death is noticed. ``back``: share of dead nodes that come back, as new ones, after ``back_s``. ``transfer``: a
    transfer fails; ``slow``: it takes much longer. ``no_way``: share of pairs of nodes without a connection.
    """

    death: float = 0.0
    max_deaths: int = 50
    silent: float = 0.3
    known_s: tuple[float, float] = (1e-4, 5e-2)
    back: float = 0.5
    back_s: tuple[float, float] = (1e-3, 1e-1)
    transfer: float = 0.0
    slow: float = 0.0
    no_way: float = 0.0


NO_NODE_FAULTS = NodeFaults()


class Place:
    """One life of a node."""

    def __init__(self, number: int, model: SimulatedNode | None, segments: str, files: str) -> None:
        self.number = number
        self.model = model
        self.segments = segments
        self.files = files
        self.links: list[SimulatedLink] = []
        self.dead = False
        self.lost = False  # the master knows
        self.sending = 0
        self.hit: set[int] = set()  # tasks that its death is a blow to
        self.missing: weakref.WeakSet[Any] = weakref.WeakSet()  # values that are not there although they should be

    @property
    def name(self) -> str:
        """Name of the node."""
        return f"n{self.number}"

    def contents(self) -> list[str]:
        """Everything that is stored there."""
        found = []
        for folder in (self.segments, self.files):
            for base, folders, files in os.walk(folder):
                found += [os.path.join(base, name) for name in files]
                found += [link for name in folders if os.path.islink(link := os.path.join(base, name))]
        return sorted(found)


class Cluster:
    """All nodes of a simulated run."""

    def __init__(self, engine: SimulatedEngine, nodes: tuple[SimulatedNode, ...], faults: NodeFaults) -> None:
        self.engine = engine
        self.faults = faults
        self.deaths = 0
        self.moved = 0
        self.moved_bytes = 0
        self.failed = 0
        self._next_number = 1
        self._coming = len(nodes)
        self._numbers = itertools.count(1)
        self._running: set[int] = set()  # transfers of whose end nothing has been heard
        self._dropping: list[tuple[Place, str, str]] = []
        self._ways: dict[tuple[int, int], bool] = {}
        self._failures: weakref.WeakKeyDictionary[Any, dict[int, int]] = weakref.WeakKeyDictionary()
        self._losses: dict[int, int] = {}
        self.places = {0: Place(0, None, engine.segments, engine.files_dir)}
        engine.cluster = self
        for model in nodes:
            if model.joins_s:
                engine.at(model.joins_s, self._join, model)
            else:
                self._join(model)

    # ------------------------------------------------------------------ coming and going

    def _join(self, model: SimulatedNode) -> None:
        engine = self.engine
        number = self._next_number
        self._next_number += 1
        self._coming -= 1
        place = Place(number, model, f"{engine.segments}/node-{number}", f"{engine.run_dir}/nodes/{number}")
        for folder in (place.segments, place.files):
            os.makedirs(folder, mode=0o700)
        self.places[number] = place
        engine.files_dirs[number] = place.files
        assert engine.ledger is not None
        engine.ledger.join(number, ())
        processors = [Processor(model.units, "CPU", architecture=model.architecture, speed=model.speed)]
        if model.gpus:
            processors.append(Processor(model.gpus, "GPU"))
        node = Node(place.name, tuple(processors), memory_size=model.memory_size)
        crew = engine.kernel.node_joined(number, node, size=model.units)
        crew.is_far(2 * model.delay_s)
        for _ in range(model.units):
            engine.start_executor(node=number)
        engine.start_io_of(crew)
        self._note_coming()

    def _note_coming(self) -> None:
        engine = self.engine
        dispatch = engine.kernel.dispatch
        assert dispatch is not None
        dispatch.expecting = self._coming > 0
        if not dispatch.expecting:
            engine.kernel.serving[-1] = dispatch

    def may_die(self, place: Place) -> None:
        """Something begins on the node: it may be the last thing that happens there."""
        engine = self.engine
        if place.model is None or not place.model.dies or place.dead or self.deaths >= self.faults.max_deaths:
            return
        if not engine.chance(self.faults.death):
            return
        engine.at(engine.now + engine.random.expovariate(1 / engine.faults.task_s), self.die, place)

    def die(self, place: Place) -> None:
        """The node is gone, or nobody can reach it any more."""
        engine = self.engine
        if place.dead:
            return
        # The kernel does not know which of them had begun: the first of each executor may have.
        running = self._running_at(place)
        if any(self._losses.get(number, 0) >= MAX_LOSSES_OF_A_TASK for number in running):
            return  # the kernel would blame the task
        self._hit(running, place)
        place.dead = True
        self.deaths += 1
        known = engine.now + engine.random.uniform(*self.faults.known_s)
        for link in place.links:
            lost = engine.chance(engine.faults.lost)
            if not lost and not engine.chance(engine.faults.late) and not link.dead:
                known = max(known, link.to_master, link.answers)
            link.cut = link.cut or lost
            engine.end(link)
        if engine.chance(self.faults.silent):
            for link in place.links:
                link.cut = True
        else:
            self._clear(place)
        engine.at(known, self._lose, place)
        if engine.chance(self.faults.back):
            self._coming += 1
            assert place.model is not None
            engine.at(known + engine.random.uniform(*self.faults.back_s), self._join, place.model)

    @staticmethod
    def _running_at(place: Place) -> list[int]:
        """Tasks that may be running there, or on another node and have this one, too."""
        claims = [link.executor.claim for link in place.links]
        spans = {claim.share.span for claim in claims if claim is not None and claim.share is not None}
        first = [next(iter(link.executor.inflight), 0) for link in place.links]
        return [number for number in {*first, *[span.task.id for span in spans if span.begun]} if number]

    def _hit(self, tasks: list[int], place: Place) -> None:
        for number in tasks:
            if number not in place.hit:
                place.hit.add(number)
                self._losses[number] = self._losses.get(number, 0) + 1

    @staticmethod
    def _clear(place: Place) -> None:
        for folder in (place.segments, place.files):
            shutil.rmtree(folder, ignore_errors=True)

    def _lose(self, place: Place) -> None:
        """The master learns of it."""
        engine = self.engine
        place.lost = True
        self._hit(self._running_at(place), place)
        links = [link for link in place.links if engine.links.pop(link.executor.id, None) is not None]
        engine.kernel.node_lost(place.number, NodeLostError(f"node {place.name} is lost: simulated death"))
        for link in links:
            if link.nests:
                engine.nests.lost(link)
        self._note_coming()

    # ------------------------------------------------------------------ data

    def send(self, value: Any, target: int, source: int) -> None:
        """Begin a transfer."""
        engine = self.engine
        if target not in getattr(value, "paths", {target: ""}):
            value.put_at(target, engine.new_path(value.base_name, target))
        giver, taker = self.places[source], self.places[target]
        giver.sending += 1
        speeds = [place.model.bytes_per_s for place in (giver, taker) if place.model is not None]
        delays = [place.model.delay_s for place in (giver, taker) if place.model is not None]
        seconds = sum(delays) + value.nbytes * giver.sending / min(speeds)
        seconds += engine.random.uniform(*engine.faults.delay)
        if engine.chance(self.faults.slow):
            seconds *= SLOW
        for place in (giver, taker):
            self.may_die(place)
        number = next(self._numbers)
        self._running.add(number)
        engine.at(engine.now + seconds, self._moved, number, value, giver, taker)

    def _moved(self, number: int, value: Any, giver: Place, taker: Place) -> None:
        """A transfer ends, one way or another. The agent of the node that is not home says so."""
        giver.sending -= 1
        teller = taker if taker.number else giver
        if teller.dead:
            return
        why, absent = self._carry_out(value, giver, taker)
        note = (number, value, giver.number, taker.number, why, absent)
        for _ in range(1 + self.engine.chance(self.engine.faults.duplicate)):
            self.engine.at(self.engine.now + self.engine.delay(teller), self._told, teller, *note)

    def _carry_out(self, value: Any, giver: Place, taker: Place) -> tuple[str, bool]:
        engine = self.engine
        if giver.dead or taker.dead:
            return "the connection broke", False
        if giver.number and taker.number and not self._is_way(giver.number, taker.number):
            return "no route to host", False
        if value in giver.missing:
            return "no such file", True
        failures = self._failures.setdefault(value, {})
        before = failures.get(taker.number, 0)
        if before < MAX_FAILURES_OF_A_TRANSFER and engine.chance(self.faults.transfer):
            failures[taker.number] = before + 1
            if not giver.number or engine.chance(0.6):
                return "the disk is full", False
            giver.missing.add(value)  # from now on; tasks there that have opened it go on
            return "no such file", True
        source, path = self._path(value, giver), self._path(value, taker)
        if not os.path.lexists(source):
            raise TaskflowError(f"{value} was to be sent from node {giver.number}, where it is not")
        remove_any(path)
        if value.kind == SEGMENT_ITEM:
            os.link(source, path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            copy_any(source, path, directory=value.directory)
        return "", False

    def _is_way(self, one: int, other: int) -> bool:
        pair = (min(one, other), max(one, other))
        if pair not in self._ways:
            self._ways[pair] = not self.engine.chance(self.faults.no_way)
        return self._ways[pair]

    @staticmethod
    def _path(value: Any, place: Place) -> str:
        name: str = value.source_at(place.number)
        return f"{place.segments}/{name}" if value.kind == SEGMENT_ITEM else name

    def _told(self, teller: Place, number: int, value: Any, source: int, target: int, why: str, absent: bool) -> None:
        """The master hears of the end of a transfer."""
        if teller.lost or number not in self._running:
            return  # the connection is closed, or it has been told before
        self._running.remove(number)
        dispatch = self.engine.kernel.dispatch
        assert dispatch is not None
        if why:
            self.failed += 1
            dispatch.transfer_failed(value, target, source, why, at_source=absent)
        else:
            self.moved += 1
            self.moved_bytes += value.nbytes
            dispatch.arrived(value, target)

    def send_all(self) -> None:
        """Begin the transfers that the kernel has asked for, and have nodes drop what is not needed any more."""
        engine = self.engine
        dispatch = engine.kernel.dispatch
        assert dispatch is not None
        transfers = dispatch.transfers
        while transfers:
            self.send(*transfers.pop(0))
        self.send_drops()

    def send_drops(self) -> None:
        """Tell nodes what they need not keep."""
        engine = self.engine
        assert engine.ledger is not None
        drops = engine.ledger.drops
        while drops:
            number, kind, name = drops.popleft()
            place = self.places[number]
            self._dropping.append((place, kind, name))
            engine.at(engine.now + engine.delay(place), self._drop, place, kind, name)

    def _drop(self, place: Place, kind: str, name: str) -> None:
        self._dropping.remove((place, kind, name))
        if not place.dead:
            with contextlib.suppress(OSError):
                remove_any(f"{place.segments}/{name}" if kind == SEGMENT_ITEM else name)

    def leftovers(self) -> list[str]:
        """What nodes would still have once they have been told everything."""
        self.send_drops()
        for item in self._dropping[:]:
            self._drop(*item)
        return [path for place in self.places.values() if place.number and not place.dead for path in place.contents()]
