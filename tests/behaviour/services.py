"""Starts web servers for tests: see `service`."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path


class Server:
    """A running server."""

    def __init__(self, port=0, status=0):
        command = [sys.executable, str(Path(__file__).parent / "service.py"), str(port), str(status)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def stats(self):
        """How many requests there have been, and at most at a time; with this one."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:  # noqa: S310  our own
            return json.load(answer)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def free_port():
    """A port on which nobody listens."""
    server = Server()
    server.stop()
    return server.port
