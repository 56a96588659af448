"""Starts the agent of a node as a child of this process: several nodes on one machine, without SSH."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskflow.model.cluster import NodeSetup
    from taskflow.wire.agent import AgentConfig


class AgentProcess(Protocol):
    """An agent that was started, as seen by whoever has started it."""

    @property
    def said(self) -> str:
        """The end of what it has written on standard error."""

    def ended(self) -> str:
        """How it ended; "" while it lives, as far as that is known."""

    def close(self, patience: float = 5.0) -> None:
        """The agent is not wanted any more: it should be gone already, and is ended if it is not. Any thread.

        ``patience``: seconds for each of the two.
        """

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: close this process's copies of what leads to the agent."""


class LocalAgentProcess:
    """An agent of this machine, or one that ``command`` starts somewhere, with its streams."""

    def __init__(
        self, config: AgentConfig, environment: Mapping[str, str] | None = None, interpreter: str = "",
        command: Sequence[str] = (),
    ) -> None:  # fmt: skip
        package_parent = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        variables = {**os.environ, **(environment or {})}
        variables["PYTHONPATH"] = os.pathsep.join([package_parent, *filter(None, [variables.get("PYTHONPATH")])])
        self._log = os.memfd_create("taskflow-agent-log", os.MFD_CLOEXEC)
        self.process = subprocess.Popen(
            command or [interpreter or sys.executable, "-m", "taskflow.node.agent"],
            stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, env=variables, start_new_session=True, bufsize=0,
        )  # fmt: skip
        assert self.process.stdin is not None
        self._input = self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended, and says why
            self._input.write(config.pack())

    @property
    def said(self) -> str:
        """See `AgentProcess`."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, 4096, max(0, size - 4096)).decode(errors="replace")

    def ended(self) -> str:
        """See `AgentProcess`."""
        code = self.process.poll()
        if code is None:
            return ""
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def leave_to_parent(self) -> None:
        """See `AgentProcess`."""
        self._input.close()

    def close(self, patience: float = 5.0) -> None:
        """See `AgentProcess`."""
        self._input.close()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:  # it was stopped, perhaps; its zygote ends the rest
            self.process.kill()
            self.process.wait()


def start_here(
    setup: NodeSetup,  # noqa: ARG001  as for other ways to start an agent
    config_of: Callable[[str, int], AgentConfig],
) -> LocalAgentProcess:
    """Start an agent that connects over the loopback interface; ``config_of`` makes the configuration."""
    return LocalAgentProcess(config_of("127.0.0.1", 0))
