"""What an access means: which version it reads, which it makes, and which accesses overlap.

The table (an access depends on versions, never on other readers, so write-after-read and write-after-write make no
edge: a write makes a new version and readers of the old one are undisturbed):

=============  =====================================  ===============================
access         reads                                  makes
=============  =====================================  ===============================
IN, IN_DELETE  the current version                    nothing
OUT            nothing                                a new version
INOUT          the current version                    a new version
CONCURRENT     the version before the group           one version for the whole group
COMMUTATIVE    the version of the member before it    one version for the whole group
=============  =====================================  ===============================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskflow.core.graph import FAILED, PENDING, AccessGroup, Datum, Failure, Task, Version
from taskflow.model.errors import DeletedDataError
from taskflow.model.parameters import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

IN, OUT, INOUT = Direction.IN, Direction.OUT, Direction.INOUT
CONCURRENT, COMMUTATIVE, IN_DELETE = Direction.CONCURRENT, Direction.COMMUTATIVE, Direction.IN_DELETE


def register(task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
    """Append to ``task.reads`` and ``task.writes`` what the accesses read and make, in order.

    Raises DeletedDataError before anything is changed when a datum has been deleted.
    """
    refuse_deleted(task, accesses)
    reads = list(task.reads)
    writes = list(task.writes)
    # What a datum was before the task wrote it: a task given one datum twice cannot wait for itself.
    before: dict[Datum, Version] = {}
    for datum, direction in accesses:
        if direction is CONCURRENT or direction is COMMUTATIVE:
            group = _group_for(task, datum, commutative=direction is COMMUTATIVE, fresh=datum not in before)
            if group is not None:
                before.setdefault(datum, group.base)
                _join(task, datum, group, reads, writes)
                continue
        if datum.group is not None:
            datum.group = None
        if direction is not OUT:
            reads.append(before.get(datum, datum.current))
        if direction is IN:
            continue
        if direction is not IN_DELETE:
            before.setdefault(datum, datum.current)
            if direction is OUT and datum.versions:
                if task.replaced is None:
                    task.replaced = {}
                task.replaced[len(writes)] = datum.current
            writes.append(write(datum, task, len(writes)))
        else:
            datum.deleted = True
            datum.current.exposed = False
    task.reads = reads
    task.writes = writes


def refuse_deleted(task: Task, accesses: Sequence[tuple[Datum, Direction]]) -> None:
    """Raise DeletedDataError if one of the data has been deleted."""
    for datum, _ in accesses:
        if datum.deleted:
            raise DeletedDataError(
                f"task {task.function.name} (called at {task.location}) uses a datum that an earlier task was given "
                f"as IN_DELETE or that compss_delete_object removed; pass it as IN there if it is needed again"
            )


def write(datum: Datum, producer: Task | None, index: int) -> Version:
    """Make the next version of the datum, the one later accesses will see."""
    datum.current.exposed = False
    datum.versions += 1
    version = Version.output(datum.id, datum.versions, producer, index)
    datum.current = version
    return version


def _group_for(task: Task, datum: Datum, *, commutative: bool, fresh: bool) -> AccessGroup | None:
    """The open group that the access belongs to, or a new one; None if the task has written the datum before."""
    group = datum.group
    if (
        group is not None
        and group.commutative is commutative
        and not (commutative and group.function_id != task.function.id)
    ):
        return group
    if not fresh:
        return None
    base = datum.current
    group = AccessGroup(base, write(datum, None, 0), task.function.id, commutative=commutative)
    base.exposed = True  # members that join later start from it, too
    datum.group = group
    return group


def _join(task: Task, datum: Datum, group: AccessGroup, reads: list[Version], writes: list[Version]) -> None:
    group.unfinished += 1
    # An open group has not been read by anyone, so its version may become pending again.
    group.version.state = PENDING
    group.version.value = None
    if group.commutative:
        datum.versions += 1
        number = datum.versions
        if task.exclusive is None:
            task.exclusive = []
        task.exclusive.append((group, len(reads)))
    else:
        number = group.version.number
    member = Version.output(datum.id, number, task, len(writes))
    member.exposed = False
    member.group = group
    task.durable = True
    reads.append(group.base)
    writes.append(member)


def member_ended(member: Version, failure: Failure | None) -> Version | None:
    """Book the end of one member of a group; return the group's version once all members have ended."""
    group = member.group
    assert group is not None
    group.unfinished -= 1
    if failure is None:
        group.latest = member
    elif group.failure is None or group.failure.cancelled:
        group.failure = failure
    if group.unfinished:
        return None
    version = group.version
    if group.failure is None:
        version.state = group.latest.state
        version.value = group.latest.value
    else:
        version.state = FAILED
        version.value = group.failure
        if group.failure.cancelled:
            version.previous = group.latest  # the work of the members that were not cancelled is not lost
            group.latest.exposed = True
    return version
