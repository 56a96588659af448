"""The records of the dependency graph: data, their versions, and tasks.

Edges are kept on versions: a task waits for the versions it reads, and a version knows who waits for it. Nothing holds
a finished task except a version that could not be had again otherwise (see `core.lineage`), so a finished graph costs
nothing. Records have slots because a run may make millions of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.core.placement import Executor
    from taskflow.model.functions import FunctionRecord

# States of a version. PENDING is the only one below VALUE, so `not version.state` means "not there yet".
PENDING = 0  #: its producer has not ended
VALUE = 1  #: a plain immutable value, held by the master
BLOB = 2  #: pickled bytes, held by the master
SEGMENT = 3  #: in a shared segment that every executor of the node can map
HELD = 4  #: lives only in the memory of the executor that made it
FILE = 5  #: a file or directory; the value tells its path
FAILED = 6  #: its producer failed; the value is a `Failure`
GONE = 7  #: was consumed in place by its last reader; only lineage can bring it back
#: Not a state of a version, but what a report says of an output that is to become what another version will be.
LINKED = 8

# States of a task.
WAITING = 0  #: some version it reads is not there
READY = 1  #: may run, waits for room on an executor
ASSIGNED = 2  #: handed to an executor
DONE = 3
FAILED_TASK = 4
WATCHING = 5  #: not a task: a `Watch`


class Datum:
    """Something tracked across tasks: a future, an object of the main program, a file, a collection element.

    It names the version that an access made now would see. Dropping the last reference to a datum means that nobody
    can name it again; versions live on as long as pending tasks hold them.
    """

    # Hot and rare attributes: see `Version`.
    __slots__ = ("__dict__", "current")

    versions: int = 1
    group: AccessGroup | None = None
    deleted: bool = False

    def __init__(self, current: Version) -> None:
        self.current = current

    @property
    def id(self) -> int:
        """Number of the datum, unique in the run."""
        return self.current.datum_id


class Version:
    """One immutable value of a datum, made by one task or by the main program.

    ``exposed``: an access made from now on can still name this version. ``readers``: pending tasks that read it.
    When it is not exposed and has a single reader, that reader may consume it in place.
    """

    # What every version needs is in slots and set at once. What few need has a default in the class and goes to the
    # instance's dictionary, which does not exist until then: a run may make millions of these.
    __slots__ = (
        "__dict__", "__weakref__", "datum_id", "exposed", "producer", "producer_id", "readers", "state", "value",
        "waiters",
    )  # fmt: skip

    number: int = 1
    index: int = 0
    group: AccessGroup | None = None
    previous: Version | None = None  #: of a version that was cancelled: what the datum stays
    ignored: Failure | None = None  #: why it is a default, or what it was before, and not what its task made
    kept: bool = False  #: a task that has ended read it, and may have to run again
    producer: Task | None

    def __init__(self, datum_id: int, producer: Task | None = None, producer_id: int = 0) -> None:
        self.datum_id = datum_id
        self.producer = producer
        self.producer_id = producer_id
        self.state = PENDING
        self.value: Any = None
        self.waiters: list[Any] | None = None
        self.readers = 0
        self.exposed = True

    @classmethod
    def output(cls, datum_id: int, number: int, producer: Task | None, index: int) -> Version:
        """Any version of a datum, not just a first and only result."""
        version = cls(datum_id, producer, 0 if producer is None else producer.id)
        if number != 1:
            version.number = number
        if index:
            version.index = index
        return version

    def add_waiter(self, waiter: Task | Watch) -> None:
        """Have a task or a watch told when the version is there."""
        if self.waiters is None:
            self.waiters = [waiter]
        else:
            self.waiters.append(waiter)

    @property
    def label(self) -> str:
        """The name users know from graphs and logs, e.g. ``d3v2``."""
        return f"d{self.datum_id}v{self.number}"

    @property
    def key(self) -> tuple[int, int]:
        """How executors name the value: (task id, output index)."""
        return (self.producer_id, self.index)

    def __repr__(self) -> str:
        names = ("PENDING", "VALUE", "BLOB", "SEGMENT", "HELD", "FILE", "FAILED", "GONE")
        return f"<version {self.label} {names[self.state]} of task {self.producer_id}, readers={self.readers}>"


class Held:
    """Value of a HELD version: which executor has it. Its end tells the driver that the executor may forget it."""

    __slots__ = ("drops", "executor", "key", "nbytes")

    def __init__(self, executor: Executor, key: tuple[int, int], nbytes: int) -> None:
        self.executor = executor
        self.key = key
        self.nbytes = nbytes
        self.drops = executor.drops

    def __del__(self) -> None:
        self.drops.append(self.key)


class Failure:
    """Why a version cannot be had. ``seen`` is set once the main program has been told.

    ``cancelled``: it was not made although nothing went wrong with it. A datum that existed before stays what it was
    (see `last_good`), and the main program is not told by an exception. Tasks that read it are cancelled, too, until
    the main program has waited and can know of it (``settled``): what happens does not depend on who is faster.
    """

    __slots__ = ("cancelled", "error", "seen", "settled", "task_id")

    def __init__(self, error: BaseException, task_id: int, *, cancelled: bool = False) -> None:
        self.error = error
        self.task_id = task_id
        self.seen = False
        self.settled = False
        self.cancelled = cancelled

    def __repr__(self) -> str:
        return f"<{'cancellation by' if self.cancelled else 'failure of'} task {self.task_id}: {self.error!r}>"


def last_good(version: Version) -> Version:
    """The version that a datum has if its last writers were cancelled: the one before them."""
    while version.state == FAILED and version.previous is not None:
        version = version.previous
    return version


def is_cancelled(version: Version) -> bool:
    """Whether there is no value because of a cancellation, and none from before either."""
    good = last_good(version)
    return good.state == FAILED and good.value.cancelled


class Group:
    """A named task group of the main program: its unfinished tasks by id, what failed, and why tasks were cancelled.

    One without a name is a family: all tasks that one task has called.

    ``exception`` is the COMPSsException of a member that no barrier of the group has raised yet.
    """

    __slots__ = ("cancellations", "closed", "exception", "failures", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[int, Task] = {}
        self.failures: list[Failure] = []
        self.cancellations: list[Failure] = []
        self.exception: BaseException | None = None
        self.closed = False


class Watch:
    """Stands among the waiters of a version; the driver calls ``callback`` once the version has been made or failed."""

    __slots__ = ("callback", "missing", "state")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.missing = 1
        self.state = WATCHING


class AccessGroup:
    """Consecutive CONCURRENT or COMMUTATIVE accesses to one datum.

    Members start from ``base``. ``version`` is what everybody after the group sees; it is there once all members have
    ended. Commutative members run one at a time in whatever order they become ready: ``latest`` is the version the
    next one starts from, ``busy`` the member that holds the datum, ``queue`` those that wait for it.
    """

    __slots__ = ("base", "busy", "commutative", "failure", "function_id", "latest", "queue", "unfinished", "version")

    def __init__(self, base: Version, version: Version, function_id: int, *, commutative: bool) -> None:
        self.base = base
        self.version = version
        self.function_id = function_id
        self.commutative = commutative
        self.latest = base
        self.unfinished = 0
        self.busy: Task | None = None
        self.queue: deque[Task] = deque()
        self.failure: Failure | None = None


class Task:
    """One call of a task function.

    ``params`` describes the arguments to the drivers and means nothing to the kernel. ``reads`` and ``writes`` are the
    versions accessed, ``missing`` how many of the former are not there. ``exclusive`` lists the commutative groups the
    task takes part in, each with the index of its version in ``reads``. ``deaths`` counts executors that died of it,
    ``site`` and ``offset`` say where it was called (code and offset, or a text), ``cost`` is the run time in seconds it
    was booked for on its executor, ``generation`` how many unpublished results lie between it and safe data.
    ``failure`` is set when it failed as it ran again for lost results. ``parent``: id of the task that called it, 0 for
    the main program.
    """

    # Hot and rare attributes: see `Version`.
    __slots__ = (
        "__dict__", "args", "cost", "executor", "function", "id", "missing", "offset", "params", "reads", "returns",
        "site", "state", "writes",
    )  # fmt: skip

    kwargs: dict[str, Any] | None = None
    groups: tuple[Group, ...] = ()
    priority: bool = False
    exclusive: list[tuple[AccessGroup, int]] | None = None
    deletes: list[str] | None = None
    durable: bool = False
    deaths: int = 0
    failed_attempts: int = 0
    losses: int = 0  #: nodes lost while they ran it
    severed: bool = False  #: one of its other nodes is lost: the attempt that runs is ended, and does not count
    pin: int | None = None  #: number of the only node that it may run on
    copies: list[Task] | None = None  #: that run on other nodes, of a replicated task
    weights: dict[int, float] | None = None  #: what bytes count for, by index in ``reads``, where that is not 1
    stranded: int = 0  #: nodes to which its data could not be brought
    absent: int = 0  #: values that are being brought to its node
    generation: int = 1
    failure: Failure | None = None
    cancelled: bool = False  #: stands for a cancelled task until its executor has let go of it
    targets: dict[int, str] | None = None  #: paths of the files it is writing, by index in ``writes``
    replaced: dict[int, Version] | None = None  #: what its OUT accesses will replace, by index in ``writes``
    parent: int = 0

    reads: tuple[Version, ...] | list[Version]
    writes: tuple[Version, ...] | list[Version]
    params: tuple[Any, ...]
    executor: Executor | None

    def __init__(
        self, id: int, function: FunctionRecord, args: tuple[Any, ...], site: Any = None, offset: int = 0
    ) -> None:
        self.id = id
        self.function = function
        self.args = args
        self.site = site
        self.offset = offset
        self.params = ()
        self.reads = ()
        self.writes = ()
        self.returns = 0
        self.missing = 0
        self.state = WAITING
        self.executor = None
        self.cost = 0.0

    @property
    def attempt(self) -> int:
        """Number of the current execution: one more than the failed ones and the executors that died of the task."""
        return self.deaths + self.failed_attempts + 1

    @property
    def location(self) -> str:
        """Where the main program called the task, as ``file:line``."""
        if self.site is None:
            return "<unknown>"
        if type(self.site) is str:
            return self.site
        line = 0
        for start, end, number in self.site.co_lines():
            if start <= self.offset < end and number is not None:
                line = number
                break
        return f"{self.site.co_filename}:{line}"

    def __repr__(self) -> str:
        state = ("WAITING", "READY", "ASSIGNED", "DONE", "FAILED")[self.state]
        return f"<task {self.id} {self.function.name} {state}, missing={self.missing}>"
