"""The ``@compss`` decorator: a task that is a whole program of tasks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.binary import check_fail_flag, described, text_of
from taskflow.api.launchers import COMMON, launch
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.runners.application import Application

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def compss(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a whole program of tasks; put it above ``@task``.

    ``app_name``: the script; a relative path is looked for in the folder it runs in, then where the program is. The
    arguments of the task are those of the script, as of `binary`. ``runcompss``: what runs it, in place of this version
    of taskflow. ``flags``: a text with options for that. ``computing_nodes`` (default 1): nodes that the task has at
    once, as of `multinode`; its main program runs on the first of them, which runs tasks, too, unless
    ``worker_in_master`` is false. ``working_dir`` and ``fail_by_exit_value`` as of `binary`. Environment variables are
    expanded in all of them. With ``returns`` the task returns the exit value.

    Raises ArgumentError for wrong arguments, TypeError if there is no task below. A call without a session raises
    NoSessionError.
    """
    by_name("compss", args)
    known = checked("compss", arguments, ("runcompss", "flags", "worker_in_master", "args", *COMMON), ("app_name",))
    flags = known.get("flags") or ""
    if not isinstance(flags, str):
        raise ArgumentError(f"@compss: flags is a text with options of the launcher, not {flags!r}")
    try:
        shlex.split(flags)
    except ValueError as error:
        raise ArgumentError(f"@compss: flags {flags!r} cannot be split into options: {error}") from None
    in_master = known.get("worker_in_master", True)
    script = text_of("app_name", known, "compss")

    def decorate(function: F) -> F:
        task = task_under(function, "compss")
        fields = described(task, "compss", known)
        check_fail_flag(in_master, fields["where"], "worker_in_master")
        program = Application(
            binary=script, launcher=str(known.get("runcompss") or ""), flags=flags, worker_in_master=in_master, **fields
        )  # fmt: skip
        launch(task, program, known.get("computing_nodes", 1))
        return function

    return decorate
