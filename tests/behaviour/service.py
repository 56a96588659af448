"""A web server for tests, in a process of its own: ``python service.py port status [certificate]`` prints its port.

With a status other than 0, every request is answered with that; with a file that has a certificate and its key, it
talks TLS. It knows nothing of taskflow.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from urllib.parse import parse_qsl, unquote, urlsplit


class Service:
    def __init__(self, status):
        self.status = status
        self.requests = 0
        self.now = self.most = 0
        self.times = Counter()
        self.gathered = asyncio.Event()

    async def serve(self, reader, writer):
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, reader, writer):
        """One request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests += 1
        self.now += 1
        self.most = max(self.most, self.now)
        url = urlsplit(target)
        steps = url.path.strip("/").split("/")
        self.times[target] += 1
        try:
            said = await self.said(method, url, steps, headers, body)
        finally:
            self.now -= 1
        if said is None:
            return False
        status, kind, content, *more = said
        lines = [f"HTTP/1.1 {status} Because", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *more]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()
        return True

    async def said(self, method, url, steps, headers, body):
        if self.status and steps[0] != "stats":
            return self.status, "text/plain", b"always so"
        name, *rest = steps
        if name == "echo":
            found = {
                "method": method, "path": url.path, "query": dict(parse_qsl(url.query, keep_blank_values=True)),
                "steps": [unquote(step) for step in rest], "body": body.decode(), "headers": headers,
            }  # fmt: skip
            return ok(found)
        if name == "stats":
            return ok({"requests": self.requests, "most": self.most})
        if name == "length":
            return ok({"length": len(unquote("".join(rest)))})
        if name == "json":
            return ok(json.loads(body))
        if name == "nested":
            return ok({"length": 4, "child": {"depth_1": "one", "message": "hello", "list": [1, {"x": 2}]}})
        if name == "slow":
            await asyncio.sleep(float(rest[0]))
            return ok({"slept": float(rest[0])})
        if name == "gather":  # as many at a time
            if self.now >= int(rest[0]):
                self.gathered.set()
            await self.gathered.wait()
            return ok({"gathered": True})
        if name == "status":
            return int(rest[0]), "text/plain", b"this is\twhy " + headers.get("authorization", "").encode()
        if name == "fail":
            times = self.times[url.path]
            return ok({"times": times}) if times > int(rest[0]) else (500, "text/plain", b"not yet")
        if name == "malformed":
            return 200, "application/json", b'{"length": '
        if name == "huge":
            return 200, "application/octet-stream", b"x" * int(rest[0])
        if name == "text":
            return 200, "text/plain; charset=latin-1", unquote(rest[0]).encode("latin-1")
        if name == "redirect":
            left = int(rest[0])
            return (302, "text/plain", b"", f"Location: /redirect/{left - 1}") if left else ok({"arrived": True})
        if name == "elsewhere":
            port = dict(parse_qsl(url.query))["port"]
            return 307, "text/plain", b"", f"Location: http://localhost:{port}/echo"
        if name == "close":
            return ok({"times": self.times[url.path]}) if self.times[url.path] > int(rest[0]) else None
        return 404, "text/plain", b"no such thing"


def ok(value):
    return 200, "application/json", json.dumps(value).encode()


async def main(port, status, certificate=""):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(
        Service(int(status)).serve, "127.0.0.1", int(port), backlog=2000, limit=1 << 24, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
