"""Connections between machines: who is let in, and frames."""

import contextlib
import json
import os
import pickle
import socket
import ssl
import struct
import threading
import time

import pytest

from taskflow.wire import agent as protocol
from taskflow.wire.door import MAX_WAITING, Door
from taskflow.wire.secure import SecureStream
from taskflow.wire.security import (
    HandshakeError,
    Hello,
    client_context,
    connect,
    make_keys,
    make_token,
    pack_hello,
    same_token,
    server_context,
)

KEYS = make_keys()
TOKEN = make_token()
HELLO = Hello("run-1", "control", 3, TOKEN)


class Entrance:
    """A door, and what came of those who knocked."""

    def __init__(self, patience=10.0):
        self.entered = []
        self.refusals = []
        self.changed = threading.Condition()
        listener = socket.create_server(("127.0.0.1", 0))
        self.door = Door(listener, server_context(KEYS), "run-1", self.admit, self.enter, self.refused, patience)
        self.address = ("127.0.0.1", self.door.port)

    def admit(self, hello):
        return "" if same_token(hello.token, TOKEN) else "its token is not the one of node 3"

    def enter(self, sock, hello):
        with self.changed:
            self.entered.append((sock, hello))
            self.changed.notify_all()

    def refused(self, _, why):
        with self.changed:
            self.refusals.append(why)
            self.changed.notify_all()

    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), 10), (self.entered, self.refusals)

    def close(self):
        self.door.close()
        for sock, _ in self.entered:
            sock.close()


@pytest.fixture
def entrance():
    it = Entrance()
    yield it
    it.close()


@pytest.fixture
def hasty():
    """A door that waits half a second for each."""
    it = Entrance(patience=0.5)
    yield it
    it.close()


def enter(entrance):
    """A pair of streams that have met at the door."""
    client = connect(entrance.address, client_context(KEYS), HELLO)
    entrance.wait_for(lambda it: it.entered)
    return SecureStream(client), SecureStream(entrance.entered[-1][0])


class Bomb:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# ---------------------------------------------------------------------- who is let in


def test_one_with_the_keys_and_the_token_is_let_in(entrance):
    with connect(entrance.address, client_context(KEYS), HELLO):
        entrance.wait_for(lambda it: it.entered)
    sock, hello = entrance.entered[0]
    assert hello == HELLO
    assert sock.version() == "TLSv1.3"
    assert entrance.refusals == []


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (HELLO._replace(token="0" * 32), "its token is not the one of node 3"),
        (HELLO._replace(run="run-2"), "it belongs to another run ('run-2')"),
    ],
)
def test_the_right_keys_with_a_wrong_hello_are_refused(entrance, hello, reason):
    with connect(entrance.address, client_context(KEYS), hello):
        entrance.wait_for(lambda it: it.refusals)
    assert entrance.refusals == [reason]
    assert entrance.entered == []


def test_other_keys_are_refused_by_both_sides(entrance):
    with pytest.raises(HandshakeError, match="did not prove to be of this run"):
        connect(entrance.address, client_context(make_keys()), HELLO)
    entrance.wait_for(lambda it: it.refusals)
    assert entrance.entered == []


def test_a_client_without_a_certificate_is_refused(entrance):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(entrance.address) as plain, context.wrap_socket(plain) as secure:
        with contextlib.suppress(OSError):
            secure.sendall(pack_hello(HELLO))
        entrance.wait_for(lambda it: it.refusals)
    assert "did not prove" in entrance.refusals[0]
    assert entrance.entered == []


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, os.urandom(5000)], ids=["http", "zeros", "random"]
)
def test_garbage_is_refused_and_the_door_stays_open(entrance, garbage):
    with socket.create_connection(entrance.address) as plain:
        plain.sendall(garbage)
        entrance.wait_for(lambda it: it.refusals)
    with connect(entrance.address, client_context(KEYS), HELLO):
        entrance.wait_for(lambda it: it.entered)


@pytest.mark.parametrize("authenticated", [False, True])
def test_a_pickle_before_the_hello_is_never_loaded(entrance, tmp_path, authenticated):
    body = pickle.dumps(Bomb(tmp_path / "loaded"))
    frames = [
        struct.pack("<Q", len(body)) + body,
        protocol.HEADER.pack(protocol.DATA, 0, len(body)) + body,
        protocol.HEADER.pack(protocol.HELLO, 0, len(body)) + body,
    ]
    for frame in frames:
        with socket.create_connection(entrance.address) as plain:
            if authenticated:
                with client_context(KEYS).wrap_socket(plain) as secure:
                    secure.sendall(frame + bytes(20))
                    entrance.wait_for(lambda it: it.refusals)
            else:
                plain.sendall(frame)
                entrance.wait_for(lambda it: it.refusals)
        entrance.refusals.clear()
    assert not (tmp_path / "loaded").exists()
    assert entrance.entered == []


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"run": "run-1"}',
        b"[" * 4000,
        json.dumps({**HELLO._asdict(), "node": "x"}).encode(),
    ],
    ids=["text", "list", "empty", "partial", "deep", "type"],
)
def test_a_damaged_hello_is_refused(entrance, body):
    with socket.create_connection(entrance.address) as plain, client_context(KEYS).wrap_socket(plain) as secure:
        secure.sendall(protocol.HEADER.pack(protocol.HELLO, 0, len(body)) + body)
        entrance.wait_for(lambda it: it.refusals)
    assert "hello could not be read" in entrance.refusals[0]


