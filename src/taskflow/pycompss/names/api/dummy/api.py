"""The ``compss_*`` functions as they are in a sequential run, whatever the session: values and files are there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from taskflow.data.files import remove_any

if TYPE_CHECKING:
    from types import TracebackType


def compss_start(*arguments: Any, **options: Any) -> None:
    """Nothing is to be started."""


def compss_stop(code: int = 0, _hard_stop: bool = False) -> None:
    """Nothing is to be stopped."""


def compss_file_exists(*file_name: Any) -> Any:
    """Whether files exist; lists and tuples keep their structure."""
    return _each(file_name, os.path.exists)


def compss_open(file_name: str, mode: str = "r") -> Any:
    """Open a file."""
    return open(file_name, mode)


def compss_delete_file(*file_name: Any) -> Any:
    """Delete files; True for each."""

    def delete(name: str) -> bool:
        if os.path.lexists(name):
            remove_any(name)
        return True

    return _each(file_name, delete)


def compss_wait_on_file(*file_name: Any) -> Any:
    """The names."""
    return _each(file_name, _same)


def compss_wait_on_directory(*directory_name: Any) -> Any:
    """The names."""
    return _each(directory_name, _same)


def compss_delete_object(*objs: Any) -> bool:
    """Nothing is tracked."""
    return True


def compss_barrier(no_more_tasks: bool = False) -> None:
    """Nothing is pending."""


def compss_barrier_group(group_name: str) -> None:
    """Nothing is pending."""


def compss_cancel_group(group_name: str) -> None:
    """Nothing is pending."""


def compss_snapshot() -> None:
    """Nothing is kept."""


def compss_wait_on(*args: Any, **kwargs: Any) -> Any:
    """The value; a list of several."""
    return args[0] if len(args) == 1 else list(args)


def compss_get_number_of_resources() -> int:
    """One."""
    return 1


def compss_request_resources(num_resources: int, group_name: str | None) -> None:
    """There is nothing to ask."""


def compss_free_resources(num_resources: int, group_name: str | None) -> None:
    """There is nothing to give back."""


def compss_set_wall_clock(wall_clock_limit: int) -> None:
    """There is no limit."""


def compss_add_logger(logger_name: str) -> None:
    """The runtime says nothing."""


class TaskGroup:
    """A block."""

    def __init__(self, group_name: str, implicit_barrier: bool = True) -> None:
        self.group_name = group_name
        self.implicit_barrier = implicit_barrier

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _same(name: Any) -> Any:
    return name


def _each(names: Any, function: Any) -> Any:
    def apply(name: Any) -> Any:
        return type(name)(map(apply, name)) if isinstance(name, (list, tuple)) else function(name)

    results = [apply(name) for name in names]
    return results[0] if len(results) == 1 else results
