"""Where ``runtask`` begins: Ctrl-C ends it properly even while it is still being imported.

An exception that is raised in the middle of an import gets lost, or shows the inside of the import system. Nothing has
been begun by then that had to be ended with care, so the process simply ends. `cli.signals` takes over from here.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """The command ``runtask``; return the exit code."""
    watch()
    from taskflow.cli import runtask

    return runtask.main()


def main_of_pycompss() -> int:
    """The command ``python -m pycompss``; return the exit code."""
    watch()
    from taskflow.cli import runtask

    return runtask.main_of_pycompss(sys.argv[1:])


def watch() -> None:
    """Have Ctrl-C end this process at once, unless it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


def unwatch() -> None:
    """Have Ctrl-C raise KeyboardInterrupt again: whoever comes now cleans up after himself."""
    if signal.getsignal(signal.SIGINT) is end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signature of a handler
    """Say what happened, and end."""
    try:
        os.write(2, b"runtask: interrupted\n")
    finally:
        os._exit(128 + number)
