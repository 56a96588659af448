"""First process of a host in namespaces: gives the host its file system and name, starts its SSH server, reaps.

Started in new namespaces (mount, UTS, IPC, PID) and in the host's network namespace, as `python -I init.py` with
its settings as JSON in the only argument (see `NamespaceCluster._boot`). It writes "up" when the host answers on
port 22. Its end is the end of every process of the host: so says the kernel of the first process of a PID namespace.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time

# From linux/mount.h.
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
DETACH = 2
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source, target, kind=None, flags=0, options=""):
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mount {source} on {target}")


def bind(source, target, *, read_only=False):
    """Show a folder or file of the machine at a place of the host."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a", encoding="ascii").close()
    mount(source, target, flags=BIND | RECURSIVE)
    if read_only:
        mount(None, target, flags=BIND | REMOUNT | READ_ONLY)


def make_file_system(settings):
    """Make the host's tree beside the machine's, and move into it."""
    disk, root = settings["disk"], settings["root"]
    mount(None, "/", flags=RECURSIVE | PRIVATE)
    mount("overlay", root, "overlay", options=f"lowerdir=/,upperdir={disk}/upper,workdir={disk}/work")
    mount("proc", f"{root}/proc", "proc")
    mount("sysfs", f"{root}/sys", "sysfs")
    with contextlib.suppress(OSError):  # limits of memory and processors: not on every machine
        mount("/sys/fs/cgroup", f"{root}/sys/fs/cgroup", flags=BIND | RECURSIVE)
    mount("tmpfs", f"{root}/dev", "tmpfs", options="mode=755")
    for name in DEVICES:
        bind(f"/dev/{name}", f"{root}/dev/{name}")
    for name, target in LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")
    os.mkdir(f"{root}/dev/pts")
    mount("devpts", f"{root}/dev/pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
    os.mkdir(f"{root}/dev/shm")
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", options=f"mode=1777,size={settings['memory']}")
    mount("tmpfs", f"{root}/run", "tmpfs", options="mode=755")
    mount("tmpfs", f"{root}/tmp", "tmpfs", options=f"mode=1777,size={settings['memory']}")
    os.mkdir(f"{root}/run/sshd")
    for path in settings["visible"]:
        bind(path, root + path, read_only=True)
    for source, target in settings["shared"].items():
        bind(source, root + target)
    os.makedirs(f"{root}/run/machine")
    _check(_libc.pivot_root(root.encode(), f"{root}/run/machine".encode()), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/run/machine", DETACH), "umount")
    os.rmdir("/run/machine")


def wait_for_ssh(address, server):
    """Wait until the SSH server accepts connections."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=1):
            return
        if server.poll() is not None:
            with open("/var/log/sshd.log", encoding="utf-8", errors="replace") as log:
                sys.exit(f"the SSH server ended: {log.read()}")
        time.sleep(0.002)


def main():
    settings = json.loads(sys.argv[1])
    make_file_system(settings)
    socket.sethostname(settings["name"])
    os.environ.clear()
    os.environ["PATH"] = settings["path"]
    command = [settings["sshd"], "-D", "-f", "/etc/ssh/sshd_config", "-E", "/var/log/sshd.log"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    wait_for_ssh(settings["address"], server)
    print("up", flush=True)
    server.returncode = 0  # reaped below, like all orphans of the host
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


if __name__ == "__main__":
    main()
