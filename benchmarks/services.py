"""Requests to a web server of their own: through tasks with ``@http``, and with httpx alone, in turns.

``python -m benchmarks.services`` prints a table. The server answers with a small JSON document, at once or later.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

import taskflow
from taskflow import compss_wait_on, http, task

if TYPE_CHECKING:
    from collections.abc import Callable


async def serve() -> None:
    """The server: answers ``/delay/...`` after so many seconds."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1].decode()
            await asyncio.sleep(float(path.split("/")[1]))
            body = json.dumps({"path": path}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
        writer.close()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@http(service_name="bench", request="GET", resource="{{delay}}/{{n}}", produces="{'path': '{{return_0}}'}")
@task(returns=1)
def ask(delay: float, n: int) -> Any:
    """One request."""


def with_tasks(url: str, count: int, delay: float, at_once: int) -> Callable[[], None]:
    """Ask so many times, by tasks."""

    def run() -> None:
        paths = compss_wait_on([ask(delay, n) for n in range(count)])
        assert paths == [f"/{delay}/{n}" for n in range(count)]

    return run


def with_one_client(url: str, count: int, delay: float, at_once: int) -> Callable[[], None]:
    """Ask so many times, with one client of httpx as its documentation has it."""

    async def ask_all() -> None:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with httpx.AsyncClient(limits=limits, timeout=None) as client:  # noqa: S113  a benchmark may take long
            answers = await asyncio.gather(*[client.get(f"{url}/{delay}/{n}") for n in range(count)])
        assert [answer.json()["path"] for answer in answers] == [f"/{delay}/{n}" for n in range(count)]

    return lambda: asyncio.run(ask_all())


def with_many_clients(url: str, count: int, delay: float, at_once: int) -> Callable[[], None]:
    """Ask so many times, with a client of httpx for each connection."""

    async def ask_all() -> None:
        tls = httpx.create_ssl_context()
        numbers = iter(range(count))
        paths: dict[int, str] = {}

        async def ask_some() -> None:
            async with httpx.AsyncClient(verify=tls, timeout=None) as client:  # noqa: S113
                for n in numbers:
                    paths[n] = (await client.get(f"{url}/{delay}/{n}")).json()["path"]

        await asyncio.gather(*[ask_some() for _ in range(at_once)])
        assert paths == {n: f"/{delay}/{n}" for n in range(count)}

    return lambda: asyncio.run(ask_all())


def main() -> None:
    """Measure and print."""
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    print("| requests | at a time | `@http` | httpx, a client for each connection | httpx, one client |")
    print("|---|---|---|---|---|")
    try:
        for count, delay, at_once in ((500, 0.0, 100), (500, 0.05, 100), (1000, 10, 1000)):
            compare(url, count, delay, at_once)
    finally:
        server.kill()
        server.wait()


def compare(url: str, count: int, delay: float, at_once: int) -> None:
    """All ways to ask, in turns. What counts is the time of this process's processor: the clock's depends on others."""
    os.environ["COMPSS_HTTP_POOL_SIZE"] = str(at_once)
    with taskflow.session(workers=1, progress=False, services={"bench": url}):
        with_tasks(url, 1, 0.0, 1)()
        ways = (with_tasks, with_many_clients, with_one_client)
        rounds = 2 if delay < 1 else 1
        took = [min(measured(way(url, count, delay, at_once)) for _ in range(rounds)) for way in ways]
    cells = [f"{spent / count * 1000:.2f} ms each, {seconds:.1f} s" for spent, seconds in took]
    print(f"| {count:,} of {delay * 1000:g} ms | {at_once:,} | {' | '.join(cells)} |", flush=True)


def measured(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the processor, and of the clock."""
    begun, spent = time.monotonic(), time.process_time()
    run()
    return time.process_time() - spent, time.monotonic() - begun


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
