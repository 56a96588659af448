"""What messages call the options of a run: as on the command line, or as in a program that starts a session itself."""

from __future__ import annotations

import re

#: Option of runtask -> argument of `taskflow.start`; those that are switches name the value, too.
_ARGUMENTS = {
    "--check": "check=True", "--io-executors": "io_executors=", "--keep-workingdir": "keep_working_dir=True",
    "--listen": "listen=", "--nesting": "nesting=True", "--node-timeout": "node_timeout=", "--nodes": "nodes=",
    "--project": "project=", "--resources": "resources=", "--run-dir": "run_dir=", "--scheduler": "scheduler=",
    "--service": "services=",
    "--scheduler-config-file": "plan=", "--shutdown_in_node_failure": "shutdown_in_node_failure=True",
    "--ssh-config": "ssh_config=", "--tunnel": "tunnel=True", "--workers": "workers=",
}  # fmt: skip
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*\w")


def as_arguments(text: str) -> str:
    """A message in which options of runtask are called as in a call of `taskflow.start`."""
    return _OPTION.sub(lambda found: _ARGUMENTS.get(found[0], found[0]), text)
