"""Finds the modules that PyCOMPSs programs import: ``pycompss`` is the folder `taskflow/pycompss/names`.

Only the top-level name needs a finder. The package it finds has that folder as its path, so Python's own machinery
finds everything below it, under the names that programs know.

There are two places for a finder. In front (`install`, done by runtask): our modules win. At the end (`install_last`,
or `pycompss/_at_start.pth` at the start of every interpreter): a real PyCOMPSs wins.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pycompss", "names")


def find() -> ModuleSpec | None:
    """The spec of our package ``pycompss``."""
    from importlib.util import spec_from_file_location

    return spec_from_file_location("pycompss", os.path.join(FOLDER, "__init__.py"), submodule_search_locations=[FOLDER])


class Finder:
    """Entry of ``sys.meta_path``."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG004
        """Called for every module that is imported for the first time."""
        return find() if name == "pycompss" else None


def in_front() -> bool:
    """Whether our modules win over an installed PyCOMPSs."""
    return Finder in sys.meta_path[:1]


def install() -> None:
    """From now on ``import pycompss`` gives our modules, even if a PyCOMPSs is installed.

    Raises ImportError if the program has imported another PyCOMPSs before.
    """
    present = sys.modules.get("pycompss")
    if present is not None and FOLDER not in getattr(present, "__path__", ()):
        raise ImportError(
            f"another pycompss is imported already, from {getattr(present, '__file__', None)}: call "
            "taskflow.pycompss.install() before the first import of pycompss, or start the program with runtask",
            name="pycompss",
        )
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)
    sys.meta_path.insert(0, Finder)


def install_last() -> None:
    """From now on ``import pycompss`` gives our modules if no other PyCOMPSs is found."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
