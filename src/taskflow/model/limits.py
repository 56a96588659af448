"""Settings that several floors know by name."""

from __future__ import annotations

#: Unfinished tasks at which a submitting thread waits until some have ended.
MAX_PENDING = 200_000

#: Executors for tasks that need no computing unit, unless the user says how many.
IO_EXECUTORS = 4

#: Requests to services at a time, unless the environment says how many.
HTTP_POOL_SIZE = 100

LOG_LEVELS = ("off", "critical", "error", "warning", "info", "debug", "trace")
