"""Sessions of notebooks and consoles.

>>> from taskflow import interactive
>>> interactive.start()   # first; then define tasks and call them, cell by cell
>>> interactive.stop(sync=True)   # variables have values from now on
"""

from taskflow.interactive.session import start, stop
from taskflow.interactive.state import (
    complete_task_graph,
    current_task_graph,
    monitoring_information,
    resources_status,
    statistics,
    tasks_info,
    tasks_status,
)

__all__ = [
    "complete_task_graph",
    "current_task_graph",
    "monitoring_information",
    "resources_status",
    "start",
    "statistics",
    "stop",
    "tasks_info",
    "tasks_status",
]
