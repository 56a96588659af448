"""The zygote: a small process, without threads, that forks executors and reports how they end.

It is started once per run with a clean interpreter, so executors fork quickly and safely whatever threads the main
program has. It holds one socket to the master: requests to fork come in (with the executor's sockets attached), notes
of death go out. When the master is gone it kills what is left and ends.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
import warnings
from typing import Any

from taskflow import finder
from taskflow.model.errors import ArgumentWarning
from taskflow.node import processes
from taskflow.node.environment import node_environment
from taskflow.node.executor import run_executor

FILES_PER_EXECUTOR = 3  #: data socket, control socket, page with the running task


def main(control_file: int) -> None:
    """Serve the master's requests on the inherited socket until it closes."""
    control = socket.socket(fileno=control_file)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    began = time.time()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    settings: dict[str, Any] = {}
    children: dict[int, int] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    while True:
        poller.poll()
        with contextlib.suppress(BlockingIOError):
            os.read(wake_read, 512)
        _reap(children, control, settings)
        request, files = _request(control)
        if request is None:
            if files is None:
                break
            continue
        if "settings" in request:
            settings = request["settings"]
            _prepare(settings)
            continue
        number = request["executor"]
        try:
            process = os.fork()
        except OSError as error:
            _close(files)
            why = f"could not be started: fork: {error.strerror}"
            _send(control, {"executor": number, "status": None, "max_rss_kb": 0, "problem": why})
            continue
        if process == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            os.close(wake_read)
            os.close(wake_write)
            os.setpgid(0, 0)
            run_executor(files or [], settings, number, request.get("cores", ""))
        _close(files)
        children[process] = number
        _send(control, {"executor": number, "pid": process})
    _end(children, settings, began)
    _remove_folders(settings)
    os._exit(0)


def _end(children: dict[int, int], settings: dict[str, Any], began: float) -> None:
    """End all executors and what their tasks have started since ``began``."""
    for process in children:
        # Each executor leads a process group, so that what its tasks started goes too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)
    for process in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)
    # But for programs, which have groups of their own, and some of which leave something behind.
    if processes.end_those_of(settings.get("run_dir", "")):
        from taskflow.node import remains

        remains.remove(began)


def _remove_folders(settings: dict[str, Any]) -> None:
    """Usually the master or the agent does this; but it may have been killed, or left with os._exit()."""
    for folder in settings.get("temporary", ()):
        shutil.rmtree(folder, ignore_errors=True)
    if "run_folder" in settings:
        with contextlib.suppress(OSError):  # other nodes of the run may have theirs in it
            os.rmdir(settings["run_folder"])


def _close(files: list[int] | None) -> None:
    for file in files or ():
        os.close(file)


def _prepare(settings: dict[str, Any]) -> None:
    sys.path[:] = settings["path"]
    sys.argv[:] = settings["argv"]
    os.environ.update(node_environment(settings["cwd"], settings["scratch"]))
    if settings["pycompss"]:
        finder.install()
    else:
        finder.install_last()
    warnings.simplefilter("ignore", ArgumentWarning)  # the main program has shown it
    with contextlib.suppress(OSError):
        os.chdir(settings["cwd"])


def _request(control: socket.socket) -> tuple[dict[str, Any] | None, list[int] | None]:
    """One request and the files that came with it; (None, []) if there is none yet, (None, None) at the end."""
    try:
        data, ancillary, _, _ = control.recvmsg(
            1 << 20, socket.CMSG_SPACE(FILES_PER_EXECUTOR * 4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return None, []
    except ConnectionError:
        return None, None
    if not data:
        return None, None
    files = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    return json.loads(data), list(files)


def _reap(children: dict[int, int], control: socket.socket, settings: dict[str, Any]) -> None:
    while True:
        try:
            process, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        number = children.pop(process, None)
        if number is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
            processes.end_those_of(settings["run_dir"], process)
            _send(control, {"executor": number, "status": status, "max_rss_kb": usage.ru_maxrss})


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        control.send(json.dumps(message).encode())
