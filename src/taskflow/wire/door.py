"""Where processes of a run are let in: listens, and hands over only connections that have proved themselves.

One thread serves all who knock. It waits for none of them: who does not finish TLS and hello in time is shut out, and
there are never more than a few at the door, so garbage and half-open connections cost little and stop nobody.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING

from taskflow.wire.agent import HEADER
from taskflow.wire.security import HANDSHAKE_S, HandshakeError, Hello, hello_length, read_hello

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAITING = 64  #: connections that have not proved themselves yet


class _Guest:
    """A connection that has not proved itself."""

    def __init__(self, sock: ssl.SSLSocket, address: str, deadline: float) -> None:
        self.socket = sock
        self.address = address
        self.deadline = deadline
        self.secure = False
        self.wanted = 0  # bytes of the hello's body; 0: its header has not come
        self.received = b""

    def proceed(self, run: str) -> Hello | None:
        """Go on as far as possible; the hello, if it has come whole. Raises HandshakeError and OSError."""
        if not self.secure:
            self.socket.do_handshake()
            self.secure = True
        while True:
            missing = (self.wanted or HEADER.size) - len(self.received)
            if missing:
                piece = self.socket.recv(missing)
                if not piece:
                    raise HandshakeError("it closed the connection")
                self.received += piece
            elif self.wanted:
                return read_hello(self.received, run)
            else:
                self.wanted = hello_length(self.received)
                self.received = b""


class Door:
    """Listens on an address for processes of the run.

    ``admit`` is called in the door's thread with a hello of this run; it returns "" or why the connection is refused.
    ``enter`` gets each connection that was admitted, non-blocking, and its hello; ``refused`` the address of each other
    and why. An exception of these three refuses the one connection.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        run: str,
        admit: Callable[[Hello], str],
        enter: Callable[[ssl.SSLSocket, Hello], None],
        refused: Callable[[str, str], None],
        patience: float = HANDSHAKE_S,
    ) -> None:
        self._listener = listener
        self._context = context
        self._run = run
        self._admit = admit
        self._enter = enter
        self._refused = refused
        self._patience = patience
        self._guests: dict[int, _Guest] = {}
        self._poller = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._open = True
        listener.setblocking(False)
        self._poller.register(listener, select.EPOLLIN)
        self._poller.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, name="taskflow-door", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where to knock."""
        return int(self._listener.getsockname()[1])

    @property
    def waiting(self) -> int:
        """Connections that have not proved themselves yet."""
        return len(self._guests)

    def close(self) -> None:
        """Let nobody in any more."""
        self._open = False
        os.eventfd_write(self._wake, 1)
        self._thread.join(5)

    def leave_to_parent(self) -> None:
        """In a forked child: close this process's copies, and no more."""
        self._listener.close()
        for guest in self._guests.values():
            guest.socket.close()

    def _serve(self) -> None:
        while self._open:
            timeout = -1.0
            if self._guests:
                timeout = max(0.0, min(guest.deadline for guest in self._guests.values()) - monotonic())
            for file, _ in self._poller.poll(timeout):
                if file == self._listener.fileno():
                    self._accept()
                elif file in self._guests:
                    self._attend(self._guests[file])
            now = monotonic()
            for guest in [guest for guest in self._guests.values() if guest.deadline <= now]:
                self._turn_away(guest, f"it did not prove itself within {self._patience:g} seconds")
        for guest in list(self._guests.values()):
            self._dismiss(guest)
            guest.socket.close()
        self._poller.close()
        self._listener.close()
        os.close(self._wake)

    def _accept(self) -> None:
        try:
            plain, address = self._listener.accept()
        except ConnectionAbortedError:
            return
        except OSError:  # there are no descriptors left, say: those at the door go when their time is over
            sleep(0.05)
            return
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError:
            plain.close()
            return
        guest = _Guest(secure, f"{address[0]} port {address[1]}", monotonic() + self._patience)
        self._guests[secure.fileno()] = guest
        self._poller.register(secure, select.EPOLLIN)
        if len(self._guests) >= MAX_WAITING:
            self._poller.modify(self._listener, 0)  # the others wait in the system's queue

    def _attend(self, guest: _Guest) -> None:
        try:
            hello = guest.proceed(self._run)
            if hello is None:
                return
            why = self._admit(hello)
            if why:
                self._turn_away(guest, why)
                return
            self._dismiss(guest)
            self._enter(guest.socket, hello)
        except ssl.SSLWantReadError:
            self._poller.modify(guest.socket, select.EPOLLIN)
        except ssl.SSLWantWriteError:
            self._poller.modify(guest.socket, select.EPOLLOUT)
        except ssl.SSLError as error:
            self._turn_away(guest, f"it did not prove to be of this run ({error.reason or error})")
        except Exception as error:  # noqa: BLE001  whatever one connection does must not shut the others out
            self._turn_away(guest, str(error) or type(error).__name__)

    def _turn_away(self, guest: _Guest, why: str) -> None:
        self._dismiss(guest)
        guest.socket.close()
        self._refused(guest.address, why)

    def _dismiss(self, guest: _Guest) -> None:
        file = guest.socket.fileno()
        if self._guests.pop(file, None) is None:
            return
        self._poller.unregister(file)
        if len(self._guests) == MAX_WAITING - 1:
            self._poller.modify(self._listener, select.EPOLLIN)
