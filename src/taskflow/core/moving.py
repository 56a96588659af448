"""Data between nodes: what is brought where, from whom, and what must not be lost with a node.

A node sends to few others at a time, so that data that many need spread over ever more senders, as in a tree. Whoever
waits for a value at a node is told when it is there (`Moving.arrived`), or begins anew if it cannot be brought.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from taskflow.core.graph import DONE, FILE, HELD, READY, SEGMENT, Task, Version
from taskflow.model.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskflow.core.crew import Crew
    from taskflow.core.master import Master

MANY_PLACES = 16  #: data in more places than this draw a task nowhere
SEND_TO = 2  #: nodes that one node sends large data to at a time
SEND_SMALL_TO = 16  #: and data smaller than `SMALL_BYTES`
SMALL_BYTES = 1 << 20
BYTES_PER_S = 500e6  #: what a transfer is reckoned with until some have been seen
MAX_TRANSFER_FAILURES = 4  #: of one value to one node, before the tasks that need it there go elsewhere
MAX_STRANDED = 3  #: nodes on which a task could not have its data, before it fails


class Securing:
    """A task that has ended, and whose results are being brought home before that counts."""

    __slots__ = ("missing", "outputs", "task")

    def __init__(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        self.task = task
        self.outputs = outputs
        self.missing = 0


class Unserved:
    """Transfers for which all that have the value are busy: by value, and by who could send it."""

    def __init__(self) -> None:
        self.targets: dict[Any, dict[int, None]] = {}  # of each value, in the order they came
        self._values: dict[tuple[int, bool], dict[Any, None]] = {}  # at a node, small or not: the next to send is first

    def __contains__(self, key: tuple[Any, int]) -> bool:
        return key[1] in self.targets.get(key[0], ())

    def add(self, key: tuple[Any, int]) -> None:
        """The value is to be brought to the node as soon as somebody can send it."""
        value, target = key
        targets = self.targets.get(value)
        if targets is None:
            targets = self.targets[value] = {}
            for number in value.places:
                self.found(value, number)
        targets[target] = None

    def remove(self, key: tuple[Any, int]) -> None:
        """It does not wait any more."""
        value, target = key
        targets = self.targets.get(value)
        if targets is None:
            return
        targets.pop(target, None)
        if not targets:
            del self.targets[value]
            for number in value.places:
                self.lost(value, number)

    def found(self, value: Any, number: int) -> None:
        """The node has the value: it could send it, if anybody waits for that."""
        if value in self.targets:
            self._values.setdefault((number, _is_small(value)), {})[value] = None

    def lost(self, value: Any, number: int) -> None:
        """The node cannot send the value any more."""
        values = self._values.get((number, _is_small(value)))
        if values is not None:
            values.pop(value, None)
            if not values:
                del self._values[number, _is_small(value)]

    def take(self, number: int, *, small: bool, refused: Mapping[tuple[Any, int], set[int]]) -> tuple[Any, int] | None:
        """What the node is to send next, the values taking turns; None: nothing. It does not wait any more then."""
        values = self._values.get((number, small), {})
        for _ in range(len(values)):  # it is the first, unless somebody cannot have it from this node
            value = next(iter(values))
            values[value] = values.pop(value)
            for target in self.targets[value]:
                if number not in refused.get((value, target), ()):
                    self.remove((value, target))
                    return value, target
        return None


def _is_small(value: Any) -> bool:
    return bool(value.nbytes < SMALL_BYTES)


class Moving:
    """The part of a dispatch that moves data.

    ``transfers`` is a command: (value, number of the node to bring it to, number of the node that has it).
    """

    kernel: Master

    def __init__(self) -> None:
        self.transfers: list[tuple[Any, int, int]] = []
        self.bytes_per_s = BYTES_PER_S
        self._sending: dict[int, int] = {}
        self._moving: dict[tuple[Any, int], int] = {}  # (value, target): source, or -1 while no source is free
        self._awaiting: dict[tuple[Any, int], list[Task]] = {}
        self._unserved = Unserved()
        self._securing: dict[Any, list[Version | Securing]] = {}
        self._failures: dict[tuple[Any, int], int] = {}
        self._refused: dict[tuple[Any, int], set[int]] = {}  # sources from which there is no way
        self._stored: dict[int, weakref.WeakKeyDictionary[Any, None]] = {}  # values by node, in the order they came
        # Values that bodies of tasks wait for, by node, and why they cannot be had there: no task awaits them.
        self._wanted: weakref.WeakKeyDictionary[Any, dict[int, TransferError | None]] = weakref.WeakKeyDictionary()

    def settled(self, crew: Crew) -> None:
        """The crew may have room (`core.dispatch`)."""
        raise NotImplementedError

    def _enter(self, task: Task, crew: Crew) -> None:
        """All that the task reads is at the node (`core.dispatch`)."""
        raise NotImplementedError

    def has_changed(self, crew: Crew) -> None:
        """Tasks have been taken from the crew (`core.dispatch`)."""
        raise NotImplementedError

    def serve_soon(self) -> None:
        """See to it that `serve` is called (`core.dispatch`)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ where data are

    @staticmethod
    def is_at(version: Version, number: int) -> bool:
        """Whether the node has the version, which is stored somewhere."""
        at = getattr(version.value, "at", None)
        return number == 0 if at is None else at(number)

    def is_safe(self, state: int, value: Any) -> bool:
        """Whether a result with this state and value cannot be lost with a node; keep in mind where it is."""
        if state != SEGMENT and state != FILE:
            return True
        for number in getattr(value, "places", ()):
            if number:
                self._note_place(number, value)
        at = getattr(value, "at", None)
        return at is None or at(0)

    def brought(self, version: Version, number: int) -> bool:
        """Whether the node has the version, which is stored somewhere; if not, it is brought there."""
        there = self.is_at(version, number)
        if not number:
            if there:
                version.producer = None
            elif version not in (waiting := self._securing.setdefault(version.value, [])):
                waiting.append(version)
        if not there:
            if number:
                wanted = self._wanted.setdefault(version.value, {})
                if wanted.setdefault(number, None) is not None:
                    return True  # it never will be: see `why_not_there`
            self.fetch(version.value, number)
        return there

    def why_not_there(self, version: Version, number: int) -> TransferError | None:
        """Why a stored version that was waited for cannot be had on the node; None: it is there. Told once."""
        error = self._wanted.get(version.value, {}).pop(number, None)
        return None if self.is_at(version, number) else error

    def _note_place(self, number: int, value: Any) -> None:
        stored = self._stored.get(number)
        if stored is None:
            stored = self._stored[number] = weakref.WeakKeyDictionary()
        stored[value] = None

    def stage(self, task: Task, crew: Crew) -> None:
        """Bring what the task reads to the node of the crew; it is given to the crew then."""
        keys: dict[tuple[Any, int], None] = {}  # each once, in their order
        task.state = READY
        for version in task.reads:
            state = version.state
            if state < SEGMENT or state == HELD or self.is_at(version, crew.number):
                continue
            if state > FILE or version.value.lost:
                self.kernel.requeue(task)
                return
            keys[version.value, crew.number] = None
        for key in keys:
            waiting = self._awaiting.setdefault(key, [])
            if task not in waiting:  # it may have been sent back from there because of something else
                waiting.append(task)
            self.fetch(*key)
        task.absent = len(keys)
        crew.coming[task.id] = task

    def fetch(self, value: Any, target: int) -> None:
        """Have the value brought to the node."""
        key = (value, target)
        if key in self._moving:
            return
        source = self._source(value, target)
        if source is None:
            self._wait_for_source(key)
        else:
            self._begin(key, source)

    def _wait_for_source(self, key: tuple[Any, int]) -> None:
        self._moving[key] = -1
        self._unserved.add(key)

    def _begin(self, key: tuple[Any, int], source: int) -> None:
        self._moving[key] = source
        self._sending[source] = self._sending.get(source, 0) + 1
        self.transfers.append((*key, source))

    def _source(self, value: Any, target: int) -> int | None:
        """The node to get the value from: the one that sends least. None: all are busy."""
        limit = SEND_SMALL_TO if _is_small(value) else SEND_TO
        refused = self._refused.get((value, target), ())
        best: int | None = None
        least = limit
        for number in value.places:
            sending = self._sending.get(number, 0)
            if sending < least and number not in refused and number in self.kernel.crews:
                best, least = number, sending
                if not sending:
                    break
        return best

    def arrived(self, value: Any, target: int) -> None:
        """The value is at the node now."""
        key = (value, target)
        source = self._end(key)
        self._failures.pop(key, None)
        self._refused.pop(key, None)
        self._wanted.get(value, {}).pop(target, None)
        if target not in self.kernel.crews:
            return
        value.places.add(target)
        self._unserved.found(value, target)
        if target:
            self._note_place(target, value)
        else:
            self._secured(value)
        crew = self.kernel.crews[target]
        for task in self._awaiting.pop(key, ()):
            if crew.coming.get(task.id) is not task:
                continue
            task.absent -= 1
            if not task.absent:
                del crew.coming[task.id]
                if task.state == READY:
                    self._enter(task, crew)
        self.serve_soon()
        self._send_more(source)
        self._send_more(target)
        self.settled(crew)

    def measured(self, nbytes: int, seconds: float) -> None:
        """A transfer of so many bytes took so long: what later ones are reckoned with."""
        if nbytes >= SMALL_BYTES and seconds > 0:
            self.bytes_per_s += (nbytes / seconds - self.bytes_per_s) * 0.2

    def _end(self, key: tuple[Any, int]) -> int:
        """It is not on its way any more, nor waits for a source; returns the source, -1 if it had none."""
        source = self._moving.pop(key, -1)
        if source in self._sending:
            self._sending[source] -= 1
            if not self._sending[source]:
                del self._sending[source]
        elif source == -1:
            self._unserved.remove(key)
        return source

    def _send_more(self, number: int) -> None:
        """The node may be able to send something that others wait for."""
        if number not in self.kernel.crews:
            return
        for small, limit in ((True, SEND_SMALL_TO), (False, SEND_TO)):
            while self._sending.get(number, 0) < limit:
                key = self._unserved.take(number, small=small, refused=self._refused)
                if key is None:
                    break
                self._begin(key, number)

    def transfer_failed(
        self, value: Any, target: int, source: int, why: str, *, at_source: bool = False, full: bool = False
    ) -> None:
        """The value could not be brought to the node.

        ``at_source``: the source does not have it (any more); ``full``: the node has no room, whoever sends it.
        """
        key = (value, target)
        if self._moving.get(key) != source:
            return
        self._end(key)
        if at_source and source:
            self._unserved.lost(value, source)
            value.places.discard(source)
            if not value.places:
                for other in list(self._unserved.targets.get(value, ())):
                    self._send_back((value, other))
            self._go_by_home()
        elif target and source:
            self._refused.setdefault(key, set()).add(source)  # there may be no way between the two: try others
        else:
            self._failures[key] = self._failures.get(key, 0) + 1
        if not value.places or target not in self.kernel.crews:
            self._send_back(key)
        elif full or self._failures.get(key, 0) >= MAX_TRANSFER_FAILURES:
            self._stop_trying(key, TransferError(why))
        elif self._all_refused(key):
            self.fetch(value, 0)  # by way of home
            self._wait_for_source(key)
        else:
            self.fetch(value, target)
        self._send_more(source)

    def _all_refused(self, key: tuple[Any, int]) -> bool:
        refused = self._refused.get(key, set())
        return bool(refused) and all(number in refused for number in key[0].places)

    def _go_by_home(self) -> None:
        """A node is lost, or does not have a value: others that have it may have no way to those that wait for it."""
        for key in self._refused:
            if self._moving.get(key) == -1 and self._all_refused(key):
                self.fetch(key[0], 0)

    def _stop_trying(self, key: tuple[Any, int], error: TransferError) -> None:
        """The value cannot be brought to the node."""
        value, target = key
        self._forget(key)
        if target in self._wanted.get(value, ()):
            self._wanted[value][target] = error
        crew = self.kernel.crews[target]
        for task in self._awaiting.pop(key, ()):
            if crew.coming.pop(task.id, None) is not None and task.state == READY:
                self._send_elsewhere(task, crew, error)
        self.has_changed(crew)
        if target:
            return
        self._fail_securing(value, error)
        for other in [(value, number) for number in self._unserved.targets.get(value, ())]:
            if self._all_refused(other):
                self._stop_trying(other, error)

    def _forget(self, key: tuple[Any, int]) -> None:
        self._end(key)
        self._failures.pop(key, None)
        self._refused.pop(key, None)

    def _send_elsewhere(self, task: Task, crew: Crew, error: TransferError) -> None:
        """The task cannot have its data on the node: it goes to another one, or fails if it has been to several."""
        task.stranded += 1
        if task.stranded < MAX_STRANDED and self.avoid(task, crew):
            self.kernel.requeue(task)
        else:
            self.kernel.fail_anew(task, error)

    def avoid(self, task: Task, crew: Crew) -> bool:
        """Have the task run on another node, once it is ready; False if there is none where it can."""
        if task.function.spread:
            return False
        numbers = [
            other.number for other in self.kernel.crews.values() if other is not crew and other.fits(task.function)
        ]
        if numbers:
            task.pin = numbers[task.id % len(numbers)]
        return bool(numbers)

    def _send_back(self, key: tuple[Any, int]) -> None:
        """The value is lost, or the node is: the tasks that wait for it there begin anew."""
        crew = self.kernel.crews.get(key[1])
        self._forget(key)
        if crew is not None:
            self.has_changed(crew)
        for task in self._awaiting.pop(key, ()):
            if crew is not None and crew.coming.pop(task.id, None) is None:
                continue
            if task.state == READY:
                self.kernel.requeue(task)
        if not key[0].places:
            self._lose(key[0])

    # ------------------------------------------------------------------ results that must not be lost

    def secure(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> bool:
        """See to it that the results of a task that must be safe are: True if its end is not to be entered yet.

        Members of groups are not over before what they have written is at home: nobody could make it again.
        """
        if not task.durable:
            return False
        if not any(version is not None and version.group is not None for version in task.writes):
            self._bring_home_later(task, outputs)
            return False
        securing = Securing(task, outputs)
        for version, (state, value) in zip(task.writes, outputs, strict=True):
            if version is None:
                continue
            if not self.is_safe(state, value):
                securing.missing += 1
                self._securing.setdefault(value, []).append(securing)
                self.fetch(value, 0)
        return securing.missing > 0

    def _bring_home_later(self, task: Task, outputs: Sequence[tuple[int, Any]]) -> None:
        for version, (state, value) in zip(task.writes, outputs, strict=True):
            if version is not None and not self.is_safe(state, value):
                self._securing.setdefault(value, []).append(version)
                self.fetch(value, 0)

    def _secured(self, value: Any) -> None:
        for waiting in self._securing.pop(value, ()):
            if isinstance(waiting, Version):
                if waiting.value is value:
                    waiting.producer = None
                continue
            waiting.missing -= 1
            if not waiting.missing and waiting.task.state < DONE:
                self.kernel.end_secured(waiting.task, waiting.outputs)

    def _lose(self, value: Any) -> None:
        """No node has the value any more."""
        for waiting in self._securing.pop(value, ()):
            if not isinstance(waiting, Version) and waiting.task.state < DONE and waiting.missing > 0:
                waiting.missing = -1
                waiting.task.executor = None
                self.kernel.requeue(waiting.task)

    def _fail_securing(self, value: Any, error: TransferError) -> None:
        for waiting in self._securing.pop(value, ()):
            if isinstance(waiting, Version):
                self.kernel.fail_version(waiting, error)
            elif waiting.task.state < DONE:
                self.kernel.fail_anew(waiting.task, error)

    # ------------------------------------------------------------------ nodes that are lost

    def _forget_data(self, number: int) -> None:
        """The node is lost, and what only it had."""
        for notes in (self._failures, self._refused):
            for key in [key for key in notes if key[1] == number]:
                del notes[key]
        self._sending.pop(number, None)
        self.transfers[:] = [transfer for transfer in self.transfers if number not in transfer[1:]]
        lost = [value for value in self._stored.pop(number, ()) if number in value.places]
        for value in lost:
            self._unserved.lost(value, number)
            value.places.discard(number)
        for key, source in list(self._moving.items()):
            if key[1] == number:
                self._end(key)
                self._awaiting.pop(key, None)
            elif source == number:
                del self._moving[key]
                if key[0].places:
                    self.fetch(*key)
                else:
                    self._send_back(key)
            elif source == -1 and not key[0].places:
                self._send_back(key)
        for value in lost:
            if not value.places:
                self._lose(value)
        self._go_by_home()
        for other in self.kernel.crews:
            self._send_more(other)

    def _being_secured(self) -> list[Task]:
        """Tasks that have ended, but for what is being brought home."""
        tasks: dict[int, Task] = {}
        for held in self._securing.values():
            for waiting in held:
                if isinstance(waiting, Securing) and waiting.missing > 0 and waiting.task.state < DONE:
                    tasks[waiting.task.id] = waiting.task
        return list(tasks.values())


def places_of(version: Version) -> Iterator[tuple[int, float]]:
    """(number of a node, bytes) for each place that a stored version is in; nothing if these are too many."""
    state = version.state
    value = version.value
    if state == HELD:
        yield value.executor.crew.number, value.nbytes
    elif state == SEGMENT or state == FILE:
        places = getattr(value, "places", None)
        if places is not None and len(places) <= MANY_PLACES:
            nbytes = value.nbytes
            for number in places:
                yield number, nbytes


def weights_of(task: Task) -> dict[int, float]:
    """Bytes of what the task reads, by the number of the node that has them."""
    weights: dict[int, float] = {}
    for index, version in enumerate(task.reads):
        for number, nbytes in places_of(version):
            if task.weights is not None:
                nbytes *= task.weights.get(index, 1.0)  # noqa: PLW2901
            weights[number] = weights.get(number, 0.0) + nbytes
    return weights
