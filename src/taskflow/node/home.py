"""The process that serves the master's machine to the nodes: its data, and programs of tasks on several nodes.

It is a process of its own, so that bulk data cost the main program nothing, and it ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from typing import TYPE_CHECKING

from taskflow.data.serve import DataServer, DataService, token_for
from taskflow.data.shares import Shares
from taskflow.node.elsewhere import PROGRAM, Elsewhere
from taskflow.wire.security import HANDSHAKE_S, Hello, RunKeys, client_context, connect, server_context

if TYPE_CHECKING:
    import ssl

    from taskflow.data.connections import Address


def main() -> None:
    """Serve until standard input ends; what it has been started for is written to standard output: port and launcher.

    The first line of standard input is the configuration: run, certificate, key, segments, roots, secret (see
    `data.shares`), host (to listen on), timeout, settings (those of executors). Each other line is a note for
    `Elsewhere.hear`.
    """
    config = json.loads(sys.stdin.buffer.readline())
    keys = RunKeys(config["certificate"], config["key"])
    context = client_context(keys)

    def dial(address: Address) -> ssl.SSLSocket:
        host, port, number = address
        return connect((host, port), context, Hello(config["run"], PROGRAM, 0, token_for(number)), HANDSHAKE_S)

    listener = socket.create_server((config["host"], 0), backlog=128)
    elsewhere = Elsewhere("home", 0, config["settings"], dial, config["timeout"], config["segments"])
    shares = Shares(config["segments"], config["roots"], config["secret"])
    service = DataService(shares)
    server = DataServer(listener, server_context(keys), config["run"], service, {PROGRAM: elsewhere})
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # interrupted, or the parent is gone already
        os.write(sys.stdout.fileno(), json.dumps({"port": server.port}).encode() + b"\n")
        for line in sys.stdin.buffer:
            elsewhere.hear(json.loads(line))
    server.close()
    elsewhere.close()
    os._exit(0)  # threads that wait for a silent peer do not matter any more
