"""Starts agents on the nodes of a task, for a run that is itself a task: through the agents that are there already.

The task's node has a program that is used like ``ssh`` and needs no keys (see `node.elsewhere`).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from taskflow.launch.agents import own_address
from taskflow.launch.process import LocalAgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.launch.process import AgentProcess
    from taskflow.model.cluster import NodeSetup
    from taskflow.wire.agent import AgentConfig

#: Variables of a task with several nodes (those of `node.elsewhere`, which is above this floor).
LAUNCHER_VARIABLE = "TASKFLOW_LAUNCH_AGENT"
PYTHON_VARIABLE = "TASKFLOW_PYTHON"

_AGENT = f'exec "${{{PYTHON_VARIABLE}:-python3}}" -m taskflow.node.agent'


class LauncherWithin:
    """Starts an agent on each node that is one of the task's; ``others`` starts those of other nodes."""

    def __init__(self, others: Callable[[NodeSetup, Callable[[str, int], AgentConfig]], AgentProcess]) -> None:
        self._program = os.environ[LAUNCHER_VARIABLE]
        self._hosts = os.environ.get("COMPSS_HOSTNAMES", "").split(",")
        self._others = others

    def __call__(self, setup: NodeSetup, config_of: Callable[[str, int], AgentConfig]) -> AgentProcess:
        """Start the agent of a node."""
        if setup.host not in self._hosts:
            return self._others(setup, config_of)
        return LocalAgentProcess(config_of(self._address(), 0), command=[self._program, setup.host, _AGENT])

    def _address(self) -> str:
        """How the other nodes reach this one, which is the first."""
        try:
            socket.getaddrinfo(self._hosts[0], None)
        except OSError:  # a name that the outer run has made up, for machines that share their address
            return own_address()
        return self._hosts[0]
