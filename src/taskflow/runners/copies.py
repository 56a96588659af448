"""Files that an MPI program needs on the other nodes of its task: what is not there is copied, and removed afterwards.

The files of a task are on its first node, in the folder of that node. Ranks on other nodes are given the same paths. So
the program, if another task has made it, and the files it reads are put at these paths, unless the nodes share a disk.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import shlex
import tarfile
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import IO, TYPE_CHECKING, TypeVar

from taskflow.model.errors import ProgramError
from taskflow.node import processes
from taskflow.node.span import launcher_of_task
from taskflow.runners import binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

AT_ONCE = 32  #: nodes that files are put on at the same time
_LOOK_S = 0.05
T = TypeVar("T")
_LACKING = 'for path in {}; do [ -e "$path" ] || printf "%s\\0" "$path"; done'
_REMOVE = "rm -rf -- {}; rmdir -p -- {} 2> /dev/null; true"


@contextlib.contextmanager
def on_nodes(hosts: Sequence[str], programs: Sequence[str], files: Sequence[str], where: str) -> Iterator[None]:
    """While it lasts, the other nodes of the task have the programs and the files at the same paths as this node.

    Names without a folder are none of its business: each node looks them up. Raises ProgramError, which begins with
    ``where``, if a node lacks a program that does not belong to the task: launchers may wait for it for ever.
    """
    launcher = launcher_of_task()
    installed = [path for path in programs if os.path.isabs(path)]
    for path in installed:
        if not os.path.exists(path):
            raise _missing(path, os.uname().nodename, where).for_good()
    wanted = list(dict.fromkeys([*installed, *(path for path in files if os.path.exists(path))]))
    if launcher is None or not wanted:
        yield
        return

    def put(host: str) -> list[str]:
        lacking = _lacking(launcher, host, wanted, where)
        ours = [path for path in lacking if path.startswith(os.environ["TASKFLOW_RUN_DIR"] + os.sep)]
        for path in installed:
            if path in lacking and path not in ours:
                raise _missing(path, host, where)
        if ours:
            _copy(launcher, host, ours, where)
        return ours

    def remove(host: str) -> None:
        folders = {os.path.dirname(path) for path in copied[host]}
        binary.run([launcher, host, _REMOVE.format(shlex.join(copied[host]), shlex.join(folders))], where)

    copied = dict(zip(hosts, _on_each(hosts, put), strict=True))
    yield
    _on_each([host for host in hosts if copied[host]], remove)


def _on_each(hosts: Sequence[str], act: Callable[[str], T]) -> list[T]:
    """What ``act`` returns for each of the nodes. If it fails for one, or is interrupted, it is ended for all."""
    if not hosts:
        return []
    with ThreadPoolExecutor(min(len(hosts), AT_ONCE), "taskflow-copies") as pool:
        futures = [pool.submit(contextvars.copy_context().run, act, host) for host in hosts]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        except BaseException:  # of a node, or the time of the task is over
            for future in futures:
                future.cancel()
            while wait(futures, _LOOK_S).not_done:
                for mark in list(processes.running):
                    processes.end(mark, grace_s=0)
            raise


def _missing(program: str, host: str, where: str) -> ProgramError:
    return ProgramError(
        f"{where}: there is no program {program} on {host}; it has to be in the same place on all nodes of the task, "
        f"or on a disk that they share, or to be given by a FILE_IN parameter: binary='{{{{parameter}}}}'"
    )


def _lacking(launcher: str, host: str, paths: Sequence[str], where: str) -> list[str]:
    """Those of the paths that a node does not have."""
    with tempfile.NamedTemporaryFile(dir=os.environ["COMPSS_WORKING_DIR"]) as said:
        _succeed([launcher, host, _LACKING.format(shlex.join(paths))], where, stdout=said)
        said.seek(0)
        return [os.fsdecode(path) for path in said.read().split(b"\0") if path]


def _copy(launcher: str, host: str, paths: Sequence[str], where: str) -> None:
    with tempfile.TemporaryFile(dir=os.environ["COMPSS_WORKING_DIR"]) as archive:
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, dereference=True) as tar:
            for path in paths:
                tar.add(path)
        archive.seek(0)
        _succeed([launcher, host, "tar -x -p -f - -C /"], where, stdin=archive)


def _succeed(
    argv: Sequence[str], where: str, *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> None:
    ended = binary.run(argv, where, stdin=stdin, stdout=stdout)
    if ended.exit_value:
        raise ended.failure(where)
