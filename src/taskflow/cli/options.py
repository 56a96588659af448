"""The command line of runtask, parsed by hand.

By hand for two reasons: ``argparse`` would cost a tenth of the start-up time, and it cannot express that an
option takes a value only after ``=`` (``--graph app.py`` must not take the script for the file).

The spellings of PyCOMPSs' launcher are understood: ``--log_level`` is ``--log-level``, a switch may be written
``--summary=true``, and options without a meaning here (`taskflow.cli.runcompss`) are accepted with a word on them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from taskflow.model.cluster import NODE_TIMEOUT_S, ClusterOptions
from taskflow.model.errors import ArgumentError
from taskflow.model.limits import IO_EXECUTORS, LOG_LEVELS, MAX_PENDING

HELP = """\
usage: runtask [options] app.py [arguments]
       runtask [options] -m module [arguments]
       runtask cluster describe|check [options]

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
  --nesting         tasks that call task functions submit tasks, too
  --run-dir DIR     make DIR the run folder (default: a new folder in .taskflow)
  --log-level LEVEL what the runtime says about itself on standard error (default: warning):
                    {levels};
                    debug and trace also show the runtime's frames in tracebacks
  --io-executors N  executors beside the others for tasks with @IO, which need no
                    computing unit (default: {io}, started when such a task is called)
  --service NAME=URL
                    where a service is that tasks with @http ask; for one of several URLs each
                    request goes to, give the option several times
  --max-pending N   unfinished tasks at which the program waits before it submits more
                    (default: {pending})
  --wall-clock-limit SECONDS
                    cancel the tasks and end the program after that time
  --pythonpath PATH folders, separated by colons, in which the program and its tasks find modules
  --appdir DIR      another such folder
  --library-path PATH
                    folders in which executors, and programs they start, find shared libraries
  --env-script FILE run a script of the shell first; what it exports is in the environment of
                    the program and its tasks (again for another one; or several with colons)
  --log-dir DIR     make the run folder in DIR
  -m MODULE         run a module, as python -m does

machines (without these: this one only):
  --resources FILE  resources.xml, which says what machines there are
  --project FILE    project.xml, which says which of them to use (default: all of them)
  --nodes HOSTS     host1,host2:8,user@host3: machines by name, with computing units, without files
  --ssh-config FILE in place of ~/.ssh/config
  --tunnel          nodes connect to this machine through SSH, not directly
  --listen ADDRESS  the address of this machine on which it waits for nodes (default: all)
  --node-timeout SECONDS
                    without an answer for so long, a node counts as lost (default: {timeout:g})
  --keep-workingdir leave the folders of the run on the nodes when it ends
  --shutdown-in-node-failure
                    end the run when a node is lost (default: go on without it)
  --scheduler NAME  what picks the node of a task (default: locality):
                    {schedulers},
                    or the name of a class of PyCOMPSs
  --scheduler-config-file FILE
                    the plan of the scheduler predefined

  --version         show the version
  -h, --help        show this help

Options of runtask come before the script; everything after it belongs to the script.
The options of PyCOMPSs' launcher are accepted, too; a line says which of them have no effect.

examples:
  runtask app.py                            run app.py on all cores
  runtask --workers 4 app.py --size 100     four executors; app.py gets --size 100
  runtask --summary --graph=g.dot app.py    say what ran, and draw it: dot -Tsvg g.dot > g.svg
  runtask -m package.module input.txt       run a module; its relative imports work

