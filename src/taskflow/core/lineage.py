"""Getting back a version that died with its executor: run its producer again.

A result that is only held in an executor's memory, or stored on other nodes than the main program's, keeps its
producer's record alive (``version.producer``), and that record keeps the versions it read. Once a version is safe
(inline, in a segment or file at home) the chain is cut. The number of unsafe generations is bounded by
`MAX_GENERATION`: the results of the task that reaches it are made safe.
"""

from __future__ import annotations

from taskflow.core.graph import FILE, GONE, HELD, SEGMENT, Task, Version

MAX_GENERATION = 16


def is_lost(version: Version) -> bool:
    """Whether the value existed and is gone, so that its producer has to run again."""
    state = version.state
    if state == HELD:
        return not version.value.executor.alive
    if state == SEGMENT or state == FILE:
        return getattr(version.value, "lost", False)  # the handles of a cluster know
    return state == GONE


def evict(version: Version) -> None:
    """Nothing but the record that would make it again refers to the version: its storage can be used for others."""
    if version.state == SEGMENT or version.state == FILE:
        version.state = GONE
        version.value = None


def generation_of(task: Task) -> int:
    """How many unpublished results in a row the task's results would stand on, itself included."""
    deepest = 0
    for version in task.reads:
        state, producer = version.state, version.producer
        if producer is None or producer.durable:
            continue
        if state or producer.function.returns_held:
            deepest = max(deepest, producer.generation)
    return deepest + 1


def retain(task: Task) -> None:
    """After the end of a task some of whose results are only held: keep what running it again takes."""
    # The versions must not be kept alive by the record that they keep alive.
    task.writes = [None] * len(task.writes)  # type: ignore[list-item]
    for version in task.reads:
        if version.state == FILE:
            version.kept = True
