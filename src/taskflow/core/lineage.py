"""Getting back a version that died with its executor: run its producer again.

A result that is only held in an executor's memory keeps its producer's record alive (``version.producer``), and that
record keeps the versions it read. Once a version is safe (inline, in a segment, in a file) the chain is cut. The number
of unpublished generations is bounded by `MAX_GENERATION`: the task that reaches it must publish its results.
"""

from __future__ import annotations

from taskflow.core.graph import GONE, HELD, Task, Version

MAX_GENERATION = 16


def is_lost(version: Version) -> bool:
    """Whether the value existed and is gone, so that its producer has to run again."""
    return version.state == GONE or (version.state == HELD and not version.value.executor.alive)


def generation_of(task: Task) -> int:
    """How many unpublished results in a row the task's results would stand on, itself included."""
    deepest = 0
    for version in task.reads:
        state, producer = version.state, version.producer
        if producer is None or producer.durable:
            continue
        if state == HELD or state == GONE or (not state and producer.function.returns_held):
            deepest = max(deepest, producer.generation)
    return deepest + 1


def retain(task: Task) -> None:
    """After the end of a task some of whose results are only held: keep what running it again takes."""
    # The versions must not be kept alive by the record that they keep alive.
    task.writes = [None] * len(task.writes)  # type: ignore[list-item]
