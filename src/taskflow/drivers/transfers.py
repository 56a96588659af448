"""The master's book of transfers: carries out what the kernel has decided about data of several nodes.

::

    Dispatch.transfers ──► Carrier ── note: get ──► agent that needs it ──► data server of the node that has it, or home
                              │  └─── note: put ──► agent that has it ────► data server of home
    Dispatch.arrived   ◄──────┴◄─── notes: moved, unmoved

Bulk data never pass the main program: home has a data server in a process of its own. Only with a tunnel they come
over the main program's port (see `DataService`), since that is the only way to home then.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from taskflow.data.replicas import HOME, Ledger, UserPath
from taskflow.data.serve import DataService
from taskflow.data.shares import Shares, ticket
from taskflow.launch.spawn import package_path
from taskflow.model.errors import TaskflowError

if TYPE_CHECKING:
    from taskflow.data.connections import Address
    from taskflow.drivers.live import LiveEngine
    from taskflow.drivers.remote import Nodes, RemoteNode
    from taskflow.wire.security import RunKeys

START_S = 20.0  #: longest that the data server of home may take to start
MEASURED_BYTES = 4 << 20  #: transfers of at least so much tell how fast the network is


class Transfer(NamedTuple):
    """A transfer that is under way."""

    value: Any
    target: int
    source: int


class HomeServer:
    """What serves the master's machine to nodes (see `node.home`), in a process of its own that ends with this one.

    ``settings``: of executors; ``timeout``: see `wire.agent`.
    """

    def __init__(
        self, run: str, keys: RunKeys, shares: Shares, host: str, settings: dict[str, Any], timeout: float
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from taskflow.node.home import main; main()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "PYTHONPATH": package_path()},
        )  # fmt: skip
        self.tell({
            "run": run, "certificate": keys.certificate, "key": keys.key, "segments": shares.segments,
            "roots": shares.roots, "secret": shares.secret, "host": host, "settings": settings, "timeout": timeout,
        })  # fmt: skip
        self._port = 0

    def tell(self, what: dict[str, Any]) -> None:
        """Write it a line. If it has ended, that is noticed where something is wanted of it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def port(self) -> int:
        """Where it listens; waits until it does. Raises TaskflowError if it cannot be started."""
        if not self._port:
            output = self._process.stdout
            assert output is not None
            line = output.readline() if select.select([output], [], [], START_S)[0] else b""
            if not line:
                raise TaskflowError(
                    "the process that serves the data of this machine to the nodes could not be started "
                    f"({self._process.poll()}); what it wrote is above"
                )
            self._port = int(json.loads(line)["port"])
        return self._port

    def leave_to_parent(self) -> None:
        """In a forked child: close this process's ends."""
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                file.close()

    def close(self) -> None:
        """End it."""
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                file.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Carrier:
    """Its methods are called with the engine's lock held."""

    def __init__(self, engine: LiveEngine, nodes: Nodes, ledger: Ledger) -> None:
        self._engine = engine
        self._nodes = nodes
        self._ledger = ledger
        self._shares = Shares(engine.store.directory, [engine.files_dir], secrets.token_hex(16))
        self._tunnel = nodes.options.tunnel
        #: Serves nodes that come over the main program's own port.
        self.service = DataService(self._shares)
        self._server: HomeServer | None = None
        self._running: dict[int, Transfer] = {}
        self._count = 0
        if not self._tunnel:
            self._start_server()

    def _start_server(self) -> None:
        options = self._nodes.options
        settings = {name: self._engine.settings[name] for name in ("run_dir", "scratch", "cwd", "path")}
        self._server = HomeServer(
            self._nodes.run, self._nodes.keys, self._shares, options.listen, settings, options.node_timeout
        )

    # ------------------------------------------------------------------ what is to be done

    def join(self, node: RemoteNode) -> None:
        """A node is there."""
        self._ledger.join(node.number, node.place.setup.disks)
        self._engine.files_dirs[node.number] = node.facts["files"]

    def go(self) -> None:
        """Have the transfers begun that the kernel wants, and copies removed that nobody needs."""
        dispatch = self._engine.kernel.dispatch
        assert dispatch is not None
        while dispatch.transfers:
            transfers, dispatch.transfers = dispatch.transfers, []
            for value, target, source in transfers:
                self._begin(Transfer(value, target, source))
        if self._ledger.drops:
            self._send_drops()

    def _begin(self, transfer: Transfer) -> None:
        value, target, source = transfer
        nodes = self._nodes.nodes
        worker = nodes.get(target or source)  # the agent that does it
        if worker is None or (source and source not in nodes):
            return  # the node is being lost: the kernel is told, or has just been
        self._count += 1
        self._running[self._count] = transfer
        fields = {"id": self._count, "kind": value.kind, "source": value.source_at(source)}
        if value.base_name:
            # An earlier transfer to the node may be over yet, and its copy counts: there is one path for all of them.
            path = value.paths.get(target) or self._engine.new_path(value.base_name, target)
            value.put_at(target, path)
            fields["target"] = path
        else:
            fields["target"] = fields["source"]
        if not target:
            worker.note("put", **fields, address=self._home_address())
        elif not source:
            if isinstance(value, UserPath):
                fields["ticket"] = ticket(self._shares.secret, value.path)
            worker.note("get", **fields, address=self._home_address())
        else:
            worker.note("get", **fields, address=self._address_of(nodes[source], worker))

    def _home_address(self) -> Address:
        """Home, by the address at which the agent has found the main program; port 0: that of the main program."""
        if self._tunnel:
            return ("", 0, HOME)
        return ("", self.server.port, HOME)

    @property
    def server(self) -> HomeServer:
        """What serves home, if there is no tunnel. Another one is started if it has ended."""
        if self._server is None or not self._server.alive:
            self._start_server()
        assert self._server is not None
        return self._server

    @property
    def home_launcher(self) -> str:
        """By what programs at home reach other nodes (see `node.elsewhere`); "" with a tunnel."""
        return "" if self._tunnel else f"{self._engine.run_dir}/launcher"

    def tell_home(self, what: str, **fields: Any) -> None:
        """Send a note to what serves home, if there is no tunnel."""
        if not self._tunnel:
            self.server.tell({"note": what, **fields})

    def address(self, number: int, asking: int) -> Address:
        """Where a node, or home, can probably be reached by another; port 0: there is no way."""
        nodes = self._nodes.nodes
        if number == HOME:
            host, port, _ = self._home_address()
            return ("127.0.0.1" if asking == HOME else host, port, HOME)
        return self._address_of(nodes[number], nodes.get(asking))

    def _address_of(self, node: RemoteNode, asking: RemoteNode | None) -> Address:
        """Where a node can probably be reached by another, None: by home. If it cannot, the kernel tries other ways."""
        host = node.peer
        if not host:
            # It is on this machine, which others know by the address at which they have found the main program. With a
            # tunnel all seem to be here.
            local = asking is None or not asking.peer
            host = node.place.setup.host if self._tunnel else "127.0.0.1" if local else ""
        return (host, int(node.facts["data_port"]), node.number)

    def _send_drops(self) -> None:
        drops = self._ledger.drops
        items: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        while drops:
            number, kind, name = drops.popleft()
            items[number].append((kind, name))
        for number, dropped in items.items():
            node = self._nodes.nodes.get(number)
            if node is not None:
                node.note("drop", items=dropped)

    # ------------------------------------------------------------------ what has been done

    def enter(self, node: RemoteNode, note: dict[str, Any]) -> None:
        """An agent tells how a transfer has ended."""
        transfer = self._running.pop(note["id"], None)
        if transfer is None:
            return
        value, target, source = transfer
        engine = self._engine
        dispatch = engine.kernel.dispatch
        assert dispatch is not None
        if note["note"] == "moved":
            nbytes, seconds = note["bytes"], note["seconds"]
            engine.journal.write({
                "e": "moved", "t": engine.now_us(), "from": source, "to": target, "bytes": nbytes,
                "us": int(seconds * 1e6), "what": value.kind,
            })  # fmt: skip
            if nbytes >= MEASURED_BYTES and seconds > 0:
                dispatch.bytes_per_s += 0.3 * (nbytes / seconds - dispatch.bytes_per_s)
            if value.base_name:
                value.put_at(target, value.paths[target], nbytes)
            dispatch.arrived(value, target)
            return
        engine.journal.write({
            "e": "move failed", "t": engine.now_us(), "from": source, "to": target, "why": note["why"],
        })  # fmt: skip
        why = f"on node {node.name}: {note['why']}"
        full = note["full"] and target == node.number
        if full and not node.is_full:
            node.is_full = True
            self._nodes.warn(
                f"there is no room for data on node {node.name}: {note['why']}\n  Tasks that need them run elsewhere."
            )
        # What home does not have any more nobody can make again: that is an error, which the tasks tell.
        absent = note["absent"] and source != HOME
        dispatch.transfer_failed(value, target, source, why, at_source=absent, full=full)

    def lose(self, number: int) -> None:
        """A node is lost. The kernel knows what that means for the transfers."""
        self._engine.files_dirs.pop(number, None)
        for key, transfer in list(self._running.items()):
            if number in (transfer.target, transfer.source):
                del self._running[key]
                worker = self._nodes.nodes.get(transfer.target or transfer.source)
                if worker is not None:
                    worker.note("abandon", id=key)

    def close(self) -> None:
        """The run is over."""
        self.service.close()
        if self._server is not None:
            self._server.close()

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: do not keep the server of home alive."""
        if self._server is not None:
            self._server.leave_to_parent()
