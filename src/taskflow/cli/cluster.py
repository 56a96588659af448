"""``runtask cluster``: what has to do with the machines of a run, and no run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from taskflow.cli.options import OF_MACHINES, UsageError, parse_machines
from taskflow.launch.ssh_config import SshError
from taskflow.model.errors import ArgumentError, ClusterFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.cli.options import Options
    from taskflow.model.cluster import Cluster, ClusterOptions

HELP = """\
usage: runtask cluster describe [--write FILE]
       runtask cluster check (--resources FILE [--project FILE] | --nodes HOSTS) [--ssh-config FILE]

describe: write a resources.xml of this machine: its processors, memory, disk and system.
          Run it on each machine, and put the ComputeNode elements into one file.
  --write FILE      into a file (default: to standard output); one that exists is not replaced

check:    connect to each node and say whether it can be used, what it has, and what is wrong.
          The exit code is 1 if something is wrong.
  --packages NAMES  packages that the program needs, with commas between them: are they there, in which versions?
  --timeout SECONDS for each node (default: 60)
  --json            for programs
  The options that say how a run reaches nodes mean here what they mean there: --ssh-config, --tunnel, --listen.
"""


def main(words: list[str]) -> int:
    """Run a sub-command; return the exit code."""
    if {"-h", "--help"} & set(words):
        sys.stdout.write(HELP)
        return 0
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        if words:
            sys.stderr.write(f"runtask cluster: there is no {words[0]!r}; it is {' or '.join(COMMANDS)}\n")
        sys.stderr.write(HELP)
        return 2
    try:
        return command(words[1:])
    except (UsageError, ArgumentError, ClusterFileError, SshError) as error:
        sys.stderr.write(f"runtask cluster {words[0]}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"runtask cluster {words[0]}: interrupted\n")
        return 130


def describe(words: list[str]) -> int:
    """Write a resources.xml of this machine. Raises UsageError."""
    from taskflow.cluster.machine import resources_xml

    path = ""
    if words:
        option, equals, path = words[0].partition("=")
        if not equals and len(words) == 2:
            path = words.pop()
        if option != "--write" or not path or len(words) > 1:
            raise UsageError("write: runtask cluster describe [--write FILE]")
    text = resources_xml()
    if not path:
        sys.stdout.write(text)
        return 0
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; name another file, or remove it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    sys.stderr.write(f"runtask cluster describe: this machine is described in {os.path.abspath(path)}\n")
    return 0


def check(words: list[str]) -> int:
    """Connect to each node and say what is there. Raises UsageError, ArgumentError, ClusterFileError, SshError."""
    from taskflow.cli import cluster_check

    wishes, left = cluster_check.take_wishes(words)
    cluster, options, others = machines_of(left, "check")
    if others:
        raise UsageError(f"what is {others[0]!r}? Nodes are named with --nodes")
    return cluster_check.check(cluster, options, wishes)


#: Sub-command -> what is run with the words after it; it returns the exit code.
COMMANDS: dict[str, Callable[[list[str]], int]] = {"describe": describe, "check": check}


def machines_of(words: list[str], command: str) -> tuple[Cluster, ClusterOptions, list[str]]:
    """The machines that the words of a sub-command name, and the words that are no options of machines.

    Raises UsageError, ArgumentError and ClusterFileError, whose messages are for people.
    """
    from taskflow.cluster.loading import cluster_of

    options, others = parse_machines(words, f"runtask cluster {command}")
    machines = cluster_of(options)
    if machines is None:
        raise UsageError(f"name the machines: {', '.join(list(OF_MACHINES)[:3])}")
    return machines, options, others


def load(options: Options) -> Cluster | None:
    """The machines of a run; what is said of this one holds for the run. Raises UsageError and ClusterFileError."""
    from taskflow.cluster.loading import cluster_of

    try:
        machines = cluster_of(options.cluster)
    except ArgumentError as error:
        raise UsageError(str(error)) from None
    if machines is None:
        return None
    options.notes += machines.notes
    here = machines.home_setup
    if here is not None:
        options.pythonpath += [folder for folder in (*here.pythonpath, here.app_dir) if folder]
        options.library_path += here.library_path
        script = here.environment_script
        if script and not os.path.isfile(script):
            raise UsageError(f"the EnvironmentScript of {here.name}: there is no file {script}")
        options.home_scripts += [script] if script else []
        if here.interpreter:
            options.want_interpreter(here.interpreter, f"PythonInterpreter of {here.name}")
    return machines
