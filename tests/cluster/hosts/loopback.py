"""Several SSH servers on 127.0.1.1, 127.0.1.2 and so on: a cluster on one machine, for whoever is not root.

On Linux all of 127.0.0.0/8 is loopback: no address is added. The servers run as the user of the tests, each with its
own host key, home folder and temporary folder. Everything else they share: files, processes, the hostname.

The servers get SIGKILL from the system if the tests' process dies, so that nothing outlives it, however it ends.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.cluster.hosts.keys import client_configuration, known_host, make_key, public_key

ROOT = Path(__file__).parents[3]
#: In the environment of whatever runs on a node: which one.
MARK = "TASKFLOW_TEST_NODE"
PATIENCE_S = 10.0


def reason_to_skip():
    """Why there can be no SSH servers here; "" if there can."""
    if not sys.platform.startswith("linux"):
        return "several loopback addresses exist on Linux only"
    missing = [name for name in ("ssh-keygen", "setpriv") if shutil.which(name) is None]
    if sshd_path() is None:
        missing.insert(0, "sshd")
    return (
        f"not installed: {', '.join(missing)} (packages openssh-server, openssh-client, util-linux)" if missing else ""
    )


def sshd_path():
    """Full path of the SSH server, which insists on it; None: not installed."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class LoopbackCluster:
    """Nodes ``node1`` to ``nodeN``.

    ``ssh_config``: the file for `ssh -F` and `--ssh-config`; it names `known_hosts`, `identity` and the port.
    """

    def __init__(self, folder, count=3):
        self.folder = Path(folder)
        self.nodes = [f"node{number}" for number in range(1, count + 1)]
        self.user = getpass.getuser()
        self.port = _free_port()
        self.identity = self.folder / "identity"
        self.known_hosts = self.folder / "known_hosts"
        self.ssh_config = self.folder / "ssh_config"
        self._mark = f"{os.getpid()}-{self.port}"
        self._servers = {}
        self._unusual = set()
        (self.folder / "authorized_keys").write_text(make_key(self.identity, "tests of taskflow") + "\n")
        for node in self.nodes:
            for name in ("home", "tmp"):
                (self.folder / node / name).mkdir(parents=True, mode=0o700)
            make_key(self.folder / node / "host_key", node)
        self.write_known_hosts()
        self.ssh_config.write_text(
            client_configuration(
                [(node, self.address(node)) for node in self.nodes],
                Port=self.port, User=self.user, IdentityFile=self.identity, UserKnownHostsFile=self.known_hosts,
            )
        )  # fmt: skip
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # a server that is root wants this empty folder

    def __enter__(self):
        try:
            for node in self.nodes:
                self._start(node)
            for node in self.nodes:
                self._wait(node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def __repr__(self):
        return f"<LoopbackCluster of {len(self.nodes)} nodes, port {self.port}>"

    def close(self):
        """End all servers and what runs on the nodes."""
        for node in self.nodes:
            self.crash(node)

    def address(self, node):
        """Address of a node."""
        return f"127.0.1.{self.nodes.index(node) + 1}"

    def home(self, node):
        """Home folder that the user has on a node."""
        return self.folder / node / "home"

    def temporary(self, node):
        """Temporary folder of a node."""
        return self.folder / node / "tmp"

    def boot(self, node):
        """Start a node's server unless it runs; it accepts connections from then on."""
        if node not in self._servers:
            self._start(node)
            self._wait(node)

    def crash(self, node):
        """Kill a node's server and everything that runs on the node."""
        server = self._servers.pop(node, None)
        if server is not None:
            server.kill()
            server.wait()
        deadline = time.monotonic() + PATIENCE_S
        while processes := self.processes_of(node):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still running on {node}: {processes}")
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.005)

    def processes_of(self, node):
        """Whatever was started on a node and lives: agents, executors, sessions of its SSH server."""
        mark = f"{self._mark}-{node}"
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def change_host_key(self, node):
        """Start a node's server again with another key than the one that known_hosts has."""
        self.crash(node)
        make_key(self.folder / node / "host_key", node)
        self.boot(node)

    def serve_otherwise(self, node, environment=None, **settings):
        """Start a node's server again with other settings, or other variables for its sessions, until `reset`."""
        self.crash(node)
        self._unusual.add(node)
        self._start(node, environment or {}, settings)
        self._wait(node)

    def write_known_hosts(self, *without):
        """Write the file known_hosts anew, with the keys as they are, leaving out some nodes."""
        keys = {node: public_key(self.folder / node / "host_key") for node in self.nodes if node not in without}
        self.known_hosts.write_text(
            "".join(known_host((self.address(node), node), self.port, key) for node, key in keys.items())
        )

    def reset(self):
        """Make everything as it was at first, but for the keys."""
        for node in self.nodes:
            if node in self._unusual or self._servers.get(node) is None or self.processes_of(node):
                self.crash(node)
                self._unusual.discard(node)
            self.boot(node)
            for folder in (self.home(node), self.temporary(node)):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(mode=0o700)
        self.write_known_hosts()

    def _start(self, node, more_environment=None, more_settings=None):
        folder = self.folder / node
        path = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', os.defpath)}"
        environment = {
            "HOME": self.home(node),
            "TMPDIR": self.temporary(node),
            "PATH": path,
            **(more_environment or {}),
            MARK: f"{self._mark}-{node}",
        }
        settings = {
            "HostKey": folder / "host_key",
            "ListenAddress": f"{self.address(node)}:{self.port}",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "yes",
            "MaxStartups": 200,
            "MaxSessions": 200,
            "PrintMotd": "no",
            "Subsystem": "sftp internal-sftp",
            # A home of its own: what a run keeps there must not meet the files of the user who tests.
            "SetEnv": " ".join(f"{name}={value}" for name, value in environment.items()),
            **(more_settings or {}),
        }
        text = "".join(f"{keyword} {value}\n" for keyword, value in settings.items())
        (folder / "sshd_config").write_text(text)
        with open(folder / "sshd.log", "ab") as log:
            self._servers[node] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sshd_path(), "-D", "-e", "-f", os.fspath(folder / "sshd_config")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip

    def _wait(self, node):
        """Wait until the server accepts connections."""
        server = self._servers[node]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address(node), self.port), timeout=1):
                return
            if server.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / node / "sshd.log").read_text()
                raise RuntimeError(f"the SSH server of {node} does not accept connections; its log:\n{log}")
            time.sleep(0.005)


def _free_port():
    """A port that is free on all addresses of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
