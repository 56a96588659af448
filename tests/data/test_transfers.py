"""Segments, files and directories between nodes: over real connections with TLS, each end as in an agent or at home."""

import errno
import json
import os
import queue
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from taskflow.data import connections, receiving, sending, transfers
from taskflow.data.serve import DataServer, DataService, token_for
from taskflow.data.shares import Shares, ticket
from taskflow.data.transfers import Mover
from taskflow.wire.security import Hello, client_context, connect, make_keys, server_context

PART = 1 << 20
WORD = "s"


@pytest.fixture(scope="module")
def keys():
    return make_keys()


class Node:
    """What a node has for its data: folders, a server, a mover."""

    def __init__(self, keys, folder, number, secret=""):
        self.segments = f"{folder}/segments"
        self.files = f"{folder}/files"
        os.makedirs(self.segments)
        os.makedirs(self.files)
        self.number = number
        self.shares = Shares(self.segments, [self.files], secret)
        self.service = DataService(self.shares, number, silence_s=2.0, help_s=1.0, part_bytes=PART)
        listener = socket.create_server(("127.0.0.1", 0))
        self.server = DataServer(listener, server_context(keys), "run", self.service)
        self.notes = queue.Queue()
        context = client_context(keys)
        self.opened = []

        def dial(address):
            made = connect(address[:2], context, Hello("run", "data", number, token_for(address[2])))
            self.opened.append(made)
            return made

        self.mover = Mover(self.shares, dial, self.notes.put, f"n{number}", silence_s=2.0, part_bytes=PART)
        self.count = 0

    @property
    def address(self):
        return ["127.0.0.1", self.server.port, self.number]

    def begin(self, what, kind, source, target, address, proof=""):
        self.count += 1
        self.mover.handle({
            "note": what, "id": self.count, "kind": kind, "source": source, "target": target, "address": address,
            "ticket": proof,
        })  # fmt: skip

    def ask(self, *request):
        self.begin(*request)
        return self.notes.get(timeout=30)

    def leftovers(self):
        found = [*os.listdir(self.segments)]
        found += [name for _, folders, files in os.walk(self.files) for name in folders + files]
        return [name for name in found if ".part-" in name]

    def close(self):
        self.mover.close()
        self.server.close()


@pytest.fixture
def nodes(keys, tmp_path):
    made = [Node(keys, f"{tmp_path}/{name}", number, WORD) for number, name in enumerate(("home", "near"))]
    yield made
    for node in made:
        node.close()


