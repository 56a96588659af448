"""The program that a node's interpreter is given over SSH: gets what the node lacks, then becomes the agent.

It travels as text on standard input, so it uses nothing but the standard library and stands alone. After it come, on
the same stream: a line of JSON (see `main`); each archive the node has asked for; and then whatever the agent reads.
It answers with lines that begin with a mark, by which they are told from what login scripts write:
``{"python", "executable", "pid", "needs"}`` at first, then ``{"started"}``, or ``{"failed": why}``.
"""

from __future__ import annotations

import sys

if sys.path and not sys.path[0]:
    del sys.path[0]  # the home folder, where a file may be called like a module of the standard library

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import tempfile
import time
import traceback
import zipfile
from typing import Any

FORGOTTEN_S = 90 * 86400  #: what no run has used for so long is removed from the cache
PIECE_BYTES = 1 << 20


class BootstrapError(Exception):
    """Nothing can be started here. The message says why."""


def main() -> None:
    """Read the header and do what it says.

    ``mark``: begins our lines. ``archives``: for each its ``kind`` ("package" is put on the path, "program" is handed
    on) and ``digest``. ``working_dir``: "" or where there is room besides the home folder. ``folders``: [what, path] of
    each that has to be there. ``entry``: ``module:function`` to call with ``config``, a text, in which the word
    ``given`` is replaced by the path of the program's archive.
    """
    os.umask(0o077)
    header = json.loads(read_line())
    mark = header["mark"]
    try:
        check_folders(header["folders"])
        cache = Cache(header["working_dir"])
        wanted = header["archives"]
        needs = [entry["kind"] for entry in wanted if not cache.has(entry)]
        say(mark, python=sys.version.split()[0], executable=sys.executable, pid=os.getpid(), needs=needs)
        for entry in wanted:
            if entry["kind"] in needs:
                cache.take_in(entry, int(read_line()))
        config = header["config"]
        for entry in wanted:
            if entry["kind"] == "package":
                sys.path.insert(0, cache.place(entry))
            else:
                config = config.replace(header["given"], json.dumps(cache.place(entry))[1:-1])
        module, function = header["entry"].split(":")
        run = getattr(importlib.import_module(module), function)
    except BootstrapError as error:
        say(mark, failed=str(error))
        sys.exit(1)
    except OSError as error:
        say(mark, failed=f"{error.strerror or error}: {error.filename or 'standard input'}")
        sys.exit(1)
    except BaseException as error:
        say(mark, failed=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        raise
    say(mark, started=True)
    os.dup2(2, 1)  # what is printed from now on is for people
    run(config)


def check_folders(folders: list[tuple[str, str]]) -> None:
    """Raise BootstrapError if one is missing."""
    for what, folder in folders:
        if not os.path.isdir(os.path.expanduser(folder)):
            raise BootstrapError(f"{what} names {folder}, and there is no such folder on the node")


def say(mark: str, **fields: Any) -> None:
    """Tell the main program something: one line, at once."""
    os.write(1, f"{mark} {json.dumps(fields)}\n".encode())


def read_line() -> bytes:
    """A line of standard input, and not a byte more."""
    line = bytearray()
    while not line.endswith(b"\n"):
        line += read_some(1)
    return bytes(line)


def read_some(most: int) -> bytes:
    """At least one byte of standard input."""
    data = os.read(0, most)
    if not data:
        sys.exit(1)  # the main program has gone: nobody is there to be told
    return data


class Cache:
    """A private folder with what earlier runs have brought here. Several runs may use it at once.

    Everything gets its name when it is whole, by renaming, so whoever finds it finds it whole.
    """

    def __init__(self, working_dir: str) -> None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        spare = os.path.expanduser(working_dir) or f"{tempfile.gettempdir()}/taskflow-{os.getuid()}"
        problems = []
        for folder in (f"{home}/taskflow", f"{spare}/cache"):
            try:
                make_private(folder)
            except (OSError, BootstrapError) as error:
                problems.append(str(error))
                continue
            self.folder = folder
            return
        raise BootstrapError(
            f"there is no folder to keep the program in: {'; '.join(problems)}. Make one of them usable, or name"
            f" another one with <WorkingDir> in project.xml"
        )

    def place(self, entry: dict[str, str]) -> str:
        """Where an archive is: unpacked if it is a package."""
        ending = "" if entry["kind"] == "package" else ".zip"
        return f"{self.folder}/{entry['kind']}-{entry['digest']}{ending}"

    def has(self, entry: dict[str, str]) -> bool:
        """Whether it is there, whole: others who tidy up may have removed a part."""
        place = self.place(entry)
        try:
            if entry["kind"] == "package":
                with open(f"{place}/contents.json", encoding="utf-8") as stream:
                    contents = json.load(stream)
                whole = all(os.stat(f"{place}/{name}").st_size == size for name, size in contents)
            else:
                with zipfile.ZipFile(place) as archive:
                    whole = digest_of(archive) == entry["digest"]
            os.utime(place)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return False
        return whole

    def take_in(self, entry: dict[str, str], size: int) -> None:
        """Read an archive from standard input, check it, and put it in its place."""
        place = self.place(entry)
        piece = f"{place}.{os.getpid()}-{os.urandom(4).hex()}"
        try:
            with open(piece, "xb") as stream:
                while size:
                    data = read_some(min(size, PIECE_BYTES))
                    stream.write(data)
                    size -= len(data)
            with zipfile.ZipFile(piece) as archive:
                if digest_of(archive) != entry["digest"]:
                    raise BootstrapError("what arrived is not what was sent; is the disk of the node damaged?")
                if entry["kind"] == "package":
                    archive.extractall(f"{piece}.d")
                    contents = [(info.filename, info.file_size) for info in archive.infolist()]
                    with open(f"{piece}.d/contents.json", "w", encoding="utf-8") as stream:
                        json.dump(contents, stream)
            if entry["kind"] == "package":
                self._exchange(f"{piece}.d", place)
            else:
                os.replace(piece, place)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(piece)
            shutil.rmtree(f"{piece}.d", ignore_errors=True)
        self._forget()

    def _exchange(self, new: str, place: str) -> None:
        """Give a folder its name. Another run may do the same now: then its folder is as good as ours."""
        for _ in range(3):
            try:
                os.rename(new, place)
            except OSError:
                if self.has({"kind": "package", "digest": place.rpartition("-")[2]}):
                    return
                with contextlib.suppress(OSError):  # it is damaged, or was a moment ago
                    os.rename(place, f"{new}-old")
                shutil.rmtree(f"{new}-old", ignore_errors=True)
            else:
                return
        raise BootstrapError(f"{place} is damaged and cannot be replaced; remove it by hand")

    def _forget(self) -> None:
        """Remove what no run has used for long, and pieces of runs that were cut off."""
        limit = time.time() - FORGOTTEN_S
        for name in os.listdir(self.folder):
            path = f"{self.folder}/{name}"
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mtime < limit:
                    if os.path.isdir(path):
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        os.unlink(path)


def make_private(folder: str) -> None:
    """Make a folder that only we can use, and try it out. Raises OSError and BootstrapError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.lstat(folder).st_uid != os.getuid():
        raise BootstrapError(f"{folder} belongs to somebody else")
    os.chmod(folder, 0o700)
    with tempfile.TemporaryFile(dir=folder):
        pass


def digest_of(archive: zipfile.ZipFile) -> str:
    """The digest of names and contents, as `launch.bundle` makes it."""
    digest = hashlib.sha256()
    for info in archive.infolist():
        content = archive.read(info)
        digest.update(f"{info.filename}\0{len(content)}\0{info.external_attr >> 16}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]
