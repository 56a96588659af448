"""Tells the agents which nodes an attempt at a task has reserved: its programs reach these, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskflow.data.replicas import HOME
from taskflow.node.span import LAUNCHER_VARIABLE, SPAN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskflow.drivers.remote import Nodes
    from taskflow.drivers.transfers import Carrier


class Spans:
    """The attempts at tasks with several nodes that run now. Its methods are called with the engine's lock held."""

    def __init__(self, nodes: Nodes, carrier: Carrier) -> None:
        self._nodes = nodes
        self._carrier = carrier
        self._count = 0
        self._running: dict[Hashable, tuple[str, list[int]]] = {}

    def begin(self, key: Hashable, hosts: Sequence[tuple[str, int]]) -> dict[str, str]:
        """An attempt is about to be sent to the first of these nodes: (name in COMPSS_HOSTNAMES, number), 0: home.

        Variables of its environment. To be called before the attempt is sent: what an agent is told comes in order.
        """
        self._count += 1
        name = f"{self._nodes.run}/{self._count}"
        numbers = [number for _, number in hosts]
        self._running[key] = (name, numbers)
        for asking in numbers:
            addresses = {host: self._carrier.address(number, asking) for host, number in hosts}
            self._tell(asking, "span", span=name, hosts=addresses)
        return {SPAN_VARIABLE: name, LAUNCHER_VARIABLE: self._launcher(numbers[0])}

    def _launcher(self, number: int) -> str:
        if number == HOME:
            return self._carrier.home_launcher
        return str(self._nodes.nodes[number].facts["launcher"])

    def end(self, key: Hashable) -> None:
        """An attempt has ended, however that was, or will not be sent after all. Does nothing if that is known."""
        name, numbers = self._running.pop(key, ("", []))
        for number in numbers:
            self._tell(number, "span over", span=name)

    def _tell(self, number: int, what: str, **fields: Any) -> None:
        if number == HOME:
            self._carrier.tell_home(what, **fields)
        elif number in self._nodes.nodes:  # else it has just been lost
            self._nodes.nodes[number].note(what, **fields)
