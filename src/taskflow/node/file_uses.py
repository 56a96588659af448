"""Which files a piece of code opens, renames and removes, as the interpreter's audit events tell.

What programs started by the code do, and libraries that open files without Python, is not seen.
"""

from __future__ import annotations

import functools
import os
import re
import site
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

from taskflow.data.files import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

WROTE = "wrote"
READ = "read"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CODE = (".py", ".pyc", ".so", ".pth")

_active: list[FileUses] = []


class FileUses:
    """A context; afterwards `of_user` tells what was used in it. The innermost one counts."""

    def __init__(self) -> None:
        _install_hook()
        self._uses: dict[str, str] = {}

    def __enter__(self) -> None:
        _active.append(self)

    def __exit__(self, *_: object) -> None:
        _active.pop()

    def note(self, path: Any, what: str) -> None:
        """Note the use of a path, as an audit event gives it: a text, bytes, or a descriptor that was open before."""
        if isinstance(path, (str, bytes, os.PathLike)):
            text = os.path.join(os.getcwd(), os.fsdecode(path))
            if self._uses.get(text) != WROTE:
                self._uses[text] = what

    def of_user(self, own_folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """(absolute path, `WROTE` or `READ`) of the user's files, not folders.

        Not told: ``own_folders`` (with a slash at the end), Python's and the system's, and files that have the
        number of this process in their name, which no other process uses.
        """
        private = re.compile(rf"(?<!\d){os.getpid()}(?!\d)")
        for text, what in self._uses.items():
            path = absolute(text)
            if (
                path.startswith((*own_folders, *_system_folders()))
                or path.endswith(_CODE)
                or private.search(path) is not None
                or os.path.isdir(path)  # as `tempfile` opens for a file without a name
            ):
                continue
            yield path, what


@functools.cache
def _system_folders() -> tuple[str, ...]:
    folders = {"/dev", "/proc", "/sys", os.path.expanduser("~/.cache"), site.getuserbase()}
    folders |= {os.path.realpath(folder) for folder in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())}
    return tuple(folder.rstrip("/") + "/" for folder in folders if folder.strip("/"))


def _opened(uses: FileUses, args: Any) -> None:
    path, _, flags = args
    uses.note(path, WROTE if flags & _WRITING else READ)


def _wrote_first(uses: FileUses, args: Any) -> None:
    uses.note(args[0], WROTE)


def _wrote_second(uses: FileUses, args: Any) -> None:
    uses.note(args[1], WROTE)


def _renamed(uses: FileUses, args: Any) -> None:
    uses.note(args[0], WROTE)
    uses.note(args[1], WROTE)


def _removed(uses: FileUses, args: Any) -> None:
    if args[1] == -1:  # else the name is relative to an open folder, which is being removed as a whole
        uses.note(args[0], WROTE)


_EVENTS = {
    "open": _opened,
    "os.link": _wrote_second,
    "os.remove": _removed,
    "os.rename": _renamed,
    "os.symlink": _wrote_second,
    "os.truncate": _wrote_first,
    "shutil.rmtree": _wrote_first,
}


@functools.cache
def _install_hook() -> None:
    """Once in a process: a hook cannot be taken away again."""
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active:
        handler = _EVENTS.get(event)
        if handler is not None:
            handler(_active[-1], args)
