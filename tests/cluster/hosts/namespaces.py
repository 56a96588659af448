"""Hosts on one machine, each with its own address, name, processes, files and SSH server on port 22.

    the machine
     └ keeper: own network (the switch: a bridge), mounts (the hosts' disks), process ids
        ├ host master  10.77.0.10   own network, mounts, process ids, name, IPC; first process: init.py, under it sshd
        ├ host node1   10.77.0.11   and so on
        └ cable.py                  between a host and the switch, where a test wants a bad one

Nothing has a name that another cluster could have, too: all namespaces are held by the keeper, and no address, link or
mount of the machine itself is touched. The keeper gets SIGKILL from the system if the tests' process dies, and as it
is the first process of its namespace the kernel then ends all processes in it, and with them all namespaces and mounts:
there is nothing to clean up, however a run of tests ends.

A host sees the machine's files, so that all installed software is there; what it writes stays on its own disk. `/tmp`,
`/run`, `/dev` and `/root` are its own.
"""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from tests.cluster.hosts.cable import Settings
from tests.cluster.hosts.keys import client_configuration, known_host, make_key, public_key
from tests.cluster.hosts.loopback import ROOT, sshd_path

HERE = Path(__file__).parent
MASTER = "master"
SUBNET = "10.77.0"
PATIENCE_S = 20.0
SHARED = "/shared"
#: Folders of which each host has its own: what tests need of them on the machine is shown at the same place.
OWN = ("/tmp", "/run", "/root", "/dev", "/proc", "/sys")
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
_PROBE = (
    "mount -t tmpfs probe $0 && mkdir $0/upper $0/work $0/root"
    " && mount -t overlay overlay -o lowerdir=/,upperdir=$0/upper,workdir=$0/work $0/root && mkdir $0/root/probe"
    " && ip link add name port type veth peer name host && ip link add name switch type bridge && test -c /dev/net/tun"
)