def write(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def read(path):
    with open(path, "rb") as file:
        return file.read()


SIZES = [0, 1, 5000, PART - 1, PART, PART + 1, 3 * PART + 17]


@pytest.mark.parametrize("size", SIZES)
def test_get_a_segment(nodes, size):
    home, near = nodes
    data = os.urandom(size)
    write(f"{home.segments}/x-1", data)
    note = near.ask("get", "segment", "x-1", "x-1", home.address)
    assert note["note"] == "moved", note
    assert note["bytes"] == size
    assert read(f"{near.segments}/x-1") == data
    assert near.leftovers() == []


@pytest.mark.parametrize("size", SIZES)
def test_put_a_file(nodes, size):
    home, near = nodes
    data = os.urandom(size)
    write(f"{near.files}/1/out.bin", data, 0o750)
    note = near.ask("put", "file", f"{near.files}/1/out.bin", f"{home.files}/9/out.bin", home.address)
    assert note["note"] == "moved", note
    assert note["bytes"] == size
    assert read(f"{home.files}/9/out.bin") == data
    assert stat.S_IMODE(os.stat(f"{home.files}/9/out.bin").st_mode) == 0o750
    assert home.leftovers() == []


def make_tree(top):
    write(f"{top}/a.txt", b"alpha" * 100_000)
    write(f"{top}/sub/deep/b.sh", b"#!/bin/sh\n", 0o755)
    os.makedirs(f"{top}/empty")
    write(f"{top}/locked/c", b"c", 0o400)
    os.symlink("a.txt", f"{top}/link")
    os.symlink("/nowhere/at all", f"{top}/sub/dangling")
    os.symlink("deep", f"{top}/sub/to_folder")
    os.chmod(f"{top}/locked", 0o500)


def tree(top):
    found = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = f"{folder}/{name}"
            mode = os.lstat(path).st_mode
            content = os.readlink(path) if stat.S_ISLNK(mode) else read(path) if stat.S_ISREG(mode) else None
            found[os.path.relpath(path, top)] = (stat.S_IFMT(mode), stat.S_IMODE(mode), content)
    return found


@pytest.mark.parametrize("what", ["get", "put"])
def test_a_directory_keeps_modes_links_and_empty_folders(nodes, what):
    home, near = nodes
    giver, taker = (home, near) if what == "get" else (near, home)
    make_tree(f"{giver.files}/1/tree")
    target = f"{taker.files}/7/tree"
    note = near.ask(what, "directory", f"{giver.files}/1/tree", target, home.address)
    assert note["note"] == "moved", note
    assert tree(target) == tree(f"{giver.files}/1/tree")
    assert len(tree(target)) == 10
    assert taker.leftovers() == []


def test_a_directory_replaces_what_is_there(nodes):
    home, near = nodes
    make_tree(f"{home.files}/1/tree")
    write(f"{near.files}/1/tree/old", b"old")
    note = near.ask("get", "directory", f"{home.files}/1/tree", f"{near.files}/1/tree", home.address)
    assert note["note"] == "moved", note
    assert tree(f"{near.files}/1/tree") == tree(f"{home.files}/1/tree")


def test_a_sparse_file_stays_sparse(nodes):
    home, near = nodes
    path = f"{home.files}/1/sparse"
    write(path, b"begin")
    with open(path, "r+b") as file:
        file.seek(2 * PART + 5)
        file.write(b"middle")
        file.truncate(5 * PART)
    if os.stat(path).st_blocks * 512 >= 5 * PART:
        pytest.skip("the file system has no sparse files")
    note = near.ask("get", "file", path, f"{near.files}/1/sparse", home.address)
    assert note["note"] == "moved", note
    assert read(f"{near.files}/1/sparse") == read(path)
    assert os.stat(f"{near.files}/1/sparse").st_blocks * 512 < 2 * PART


def test_one_connection_serves_many_requests(nodes):
    home, near = nodes
    for number in range(50):
        write(f"{home.segments}/many-{number}", b"%d" % number)
        assert near.ask("get", "segment", f"many-{number}", f"many-{number}", home.address)["note"] == "moved"
    assert len(near.opened) == 1


def test_a_kept_connection_that_was_closed_is_replaced(nodes, monkeypatch):
    home, near = nodes
    write(f"{home.segments}/a", b"a")
    assert near.ask("get", "segment", "a", "a", home.address)["note"] == "moved"
    for connection in list(home.service._connections):
        connection.shut()
    time.sleep(0.1)
    monkeypatch.setattr(transfers, "ATTEMPTS", 1)  # it does not count as one
    assert near.ask("get", "segment", "a", "b", home.address)["note"] == "moved"
    assert len(near.opened) == 2


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("segment", "../files/secret"), ("segment", "/etc/passwd"), ("segment", ""), ("segment", ".hidden"),
        ("file", "/etc/passwd"), ("file", "{files}/../../outside"), ("file", "relative"), ("file", "{files}/link"),
        ("file", "{files}"), ("directory", "/etc"), ("device", "/dev/zero"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused(nodes, tmp_path, kind, source):
    home, near = nodes
    write(f"{tmp_path}/outside", b"secret")
    os.symlink(f"{tmp_path}/outside", f"{home.files}/link")
    note = near.ask(
        "get", kind, source.format(files=home.files), "x" if kind == "segment" else f"{near.files}/x", home.address
    )
    assert note["note"] == "unmoved"
    assert note["bytes"] == 0
    assert os.listdir(near.segments) == os.listdir(near.files) == []


@pytest.mark.parametrize("target", ["/var/taskflow-test-anywhere", "{files}/../stray", "{files}/link/stray"])
def test_nothing_is_put_outside_the_folders(nodes, tmp_path, target):
    home, near = nodes
    os.makedirs(f"{tmp_path}/elsewhere")
    os.symlink(f"{tmp_path}/elsewhere", f"{home.files}/link")
    write(f"{near.files}/x", b"x")
    target = target.format(files=home.files)
    note = near.ask("put", "file", f"{near.files}/x", target, home.address)
    assert note["note"] == "unmoved"
    assert "served" in note["why"] or "absolute" in note["why"]
    assert not os.path.exists(target)


def test_entries_of_a_directory_cannot_leave_it(nodes, monkeypatch, tmp_path):
    home, near = nodes
    os.makedirs(f"{home.files}/evil/sub")
    os.symlink(str(tmp_path), f"{home.files}/evil/way")
    write(f"{home.files}/evil/sub/x", b"x")
    walk = sending._walk
    monkeypatch.setattr(
        sending, "_walk", lambda *args: ((name.replace("sub/x", "way/x"), entry) for name, entry in walk(*args))
    )
    note = near.ask("get", "directory", f"{home.files}/evil", f"{near.files}/evil", home.address)
    assert note["note"] == "unmoved"
    assert "not below it" in note["why"]
    assert not os.path.exists(f"{tmp_path}/x")
    assert os.listdir(near.files) == []


def test_a_ticket_opens_one_path_outside_the_folders(nodes, tmp_path):
    home, near = nodes
    path = f"{tmp_path}/input.dat"
    write(path, b"mine")
    write(f"{tmp_path}/other.dat", b"not meant")
    proof = ticket("s", path)
    assert near.ask("get", "file", path, f"{near.files}/1/in", home.address, proof)["note"] == "moved"
    assert read(f"{near.files}/1/in") == b"mine"
    note = near.ask("get", "file", f"{tmp_path}/other.dat", f"{near.files}/1/in2", home.address, proof)
    assert note["note"] == "unmoved"
    note = near.ask("get", "file", path, f"{near.files}/1/in3", home.address, ticket("guess", path))
    assert note["note"] == "unmoved"


@pytest.mark.parametrize("what", ["get", "put"])
def test_a_source_that_is_missing(nodes, what):
    home, near = nodes
    kinds = [("segment", "gone", "gone")]
    kinds += [(kind, f"{home.files}/1/gone", f"{near.files}/1/gone") for kind in ("file", "directory")]
    for kind, there, here in kinds:
        source, target = (there, here) if what == "get" else (here, there)
        note = near.ask(what, kind, source, target, home.address)
        assert note["note"] == "unmoved"
        assert note["absent"], note
        assert "is not there" in note["why"]
        assert f"home (127.0.0.1:{home.server.port})" in note["why"]


def test_a_special_file_is_refused_and_nobody_waits_for_it(nodes):
    home, near = nodes
    os.makedirs(f"{home.files}/1/tree")
    os.mkfifo(f"{home.files}/1/tree/pipe")
    note = near.ask("get", "directory", f"{home.files}/1/tree", f"{near.files}/1/tree", home.address)
    assert "neither a file nor a directory nor a link" in note["why"]
    note = near.ask("get", "file", f"{home.files}/1/tree/pipe", f"{near.files}/1/pipe", home.address)
    assert "is no file" in note["why"]
    assert near.leftovers() == []


def test_a_file_that_changes_meanwhile_is_not_taken(nodes, monkeypatch):
    home, near = nodes
    path = f"{home.files}/1/log"
    write(path, bytes(PART // 2))
    send = sending._send_range

    def send_and_change(*args):
        result = send(*args)
        with open(path, "ab") as file:
            file.write(b"more")
        return result

    monkeypatch.setattr(sending, "_send_range", send_and_change)
    note = near.ask("get", "file", path, f"{near.files}/1/log", home.address)
    assert "changed while it was read" in note["why"]
    assert near.leftovers() == []


def test_damaged_bytes_are_noticed(nodes, monkeypatch):
    home, near = nodes
    write(f"{home.files}/1/x", os.urandom(3 * PART))
    monkeypatch.setattr(sending, "zlib", type("Wrong", (), {"crc32": staticmethod(lambda _, crc=0: crc + 1)}))
    note = near.ask("get", "file", f"{home.files}/1/x", f"{near.files}/1/x", home.address)
    assert "wrong checksum" in note["why"]
    assert os.listdir(f"{near.files}/1") == []


# ---------------------------------------------------------------------- failures


class FullDisk:
    """Lets so many bytes be written, then there is no room."""

    def __init__(self, monkeypatch, room):
        self.room = room
        self.write = os.pwrite
        monkeypatch.setattr(receiving.os, "pwrite", self)

    def __call__(self, file, data, offset):
        if self.room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return self.write(file, data, offset)


@pytest.mark.parametrize("what", ["get", "put"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_disk_that_gets_full(nodes, monkeypatch, what, kind):
    home, near = nodes
    giver, taker = (home, near) if what == "get" else (near, home)
    name = "big" if kind == "file" else "tree/big"
    write(f"{giver.files}/1/{name}", os.urandom(3 * PART))
    source, target = (f"{node.files}/1/{name.partition('/')[0]}" for node in (giver, taker))
    FullDisk(monkeypatch, PART // 2)
    note = near.ask(what, kind, source, target, home.address)
    assert note["note"] == "unmoved"
    assert "No space left" in note["why"], note
    monkeypatch.undo()
    assert os.listdir(f"{taker.files}/1") == []
    assert near.ask(what, kind, source, target, home.address)["note"] == "moved"


def test_no_room_is_known_before_a_large_file_is_asked_for(nodes, monkeypatch):
    home, near = nodes
    path = f"{home.segments}/big"
    write(path, bytes(3 * PART))
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr("taskflow.data.shares.os.statvfs", lambda _: full)
    note = near.ask("get", "segment", "big", "big", home.address)
    assert f"no room for {3 * PART:,} bytes in {near.segments}: 40,960 are free" in note["why"]
    assert os.listdir(near.segments) == []


class Break:
    """Breaks connections after so many bytes of data have been sent over all of them, so many times."""

    def __init__(self, monkeypatch, after, times):
        self.left = after
        self.after = after
        self.times = times
        self.lock = threading.Lock()
        send_room = connections.Connection.send_room

        def send(connection, count):
            with self.lock:
                self.left -= count
                breaks = self.left < 0 and self.times > 0
                if breaks:
                    self.times -= 1
                    self.left = self.after
            if breaks:
                connection.shut()
            send_room(connection, count)

        monkeypatch.setattr(connections.Connection, "send_room", send)


@pytest.mark.parametrize("what", ["get", "put"])
def test_a_broken_connection_is_made_up_for_and_whole_parts_are_kept(nodes, monkeypatch, what):
    home, near = nodes
    giver, taker = (home, near) if what == "get" else (near, home)
    data = os.urandom(8 * PART)
    write(f"{giver.files}/1/x", data)
    Break(monkeypatch, 4 * PART, 1)
    note = near.ask(what, "file", f"{giver.files}/1/x", f"{taker.files}/1/x", home.address)
    assert note["note"] == "moved", note
    assert read(f"{taker.files}/1/x") == data
    assert note["bytes"] < 11 * PART
    assert taker.leftovers() == []


@pytest.mark.parametrize("what", ["get", "put"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_connections_that_break_again_and_again(nodes, monkeypatch, what, kind):
    home, near = nodes
    giver, taker = (home, near) if what == "get" else (near, home)
    write(f"{giver.files}/1/tree/x", os.urandom(3 * PART))
    name = "tree" if kind == "directory" else "tree/x"
    Break(monkeypatch, PART // 2, 1000)
    note = near.ask(what, kind, f"{giver.files}/1/{name}", f"{taker.files}/1/{name}", home.address)
    assert note["note"] == "unmoved"
    assert "broke" in note["why"] or "closed" in note["why"]
    for _ in range(400):  # turns, not seconds: a machine that is stopped for a while stops those who clean up, too
        if not taker.leftovers():
            break
        time.sleep(0.05)
    assert taker.leftovers() == []
    assert not os.path.exists(f"{taker.files}/1/{name}")


def test_a_silent_server_ends_the_transfer(keys, nodes):
    near = nodes[1]
    context = server_context(keys)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = []

        def accept():
            while len(accepted) < 2:
                accepted.append(context.wrap_socket(listener.accept()[0], server_side=True))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        began = time.monotonic()
        note = near.ask("get", "segment", "x", "x", ["127.0.0.1", listener.getsockname()[1], 0])
        assert "was silent for 2 seconds" in note["why"]
        assert time.monotonic() - began < 10
        thread.join(5)
        for made in accepted:
            made.close()


def test_a_peer_that_takes_nothing_ends_the_transfer(keys, nodes):
    home = nodes[0]
    write(f"{home.files}/1/x", bytes(64 << 20))
    quiet = connections.Connection(
        connect(tuple(home.address[:2]), client_context(keys), Hello("run", "data", 5, token_for(0))), "home"
    )
    quiet.send_message(op="get", kind="file", name=f"{home.files}/1/x", offset=0, length=1 << 30)
    deadline = time.monotonic() + 10
    while not home.service._connections and time.monotonic() < deadline:
        time.sleep(0.01)
    while home.service._connections and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.service._connections
    quiet.close()


def test_nobody_there(nodes):
    near = nodes[1]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    note = near.ask("get", "segment", "x", "x", ["127.0.0.1", port, 0])
    assert note["note"] == "unmoved"
    assert not note["absent"]
    assert f"home (127.0.0.1:{port}) cannot be reached (Connection refused)" in note["why"]


def test_a_node_that_does_not_answer_is_not_tried_again_at_once(monkeypatch):
    dialled = []

    def dial(address):
        dialled.append(address)
        raise TimeoutError("timed out")

    pool = connections.Pool(dial)
    for _ in range(3):
        with pytest.raises(connections.UnreachableError, match=r"node 2 \(host:1\) cannot be reached \(timed out\)"):
            pool.take(("host", 1, 2))
    assert len(dialled) == 1
    monkeypatch.setattr(connections, "monotonic", lambda: time.monotonic() + connections.AVOID_S)
    for address in [("host", 1, 2), ("host", 1, 0), ("host", 1, 0)]:  # 0 is home, and there is no other way to it
        with pytest.raises(connections.BrokenConnectionError):
            pool.take(address)
    assert len(dialled) == 4


def test_another_run_is_not_let_in(nodes):
    home, near = nodes
    write(f"{home.segments}/x", b"x")
    context = client_context(make_keys())
    hello = Hello("run", "data", 1, token_for(0))
    stranger = Mover(near.shares, lambda address: connect(address[:2], context, hello), near.notes.put)
    stranger.handle({
        "note": "get", "id": 1, "kind": "segment", "source": "x", "target": "y", "address": home.address,
    })  # fmt: skip
    assert near.notes.get(timeout=20)["note"] == "unmoved"
    assert os.listdir(near.segments) == []
    stranger.close()


def test_another_node_at_the_address_is_not_taken_for_the_one_that_was_meant(nodes):
    home, near = nodes
    write(f"{home.segments}/x", b"x")
    note = near.ask("get", "segment", "x", "x", ["127.0.0.1", home.server.port, 7])
    assert note["note"] == "unmoved"
    assert not note["absent"]


def slow(monkeypatch, seconds):
    send_room = connections.Connection.send_room

    def send(connection, count):
        time.sleep(seconds)
        send_room(connection, count)

    monkeypatch.setattr(connections.Connection, "send_room", send)


def test_an_abandoned_transfer_leaves_nothing(nodes, monkeypatch):
    home, near = nodes
    write(f"{home.files}/1/x", bytes(20 * PART))
    slow(monkeypatch, 0.05)
    near.begin("get", "file", f"{home.files}/1/x", f"{near.files}/1/x", home.address)
    deadline = time.monotonic() + 10
    while not near.leftovers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert near.leftovers()
    near.mover.handle({"note": "abandon", "id": 1})
    note = near.notes.get(timeout=5)
    assert note["note"] == "unmoved"
    assert "not wanted any more" in note["why"]
    assert os.listdir(f"{near.files}/1") == []


def test_closing_gives_up_what_is_under_way(nodes, monkeypatch):
    home, near = nodes
    write(f"{home.files}/1/x", bytes(20 * PART))
    slow(monkeypatch, 0.05)
    for number in range(12):
        near.begin("get", "file", f"{home.files}/1/x", f"{near.files}/1/x{number}", home.address)
    time.sleep(0.3)
    began = time.monotonic()
    near.mover.close()
    assert time.monotonic() - began < 5
    assert near.leftovers() == []


def test_dropped_items_are_removed(nodes):
    near = nodes[1]
    write(f"{near.segments}/s", b"s")
    write(f"{near.files}/1/f", b"f")
    make_tree(f"{near.files}/1/tree")
    near.mover.handle({
        "note": "drop",
        "items": [
            ["segment", "s"], ["segment", "gone"], ["file", f"{near.files}/1/f"], ["file", "/etc/hostname"],
            ["directory", f"{near.files}/1/tree"],
        ],
    })  # fmt: skip
    assert os.listdir(near.segments) == []
    assert os.listdir(f"{near.files}/1") == []
    assert os.path.exists("/etc/hostname")


def test_many_at_once(nodes):
    home, near = nodes
    contents = {f"m-{number}": os.urandom(1000 * number) for number in range(100)}
    for name, data in contents.items():
        write(f"{home.segments}/{name}", data)
        near.begin("get", "segment", name, name, home.address)
    notes = [near.notes.get(timeout=30) for _ in contents]
    assert {note["note"] for note in notes} == {"moved"}
    assert sorted(note["id"] for note in notes) == list(range(1, 101))
    assert {name: read(f"{near.segments}/{name}") for name in contents} == contents


# ---------------------------------------------------------------------- the process of home


def test_the_server_of_home_is_a_process_that_ends_with_its_parent(keys, nodes, tmp_path):
    near = nodes[1]
    (tmp_path / "seg").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "seg" / "one").write_bytes(b"1")
    process = subprocess.Popen(
        [sys.executable, "-c", "from taskflow.node.home import main; main()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    settings = {
        "run": "run", "certificate": keys.certificate, "key": keys.key, "segments": str(tmp_path / "seg"),
        "roots": [str(tmp_path / "root")], "secret": "s", "host": "127.0.0.1", "timeout": 8.0,
        "settings": {"run_dir": str(tmp_path)},
    }  # fmt: skip
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.flush()
    address = ["127.0.0.1", json.loads(process.stdout.readline())["port"], 0]
    assert near.ask("get", "segment", "one", "one", address)["note"] == "moved"
    write(f"{near.files}/1/out", b"out")
    note = near.ask("put", "file", f"{near.files}/1/out", f"{tmp_path}/root/1/out", address)
    assert note["note"] == "moved", note
    assert (tmp_path / "root" / "1" / "out").read_bytes() == b"out"
    process.stdin.close()
    assert process.wait(5) == 0
    process.stdout.close()