exit code: that of the script; 1 if an exception is not caught; 2 for a wrong command line;
130 after Ctrl-C; 143 after SIGTERM
"""

#: Option -> what its value is called; None: true or false; "=FILE": a value only after the equals sign.
_KNOWN: dict[str, str | None] = {
    "--workers": "N",
    "--graph": "=FILE",
    "--summary": None,
    "--check": "=error",
    "--nesting": None,
    "--log-level": "LEVEL",
    "--run-dir": "DIR",
    "--progress": None,
    "--no-progress": None,
    "--max-pending": "N",
    "--io-executors": "N",
    "--service": "NAME=URL",
    "--wall-clock-limit": "SECONDS",
    "--pythonpath": "PATH",
    "--appdir": "DIR",
    "--library-path": "PATH",
    "--env-script": "FILE",
    "--log-dir": "DIR",
    "--resources": "FILE",
    "--project": "FILE",
    "--nodes": "HOSTS",
    "--ssh-config": "FILE",
    "--tunnel": None,
    "--listen": "ADDRESS",
    "--node-timeout": "SECONDS",
    "--keep-workingdir": None,
    "--shutdown-in-node-failure": None,
    "--scheduler": "NAME",
    "--scheduler-config-file": "FILE",
    "--version": None,
    "--help": None,
}
_SHORT = {"-h": "--help", "-V": "--version"}
#: Other spellings, of PyCOMPSs' launcher.
_ALIASES = {
    "-v": "--version", "-d": "--debug", "-g": "--graph", "-t": "--tracing", "-p": "--provenance",
    "-z": "--zip-provenance", "--opts": "--help", "--base-log-dir": "--log-dir", "--specific-log-dir": "--run-dir",
}  # fmt: skip
#: Accepted besides `_KNOWN`; what they mean is said with other options.
_ELSEWHERE: dict[str, str | None] = {"--debug": None, "--python-interpreter": "PATH"}


#: Option -> what it sets of ClusterOptions.
OF_MACHINES = {
    "--resources": "resources",
    "--project": "project",
    "--nodes": "nodes",
    "--ssh-config": "ssh_config",
    "--tunnel": "tunnel",
    "--listen": "listen",
    "--node-timeout": "node_timeout",
    "--keep-workingdir": "keep_working_dir",
    "--shutdown-in-node-failure": "shutdown_in_node_failure",
    "--scheduler": "scheduler",
    "--scheduler-config-file": "plan",
}


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
    nesting: bool = False
    log_level: str | None = None
    run_dir: str | None = None
    progress: bool | None = None
    max_pending: int = MAX_PENDING
    io_executors: int | None = None
    services: dict[str, list[str]] = field(default_factory=dict)
    wall_clock: float = 0.0
    pythonpath: list[str] = field(default_factory=list)
    library_path: list[str] = field(default_factory=list)
    env_scripts: list[str] = field(default_factory=list)
    home_scripts: list[str] = field(default_factory=list)  #: for this machine only
    log_dir: str | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    notes: list[str] = field(default_factory=list)  # what is to be said of options without effect

    def want_interpreter(self, wanted: str, said_by: str) -> None:
        """The program runs under the interpreter that runs us; say so if another one was wanted."""
        import shutil
        import sys

        found = shutil.which(wanted)
        if found is None:
            raise UsageError(f"{said_by}: there is no program {wanted!r}")
        if os.path.realpath(found) != os.path.realpath(sys.executable):
            self.notes.append(
                f"{said_by} has no effect: the program runs under {sys.executable}; to run it under another, "
                f"write {wanted} -m taskflow instead of runtask"
            )


def parse(argv: list[str]) -> Options:
    """Understand the arguments of runtask. Raises UsageError."""
    options = Options()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "-m" and _is_monitoring(rest):
            _option(options, "--monitoring", rest)
            continue
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
    return _whole(options)


def parse_machines(words: list[str], command: str) -> tuple[ClusterOptions, list[str]]:
    """The machines that the words of a sub-command name, and the words that are no options. Raises UsageError."""
    options = Options()
    rest = list(words)
    others: list[str] = []
    while rest:
        word = rest.pop(0)
        name = _name(word.partition("=")[0])
        if not word.startswith("-"):
            others.append(word)
        elif name in OF_MACHINES:
            _option(options, word, rest)
        else:
            raise UsageError(f"{command} has no option {word}; it has {', '.join(OF_MACHINES)}")
    return options.cluster, others


def _whole(options: Options) -> Options:
    """The options, when all of them are known."""
    cluster = options.cluster
    if not cluster.names_machines:
        for name, attribute in OF_MACHINES.items():
            if getattr(cluster, attribute) != getattr(ClusterOptions, attribute):
                options.notes.append(f"{name} has no effect: no --resources or --nodes, so this machine runs all tasks")
        options.cluster = ClusterOptions()
    elif options.workers is not None:
        raise UsageError(
            "--workers and the description of the machines both say how many executors there are; leave --workers out"
        )
    if cluster.plan and cluster.scheduler != "predefined":
        options.notes.append("--scheduler-config-file has no effect: it is for --scheduler=predefined")
    elif cluster.scheduler == "predefined" and not cluster.plan:
        raise UsageError("--scheduler=predefined needs a plan: --scheduler-config-file=FILE")
    return options


def _module(options: Options, name: str, rest: list[str]) -> Options:
    if not name and not rest:
        raise UsageError("-m needs the name of a module")
    options.module = True
    options.script = name or rest.pop(0)
    options.arguments = rest
    return _whole(options)


def _is_monitoring(rest: list[str]) -> bool:
    """Whether ``-m`` is meant as in PyCOMPSs' launcher: a script or another option follows, and no module."""
    return bool(rest) and (rest[0].startswith("-") or (rest[0].endswith(".py") and os.path.isfile(rest[0])))


