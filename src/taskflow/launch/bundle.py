"""What is sent to nodes: this package with cloudpickle, and the program's own modules, each an archive with its hash.

Of each root (a folder on the path that belongs to neither an interpreter nor an installation: usually that of the
script) travel: Python modules, and the other files of packages. Folders that no import can lead to do not travel: names
that are no identifiers (so all hidden ones), virtual environments, ``__pycache__``, ``node_modules``. Of a home folder,
a temporary folder and / only modules and packages travel, not folders of other things with modules somewhere in them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import os
import sysconfig
import tempfile
import threading
import zipfile
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MODULE_BYTES = 4 << 20  #: a Python file is not longer
LIBRARY_BYTES = 32 << 20  #: a module in machine code is not
DATA_BYTES = 1 << 20  #: another file of a package is not
TOTAL_BYTES = 32 << 20  #: all files together are not
TOTAL_FILES = 5_000  #: there are not more files
TOTAL_LOOKED_AT = 50_000  #: a root that is somebody's home folder must not be searched for minutes
SCRIPTS = (".sh", ".jl", ".cl", ".awk", ".pl", ".R")  #: files that programs of tasks read, executable or not
_SKIPPED = frozenset({"__pycache__", "node_modules", "venv"})
_DATE = (1980, 1, 1, 0, 0, 0)  #: the same content is to give the same archive


@dataclasses.dataclass(frozen=True)
class Archive:
    """Files to be sent. ``digest``: of names and contents; ``pack`` makes the ZIP archive when the first node needs it.

    ``roots``: the folders in it that belong on the path. ``left_out``: sentences on what a limit has cut off.
    """

    kind: str
    digest: str
    roots: tuple[str, ...]
    left_out: tuple[str, ...]
    pack: Callable[[], bytes]


def package_archive() -> Archive:
    """This package and cloudpickle: with them, a node needs nothing but Python."""
    import cloudpickle

    files: list[tuple[str, str]] = []
    for name, folder in (("taskflow", _package_folder()), ("cloudpickle", os.path.dirname(cloudpickle.__file__))):
        files += [(f"{name}/{os.path.relpath(path, folder)}", path) for path in _files_below(folder)]
    return _archive("package", sorted(files), ("",), ())


def _package_folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _files_below(folder: str) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.join(where, name) for name in names if not name.endswith((".pyc", "~")))


def program_roots(path: Iterable[str]) -> list[str]:
    """The entries of a path that belong to the program: neither to an interpreter nor to an installation."""
    paths = sysconfig.get_paths()
    installed = {os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    roots: list[str] = []
    for entry in path:
        absolute = os.path.abspath(entry or ".")
        real = os.path.realpath(absolute)
        if absolute in roots or not os.path.exists(real) or any(_is_in(real, folder) for folder in installed):
            continue
        if not {"site-packages", "dist-packages", "lib-dynload"} & set(real.split(os.sep)):
            roots.append(absolute)
    return roots


def _is_in(path: str, folder: str) -> bool:
    return f"{path}{os.sep}".startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def program_archive(roots: Sequence[str]) -> Archive:
    """The program's own modules. ``roots`` of the archive stand for these roots, in their order."""
    collection = _Collection()
    tops: list[str] = []  # roots that lie in no other
    for root in sorted(roots, key=len):
        if not any(_is_in(os.path.realpath(root), os.path.realpath(top)) for top in tops):
            tops.append(root)
    inside: dict[str, str] = {}
    for number, top in enumerate(tops):
        inside[top] = str(number)
        if os.path.isfile(top):  # an archive of modules
            inside[top] = f"{number}/{os.path.basename(top)}"
            collection.add(inside[top], top, LIBRARY_BYTES)
        else:
            nested = {os.path.realpath(root) for root in roots if root != top}
            collection.search(top, str(number), nested)
    for root in roots:
        if root not in inside:
            real = os.path.realpath(root)
            top = next(top for top in tops if _is_in(real, os.path.realpath(top)))
            inside[root] = f"{inside[top]}/{os.path.relpath(real, os.path.realpath(top))}"
    found = tuple([os.path.normpath(inside[root]) for root in roots])
    return _archive("program", sorted(collection.files), found, tuple(collection.left_out()))


