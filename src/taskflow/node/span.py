"""What a task that has several nodes finds of them in its environment (see `node.elsewhere`)."""

from __future__ import annotations

import os

from taskflow.model.errors import TaskflowError

#: Variables of a task: which span it has, and the program by which its programs reach the nodes of it.
SPAN_VARIABLE = "TASKFLOW_SPAN"
LAUNCHER_VARIABLE = "TASKFLOW_LAUNCH_AGENT"
#: Variables that only programs on other nodes see: what their node has in place of `sys.path` and `sys.executable`.
PATH_VARIABLE = "TASKFLOW_PATH"
PYTHON_VARIABLE = "TASKFLOW_PYTHON"
PACKAGE_VARIABLE = "TASKFLOW_PACKAGE"  #: and in which folder of these their node has this very package


def launcher_of_task() -> str | None:
    """The program by which the running task's programs start others on its nodes; None if it has one node only.

    It is used like ``ssh``: ``LAUNCHER HOST command...``. Raises TaskflowError if the node has none, or cannot run it.
    """
    path = os.environ.get(LAUNCHER_VARIABLE)
    if path == "":
        raise TaskflowError(
            "programs on the machine of the main program cannot start others on nodes if there is a tunnel to these. "
            "Let no tasks for several nodes run on it, or do without the tunnel"
        )
    if path and not os.access(path, os.X_OK):
        raise TaskflowError(
            f"{path}, by which the programs of a task reach its other nodes, cannot be run: is its disk mounted with "
            "noexec? Name another folder with <WorkingDir> in project.xml"
        )
    return path or None
