"""Imports of httpx for the runtime, which never give a module of the user's program that has the same name.

A script may be called ``h2.py``, or lie beside an ``anyio.py``: its folder is the first in which Python looks, so
httpx would get these. Imported in another thread than the one that runs the program, the script would run a second
time, and wait in the thread that it waits for.

So within `looking` the thread, and no other, looks only where packages are installed. If the program has modules with
names of httpx's packages, these are two worlds: ``sys.modules`` has the program's, and ours are known here only, to
each other. Otherwise they are shared, as usual.

What remains: another thread of such a program, which first imports one of these names in the very moment (a quarter
of a second) in which ours are loaded, gets ours.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import sysconfig
import threading
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: What httpx is made of, and what it uses if it is there.
NAMES = frozenset({
    "anyio", "brotli", "brotlicffi", "certifi", "click", "exceptiongroup", "h11", "h2", "hpack", "httpcore", "httpx",
    "hyperframe", "idna", "pygments", "rich", "sniffio", "socksio", "trio", "truststore", "typing_extensions",
    "zstandard",
})  # fmt: skip

_lock = threading.RLock()
_thread = threading.local()  #: its ``finder`` is the one in use, if the thread is within `looking`
_names_apart: set[str] = set()  #: of packages of ours that the program has another module for
_apart: dict[str, ModuleType] = {}  #: the modules of these, by full name
_absent: set[str] = set()  #: what of them is not installed


@contextmanager
def looking() -> Iterator[None]:
    """Within it this thread imports only what is installed, never what lies beside the program."""
    with _lock:
        if _within():
            yield
            return
        finder = _Finder()
        if not _names_apart and any(finder.has_other(name) for name in NAMES):
            _names_apart.update(NAMES)
        theirs = _taken_out()
        sys.modules.update(_apart)
        sys.meta_path.insert(0, finder)
        _thread.finder = finder
        try:
            yield
        finally:
            _thread.finder = None
            sys.meta_path.remove(finder)
            _names_apart.update([name for name in finder.found if finder.has_other(name)])
            _apart.update(_taken_out())
            sys.modules.update(theirs)


def _within() -> bool:
    return getattr(_thread, "finder", None) is not None


def _taken_out() -> dict[str, ModuleType]:
    """The modules that two worlds have, which are in ``sys.modules`` no more."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in _names_apart}


class _Finder:
    """Entry of ``sys.meta_path`` that works in one thread. ``found``: top-level modules."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._script = _origin(getattr(sys.modules.get("__main__"), "__file__", None))
        self._folders = [folder for folder in sys.path if _is_of_packages(folder)]
        if PathFinder.find_spec("httpx", self._folders) is None:
            self._folders = list(sys.path)  # an installation of an unknown kind

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called for every module that is imported for the first time. Raises ModuleNotFoundError."""
        if getattr(_thread, "finder", None) is not self:
            return None
        spec: ModuleSpec | None = self._find(name, path, target)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if path is None:
            self.found.append(name)
        if name.partition(".")[0] in NAMES and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # as one, not derived
        return spec

    def has_other(self, name: str) -> bool:
        """Whether the program has, or would import, another module of the name than we."""
        ours = self._find(name)
        spec = PathFinder.find_spec(name)
        origins = {_origin(spec.origin)} if spec is not None else set()
        if name in sys.modules:
            origins.add(_origin(getattr(sys.modules[name], "__file__", None)))
        return bool(origins - {_origin(ours.origin)} if ours is not None else origins)

    def _find(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec: ModuleSpec | None
        for finder in sys.meta_path:
            if finder is self:
                continue
            folders = self._folders if finder is PathFinder and path is None else path
            spec = finder.find_spec(name, folders, target)
            if spec is not None and (self._script is None or _origin(spec.origin) != self._script):
                return spec
        return None


class _Loader:
    """Loads a module whose imports, at any time, are those of our world."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
        self._loader.exec_module(module)
        if module.__dict__.get("import_module") is importlib.import_module:
            module.__dict__["import_module"] = _import_module


def _import(
    name: str, scope: Mapping[str, Any] | None = None, local: Any = None, fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:  # fmt: skip
    """What ``import`` does in our modules."""
    full = resolve_name("." * level + name, scope["__package__"]) if level and scope is not None else name
    top = full.partition(".")[0]
    if top not in _names_apart or _within():
        return builtins.__import__(name, scope, local, fromlist or (), level)
    if full in _absent:
        raise ModuleNotFoundError(f"No module named {full!r}", name=full)
    if full in _apart:
        module = _apart[full if fromlist else top]
        if all(hasattr(module, wanted) for wanted in fromlist or ()):
            return module
    with looking():
        try:
            return builtins.__import__(name, scope, local, fromlist or (), level)
        except ModuleNotFoundError as error:
            if error.name == full:
                _absent.add(full)
            raise


def _import_module(name: str, package: str | None = None) -> ModuleType:
    """What `importlib.import_module` does in our modules."""
    full = resolve_name(name, package)
    if full in _apart:
        return _apart[full]
    if full.partition(".")[0] not in _names_apart:
        return importlib.import_module(full)
    with looking():
        return importlib.import_module(full)


def _origin(file: str | None) -> str | None:
    return None if file is None else os.path.realpath(file)


def _is_of_packages(folder: str) -> bool:
    """Whether modules are there because somebody has installed them."""
    folder = os.path.realpath(folder)
    paths = sysconfig.get_paths()
    known = [os.path.realpath(paths[kind]) for kind in ("purelib", "platlib", "stdlib", "platstdlib")]
    if folder in known or os.path.basename(folder) == "lib-dynload":
        return True
    try:
        entries = os.listdir(folder)
    except OSError:  # there need be no such folder
        return False
    return any(name.endswith("-info") and name.partition("-")[0].lower() in NAMES for name in entries)
