"""Functions of ``pycompss.api.api`` about the run as a whole. Most have nothing to do: runtask sees to it."""

from __future__ import annotations

import logging
import warnings

from taskflow import runtime
from taskflow.api.groups import compss_cancel_group
from taskflow.model.errors import TaskflowWarning
from taskflow.node.executor import in_executor
from taskflow.pycompss.exceptions import NotInPyCOMPSsException


def _session() -> runtime.Session | None:
    """The session, if this is the main program: tasks, nested ones too, have no say in it."""
    return None if in_executor() else runtime.session


def compss_start(
    log_level: str = "off", tracing: bool = False, interactive: bool = False, disable_external: bool = False
) -> None:
    """Nothing to do: runtask has started the session, or the program runs sequentially."""


def compss_stop(code: int = 0, _hard_stop: bool = False) -> None:
    """Wait for all tasks and put files in their places; with a ``code``, cancel what has not ended instead.

    After a cancellation the session is over: task functions called later are plain functions, and a program run by
    runtask ends with that exit code. Raises the first failure of a task that the program has not been told of.
    """
    session = _session()
    if session is None:
        return
    if code == 0 and not _hard_stop:
        session.stop()
        return
    session.launched = False  # this is the end, although the main program goes on
    session.stop(cancel=True, code=code)


def compss_add_logger(logger_name: str) -> None:
    """Give a logger the level and the handlers of the runtime's. Raises NotInPyCOMPSsException without a session."""
    if _session() is None:
        raise NotInPyCOMPSsException("compss_add_logger needs a session: start the program with runtask")
    ours = logging.getLogger("taskflow")
    logger = logging.getLogger(logger_name)
    logger.setLevel(ours.level)
    for handler in ours.handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)


def compss_request_resources(num_resources: int, group_name: str | None) -> None:
    """Ask for more nodes. There are none to be had, which a warning says; the group is left alone."""
    if _session() is not None:
        warnings.warn(
            f"compss_request_resources({num_resources}): this version runs on one machine and cannot ask for nodes",
            TaskflowWarning, stacklevel=2,
        )  # fmt: skip


def compss_free_resources(num_resources: int, group_name: str | None) -> None:
    """Cancel the group, and give nodes back. There is none to give back, which a warning says."""
    if _session() is None:
        return
    if group_name is not None:
        compss_cancel_group(group_name)
    warnings.warn(
        f"compss_free_resources({num_resources}): this version runs on one machine, which cannot be given back",
        TaskflowWarning, stacklevel=2,
    )  # fmt: skip


def compss_snapshot() -> None:
    """Nothing to do: this version makes no checkpoints."""
