"""Tasks that kill the process that runs them. Few imports: each new executor has to load this module."""

import ctypes
import os
import resource
import signal
import subprocess
import sys

from taskflow import COMMUTATIVE, FILE_INOUT, INOUT, task
from tests.behaviour.helpers import touch, wait_for_file


def die(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(7)


@task(returns=1)
def suicide(how, folder=None):
    if folder is not None:
        os.close(os.open(os.path.join(folder, str(os.getpid())), os.O_CREAT))
    sys.stderr.write("last words\n")
    os.write(2, b"written below Python\n")
    die(how)


@task(returns=1)
def die_once(how, mark):
    if not os.path.exists(mark):
        touch(mark)
        die(how)
    return "second attempt"


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def use(*values):
    return values


@task(returns=1)
def pid():
    return os.getpid()


@task(returns=1)
def pid_of(value):  # noqa: ARG001
    return os.getpid()


@task(returns=1)
def array(n, folder):
    touch(os.path.join(folder, f"{n}-{os.getpid()}-{len(os.listdir(folder))}"))
    import numpy as np

    return np.full(100_000, float(n))


@task(returns=1)
def plus(values, amount):
    return values + amount


@task(returns=1)
def total(values):
    return float(values.sum())


@task(items=INOUT)
def append(items, item, mark):
    items.append(item)
    if mark is not None and not os.path.exists(mark):
        touch(mark)
        die("kill")


@task(items=COMMUTATIVE)
def append_commutatively(items, item, mark):
    append.__wrapped__(items, item, mark)


@task(path=FILE_INOUT)
def append_to_file(path, text, mark):
    with open(path, "a") as file:
        file.write(text)
    if mark is not None and not os.path.exists(mark):
        touch(mark)
        die("kill")


@task(returns=1)
def wait_here(started, gate):
    touch(f"{started}-{os.getpid()}")
    wait_for_file(gate)
    return os.getpid()


@task(returns=1)
def greedy():
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, before[1]))
    try:
        return len(bytearray(1 << 32))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@task(returns=1)
def large_then_dead():
    block = bytearray(100 << 20)
    block[::4096] = b"x" * len(block[::4096])
    os.kill(os.getpid(), signal.SIGKILL)


@task(returns=1)
def leave_child(path):
    child = subprocess.Popen(["/bin/sleep", "1000"])
    with open(path, "a") as file:
        file.write(f"{child.pid}\n")
    os.kill(os.getpid(), signal.SIGKILL)
