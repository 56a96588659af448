"""The kernel: every decision and no effect. No I/O, no thread, no clock, no randomness of its own.

Events go in as method calls on `core.master.Master`; commands come out in its lists (the outboxes of the executors,
`publish`, `unlinked`), which a driver turns into effects.
"""