def test_who_does_not_prove_itself_in_time_is_shut_out(hasty):
    silent = socket.create_connection(hasty.address)  # half-open: it never says anything
    started = client_context(KEYS).wrap_socket(socket.create_connection(hasty.address))  # TLS, and no hello
    slow = client_context(KEYS).wrap_socket(socket.create_connection(hasty.address))
    begin = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in pack_hello(HELLO):  # a byte now and then does not help
            slow.send(bytes([byte]))
            time.sleep(0.02)
    hasty.wait_for(lambda it: len(it.refusals) == 3)
    assert time.monotonic() - begin < 5
    assert all("within 0.5 seconds" in why or "closed" in why for why in hasty.refusals)
    for sock in (silent, started, slow):
        sock.close()
    assert hasty.door.waiting == 0


def test_a_crowd_at_the_door_is_bounded_and_passes(hasty):
    crowd = [socket.create_connection(hasty.address) for _ in range(MAX_WAITING + 20)]
    hasty.wait_for(lambda it: it.door.waiting == MAX_WAITING or it.refusals)
    assert hasty.door.waiting <= MAX_WAITING
    with connect(hasty.address, client_context(KEYS), HELLO):  # it waits in the system's queue for its turn
        hasty.wait_for(lambda it: it.entered)
    for sock in crowd:
        sock.close()


# ---------------------------------------------------------------------- frames


def test_frames_arrive_whole_and_in_order(entrance):
    near, far = enter(entrance)
    sent = [(protocol.DATA, n, os.urandom(n * 37 % 5000)) for n in range(200)]
    for kind, number, data in sent:
        near.send(kind, number, data)
    got = []
    while len(got) < len(sent):
        near.flush()
        got += [(kind, number, bytes(data)) for kind, number, data in far.receive()]
    assert got == sent
    near.close()
    far.close()


def test_more_than_the_system_takes_is_kept_and_sent_later(entrance):
    near, far = enter(entrance)
    data = os.urandom(20_000_000)
    near.send_stream(protocol.DATA, 7, data)
    assert near.unsent  # nobody was made to wait
    got = bytearray()
    while len(got) < len(data):
        near.flush()
        for kind, number, piece in far.receive():
            assert (kind, number) == (protocol.DATA, 7)
            assert len(piece) <= protocol.FRAME_BYTES
            got += piece
    assert got == data
    assert not near.unsent
    near.close()
    far.close()


def test_a_note_larger_than_the_buffer_arrives(entrance):
    near, far = enter(entrance)
    near.note("ended", tail="x" * 3_000_000)
    near.send(protocol.DATA, 1, b"after")
    got = []
    deadline = time.monotonic() + 10
    while len(got) < 2 and time.monotonic() < deadline:
        near.flush()
        got += [(kind, bytes(data)) for kind, _, data in far.receive()]
    assert protocol.read_note(got[0][1]) == {"note": "ended", "tail": "x" * 3_000_000}
    assert got[1] == (protocol.DATA, b"after")
    near.close()
    far.close()


def test_a_ping_is_answered(entrance):
    near, far = enter(entrance)
    near.send(protocol.PING, 0, b"12345678")
    deadline = time.monotonic() + 10
    answers = []
    while not answers and time.monotonic() < deadline:
        far.receive()
        answers = [(kind, bytes(data)) for kind, _, data in near.receive()]
    assert answers == [(protocol.PONG, b"12345678")]
    near.close()
    far.close()


@pytest.mark.parametrize("rude", [False, True], ids=["closed", "reset"])
def test_the_end_of_the_other_side_is_told(entrance, rude):
    near, far = enter(entrance)
    if rude:
        near.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    deadline = time.monotonic() + 10
    while not far.ended and time.monotonic() < deadline:
        assert far.receive() == []
    assert far.ended
    far.send(protocol.DATA, 1, b"into the void")
    assert not far.unsent
    far.close()


def test_an_impossible_length_ends_the_stream(entrance):
    near, far = enter(entrance)
    near.socket.send(protocol.HEADER.pack(protocol.DATA, 0, 1 << 60))
    deadline = time.monotonic() + 10
    while not far.ended and time.monotonic() < deadline:
        assert far.receive() == []
    assert "was announced" in far.ended
    near.close()
    far.close()


def test_many_small_frames_are_not_slow(entrance):
    """A guard against something quadratic: 20,000 frames take a fifth of a second."""
    near, far = enter(entrance)
    begin = time.monotonic()
    got = sent = 0
    while got < 2_000_000 and time.monotonic() - begin < 20:
        for _ in range(500 if sent < 20_000 else 0):
            near.send(protocol.DATA, 1, b"x" * 100)
            sent += 1
        near.flush()
        got += sum(len(data) for _, _, data in far.receive())
    assert got == 2_000_000
    assert time.monotonic() - begin < 20
    near.close()
    far.close()
