"""The data server of a node: gives what others ask for, and takes what they put.

One thread for each connection: TLS and the reading and writing of files happen without the interpreter's lock. In an
agent it lives in the agent's process; the master's machine has a process of its own for it (`node.home`), so that bulk
data cost the main program nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from taskflow.data.connections import IDLE_S, SILENCE_S, BrokenConnectionError, Connection
from taskflow.data.receiving import PART_BYTES, DeclinedError, Reception
from taskflow.data.sending import answer, item_in
from taskflow.data.shares import Item, RefusedError, Shares
from taskflow.wire.door import Door

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping

    from taskflow.wire.security import Hello

HELP_S = 10.0  #: how long what has come is kept after all connections that brought it broke
MAX_CONNECTIONS = 512
OLD_RECEPTIONS = 1000  #: puts whose ends are remembered, for those who were cut off before they could be told


class DataService:
    """Serves the data of one node over connections that others have opened and proved. ``number``: of the node."""

    def __init__(
        self,
        shares: Shares,
        number: int = 0,
        *,
        silence_s: float = SILENCE_S,
        help_s: float = HELP_S,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._shares = shares
        self._number = number
        self._silence_s = silence_s
        self._help_s = help_s
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._receptions: dict[str, Reception] = {}

    def admit(self, hello: Hello) -> str:
        """Whether who says this may use the data: "" or why not."""
        if hello.kind != "data":
            return f"this is a server for data, not for {hello.kind[:20]!r}"
        if hello.token != token_for(self._number):
            return "another node was meant"  # two may have the same address, each in its own network
        return "" if len(self._connections) < MAX_CONNECTIONS else "it has too many connections"

    def enter(self, sock: ssl.SSLSocket, hello: Hello) -> None:
        """Serve a connection that has been admitted, in a thread of its own."""
        connection = Connection(sock, f"node {hello.node}", self._silence_s)
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._serve, args=[connection], name="taskflow-data", daemon=True).start()

    def close(self) -> None:
        """Serve nobody any more; what is on its way here leaves nothing behind."""
        with self._lock:
            connections = list(self._connections)
            receptions = list(self._receptions.values())
        for reception in receptions:
            reception.give_up("the server ends")
        for connection in connections:
            connection.shut()

    def _serve(self, connection: Connection) -> None:
        try:
            while True:
                message = connection.receive_message(patience_s=IDLE_S)
                if message.get("op") == "get":
                    answer(connection, self._shares, message)
                elif message.get("op") == "put":
                    self._take(connection, message)
                else:
                    return
        except BrokenConnectionError:
            pass  # whoever it was knows it, too, or is gone
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    # ------------------------------------------------------------------ what others put

    def _take(self, connection: Connection, message: dict[str, Any]) -> None:
        key = str(message.get("id"))
        try:
            reception = self._reception(key, message)
            reception.work(connection, wait=False)
        except BrokenConnectionError:
            reception.wait_for_help(self._help_s)
            raise
        except DeclinedError as error:
            connection.send_message(why=str(error), absent=error.absent)
        except (RefusedError, OSError) as error:
            # The other side may be in the middle of sending: then it finds the connection closed and asks again.
            why = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            connection.send_message(why=why, absent=False)
        else:
            connection.send_message(whole=reception.whole)

    def _reception(self, key: str, message: dict[str, Any]) -> Reception:
        """What several connections bring together. Raises RefusedError if it may not be put there."""
        with self._lock:
            reception = self._receptions.get(key)
            if reception is None:
                target = self._shares.target(Item(str(message.get("kind")), str(message.get("target"))))
                item = item_in({**message, "name": message.get("source")})
                reception = self._receptions[key] = Reception(item, target, self._part_bytes)
                for old in list(self._receptions)[:-OLD_RECEPTIONS]:
                    if self._receptions[old].ended:
                        del self._receptions[old]
            return reception


def token_for(number: int) -> str:
    """What a data connection says in its hello: the node that it means. TLS has proved who says it."""
    return f"for node {number}"


class Service(Protocol):
    """What connections of one kind are for."""

    def admit(self, hello: Hello) -> str:
        """Whether who says this may come in: "" or why not."""

    def enter(self, sock: ssl.SSLSocket, hello: Hello) -> None:
        """Take over a connection that has been admitted. Does not wait."""


class DataServer:
    """A data service behind a door of its own, on a socket that listens. ``others``: services for other connections."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        run: str,
        service: DataService,
        others: Mapping[str, Service] | None = None,
    ) -> None:
        self._service = service
        self._others = others or {}
        self._door = Door(
            listener, context, run,
            lambda hello: self._for(hello).admit(hello), lambda sock, hello: self._for(hello).enter(sock, hello),
            lambda *_: None,
        )  # fmt: skip

    def _for(self, hello: Hello) -> Service:
        return self._others.get(hello.kind, self._service)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._door.port

    def close(self) -> None:
        """Let nobody in any more, and end the service."""
        self._door.close()
        self._service.close()
