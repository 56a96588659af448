"""Folders that say whether their owner still lives, so that what a killed one has left behind can be removed.

A run removes its folders itself, or its zygote does. If all its processes are killed at once nobody is left to do it,
and what lies in ``/dev/shm`` would take memory for ever. So the owner of a folder holds a lock on a file in it as long
as it lives, and whoever makes such a folder removes those beside it whose locks are free. A lock tells more than a
number of a process: it holds across containers, and across the machines of a shared disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OWNER = ".taskflow-owner"
_RUN = re.compile(r"(taskflow-)?\d{8}-\d{6}-[0-9a-f]{6}(-[\w-]+)?\Z")  #: what folders with the id of a run are called


def claim(folder: str) -> int:
    """Say that a folder is ours as long as this process lives: an open file that is kept until then; -1: impossible.

    A file that is not locked and empty is one that is just being made: it is locked before anything is written to it.
    """
    path = f"{folder}/{OWNER}"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a full disk is told of where it matters
        return -1
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, os.fsencode(os.path.realpath(folder)))
    except OSError:  # there are file systems that know no locks, and then nobody may think that this one is free
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(file)
        return -1
    return file


def sweep(parent: str) -> None:
    """Remove folders in ``parent`` whose owners, of this user, are dead."""
    for folder in _of_runs(parent):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def sweep_below(parent: str) -> None:
    """As `sweep`, for folders in the folders of runs in ``parent``, and remove those that are empty then."""
    for run in _of_runs(parent):
        left = [folder for folder in _folders(run) if _is_left(folder)]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        if left:
            with contextlib.suppress(OSError):  # other nodes of that run may have theirs in it
                os.rmdir(run)


def _of_runs(parent: str) -> Iterable[str]:
    return [path for path in _folders(parent) if _RUN.match(os.path.basename(path))]


def _folders(parent: str) -> Iterable[str]:
    try:
        return [f"{parent}/{name}" for name in os.listdir(parent)]
    except OSError:
        return []


def _is_left(folder: str) -> bool:
    """Whether a folder of ours has lost its owner. Where that cannot be found out, it has not."""
    try:
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return False
        file = os.open(f"{folder}/{OWNER}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A copy that somebody has made of such a folder is none.
        return os.read(file, 4096) == os.fsencode(os.path.realpath(folder))
    except OSError:
        return False
    finally:
        os.close(file)