@functools.cache
def reason_to_skip():
    """Why there can be no hosts in namespaces here; "" if there can."""
    if not sys.platform.startswith("linux"):
        return "namespaces exist on Linux only"
    if os.geteuid() != 0:
        return "hosts in namespaces can be made by root only"
    missing = [name for name in ("ssh-keygen", "ip", "unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    if sshd_path() is None:
        missing.insert(0, "sshd")
    if missing:
        return f"not installed: {', '.join(missing)} (packages openssh-server, openssh-client, iproute2, util-linux)"
    command = ["unshare", "--net", *NAMESPACES, "sh", "-c", _PROBE, "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        return f"this machine gives no namespaces, overlay or virtual links: {done.stderr.strip() or '/dev/net/tun'}"
    return ""


@dataclasses.dataclass
class Host:
    """A host. ``process``: what was started for it outside, None: it is down; ``init``: its first process."""

    name: str
    address: str
    process: subprocess.Popen | None = None
    init: int = 0
    own_processes: frozenset[int] = frozenset()
    cable: subprocess.Popen | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(frozen=True)
class Done:
    """A program that has run on a host."""

    returncode: int
    stdout: str
    stderr: str


class NamespaceCluster:
    """Hosts ``master`` and ``node1`` to ``nodeN``.

    ``users``: ordinary users that exist on each host beside root, and whom the master's key opens. ``shared``: hosts
    that have the shared folder ``/shared``. ``memory``: size of each host's ``/dev/shm`` and ``/tmp``.
    """

    def __init__(self, count=3, *, users=("alice",), shared=(), memory="2g"):
        self.nodes = [f"node{number}" for number in range(1, count + 1)]
        self.hosts = {name: Host(name, f"{SUBNET}.{10 + i}") for i, name in enumerate([MASTER, *self.nodes])}
        self.users = users
        self.shared = shared
        self.memory = memory
        self.python = os.path.join(sys.base_prefix, "bin", "python3")
        self._keeper = None
        self._started = []

    def __enter__(self):
        try:
            self._start_keeper()
            self._lay_cables()
            self._lay_out()
            for host in self.hosts.values():
                self._start(host)
            for host in self.hosts.values():
                self._wait(host)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def __repr__(self):
        names = [host.name if host.process else f"{host.name} (down)" for host in self.hosts.values()]
        return f"<NamespaceCluster {', '.join(names)}>"

    def close(self):
        """End every process of every host; the namespaces end with them."""
        if self._keeper is not None:
            with contextlib.suppress(IndexError, ProcessLookupError):
                os.kill(_children(self._keeper.pid)[0], 9)
            self._keeper.kill()
            self._keeper.wait()
            self._keeper.stdout.close()
        for host in self.hosts.values():
            for process in (host.process, host.cable):
                _put_away(process)
        for process in self._started:
            _put_away(process)
        self._keeper = None

    # Programs on hosts

    def start(self, name, argv, *, user="root", cwd="", env=None, **streams):
        """Start a program on a host, with the environment of a login. It is killed with the process that is given."""
        host = self.hosts[name]
        home = "/root" if user == "root" else f"/home/{user}"
        environment = {"HOME": home, "USER": user, "LOGNAME": user, "PATH": _path(), "LANG": "C.UTF-8", **(env or {})}
        who = [] if user == "root" else ["--reuid", user, "--regid", user, "--init-groups"]
        command = [
            "nsenter", "--target", str(host.init), "--all", f"--wd={_root(host.init)}{cwd or home}",
            "setpriv", "--pdeathsig", "KILL", *who, "env", "-i",
            *(f"{key}={value}" for key, value in environment.items()), *map(str, argv),
        ]  # fmt: skip
        process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, **streams})
        self._started.append(process)
        return process

    def run(self, name, argv, *, timeout=50.0, **options):
        """Run a program on a host to its end."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = self.start(name, argv, **pipes, **options)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill(process)
            output, errors = process.communicate()
            message = f"{argv} did not end in {timeout:g} s on {name}; it wrote:\n{output}\n{errors}"
            raise TimeoutError(message) from None
        self._started.remove(process)
        return Done(process.returncode, output, errors)

    @staticmethod
    def kill(process, signal=9):
        """Send a signal to a program that `start` has started (and not just to what stands for it outside)."""
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal)

    def path(self, name, path):
        """A host's file or folder, for reading and writing while the host is up."""
        return Path(_root(self.hosts[name].init) + path)

    def processes_of(self, name):
        """Whatever runs on a host beside its first process and its SSH server."""
        host = self.hosts[name]
        if host.process is None:
            return []
        space = _pid_namespace(host.init)
        found = []
        for process in psutil.process_iter():
            if process.pid not in host.own_processes:
                with contextlib.suppress(psutil.Error, OSError):
                    if _pid_namespace(process.pid) == space and process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    # What happens to hosts

    def crash(self, name):
        """End all processes of a host at once. Its address still answers, so peers notice: connections are reset."""
        host = self.hosts[name]
        if host.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(host.init, 9)
            host.process.wait()
            _put_away(host.process)
            host.process = None

    def poweroff(self, name):
        """End a host without a sound: peers see nothing any more. Then: `plug` and `boot`."""
        self.unplug(name)
        self.crash(name)

    def boot(self, name):
        """Start a host that is down; its disk is as it was, `/tmp`, `/run` and `/dev/shm` are empty."""
        host = self.hosts[name]
        if host.process is None:
            self._start(host)
            self._wait(host)

    def unplug(self, name):
        """Cut a host off; its processes go on."""
        self._switch(f"link set {self._port(name)} down")

    def plug(self, name):
        """Connect a host again."""
        self._switch(f"link set {self._port(name)} up")

    def block(self, source, target):
        """From now on nothing that a host sends arrives at another one. The other way is not affected."""
        settings = self.hosts[target].settings
        address = self.hosts[source].address
        self.shape(target, blocked=(*settings.blocked, address))

    def unblock(self, source, target):
        """End a `block`."""
        settings = self.hosts[target].settings
        self.shape(target, blocked=tuple(a for a in settings.blocked if a != self.hosts[source].address))

    def loss(self, name, percent):
        """Lose some of the packets from and to a host."""
        self.shape(name, loss=percent)

    def latency(self, name, milliseconds, jitter=0.0):
        """Make packets from and to a host late, each way."""
        self.shape(name, delay_ms=milliseconds, jitter_ms=jitter)

    def rate(self, name, mbit):
        """Let through so many megabits a second each way; 0: as many as can be."""
        self.shape(name, mbit=mbit)

    def shape(self, name, **changes):
        """Give a host's cable properties (see `cable.Settings`); it is exchanged for a bad one in use."""
        host = self.hosts[name]
        host.settings = dataclasses.replace(host.settings, **changes)
        number = list(self.hosts).index(name)
        if host.cable is None:
            self._switch(f"link set port{number} nomaster")
            host.cable = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", str(self._keeper_pid), "--net",
                 sys.executable, "-I", str(HERE / "cable.py"), f"port{number}", f"tap{number}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self._confirm(host)
            self._switch(f"link set tap{number} addrgenmode none", f"link set tap{number} master switch up")
        host.cable.stdin.write(json.dumps(dataclasses.asdict(host.settings)) + "\n")
        host.cable.stdin.flush()
        self._confirm(host)

    def fill(self, name, folder, *, leave=0):
        """Fill the disk that a folder of a host is on, but for so many bytes; give the file that does it."""
        path = self.path(name, folder) / "filler"
        with open(path, "wb") as file:
            size = 0
            while True:  # whoever writes there meanwhile makes the room smaller than it was said to be
                space = os.statvfs(path)
                more = (space.f_bavail * space.f_frsize - leave) // 2 & -4096
                if more <= 0:
                    return path
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), size, more)
                    size += more

    def change_host_key(self, name):
        """Start a host's SSH server with another key than the one that is known of it, from its next boot on."""
        make_key(self._disk(name) / "etc/ssh/host_key", name)

    def reset(self):
        """Make everything as it was at first: all hosts up, nothing running on them, cables good, disks clean."""
        for name, host in self.hosts.items():
            if host.cable is not None:
                _put_away(host.cable)
                host.cable = None
                host.settings = Settings()
                self._switch(f"link set port{list(self.hosts).index(name)} master switch")
            self.plug(name)
            if host.process is None or self.processes_of(name) or self._is_dirty(name):
                self.crash(name)
                self._clean(name)
                self._start(host)
        for host in self.hosts.values():
            self._wait(host)

    # How hosts are made

    def _start_keeper(self):
        prepare = (
            "mount -t tmpfs -o mode=755 hosts /run && mkdir /run/netns /run/hosts && echo up && exec sleep infinity"
        )
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", *NAMESPACES, "sh", "-c", prepare],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self._keeper.stdout.readline() != "up\n":
            raise RuntimeError("the namespaces of the test hosts could not be made")
        (self._keeper_pid,) = _children(self._keeper.pid)

    def _enter(self, *argv, **options):
        """Run a command in the keeper's network and mounts."""
        return subprocess.run(
            ["nsenter", "--target", str(self._keeper_pid), "--net", "--mount", *argv], check=True, text=True, **options
        )

    def _switch(self, *lines):
        self._enter("ip", "-batch", "-", input="".join(f"{line}\n" for line in lines))

    def _port(self, name):
        kind = "port" if self.hosts[name].cable is None else "tap"
        return f"{kind}{list(self.hosts).index(name)}"

    def _lay_cables(self):
        lines = ["link add switch type bridge", "link set switch addrgenmode none", "link set switch up"]
        for number, name in enumerate(self.hosts):
            lines += [
                f"netns add {name}",
                f"link add port{number} type veth peer name eth0 netns {name}",
                f"link set port{number} addrgenmode none",
                f"link set port{number} master switch up",
            ]
        self._switch(*lines)
        for host in self.hosts.values():
            lines = [f"addr add {host.address}/24 dev eth0", "link set lo up", "link set eth0 up"]
            self._enter("ip", "-netns", host.name, "-batch", "-", input="".join(f"{line}\n" for line in lines))

    def _lay_out(self):
        """Write what is different on each host: names, keys, users."""
        self._files = Path(_root(self._keeper_pid) + "/run/hosts")
        (self._files / "shared").mkdir()
        (self._files / "shared").chmod(0o1777)
        public = make_key(self._files / "identity", "tests of taskflow") + "\n"
        known = ""
        for host in self.hosts.values():
            base = self._files / host.name
            base.mkdir()
            self._enter("mount", "-t", "tmpfs", "-o", f"mode=755,size={self.memory}", "disk", f"/run/hosts/{host.name}")
            for name in ("root", "disk", "disk/work"):
                (base / name).mkdir()
            make_key(base / "host_key", host.name)
            known += known_host((host.name, host.address), 22, public_key(base / "host_key"))
        self._texts = {
            "hosts": "127.0.0.1 localhost\n" + "".join(f"{host.address} {host.name}\n" for host in self.hosts.values()),
            "known_hosts": known,
            "authorized_keys": public,
        }
        for name in self.hosts:
            self._clean(name)

    def _disk(self, name):
        """Where a host's disk keeps what is not as on the machine."""
        return self._files / name / "disk/upper"

    def _clean(self, name):
        """Make a host's disk as new."""
        host = self.hosts[name]
        base = self._files / name
        shutil.rmtree(base / "disk")
        for folder in ("disk", "disk/work", "disk/upper", "disk/upper/etc", "disk/upper/etc/ssh", "disk/upper/home"):
            (base / folder).mkdir(mode=0o755)
        etc = base / "disk/upper/etc"
        for half in ("host_key", "host_key.pub"):
            shutil.copy(base / half, etc / "ssh" / half)
        (etc / "hostname").write_text(name + "\n")
        (etc / "hosts").write_text(self._texts["hosts"])
        (etc / "resolv.conf").write_text("")
        settings = {
            "ListenAddress": f"{host.address}:22", "HostKey": "/etc/ssh/host_key", "PidFile": "none", "UsePAM": "no",
            "UseDNS": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes", "MaxStartups": 200,
            "MaxSessions": 200, "PrintMotd": "no", "Subsystem": "sftp internal-sftp", "SetEnv": f"PATH={_path()}",
        }  # fmt: skip
        (etc / "ssh/sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        self._make_home(name, "root", 0)
        for number, user in enumerate(self.users, 2001):
            self._make_home(name, user, number)
        # "*": no password opens this account, but it is not locked.
        formats = {"passwd": "{0}:x:{1}:{1}::/home/{0}:/bin/sh", "group": "{0}:x:{1}:", "shadow": "{0}:*:1::::::"}
        for file, form in formats.items():
            machine = Path("/etc", file)
            lines = "".join(form.format(user, number) + "\n" for number, user in enumerate(self.users, 2001))
            (etc / file).write_text(machine.read_text() + lines)
            (etc / file).chmod(machine.stat().st_mode & 0o777)

    def _make_home(self, name, user, number):
        home = self._disk(name) / ("root" if user == "root" else f"home/{user}")
        home.mkdir(mode=0o755)
        if user == "root":
            # Nothing of the machine's own home is to be seen: keys, caches, what a shell does at a login.
            os.setxattr(home, "trusted.overlay.opaque", b"y")
            home.chmod(0o711)  # but everybody may use a Python that is shown in there
        ssh = home / ".ssh"
        ssh.mkdir(mode=0o700)
        (ssh / "authorized_keys").write_text(self._texts["authorized_keys"])
        if name == MASTER:
            (ssh / "known_hosts").write_text(self._texts["known_hosts"])
            shutil.copy(self._files / "identity", ssh / "id_ed25519")
            hosts = [(host.name, host.address) for host in self.hosts.values()]
            (ssh / "config").write_text(client_configuration(hosts, ConnectTimeout=5))
        for path in (home, ssh, *ssh.iterdir()):
            os.chown(path, number, number)

    def _is_dirty(self, name):
        """Whether something may be there that a clean host does not have."""
        for folder in ("/tmp", "/dev/shm", "/root", "/run", *(f"/home/{user}" for user in self.users)):
            known = {".ssh", "sshd", *(path.lstrip("/").split("/")[1] for path in _visible())}
            if any(path.name not in known for path in self.path(name, folder).iterdir()):
                return True
        return False

    def _start(self, host):
        settings = {
            "name": host.name, "address": host.address, "path": _path(), "sshd": sshd_path(), "memory": self.memory,
            "disk": f"/run/hosts/{host.name}/disk", "root": f"/run/hosts/{host.name}/root", "visible": _visible(),
            "shared": {"/run/hosts/shared": SHARED} if host.name in self.shared else {},
        }  # fmt: skip
        host.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             "nsenter", "--target", str(self._keeper_pid), "--mount", "--pid",
             f"--net={_root(self._keeper_pid)}/run/netns/{host.name}",
             "unshare", *NAMESPACES, sys.executable, "-I", "-S", str(HERE / "init.py"), json.dumps(settings)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        host.init = 0

    def _wait(self, host):
        """Wait until a host is up."""
        if host.init == 0:
            if host.process.stdout.readline() != "up\n":
                raise RuntimeError(f"the host {host.name} does not start: {host.process.stderr.read()}")
            (unshare,) = _children(host.process.pid)
            (host.init,) = _children(unshare)
            host.own_processes = frozenset([host.init, *_children(host.init)])

    @staticmethod
    def _confirm(host):
        if host.cable.stdout.readline() != "ok\n":
            raise RuntimeError(f"the cable of {host.name} has ended with {host.cable.wait()}")


def _visible():
    """Folders of the machine that would be hidden on a host."""
    device = os.stat("/").st_dev
    wanted = sorted({os.path.realpath(path) for path in (ROOT, sys.prefix, sys.base_prefix)})
    own = tuple(f"{folder}/" for folder in OWN)
    return [path for path in wanted if path.startswith(own) or os.stat(path).st_dev != device]


def _path():
    """The search path on hosts: the Python that runs the tests comes first, without what is installed for the tests."""
    return f"{os.path.join(sys.base_prefix, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _root(pid):
    """A process's root folder, seen from here."""
    return f"/proc/{pid}/root"


def _pid_namespace(pid):
    return os.readlink(f"/proc/{pid}/ns/pid")


def _children(pid):
    return [process.pid for process in psutil.Process(pid).children()]


def _put_away(process):
    """Kill a process unless it has ended, and close what leads to it."""
    if process is None:
        return
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
