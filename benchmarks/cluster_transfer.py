"""How fast a large value goes from node to node: ``python -m benchmarks.cluster_transfer [megabytes] [rate]``.

Two hosts in network namespaces with a virtual Ethernet link between them, made for this (needs root and ``ip``; without
them it measures over loopback). In turns, so that whatever else the machine does falls on all: a raw socket whose
receiver throws the bytes away, one whose receiver stores them in shared memory as a segment has to be, and the data
server and mover of `taskflow.data` with TLS, for a segment in new memory, for one in the memory of an earlier segment
that is not needed any more (see `data.spares`), and for a file with its checksum. Without a rate the link
is as fast as the processors, which both hosts share; with one (``8gbit``) it is like a real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 7
PIECE = 1 << 18
ADDRESSES = ("10.213.77.1", "10.213.77.2")


@contextlib.contextmanager
def link(rate: str) -> Iterator[tuple[list[list[str]], str, str]]:
    """(commands that run something on either host, address of the first, what kind of link it is)."""
    names = [f"tfbench{os.getpid()}{end}" for end in "ab"]
    tool = shutil.which("ip")
    if os.geteuid() or tool is None:
        yield [[], []], "127.0.0.1", "loopback"
        return

    def ip(*words: str) -> None:
        subprocess.run([tool, *words], check=True, capture_output=True)

    made = []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                made.append(name)
            ip("link", "add", "net0", "netns", names[0], "type", "veth", "peer", "name", "net0", "netns", names[1])
            for name, address in zip(names, ADDRESSES, strict=True):
                ip("-n", name, "addr", "add", f"{address}/24", "dev", "net0")
                ip("-n", name, "link", "set", "net0", "up")
                if rate:
                    shape = ["tc", "qdisc", "add", "dev", "net0", "root", "tbf", "rate", rate]
                    ip("netns", "exec", name, *shape, "burst", "1mb", "latency", "20ms")
        except subprocess.CalledProcessError as error:
            print("no network namespaces here:", error.stderr.decode().strip())
            yield [[], []], "127.0.0.1", "loopback"
            return
        kind = f"veth between two namespaces{f' of {rate}' if rate else ''}"
        yield [[tool, "netns", "exec", name] for name in names], ADDRESSES[0], kind
    finally:
        for name in made:
            ip("netns", "del", name)


# ---------------------------------------------------------------------- the two hosts


def serve(settings: dict[str, Any]) -> None:
    """The host that has the value: a raw server and a data server."""
    from taskflow.data.serve import DataServer, DataService
    from taskflow.data.shares import Shares
    from taskflow.wire.security import RunKeys, server_context

    size = settings["size"]
    os.makedirs(settings["segments"])
    path = f"{settings['segments']}/value"
    with open(path, "wb") as file:
        file.writelines([os.urandom(1 << 20)] * (size >> 20))
    listener = socket.create_server((settings["host"], 0))
    data = DataServer(
        socket.create_server((settings["host"], 0)), server_context(RunKeys(*settings["keys"])), "bench",
        DataService(Shares(settings["segments"], [settings["segments"]])),
    )  # fmt: skip
    print(json.dumps([listener.getsockname()[1], data.port]), flush=True)
    file = os.open(path, os.O_RDONLY)
    buffer = memoryview(bytearray(PIECE))
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(1):
                offset = 0
                while offset < size:
                    count = os.preadv(file, [buffer], offset)
                    connection.sendall(buffer[:count])
                    offset += count


def fetch(settings: dict[str, Any]) -> None:
    """The host that gets the value, several times in several ways; prints the rates in bytes a second."""
    from taskflow.data.serve import token_for
    from taskflow.data.shares import Shares
    from taskflow.data.spares import free_spares, remove_segment
    from taskflow.data.transfers import Mover
    from taskflow.wire.security import Hello, RunKeys, client_context, connect

    size = settings["size"]
    folder = settings["segments"]
    os.makedirs(folder)
    notes: queue.Queue[dict[str, Any]] = queue.Queue()
    context = client_context(RunKeys(*settings["keys"]))
    raw_port, data_port = settings["ports"]
    hello = Hello("bench", "data", 1, token_for(0))
    mover = Mover(Shares(folder, [folder]), lambda address: connect(address[:2], context, hello), notes.put)
    raw = socket.create_connection((settings["host"], raw_port))
    buffer = memoryview(bytearray(PIECE))

    def by_socket(store: bool) -> None:
        raw.sendall(b"?")
        file = os.open(f"{folder}/value", os.O_CREAT | os.O_WRONLY, 0o600)
        offset = 0
        while offset < size:
            count = raw.recv_into(buffer)
            if store:
                os.pwrite(file, buffer[:count], offset)
            offset += count
        os.close(file)

    def by_mover(kind: str) -> None:
        mover.handle({
            "note": "get", "id": 1, "kind": kind, "address": [settings["host"], data_port, 0],
            "source": "value" if kind == "segment" else settings["path"],
            "target": "value" if kind == "segment" else f"{folder}/value",
        })  # fmt: skip
        note = notes.get()
        if note["note"] != "moved":
            raise RuntimeError(note["why"])

    def first_segment() -> None:
        free_spares(folder)
        by_mover("segment")

    ways = {
        "raw socket, thrown away": lambda: by_socket(False),
        "raw socket, stored": lambda: by_socket(True),
        "first segment, TLS": first_segment,
        "further segments, TLS": lambda: by_mover("segment"),
        "file, TLS and checksum": lambda: by_mover("file"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            rates[name].append(size / (time.perf_counter() - began))
            if "segment" in name:
                remove_segment(folder, "value")
            else:
                os.unlink(f"{folder}/value")
    print(json.dumps(rates), flush=True)


# ---------------------------------------------------------------------- both together


def measure(megabytes: int, rate: str = "") -> dict[str, list[float]]:
    """Rates in bytes a second of each way, one for each round."""
    from taskflow.wire.security import make_keys

    keys = list(make_keys())
    me = [sys.executable, "-m", "benchmarks.cluster_transfer"]
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108  where segments are
    with link(rate) as (hosts, address, kind), tempfile.TemporaryDirectory(dir=shm) as folder:
        print(f"{megabytes} MiB over {kind}, {os.cpu_count()} cores")
        settings = {"size": megabytes << 20, "host": address, "keys": keys, "segments": f"{folder}/a"}
        server = subprocess.Popen([*hosts[0], *me, "serve", json.dumps(settings)], stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            settings |= {
                "ports": json.loads(server.stdout.readline()), "segments": f"{folder}/b", "path": f"{folder}/a/value",
            }  # fmt: skip
            command = [*hosts[1], *me, "fetch", json.dumps(settings)]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=600)
        finally:
            server.kill()
            server.communicate()
    rates: dict[str, list[float]] = json.loads(result.stdout)
    return rates


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["serve"]:
        serve(json.loads(sys.argv[2]))
    elif sys.argv[1:2] == ["fetch"]:
        fetch(json.loads(sys.argv[2]))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the namespaces must not stay
        rates = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1024, sys.argv[2] if len(sys.argv) > 2 else "")
        base = {name: statistics.median(rates[name]) for name in rates}
        for name, values in rates.items():
            share = " ".join(
                f"{base[name] / base[other]:.2f} of {other}" for other in list(rates)[:2] if not name.startswith("raw")
            )
            print(f"{name:26s} {base[name] / 1e9:6.2f} GB/s  (best {max(values) / 1e9:.2f})  {share}")


if __name__ == "__main__":
    main()
