"""Moves data between the machines of a run: what an agent does when the master tells it to get or to put something.

::

    master ── note: get ──► Mover ── thread ──► Reception ── connections ──► server of another node, or of home
    master ── note: put ──► Mover ── thread ──► "put" ── connections ──► server of home, which then gets it from here
    master ◄── note: moved, or unmoved ──┘

Who needs the data gets them: there is one way of receiving, and it checks, publishes and cleans up. An agent cannot be
reached from home (it may be behind a firewall), so there a *put* opens the connection and lets the server ask over it.

Notes, master to agent:
  get      id, kind ("segment", "file", "directory"), source (name, or path there), target (name, or path here),
           address [host, port, number of the node], ticket (see `data.shares`)
  put      id, kind, source (here), target (there), address
  drop     items [[kind, name or path], ...]: not needed here any more
  abandon  id: the transfer is not wanted any more
Notes, agent to master:
  moved    id, bytes, seconds
  unmoved  id, why, absent (the source does not have it), full (there is no room for it here), bytes
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from taskflow.data.connections import (
    SILENCE_S,
    Address,
    BrokenConnectionError,
    Connection,
    Pool,
    UnreachableError,
    place,
)
from taskflow.data.receiving import PART_BYTES, DeclinedError, Reception, no_refusal
from taskflow.data.sending import answer
from taskflow.data.shares import DIRECTORY_ITEM, Item, RefusedError, Shares

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

THREADS = 8  #: transfers of one node at a time
STREAMS = 2  #: connections for one large item: two keep the link busy while parts begin and end
ATTEMPTS = 2  #: after a broken connection, the parts that have not come are asked for once more
PAUSE_S = 0.3  #: before that


class Mover:
    """Carries out the transfers of one node in threads of its own.

    ``connect`` opens a data connection to a node at an address. ``report`` is called with each note for the master, in
    any thread. ``name`` keeps this node's transfers apart from those of others.
    """

    def __init__(
        self,
        shares: Shares,
        connect: Callable[[Address], ssl.SSLSocket],
        report: Callable[[dict[str, Any]], None],
        name: str = "",
        *,
        silence_s: float = SILENCE_S,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._shares = shares
        self._report = report
        self._name = name
        self._part_bytes = part_bytes
        self._pool = Pool(connect, silence_s)
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._pending = 0
        self._running: dict[int, _Transfer] = {}
        self._abandoned: set[int] = set()
        self._closed = False

    def handle(self, note: dict[str, Any]) -> None:
        """Begin what a note of the master asks for; waits for nothing."""
        if note["note"] == "drop":
            self._drop(note["items"])
            return
        with self._lock:
            if note["note"] == "abandon":
                self._abandon(note["id"])
                return
            self._pending += 1
            if self._pending > len(self._threads) and len(self._threads) < THREADS:
                thread = threading.Thread(target=self._work, name="taskflow-mover", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(note)

    def _drop(self, items: list[list[str]]) -> None:
        for kind, name in items:
            with contextlib.suppress(OSError, RefusedError):  # the folder goes at the end of the run, with what is left
                self._shares.drop(Item(kind, name))

    def _abandon(self, number: int) -> None:
        transfer = self._running.get(number)
        if transfer is None:
            self._abandoned.add(number)
        else:
            transfer.abandon()

    def close(self) -> None:
        """Give up all transfers; returns when nothing is left of them."""
        with self._lock:
            self._closed = True
            for transfer in self._running.values():
                transfer.abandon()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(5)
        self._pool.close()

    def _work(self) -> None:
        while (note := self._queue.get()) is not None:
            transfer = _Transfer(self._pool, self._shares, note, self._name, self._part_bytes)
            with self._lock:
                if self._closed or note["id"] in self._abandoned:
                    self._abandoned.discard(note["id"])
                    transfer.abandon()
                self._running[note["id"]] = transfer
            result = transfer.run()
            with self._lock:
                self._pending -= 1
                del self._running[note["id"]]
                self._abandoned.discard(note["id"])
                silent = self._closed
            if not silent:
                self._report(result)


class _Transfer:
    """One get or put."""

    def __init__(self, pool: Pool, shares: Shares, note: dict[str, Any], name: str, part_bytes: int) -> None:
        self._pool = pool
        self._shares = shares
        self._note = note
        self._key = f"{name}-{note['id']}"
        host, port, number = note["address"]
        self._address: Address = (host, port, number)
        self._part_bytes = part_bytes
        self._connections: set[Connection] = set()
        self._abandoned = False
        self._bytes = 0
        self._reception: Reception | None = None

    def abandon(self) -> None:
        """Not wanted any more. Whoever waits for a connection finds it broken."""
        self._abandoned = True
        if self._reception is not None:
            self._reception.give_up("it was not wanted any more")
        for connection in list(self._connections):
            connection.shut()

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise RefusedError("it was not wanted any more")

    def run(self) -> dict[str, Any]:
        """Do it; the note for the master."""
        note = self._note
        began = monotonic()
        why, absent, full = "", False, False
        try:
            (self._get if note["note"] == "get" else self._put)()
        except BrokenConnectionError as error:
            why = str(error)
        except RefusedError as error:
            why, absent = str(error), error.absent
        except OSError as error:
            why, full = str(error.strerror or error), error.errno in (errno.ENOSPC, errno.EDQUOT)
        except Exception as error:  # noqa: BLE001  whatever it is, the master must not wait for this for ever
            why = f"{type(error).__name__}: {error}"
        if not why:
            seconds = round(monotonic() - began, 6)
            return {"note": "moved", "id": note["id"], "bytes": self._bytes, "seconds": seconds}
        way = "brought from" if note["note"] == "get" else "taken to"
        text = f"{note['kind']} {note['source']} could not be {way} {place(self._address)}: {why}"
        return {"note": "unmoved", "id": note["id"], "why": text, "absent": absent, "full": full, "bytes": self._bytes}

    # ------------------------------------------------------------------ getting

    def _get(self) -> None:
        note = self._note
        target = self._shares.target(Item(note["kind"], note["target"]))
        item = Item(note["kind"], note["source"], note.get("ticket", ""))
        self._reception = reception = Reception(item, target, self._part_bytes)
        try:
            self._persist(lambda connection: self._get_over(reception, connection))
        finally:
            self._bytes = reception.received
            reception.give_up("it was given up")

    def _get_over(self, reception: Reception, connection: Connection) -> None:
        helpers: list[threading.Thread] = []

        def call_for_help() -> None:
            for _ in range(STREAMS - 1):
                helper = threading.Thread(target=self._help, args=[reception], name="taskflow-mover", daemon=True)
                helpers.append(helper)
                helper.start()

        try:
            reception.work(connection, call_for_help)
        finally:
            for helper in helpers:
                helper.join()

    def _help(self, reception: Reception) -> None:
        """One more connection for a large item. If it breaks, the first goes on alone, and knows all errors."""
        with contextlib.suppress(BrokenConnectionError, RefusedError, OSError):
            self._once(reception.work)

    # ------------------------------------------------------------------ putting

    def _put(self) -> None:
        note = self._note
        item = Item(note["kind"], note["source"])
        streams = 1
        if note["kind"] != DIRECTORY_ITEM:
            try:
                streams = STREAMS if os.path.getsize(self._shares.source(item)) > self._part_bytes else 1
            except FileNotFoundError:
                raise RefusedError("it is not there", absent=True) from None
        done = threading.Event()

        def put_over(connection: Connection) -> None:
            if self._serve(connection, item):
                done.set()

        def help_put() -> None:
            with contextlib.suppress(BrokenConnectionError, RefusedError, OSError):
                self._once(put_over)

        def put_all(connection: Connection) -> None:
            helpers = [
                threading.Thread(target=help_put, name="taskflow-mover", daemon=True) for _ in range(streams - 1)
            ]  # fmt: skip
            for helper in helpers:
                helper.start()
            try:
                put_over(connection)
            finally:
                for helper in helpers:
                    helper.join()
            if not done.is_set():
                raise BrokenConnectionError(f"a connection to {connection.peer} broke")

        self._persist(put_all)

    def _serve(self, connection: Connection, item: Item) -> bool:
        """Announce the item and answer what the server asks for. True: it has all; False: others bring the rest."""
        before = connection.sent
        try:
            connection.send_message(
                op="put", id=self._key, kind=item.kind, source=item.name, target=self._note["target"]
            )
            while (message := connection.receive_message()).get("op") == "get":
                answer(connection, self._shares, message)
        finally:
            self._bytes += connection.sent - before
        return bool(no_refusal(message)["whole"])

    # ------------------------------------------------------------------ connections

    def _persist(self, work: Callable[[Connection], None]) -> None:
        """Do it over a connection; once more over another if that breaks."""
        for attempt in range(ATTEMPTS):
            if attempt:
                sleep(PAUSE_S)
            try:
                self._once(work)
            except UnreachableError:
                raise  # the master knows other ways, if there are any
            except BrokenConnectionError:
                self._check_wanted()
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def _once(self, work: Callable[[Connection], None]) -> None:
        """Do it over a kept connection, or a new one if there is none or the other side has closed it."""
        while True:
            connection, used = self._pool.take(self._address)
            self._connections.add(connection)
            try:
                self._check_wanted()
                before = connection.received + connection.sent
                work(connection)
            except BrokenConnectionError:
                connection.close()
                if used and connection.received + connection.sent == before and not self._abandoned:
                    self._pool.forget(self._address)  # the others are as old
                    continue
                raise
            except DeclinedError:
                self._pool.give_back(self._address, connection)
                raise
            except BaseException:
                connection.close()
                raise
            else:
                self._pool.give_back(self._address, connection)
                return
            finally:
                self._connections.discard(connection)
