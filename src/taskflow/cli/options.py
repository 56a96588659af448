"""The command line of runtask, parsed by hand.

By hand for two reasons: ``argparse`` would cost a tenth of the start-up time, and it cannot express that an
option takes a value only after ``=`` (``--graph app.py`` must not take the script for the file).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from taskflow.model.limits import LOG_LEVELS, MAX_PENDING

HELP = """\
usage: runtask [options] app.py [arguments]
       runtask [options] -m module [arguments]

Run a Python program; its @task functions run in parallel.

options:
  --workers N       number of executors (default: the cores this process may use, here {cores})
  --progress        show a status line on standard error (default: on terminals)
  --no-progress     do not show it
  --summary         at the end, show on standard error what ran how often and how long
  --graph[=FILE]    at the end, write the graph of the tasks in DOT format
                    (default: graph.dot in the run folder)
  --check           at the end, say on standard error which tasks do other things with
                    their data than they declare (slow; see the page on it)
  --check=error     as --check, and end with exit code 1 if there are any
  --run-dir DIR     make DIR the run folder (default: a new folder in .taskflow)
  --log-level LEVEL what the runtime says about itself on standard error (default: warning):
                    {levels};
                    debug and trace also show the runtime's frames in tracebacks
  --max-pending N   unfinished tasks at which the program waits before it submits more
                    (default: {pending})
  -m MODULE         run a module, as python -m does
  --version         show the version
  -h, --help        show this help

Options of runtask come before the script; everything after it belongs to the script.

examples:
  runtask app.py                            run app.py on all cores
  runtask --workers 4 app.py --size 100     four executors; app.py gets --size 100
  runtask --summary --graph=g.dot app.py    say what ran, and draw it: dot -Tsvg g.dot > g.svg
  runtask -m package.module input.txt       run a module; its relative imports work

exit code: that of the script; 1 if an exception is not caught; 2 for a wrong command line;
130 after Ctrl-C; 143 after SIGTERM
"""

#: Option -> what its value is called; None: no value; "=FILE": a value only after the equals sign.
_KNOWN: dict[str, str | None] = {
    "--workers": "N",
    "--graph": "=FILE",
    "--summary": None,
    "--check": "=error",
    "--log-level": "LEVEL",
    "--run-dir": "DIR",
    "--progress": None,
    "--no-progress": None,
    "--max-pending": "N",
    "--version": None,
    "--help": None,
}
_SHORT = {"-h": "--help", "-V": "--version"}


class UsageError(Exception):
    """The command line cannot be understood; the message says what to write instead."""


@dataclass
class Options:
    """What the command line asks for."""

    action: str = "run"  # or "help" or "version"
    script: str = ""
    module: bool = False  # the script is the name of a module
    arguments: list[str] = field(default_factory=list)
    workers: int | None = None
    graph: str | None = None  # "" is the default place
    summary: bool = False
    check: bool | Literal["error"] = False
    log_level: str | None = None
    run_dir: str | None = None
    progress: bool | None = None
    max_pending: int = MAX_PENDING


def parse(argv: list[str]) -> Options:
    """Understand the arguments of runtask. Raises UsageError."""
    options = Options()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "-m" or (word.startswith("-m") and not word.startswith("--")):
            return _module(options, word[2:], rest)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            rest.insert(0, word)
            break
        _option(options, word, rest)
        if options.action != "run":
            return options
    if not rest:
        raise UsageError("the script is missing: runtask [options] app.py [arguments]")
    options.script, *options.arguments = rest
    if options.script == "-":
        raise UsageError("a program cannot be read from standard input; write it to a file")
    return options


def _module(options: Options, name: str, rest: list[str]) -> Options:
    if not name and not rest:
        raise UsageError("-m needs the name of a module")
    options.module = True
    options.script = name or rest.pop(0)
    options.arguments = rest
    return options


def _option(options: Options, word: str, rest: list[str]) -> None:
    """Take in one option; its value may be the next word."""
    name, equals, value = word.partition("=")
    name = _SHORT.get(name, name)
    if name not in _KNOWN:
        raise UsageError(f"there is no option {name}{_nearest(name)}")
    kind = _KNOWN[name]
    if kind is None and equals:
        raise UsageError(f"{name} takes no value")
    if kind is not None and not kind.startswith("=") and not equals:
        if not rest:
            raise UsageError(f"{name} needs a value: {name} {kind}")
        value = rest.pop(0)
    if equals and not value:
        raise UsageError(f"{name} has an empty value: {name}={(kind or '').lstrip('=')}")
    _store(options, name, value)


def _store(options: Options, name: str, value: str) -> None:
    if name == "--workers":
        options.workers = _count(name, value)
    elif name == "--max-pending":
        options.max_pending = _count(name, value)
    elif name == "--graph":
        options.graph = value and _writable_file(value)
    elif name == "--run-dir":
        options.run_dir = os.path.abspath(value)
    elif name == "--log-level":
        if value not in LOG_LEVELS:
            raise UsageError(f"--log-level is one of {', '.join(LOG_LEVELS)}, not {value!r}")
        options.log_level = value
    elif name in ("--progress", "--no-progress"):
        options.progress = name == "--progress"
    elif name == "--summary":
        options.summary = True
    elif name == "--check":
        if value not in ("", "error"):
            raise UsageError(f"--check or --check=error, not --check={value}")
        options.check = "error" if value else True
    else:
        options.action = name[2:]


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise UsageError(f"{name} is a number from 1 on, not {value!r}")
    return int(value)


def _writable_file(value: str) -> str:
    """Absolute, because the script may change directory; checked now, because later the run would be lost."""
    path = os.path.abspath(value)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise UsageError(f"--graph: there is no folder {folder}")
    if os.path.isdir(path):
        raise UsageError(f"--graph: {path} is a folder; name a file in it")
    return path


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.replace("_", "-").lower(), [*_KNOWN, "-m", "-h"], n=1, cutoff=0.5)
    return f"; the nearest is {near[0]} (options of the script come after the script)" if near else ""


def help_text() -> str:
    """What ``--help`` shows."""
    from taskflow.preparation import usable_cores

    return HELP.format(cores=usable_cores(), levels=", ".join(LOG_LEVELS), pending=f"{MAX_PENDING:,}")
