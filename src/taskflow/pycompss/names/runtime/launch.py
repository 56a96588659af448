"""Run a function of a file, or a program, in a session of its own."""

from __future__ import annotations

import sys
from typing import Any


def launch_pycompss_application(app: str, func: str | None, *args: Any, **kwargs: Any) -> Any:
    """Call the function ``func`` of the file ``app`` in a session; its result."""
    from taskflow.pycompss.launch import launch

    return launch(app, func, args, kwargs)


def compss_main(arguments: list[str] | None = None) -> int:
    """What ``python -m pycompss`` does; the exit code."""
    from taskflow.cli.runtask import main_of_pycompss

    return main_of_pycompss(sys.argv[1:] if arguments is None else arguments)


__all__ = ["compss_main", "launch_pycompss_application"]
