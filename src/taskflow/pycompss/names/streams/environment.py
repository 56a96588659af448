"""Start and end of the carrier of streams: there is none in this version, so there is nothing to do."""

from typing import Any


def init_streaming(*arguments: Any) -> bool:
    """Whether streams were started: never."""
    return False


def stop_streaming(*arguments: Any) -> None:
    """Nothing was started."""


__all__ = ["init_streaming", "stop_streaming"]
