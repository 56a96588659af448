"""Named groups of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskflow import runtime

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from taskflow.core.graph import Group


class TaskGroup:
    """Tasks called in the ``with`` block belong to the group ``group_name`` and to the groups open around it.

    A member that raises COMPSsException ends the work of the group: its other tasks are cancelled, and the barrier
    raises the exception. With ``implicit_barrier`` the end of the block waits for them, also when the body raised.
    Without a session the block is just a block.
    """

    def __init__(self, group_name: str, implicit_barrier: bool = True) -> None:
        self.name = str(group_name)
        self.implicit_barrier = implicit_barrier
        self._group: Group | None = None

    def __enter__(self) -> Self:
        if runtime.session is not None:
            self._group = runtime.session.open_group(self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = runtime.session
        if session is None or self._group is None:
            return
        session.close_group(self._group)
        if self.implicit_barrier and not (kind is not None and issubclass(kind, KeyboardInterrupt)):
            session.barrier_group(self.name)


def compss_cancel_group(group_name: str) -> None:
    """Cancel the unfinished tasks of a group and what needs their results; running ones are interrupted.

    What they would have written stays what it was. An unknown name, or no session: nothing happens.
    """
    if runtime.session is not None:
        runtime.session.cancel_group(str(group_name))


def compss_barrier_group(group_name: str) -> None:
    """Wait for the tasks of a group.

    Raises COMPSsException if a member raised one (once), else the first failure among them that was not raised yet.
    """
    if runtime.session is not None:
        runtime.session.barrier_group(str(group_name))
