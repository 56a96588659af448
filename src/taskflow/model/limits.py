"""Settings that several floors know by name."""

from __future__ import annotations

#: Unfinished tasks at which a submitting thread waits until some have ended.
MAX_PENDING = 200_000

#: Executors for tasks that need no computing unit, unless the user says how many.
IO_EXECUTORS = 4

LOG_LEVELS = ("off", "critical", "error", "warning", "info", "debug", "trace")
