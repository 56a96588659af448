"""The ``compss_*`` functions and task groups."""

from taskflow.api.functions import (
    compss_barrier,
    compss_delete_file,
    compss_delete_object,
    compss_file_exists,
    compss_get_number_of_resources,
    compss_open,
    compss_set_wall_clock,
    compss_wait_on,
    compss_wait_on_directory,
    compss_wait_on_file,
)
from taskflow.api.groups import TaskGroup, compss_barrier_group, compss_cancel_group
from taskflow.pycompss.lifecycle import (
    compss_add_logger,
    compss_free_resources,
    compss_request_resources,
    compss_snapshot,
    compss_start,
    compss_stop,
)

#: What it was called in the first versions of PyCOMPSs.
barrier = compss_barrier

__all__ = [
    "TaskGroup",
    "barrier",
    "compss_add_logger",
    "compss_barrier",
    "compss_barrier_group",
    "compss_cancel_group",
    "compss_delete_file",
    "compss_delete_object",
    "compss_file_exists",
    "compss_free_resources",
    "compss_get_number_of_resources",
    "compss_open",
    "compss_request_resources",
    "compss_set_wall_clock",
    "compss_snapshot",
    "compss_start",
    "compss_stop",
    "compss_wait_on",
    "compss_wait_on_directory",
    "compss_wait_on_file",
]
