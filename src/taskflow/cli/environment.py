"""The environment that the command line asks for: scripts of the shell, folders of modules and libraries.

Applied before anything is started, so that executors and the programs they start inherit it.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from taskflow.cli.options import UsageError

if TYPE_CHECKING:
    from taskflow.cli.options import Options

#: Runs the script given as $1 and writes the environment it leaves, each variable ended by a zero byte.
_SOURCE = 'env=$(command -v env); source "$1" >&2 </dev/null && exec "$env" -0'

#: Variables in which the shell keeps its own state.
_OF_THE_SHELL = ("_", "SHLVL", "PWD", "OLDPWD")


def apply(options: Options) -> None:
    """Set environment and path of this process, and note what nodes need. Raises UsageError if a script fails."""
    before = dict(os.environ)
    for script in options.env_scripts:
        _source(script)
    if options.env_scripts and options.cluster.names_machines:
        variables, prepended = _changes(before)
        options.cluster = dataclasses.replace(options.cluster, variables=variables, prepended=prepended)
    for script in options.home_scripts:
        _source(script)
    _prepend("PYTHONPATH", options.pythonpath)
    sys.path[1:1] = [folder for folder in options.pythonpath if folder not in sys.path]
    _prepend("LD_LIBRARY_PATH", options.library_path)


def _source(script: str) -> None:
    """Run a script of the shell; its exported variables become ours."""
    try:
        done = subprocess.run(
            ["bash", "-c", _SOURCE, "bash", script],  # noqa: S607  the user's own shell for the user's own script
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"--env-script: bash, which is to run {script}, cannot be started: {error}") from None
    if done.returncode:
        raise UsageError(f"--env-script: {script} ended with exit code {done.returncode}; what it said is above")
    if not done.stdout:
        raise UsageError(f"--env-script: {script} calls exit, which ends the shell; let it use return instead")
    pairs = [entry.partition(b"=") for entry in done.stdout.split(b"\0") if entry]
    wanted = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    modules = wanted.get("PYTHONPATH", "")
    if modules != os.environ.get("PYTHONPATH", ""):
        folders = [os.path.abspath(folder) for folder in modules.split(os.pathsep) if folder]
        sys.path[1:1] = [folder for folder in folders if folder not in sys.path]
    for name in set(os.environ) - set(wanted) - set(_OF_THE_SHELL):
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if name not in _OF_THE_SHELL})


def _changes(before: dict[str, str]) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The variables that have changed, and what has been added to those that list folders: nodes have their own there.

    Modules go to nodes by other ways. What was unset here may be needed there, so it is left alone.
    """
    variables: list[tuple[str, str]] = []
    prepended: list[tuple[str, str]] = []
    for name, value in os.environ.items():
        if value == before.get(name) or name == "PYTHONPATH":
            continue
        if name.endswith("PATH"):
            known = before.get(name, "").split(os.pathsep)
            added = [folder for folder in value.split(os.pathsep) if folder and folder not in known]
            if added:
                prepended.append((name, os.pathsep.join(added)))
        else:
            variables.append((name, value))
    return tuple(variables), tuple(prepended)


def _prepend(variable: str, folders: list[str]) -> None:
    if folders:
        present = os.environ.get(variable)
        os.environ[variable] = os.pathsep.join([*folders, *([present] if present else [])])
