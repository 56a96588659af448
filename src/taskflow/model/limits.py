"""Settings that several floors know by name."""

from __future__ import annotations

#: Unfinished tasks at which a submitting thread waits until some have ended.
MAX_PENDING = 200_000

LOG_LEVELS = ("off", "critical", "error", "warning", "info", "debug", "trace")