class _Collection:
    """Files of the program on their way into an archive, as far as the limits allow: first those near the top."""

    def __init__(self) -> None:
        self.files: list[tuple[str, str]] = []
        self._own = os.path.realpath(_package_folder())
        self._bytes = 0
        self._looked_at = 0
        self._seen: set[str] = set()
        self._data: list[tuple[str, str, int]] = []  # they come after all modules: without these, nothing works
        self._too_large: list[str] = []
        self._beyond: list[str] = []
        self._given_up = ""

    def search(self, top: str, name: str, nested: set[str]) -> None:
        """Add what belongs to a root. ``nested``: roots inside of it, which are searched wherever they lie."""
        real = os.path.realpath(top)
        inner = sorted(root for root in nested if _is_in(root, real))
        self._search(top, name)
        for root in inner:
            self._search(root, f"{name}/{os.path.relpath(root, real)}")
        for entry in self._data:
            self.add(*entry)
        self._data.clear()

    def _search(self, top: str, name: str) -> None:
        """Look into a folder and those below it, level by level."""
        shared = os.path.realpath(top) in _places_of_everything()
        queue = deque([(top, name, False)])
        while queue:
            folder, name, is_package = queue.popleft()
            real = os.path.realpath(folder)
            if real in self._seen or real == self._own:
                continue  # links may lead in circles
            self._seen.add(real)
            try:
                with os.scandir(folder) as found:
                    entries = sorted((entry for entry in found if _is_text(entry.name)), key=lambda entry: entry.name)
            except FileNotFoundError:
                continue  # it was there a moment ago
            except OSError as error:
                self._beyond.append(f"{folder} ({error.strerror})")
                continue
            self._looked_at += len(entries)
            if self._looked_at > TOTAL_LOOKED_AT:
                self._given_up = folder
                return
            is_package = is_package or any(entry.name == "__init__.py" for entry in entries)
            for entry in entries:
                inside = f"{name}/{entry.name}"
                if entry.is_dir():
                    if (is_package or entry.name.isidentifier()) and not _is_skipped(
                        entry, packages_only=shared and not is_package
                    ):
                        queue.append((entry.path, inside, is_package))
                elif entry.is_file():
                    self._consider(entry, inside, is_package=is_package)

    def _consider(self, entry: os.DirEntry[str], inside: str, *, is_package: bool) -> None:
        if entry.name.endswith(".py"):
            self.add(inside, entry.path, MODULE_BYTES)
        elif entry.name.endswith(".so"):
            self.add(inside, entry.path, LIBRARY_BYTES)
        elif entry.name.startswith(".") or entry.name.endswith((".pyc", "~")):
            return
        elif is_package or _is_program(entry):
            self._data.append((inside, entry.path, DATA_BYTES))

    def add(self, name: str, path: str, limit: int) -> None:
        """Add a file, unless it is too large or there are too many."""
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            return  # it was there a moment ago
        if not os.access(path, os.R_OK):
            self._beyond.append(f"{path} (must not be read)")
        elif size > limit:
            self._too_large.append(f"{path} ({_megabytes(size)}, the limit is {_megabytes(limit)})")
        elif len(self.files) >= TOTAL_FILES or self._bytes + size > TOTAL_BYTES:
            self._beyond.append(path)
        else:
            self._bytes += size
            self.files.append((name, path))

    def left_out(self) -> Iterator[str]:
        """Sentences on what was cut off."""
        advice = "name where it is on the nodes with AppDir in project.xml, or put it on a shared disk"
        if self._too_large:
            yield f"too large to be sent to nodes with the program's modules: {_some(self._too_large)}; {advice}"
        if self._beyond:
            yield (
                f"not sent to nodes, because the program's modules are more than {TOTAL_FILES} files or"
                f" {_megabytes(TOTAL_BYTES)}, or cannot be read: {_some(self._beyond)}; {advice}"
            )
        if self._given_up:
            yield (
                f"the search for the program's modules was given up in {self._given_up} after"
                f" {TOTAL_LOOKED_AT} files: start the program from a folder that has little else in it, or {advice}"
            )


def _is_program(entry: os.DirEntry[str]) -> bool:
    """Whether it is a program or a script of moderate size, which tasks may run."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return False
    return status.st_size <= DATA_BYTES and (entry.name.endswith(SCRIPTS) or bool(status.st_mode & 0o100))


def _places_of_everything() -> set[str]:
    """Folders that hold much besides a program: of these, only modules and packages are of interest."""
    return {"/", os.path.realpath(os.path.expanduser("~")), os.path.realpath(tempfile.gettempdir())}


def _is_skipped(entry: os.DirEntry[str], *, packages_only: bool) -> bool:
    """Whether a folder holds nothing that is imported from where it lies."""
    return (
        entry.name in _SKIPPED
        or entry.name.startswith(".")
        or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
        or (packages_only and not os.path.exists(os.path.join(entry.path, "__init__.py")))
    )


def _is_text(name: str) -> bool:
    """Whether a name can be written down; if not, no import can lead there."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _archive(kind: str, files: list[tuple[str, str]], roots: tuple[str, ...], left_out: tuple[str, ...]) -> Archive:
    contents: list[tuple[str, bytes, int]] = []
    digest = hashlib.sha256()
    for name, path in files:
        with open(path, "rb") as stream:
            content = stream.read()
        mode = 0o700 if os.stat(path).st_mode & 0o100 else 0o600
        digest.update(f"{name}\0{len(content)}\0{mode}\0".encode(errors="surrogateescape"))
        digest.update(content)
        contents.append((name, content, mode))
    lock = threading.Lock()

    @functools.cache
    def packed() -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            for name, content, mode in contents:
                entry = zipfile.ZipInfo(name, _DATE)
                entry.external_attr = mode << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
        return stream.getvalue()

    def pack() -> bytes:
        with lock:
            return packed()

    return Archive(kind, digest.hexdigest()[:32], roots, left_out, pack)


def unpack(archive: str, folder: str) -> None:
    """Unpack an archive into a new folder, with the modes of its files."""
    with zipfile.ZipFile(archive) as source:
        source.extractall(folder)
        for entry in source.infolist():
            if entry.external_attr >> 16 & 0o100:
                os.chmod(os.path.join(folder, entry.filename), 0o700)