def _option(options: Options, word: str, rest: list[str]) -> None:
    """Take in one option; its value may be the next word."""
    written, equals, value = word.partition("=")
    name = _name(written)
    kind = _kind(name, written)
    if kind is not None and not kind.startswith("=") and not equals:
        if not rest:
            raise UsageError(f"{name} needs a value: {name} {kind}")
        value = rest.pop(0)
    if equals and not value:
        raise UsageError(f"{name} has an empty value: {name}={(kind or 'true').lstrip('=')}")
    if kind is None and value.lower() not in ("", "true", "false"):
        raise UsageError(f"{name} takes no value but true or false, not {value!r}")
    if name in _KNOWN or name in _ELSEWHERE:
        if kind is not None or value.lower() != "false":
            _store(options, name, value)
        return
    from taskflow.cli import runcompss

    note = runcompss.note(name, value)
    if note is not None and note not in options.notes:
        options.notes.append(note)


def _name(written: str) -> str:
    """The name of an option as it is in `_KNOWN`, whatever its spelling."""
    name = _SHORT.get(written, written)
    name = _ALIASES.get(name, name)
    if name.startswith("--") and name not in _KNOWN:
        name = f"--{name[2:].replace('_', '-').lower()}" if "_" in name else name
        name = _ALIASES.get(name, name)
    return name


def _kind(name: str, written: str) -> str | None:
    """What an option's value is called (see `_KNOWN`). Raises UsageError if there is no such option."""
    if name in _KNOWN:
        return _KNOWN[name]
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    from taskflow.cli.runcompss import MEANINGLESS

    if name not in MEANINGLESS:
        raise UsageError(f"there is no option {written}{_nearest(name)}")
    return MEANINGLESS[name][0]


