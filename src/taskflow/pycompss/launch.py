"""A function of a file in a session of its own (``pycompss.runtime.launch``)."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from taskflow import finder, runtime
from taskflow.api.arguments import warn
from taskflow.api.functions import compss_set_wall_clock, compss_wait_on
from taskflow.interactive.session import OPTIONS, WITHOUT_EFFECT
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from types import ModuleType

#: Settings of PyCOMPSs' runtime that may stand between the arguments of the function.
SETTINGS = frozenset({*OPTIONS, *WITHOUT_EFFECT}) - {"workers", "run_dir", "progress", "check"}
#: Those of them that mean something here, or about which there is nothing to say.
_EFFECTIVE = ("log_level", "debug", "verbose", "app_name", "o_c", "task_count", "wcl", "io_executors", "nested_enabled")


def launch(app: str, func: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function of a file in a session; the function's result, with all tasks done and files in place.

    Raises ArgumentError if there is no such file or function, and whatever the function raises.
    """
    settings = {name: kwargs.pop(name) for name in SETTINGS.intersection(kwargs)}
    path = os.path.abspath(app)
    if not os.path.isfile(path):
        raise ArgumentError(f"there is no file {path}")
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    finder.install_last()
    for name in sorted(settings.keys() - set(_EFFECTIVE)):
        warn(f"launch_pycompss_application: {name} has no effect")
    nesting = bool(settings.get("nested_enabled"))
    with runtime.running(progress=False, io_executors=settings.get("io_executors"), nesting=nesting):
        if settings.get("wcl"):
            compss_set_wall_clock(settings["wcl"])
        module = _load(path)
        if func is None:
            return None
        function = getattr(module, func, None)
        if not callable(function):
            raise ArgumentError(f"{path} has no function {func!r}")
        return compss_wait_on(function(*args, **kwargs))


def _load(path: str) -> ModuleType:
    """The module of a file."""
    name = os.path.splitext(os.path.basename(path))[0]
    module = importlib.import_module(name)
    if os.path.realpath(module.__file__ or "") != os.path.realpath(path):
        raise ArgumentError(f"{path} cannot be loaded: its name, {name}, is that of the module {module.__file__}")
    return module
