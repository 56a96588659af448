"""The user's program: found, compiled and run as the main module, as ``python`` itself would do it.

The program gets a fresh module object under the name ``__main__`` in ``sys.modules``. Functions and classes
that it defines travel to executors by value, because their module is called ``__main__``.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

from taskflow.cli.options import UsageError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType


class Program:
    """A script, a module (``-m``), or a folder or archive with a ``__main__.py``."""

    def __init__(self, name: str, arguments: list[str], *, module: bool) -> None:
        self.name = name
        self.arguments = arguments
        self.is_module = module
        self.is_container = not module and _holds_main(name)
        if not module and not self.is_container:
            _check_readable(name)

    @property
    def argv(self) -> list[str]:
        """Arguments as a person would write them: for the run folder's name and the journal."""
        return [self.name, *self.arguments]

    def set_up(self) -> None:
        """Set ``sys.argv`` and ``sys.path``. Executors take the path over, so this comes first."""
        sys.argv[:] = ["-m" if self.is_module else self.name, *self.arguments]
        if self.is_module:
            folder = os.getcwd()
        elif self.is_container:
            folder = os.path.abspath(self.name)
        else:
            folder = os.path.dirname(os.path.realpath(self.name))
        if not getattr(sys.flags, "safe_path", sys.flags.isolated):
            sys.path[0] = folder
        elif self.is_container:
            sys.path.insert(0, folder)
        if not self.is_module:
            # As in PyCOMPSs, a script in a package may import the package that it lies in.
            root = _package_root(folder)
            if root != folder and root not in sys.path:
                sys.path.append(root)

    def run(self) -> None:
        """Run the program to its end. Raises whatever it raises, SystemExit included."""
        module = ModuleType("__main__")
        # Executors and the pickle machinery look the program up here, and so does multiprocessing.
        sys.modules["__main__"] = module
        code = self._load_spec(module) if self.is_module or self.is_container else self._load_script(module)
        exec(code, module.__dict__)  # noqa: S102  running the user's program is the purpose

    def _load_script(self, module: ModuleType) -> CodeType:
        path = os.path.abspath(self.name)
        with io.open_code(path) as file:
            source = file.read()
        _describe(module, path, SourceFileLoader("__main__", path), None, None)
        return compile(source, path, "exec", dont_inherit=True)

    def _load_spec(self, module: ModuleType) -> CodeType:
        spec = _find_main_in(self.name) if self.is_container else _find_module(self.name)
        code: CodeType | None = spec.loader.get_code(spec.name)  # type: ignore[union-attr]
        if code is None:
            raise NotRunnableError(f"{self.name} has no Python code to run")
        _describe(module, spec.origin, spec.loader, spec, spec.parent)
        if self.is_module:
            sys.argv[0] = spec.origin or self.name
        return code


class NotRunnableError(Exception):
    """The module that was asked for does not exist or cannot be run."""


def _describe(module: ModuleType, path: str | None, loader: Any, spec: ModuleSpec | None, package: str | None) -> None:
    module.__dict__.update(
        __file__=path, __loader__=loader, __spec__=spec, __package__=package, __builtins__=builtins,
        __cached__=spec.cached if spec is not None else None,
    )  # fmt: skip
    if sys.version_info < (3, 14):  # the interpreter makes it for its own main module, too
        module.__annotations__ = {}


def _package_root(folder: str) -> str:
    """The folder in which the outermost package around a folder lies; the folder itself if it is no package."""
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def _check_readable(path: str) -> None:
    if not os.path.exists(path):
        raise UsageError(f"there is no script {os.path.abspath(path)}")
    if os.path.isdir(path):
        raise UsageError(f"{os.path.abspath(path)} is a folder without a __main__.py; name the script in it")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{os.path.abspath(path)} cannot be read; check its permissions")


def _holds_main(path: str) -> bool:
    if os.path.isdir(path):
        return any(os.path.exists(os.path.join(path, f"__main__{ending}")) for ending in (".py", ".pyc"))
    if not path.endswith((".pyz", ".zip")):
        return False
    import zipfile

    return zipfile.is_zipfile(path)


def _find_main_in(path: str) -> ModuleSpec:
    spec = PathFinder.find_spec("__main__", [os.path.abspath(path)])
    if spec is None or spec.loader is None:
        raise NotRunnableError(f"there is no __main__.py in {path}")
    return spec


def _find_module(name: str) -> ModuleSpec:
    """Spec of the code to run for ``-m name``: the module, or the ``__main__`` of a package."""
    from importlib.util import find_spec

    if name.startswith("."):
        raise NotRunnableError(f"-m needs an absolute name, not {name}")
    try:
        spec = find_spec(name)
    except ModuleNotFoundError as error:
        # Of the name itself, not of something that the package imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise NotRunnableError(f"there is no module named {name} ({error})") from None
    except ValueError as error:  # for example a module without a spec in sys.modules
        raise NotRunnableError(f"the module {name} cannot be run: {error}") from None
    if spec is None:
        hint = f"; write -m {name[:-3]}" if name.endswith(".py") else ""
        raise NotRunnableError(f"there is no module named {name}{hint}")
    if spec.submodule_search_locations is not None:
        if name.endswith(".__main__"):
            raise NotRunnableError(f"{name} is a package and cannot be run")
        try:
            return _find_module(f"{name}.__main__")
        except NotRunnableError:
            raise NotRunnableError(f"{name} is a package without __main__; it cannot be run") from None
    if spec.loader is None or not hasattr(spec.loader, "get_code"):
        raise NotRunnableError(f"the module {name} has no Python code to run")
    return spec
