"""The data server of a node: gives what others ask for, and takes what they put.

One thread for each connection: TLS and the reading and writing of files happen without the interpreter's lock. In an
agent it lives in the agent's process; the master's machine has a process of its own for it (`main`), so that bulk data
cost the main program nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from taskflow.data.connections import IDLE_S, SILENCE_S, BrokenConnectionError, Connection
from taskflow.data.folders import Folders, Item, RefusedError
from taskflow.data.receiving import PART_BYTES, DeclinedError, Reception
from taskflow.data.sending import answer, item_in
from taskflow.wire.door import Door
from taskflow.wire.security import Hello, RunKeys, server_context

if TYPE_CHECKING:
    import ssl

HELP_S = 10.0  #: how long what has come is kept after all connections that brought it broke
MAX_CONNECTIONS = 512
OLD_RECEPTIONS = 1000  #: puts whose ends are remembered, for those who were cut off before they could be told


class DataServer:
    """Serves the data of one node of a run on a socket that listens.

    ``refused``: called with the address of a connection that was not let in, and why.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        run: str,
        folders: Folders,
        *,
        silence_s: float = SILENCE_S,
        help_s: float = HELP_S,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._folders = folders
        self._silence_s = silence_s
        self._help_s = help_s
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._receptions: dict[str, Reception] = {}
        self._door = Door(listener, context, run, self._admit, self._enter, lambda *_: None)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._door.port

    def close(self) -> None:
        """Serve nobody any more; what is on its way here leaves nothing behind."""
        self._door.close()
        with self._lock:
            connections = list(self._connections)
            receptions = list(self._receptions.values())
        for reception in receptions:
            reception.give_up("the server ends")
        for connection in connections:
            connection.shut()

    def _admit(self, hello: Hello) -> str:
        if hello.kind != "data":
            return f"this is a server for data, not for {hello.kind[:20]!r}"
        return "" if len(self._connections) < MAX_CONNECTIONS else "it has too many connections"

    def _enter(self, sock: ssl.SSLSocket, hello: Hello) -> None:
        connection = Connection(sock, f"node {hello.node}", self._silence_s)
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._serve, args=[connection], name="taskflow-data", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            while True:
                message = connection.receive_message(patience_s=IDLE_S)
                if message.get("op") == "get":
                    answer(connection, self._folders, message)
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
            if not reception.wait_for_help(self._help_s):
                reception.give_up("all connections that brought it broke")
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
                target = self._folders.target(Item(str(message.get("kind")), str(message.get("target"))))
                item = item_in({**message, "name": message.get("source")})
                reception = self._receptions[key] = Reception(item, target, self._part_bytes)
                for old in list(self._receptions)[:-OLD_RECEPTIONS]:
                    if self._receptions[old].ended:
                        del self._receptions[old]
            return reception


# ---------------------------------------------------------------------- a process of its own


def main() -> None:
    """Serve until standard input ends: the first line is the configuration; the port is written to standard output.

    Configuration: run, certificate, key, segments, roots, secret (see `data.folders`), host (to listen on).
    """
    settings = json.loads(sys.stdin.buffer.readline())
    listener = socket.create_server((settings["host"], 0), backlog=128)
    context = server_context(RunKeys(settings["certificate"], settings["key"]))
    folders = Folders(settings["segments"], settings["roots"], settings["secret"])
    server = DataServer(listener, context, settings["run"], folders)
    print(json.dumps({"port": server.port}), flush=True)  # noqa: T201  the parent reads it
    with contextlib.suppress(KeyboardInterrupt):
        while os.read(sys.stdin.fileno(), 65536):
            pass
    server.close()
    os._exit(0)  # threads that wait for a silent peer do not matter any more