def _is_of_server(url: str) -> bool:
    """Whether it begins as the URL of a web server does, with a host and a port that there can be."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _store(options: Options, name: str, value: str) -> None:
    if name == "--workers":
        options.workers = _count(name, value)
    elif name == "--max-pending":
        options.max_pending = _count(name, value)
    elif name == "--graph":
        if value.lower() in ("", "true", "false"):
            options.graph = None if value.lower() == "false" else ""
        else:
            options.graph = _writable_file(value)
    elif name == "--service":
        service, equals, url = value.partition("=")
        if not service or not equals or not _is_of_server(url):
            raise UsageError(
                f"--service names a service and its URL, as in --service {service or 'name'}=http://host:8080, "
                "with a port of at most 65535"
            )
        options.services.setdefault(service, []).append(url)
    elif name == "--run-dir":
        options.run_dir = os.path.abspath(value)
    elif name == "--log-level":
        if value not in (*LOG_LEVELS, "api"):
            raise UsageError(f"--log-level is one of {', '.join(LOG_LEVELS)}, not {value!r}")
        options.log_level = "info" if value == "api" else value
    elif name == "--debug":
        options.log_level = "debug"
    elif name == "--wall-clock-limit":
        options.wall_clock = _seconds(name, value)
    elif name in ("--pythonpath", "--appdir"):
        options.pythonpath += _folders(value)
    elif name == "--library-path":
        options.library_path += _folders(value)
    elif name == "--env-script":
        options.env_scripts += _scripts(value)
    elif name == "--log-dir":
        options.log_dir = os.path.abspath(value)
    elif name == "--io-executors":
        options.io_executors = None if value == "0" else _count(name, value)
    elif name in OF_MACHINES:
        options.cluster = replace(options.cluster, **{OF_MACHINES[name]: _of_machines(options.cluster, name, value)})
    elif name == "--python-interpreter":
        options.want_interpreter(value, name)
    elif name in ("--progress", "--no-progress"):
        options.progress = name == "--progress"
    elif name == "--summary":
        options.summary = True
    elif name == "--nesting":
        options.nesting = True
    elif name == "--check":
        if value not in ("", "error"):
            raise UsageError(f"--check or --check=error, not --check={value}")
        options.check = "error" if value else True
    else:
        options.action = name[2:]


def _of_machines(known: ClusterOptions, name: str, value: str) -> Any:
    """The value of an option of `OF_MACHINES`."""
    if name == "--nodes":
        return (*known.nodes, value)
    if name == "--node-timeout":
        seconds = _seconds(name, value)
        if not seconds:
            raise UsageError("--node-timeout is a number of seconds above 0")
        return seconds
    if name == "--listen":
        return value
    if name == "--scheduler":
        from taskflow.core.scheduling import scheduler_named

        try:
            return "predefined" if scheduler_named(value).plan is not None else value
        except ArgumentError as error:
            raise UsageError(f"--scheduler: {error}") from None
    if _KNOWN[name] is None:
        return True
    path = os.path.abspath(value)
    if not os.path.exists(path) or os.path.isdir(path):
        raise UsageError(f"{name}: there is no file {path}")
    return path


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise UsageError(f"{name} is a number from 1 on, not {value!r}")
    return int(value)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{name} is a number of seconds (0: no limit), not {value!r}")
    return seconds


def _folders(value: str) -> list[str]:
    return [os.path.abspath(folder) for folder in value.split(os.pathsep) if folder]


def _scripts(value: str) -> list[str]:
    scripts = _folders(value)
    for script in scripts:
        if not os.path.isfile(script):
            raise UsageError(f"--env-script: there is no file {script}")
    return scripts


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

    from taskflow.cli.runcompss import MEANINGLESS

    names = [*_KNOWN, *_ELSEWHERE, *_ALIASES, *MEANINGLESS, "-m", "-h"]
    near = difflib.get_close_matches(name.replace("_", "-").lower(), names, n=1, cutoff=0.5)
    return f"; the nearest is {near[0]} (options of the script come after the script)" if near else ""


def help_text() -> str:
    """What ``--help`` shows."""
    from taskflow.cluster.machine import usable_cores
    from taskflow.core.scheduling import SCHEDULERS

    return HELP.format(
        cores=usable_cores(), levels=", ".join(LOG_LEVELS), pending=f"{MAX_PENDING:,}", io=IO_EXECUTORS,
        timeout=NODE_TIMEOUT_S, schedulers=", ".join([*SCHEDULERS, "predefined"]),
    )  # fmt: skip
