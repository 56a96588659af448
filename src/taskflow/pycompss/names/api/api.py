"""The ``compss_*`` functions and task groups."""

from taskflow.api.functions import (
    compss_barrier,
    compss_delete_file,
    compss_delete_object,
    compss_file_exists,
    compss_get_number_of_resources,
    compss_open,
    compss_wait_on,
    compss_wait_on_directory,
    compss_wait_on_file,
)
from taskflow.api.groups import TaskGroup, compss_barrier_group

#: What the functions were called in the first versions of PyCOMPSs.
barrier = compss_barrier
waitForAllTasks = compss_barrier

__all__ = [
    "TaskGroup",
    "barrier",
    "compss_barrier",
    "compss_barrier_group",
    "compss_delete_file",
    "compss_delete_object",
    "compss_file_exists",
    "compss_get_number_of_resources",
    "compss_open",
    "compss_wait_on",
    "compss_wait_on_directory",
    "compss_wait_on_file",
]
