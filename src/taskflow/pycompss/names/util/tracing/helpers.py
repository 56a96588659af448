"""Context managers round code that a trace is to show. This version makes no trace: they have no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class _Event:
    """Something that a trace shows from the beginning of the block to its end."""

    def __init__(self, event: Any = 0) -> None:
        self.event = event

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class EventMaster(_Event):
    """An event of the main program."""


class EventWorker(_Event):
    """An event of an executor."""


class EventInsideWorker(_Event):
    """An event of a task."""


def emit_manual_event(event: Any, master: bool = False, inside: bool = False, **options: Any) -> tuple[Any, ...]:
    """Mark a point of the trace."""
    return event, master, inside, *options.values()


__all__ = ["EventInsideWorker", "EventMaster", "EventWorker", "emit_manual_event"]
