"""Task functions without numpy, importable by name from every worker.

They live apart from :mod:`benchmarks.arrays` so that the start-up benchmark does not pay for numpy.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any


def noop() -> None:
    """Do nothing: what is left is the cost of the runtime."""


def inc(x: int) -> int:
    """Return the successor, the hop of the chain."""
    return x + 1


def identity(x: int) -> int:
    """Return the argument, the leaf of trees and fans."""
    return x


def add(x: int, y: int) -> int:
    """Join two branches of the tree."""
    return x + y


def sum_all(*values: int) -> int:
    """Take every leaf of the fan as one argument each."""
    return sum(values)


def warm(_: int) -> int:
    """Load numpy in the worker and stay there long enough for the other workers to get their share."""
    importlib.import_module("numpy")
    time.sleep(0.005)
    return os.getpid()


def busy(seconds: float) -> float:
    """Use the processor for that long; time in which the thread did not run does not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


def nap(seconds: float) -> float:
    """Sleep, which leaves the processor to the runtime."""
    time.sleep(seconds)
    return seconds


def logged_nap(log: str, index: int, seconds: float) -> int:
    """Write down who began this task (one atomic append), then sleep."""
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{os.getpid()}\n".encode())
    finally:
        os.close(fd)
    time.sleep(seconds)
    return index


def hold(started: str, gate: str, limit: float) -> int:
    """Keep a worker until the file `gate` exists (or for `limit` seconds); `started` says that it began."""
    Path(started).touch()
    end = time.monotonic() + limit
    while not os.path.exists(gate) and time.monotonic() < end:
        time.sleep(0.01)
    return 1


def write_file(path: str, index: int) -> None:
    """Write a small file."""
    with open(path, "w", encoding="ascii") as stream:
        stream.write(f"{index}\n")


def read_file(path: str) -> int:
    """Read a small file back."""
    with open(path, encoding="ascii") as stream:
        return int(stream.read())


def write_file_path(path: str, index: int) -> str:
    """Write a small file and return its path, for runtimes that know no files."""
    write_file(path, index)
    return path


def write_outputs(index: int, outputs: Any = ()) -> None:
    """Write a small file in the calling convention of parsl's File objects."""
    write_file(outputs[0].filepath, index)


def read_inputs(inputs: Any = ()) -> int:
    """Read a small file in the calling convention of parsl's File objects."""
    return read_file(inputs[0].filepath)
