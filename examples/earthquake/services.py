"""The services that the earthquake workflow asks: events, regions, alerts and reports, over HTTP.

    python examples/earthquake/services.py FOLDER
    python examples/earthquake/services.py FOLDER --breaks-after 2

Prints its address and serves until it is ended. Several of them with the same FOLDER are replicas of one service: what
one is told, all know. With `--breaks-after N` it breaks down after N answers, in the middle of the next one.

    GET  /events/ID            what is known of an earthquake
    GET  /regions?at=LAT,LON   the ground there, and who lives on it
    POST /alerts/ID            {"stage": "..."}: the stage that the alert has reached; the answer counts them
    POST /reports/ID           a report, which is kept in FOLDER
"""

import argparse
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).resolve().parent / "data"


class RequestError(Exception):
    """A request that cannot be answered; with the status of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers requests. The class attributes are set by `main`."""

    folder = Path()
    answers_left: int | None = None
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Events and regions."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Alerts and reports."""
        self._answer(self._post)

    def _answer(self, find: Any) -> None:
        if self.answers_left is not None:
            Handler.answers_left = self.answers_left - 1
            if self.answers_left < 0:
                print("services.py: this replica breaks down now", file=sys.stderr, flush=True)
                os._exit(1)
        try:
            status, content = 200, find(urlsplit(self.path))
        except RequestError as error:
            status, content = error.status, {"error": str(error)}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _get(self, url: Any) -> Any:
        kind, _, name = url.path.strip("/").partition("/")
        if kind == "events":
            event = json.loads((DATA / "event.json").read_text(encoding="utf-8"))
            if event["id"] != name:
                raise RequestError(404, f"no earthquake is called {name}")
            return {"event": event}
        if kind == "regions":
            region = json.loads((DATA / "region.json").read_text(encoding="utf-8"))
            region["land"] = (DATA / "land.txt").read_text(encoding="ascii").split()
            latitude, longitude = map(float, parse_qs(url.query)["at"][0].split(","))
            rows, columns = (region["top"] - latitude) / region["step"], (longitude - region["left"]) / region["step"]
            if not (0 <= rows < len(region["land"]) and 0 <= columns < len(region["land"][0])):
                raise RequestError(404, f"nothing is known of the region of {latitude}, {longitude}")
            return {"region": region}
        raise RequestError(404, f"there is no {url.path}")

    def _post(self, url: Any) -> Any:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind, _, name = url.path.strip("/").partition("/")
        if kind == "alerts":
            with self.lock, open(self.folder / f"{name}.alerts", "a+", encoding="utf-8") as stages:
                print(json.loads(body)["stage"], file=stages, flush=True)
                stages.seek(0)
                reached = stages.read().splitlines()
            return {"alert": {"stage": reached[-1], "number": len(reached)}}
        if kind == "reports":
            (self.folder / f"{name}.report").write_bytes(body)
            return {"kept": len(body)}
        raise RequestError(404, f"there is no {url.path}")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="The services that the earthquake workflow asks.")
    parser.add_argument("folder", type=Path, help="where alerts and reports are kept")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--breaks-after", type=int, help="break down after so many answers")
    arguments = parser.parse_args()
    Handler.folder, Handler.answers_left = arguments.folder, arguments.breaks_after
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
