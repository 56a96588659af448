"""The running session: all global state of the library is here, nowhere else.

``session`` is None outside a session (and always in executors): task functions are then plain calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import sys
import threading
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Literal

from taskflow import finder, tracebacks
from taskflow._version import __version__
from taskflow.core.graph import (
    FAILED,
    FILE,
    GONE,
    HELD,
    SEGMENT,
    VALUE,
    Datum,
    Failure,
    Group,
    Task,
    Version,
    last_good,
)
from taskflow.data.files import OwnedPath, absolute, move_into_place
from taskflow.data.serialization import decode_blob
from taskflow.data.tracking import FileDatum, Registry
from taskflow.drivers.engine import Latch, QuietLatch, ReadersLatch
from taskflow.interrupts import InterruptGuard
from taskflow.model.cluster import Cluster, ClusterOptions
from taskflow.model.errors import (
    ArgumentError,
    CancelError,
    NotRunningError,
    RequirementsError,
    TaskflowError,
    TaskflowWarning,
    WallClockError,
)
from taskflow.model.functions import Demand
from taskflow.model.limits import IO_EXECUTORS, MAX_PENDING
from taskflow.model.wording import as_arguments
from taskflow.observe.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskflow.drivers.check import Check
    from taskflow.drivers.engine import Engine
    from taskflow.drivers.remote import Launcher
    from taskflow.drivers.simulated import Faults
    from taskflow.launch.spawn import Zygote
    from taskflow.model.cancellation import TaskCancelledError
    from taskflow.model.cluster import Cluster
    from taskflow.model.functions import FunctionRecord
    from taskflow.model.parameters import Direction
    from taskflow.model.requirements import Mismatch, Node, Requirements

#: The session that task calls go to, or None.
session: Session | None = None

#: Whether this process has had a session, so that there may be futures although there is no session.
ended_once = False

#: The check of the last session that had one.
last_check: Check | None = None

#: Other implementations of task functions, by the name of the original, then by their own (see `taskflow.api.needs`).
implementations: dict[str, dict[str, Any]] = {}

#: What to say of a large result that went with its session.
VALUE_IS_GONE = "the session that had this value was stopped; take large values with compss_wait_on before that"
#: Constraints that a node will not satisfy later if it does not by what has been said of it before it is there.
_TOLD = ("computing_units", "is_local")


class Session:
    """One run: its engine, its folder, what the main program has tracked. Made by `start`."""

    notebook: Any = None  #: what `taskflow.interactive` keeps of the session
    exit_code: int = 0  #: with which it was stopped

    def __init__(
        self,
        *,
        workers: int | None = None,
        engine: str = "local",
        seed: int | None = None,
        faults: Faults | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        max_pending: int = MAX_PENDING,
        io_executors: int | None = None,
        check: bool | Literal["error"] = False,
        nesting: bool = False,
        argv: Sequence[str] | None = None,
        zygote: Zygote | None = None,
        cluster: Cluster | None = None,
        cluster_options: ClusterOptions | None = None,
        launch: Launcher | None = None,
        launched: bool = False,
        services: Mapping[str, Any] | None = None,
    ) -> None:
        _check_options(workers, max_pending, io_executors, check)
        if cluster is not None and workers is not None:
            raise ValueError(f"workers={workers}: {cluster.source} says how many executors there are")
        from taskflow import preparation
        from taskflow.cluster.machine import usable_cores

        self.services = preparation.make_services(cluster, services or {})
        self.io_executors = io_executors or IO_EXECUTORS
        self.launched = launched  # by runtask: the main program's end stops the session, and nothing before
        self.unset_variables: set[str] = set()  # named by constraints; the user has been told
        self.cluster = cluster  # None: this machine only, as it is
        self.cluster_options = cluster_options or ClusterOptions()
        if cluster is None:
            self.workers = workers or usable_cores()
        else:
            self.workers = 0 if cluster.home is None else cluster.home.executors
        argv = list(sys.argv if argv is None else argv)
        self.id, self.run_dir = preparation.make_run_dir(run_dir, argv)
        segments, self._claim = preparation.make_segment_folder(self.id)
        self._segments = segments
        self.journal = Journal.create(
            self.run_dir, id=self.id, started=time.time(), argv=argv, python=sys.version.split()[0],
            taskflow=__version__, workers=self.workers, host=os.uname().nodename, engine=engine,
        )  # fmt: skip
        self.path = _module_path()
        settings = {
            "path": self.path,
            "argv": argv,
            "cwd": os.getcwd(),
            "scratch": f"{self.run_dir}/scratch",
            "pycompss": finder.in_front(),
            "zygote": zygote,
            "check": bool(check),
        }
        try:
            self.engine: Engine = preparation.make_engine(
                engine,
                str(self.run_dir),
                segments,
                self.journal,
                self.workers,
                settings,
                seed,
                faults,
                _with_session,
                preparation.make_machines(self.id, cluster, self.cluster_options, launch, self.words),
            )
        except BaseException:
            self.journal.close()
            import shutil

            shutil.rmtree(segments, ignore_errors=True)
            self._let_go()
            raise
        self.engine.output = _write_output
        self.engine.max_pending = self.engine.pending_limit = max_pending
        self.check = preparation.make_check(self.engine, self.run_dir, check)
        self.nesting = bool(nesting)
        self.engine.program = self
        self.submit_plain = self.engine.submit_plain
        self.task_ids = itertools.count(1)
        self.datum_ids = itertools.count(1)
        self.function_ids = itertools.count(1)
        self.registry = Registry(self._release)
        self.files: dict[str, FileDatum] = {}
        # Versions that are the user's own file; the path may not change while a pending task reads one.
        self._at_path: dict[str, weakref.WeakSet[Version]] = {}
        self.groups: dict[str, Group] = {}
        self.open_groups = 0
        self._told_of_one_node = False
        self.stopped = False
        self.opened = False  # the program itself has called `start` under runtask, and not yet `stop`
        self._local = threading.local()
        self._progress = preparation.make_progress(self, progress)
        self._interrupts = InterruptGuard(self.engine)

    @property
    def words(self) -> Callable[[str], str]:
        """Has messages call options as the user does: as those of runtask, or as arguments of `start`."""
        return str if self.launched else as_arguments

    def __repr__(self) -> str:
        kernel = self.engine.kernel
        state = "stopped" if self.stopped else "running"
        return f"<taskflow session {self.id} {state}, {self.where}, {kernel.unfinished} unfinished tasks>"

    @property
    def where(self) -> str:
        """Where its tasks run, for people: "2 nodes, 4 executors"."""
        crews = [crew for crew in self.engine.kernel.crews.values() if crew.size]
        count = sum(crew.size for crew in crews) if self.cluster is not None else self.workers
        nodes = f"{len(crews)} node{'s' * (len(crews) != 1)}, " if self.engine.kernel.dispatch is not None else ""
        return f"{nodes}{count} executor{'s' * (count != 1)}"

    # ------------------------------------------------------------------ tasks

    def submit(self, task: Task, accesses: Sequence[tuple[Datum, Direction]] = ()) -> None:
        """Hand a task to the engine. Waits when too many are pending."""
        if self.open_groups:
            task.groups = self.current_groups
        if task.function.spread == "replicated":
            task.copies = [self._copy(task) for _ in self.engine.kernel.crews]
        self.engine.submit(task, accesses)

    def _copy(self, task: Task) -> Task:
        """A replicated task once more, for another node."""
        copy = Task(next(self.task_ids), task.function, task.args, task.site, task.offset)
        copy.kwargs, copy.params, copy.returns = task.kwargs, task.params, task.returns
        return copy

    def register(self, record: FunctionRecord) -> None:
        """Make a task function known to the engine and the journal."""
        if self.notebook is not None:
            self.notebook.register(record)
        with self.engine.lock:
            self.enter_function(record)

    def enter_function(self, record: FunctionRecord) -> None:
        """As `register`, with the engine's lock held."""
        self.engine.add_function(record, {} if self.check is None else self.check.declared(record))

    def new_path(self) -> list[list[str]]:
        """Where the program finds modules, in a list, if that has changed since the session began; else empty."""
        path = _module_path()
        return [] if path == self.path else [path]

    @functools.cached_property
    def node(self) -> Node:
        """What this machine offers to tasks."""
        from taskflow.cluster.machine import describe_node, device_numbers, programs_here

        said = self.cluster.home if self.cluster is not None else None
        node = said or describe_node(self.workers, str(self.run_dir))
        node = dataclasses.replace(node, programs=frozenset(programs_here()))
        with self.engine.lock:
            home = self.engine.kernel.home
            home.node = node if said else None
            home.offer(node.amounts, device_numbers(node))
        return node

    def demand_of(self, requirements: Requirements, name: str, hosts: int = 1, per_node: int = 1) -> Demand | None:
        """What a task takes from its nodes while it runs; None: one computing unit of any node, as any task.

        ``hosts``: how many nodes it needs at once, ``per_node``: and how many times what is required on each. Raises
        RequirementsError if there will never be so many that can run it; ``name`` is the task function.
        """
        from taskflow.model.requirements import demand_on, mismatches

        if hosts > 1 and not requirements.units:
            raise ArgumentError(
                f"task {name} needs no computing unit (@IO), so it cannot have {hosts} nodes: what is reserved "
                f"of each is at least one unit"
            )
        nodes = self._nodes()
        alone = self.engine.kernel.dispatch is None
        if per_node > 1 and not alone:
            requirements = requirements.times(per_node)
        found = [(node.name, mismatches(requirements, node, home=home)) for node, home in nodes]
        unseen = [
            (node.name, [each for each in mismatches(requirements, node, home=False) if each.constraint in _TOLD])
            for node in self._unseen()
        ]
        if sum(not problems for _, problems in (*found, *unseen)) < (1 if alone else hosts):
            never = [(node, problems) for node, problems in unseen if problems]
            raise RequirementsError(self._why_never(name, 1 if alone else hosts, found + never))
        if alone and hosts * per_node > 1:
            requirements, hosts = self._on_one_node(requirements, hosts, per_node, nodes[0][0], name), 1
        demand = requirements.demand._replace(hosts=hosts)
        if not demand.units:
            self.engine.start_io(self.io_executors)
        fitting = [node for (node, _), (_, problems) in zip(nodes, found, strict=True) if not problems]
        if any(demand_on(requirements, node) != demand._replace(hosts=1) for node in fitting):
            demand = demand._replace(varies=True)
        if unseen:  # they may be like no other
            demand = demand._replace(varies=True)
        if demand.varies or requirements.programs or len(fitting) < len(nodes):
            demand = demand._replace(nodes=requirements)
        return None if demand == Demand() else demand

    def _why_never(self, name: str, hosts: int, found: list[tuple[str, list[Mismatch]]]) -> str:
        """Why a task could never run, given what keeps it from running on each node."""
        from taskflow.model.requirements import PROGRAM, lacking_nodes, table

        if self.cluster is not None:  # which nodes are there already is chance
            order = {setup.name: place for place, setup in enumerate(self.cluster.nodes)}
            found = sorted(found, key=lambda each: order.get(each[0], -1))
        where = "this machine does not have" if self.cluster is None else "no node has"
        remedy = "lower its @constraint"
        if hosts > 1:
            where = f"fewer than {hosts} nodes have"
            remedy += ", or the number of its nodes"
            found = [*lacking_nodes(hosts, found), *found]
        missing = {each.requested for _, problems in found for each in problems if each.constraint == PROGRAM}
        if missing:
            remedy = f"install {' and '.join(sorted(missing))} there, or name the path of another program"
        elif self.cluster is None:
            remedy += "; more workers (--workers) are more computing units"
        elif self.cluster.source == "--nodes":
            remedy += "; a file (--resources) can say more of nodes than --nodes does"
        else:
            remedy += f", or declare in {self.cluster.source} what the nodes have"
        return f"task {name} needs what {where}, so it could never run:\n{table(found)}\n{self.words(remedy)}"

    def _on_one_node(
        self, requirements: Requirements, hosts: int, per_node: int, node: Node, name: str
    ) -> Requirements:
        """What a task for several nodes or processes takes of the only one: all their shares, as far as they fit."""
        from taskflow.model.requirements import mismatches

        count = hosts * per_node
        while count > 1 and mismatches(requirements.times(count), node):
            count -= 1
        if (hosts > 1 or count < per_node) and not self._told_of_one_node:
            self._told_of_one_node = True
            what = f"{hosts} nodes" if hosts > 1 else f"{per_node} processes"
            room = f"for {count} of its {hosts * per_node} parts" if count < hosts * per_node else "for all of it"
            warnings.warn(
                self.words(
                    f"task {name} is for {what}, and this run has one machine, with room {room} at a time: "
                    f"tasks of this kind run there alone; --nodes, or --resources and --project, name more machines"
                ),
                TaskflowWarning,
                stacklevel=tracebacks.line_of_user(),
            )
        return requirements.times(count)

    def add_services(self, given: Mapping[str, Any]) -> None:
        """Add services, as `start` is told of them, that the session does not know yet. Raises ArgumentError."""
        from taskflow.preparation import make_services

        self.services = {**make_services(None, given), **self.services}

    def open_service(self, name: str) -> None:
        """See to it that tasks can be requests to a service.

        Raises ArgumentError if nobody has said where it is, and TaskflowError if no requests can be made at all.
        """
        from taskflow.preparation import http_pool_size

        if name not in self.services:
            option = f"runtask --service {name}=URL" if self.launched else f"taskflow.start(services={{{name!r}: URL}})"
            raise ArgumentError(
                f"no service is called {name!r}; say where it is, with {option}, or in resources.xml "
                f"(<Http BaseUrl=...> with <ServiceName>{name}</ServiceName>); there {self._known_services()}"
            )
        with self.engine.lock:
            known = self.engine.kernel.services
            if known is None or name not in known.by_name:
                self.engine.open_service(name, self.services[name], http_pool_size())

    def _known_services(self) -> str:
        return f"are: {', '.join(sorted(self.services))}" if self.services else "are none"

    def _nodes(self) -> list[tuple[Node, bool]]:
        """The nodes that run tasks, or will when they are there; whether each is home."""
        crews = self.engine.kernel.crews
        nodes = [(crew.node or self.node, False) for number, crew in crews.items() if number and crew.size]
        if self.cluster is not None:
            present = {node.name for node, _ in nodes}
            others = [setup for setup in self.cluster.nodes if setup.described and setup.name not in present]
            nodes += [(setup.node, False) for setup in others]
        has_home = self.cluster is not None and self.cluster.home is not None
        if has_home or crews[0].size or not nodes:
            nodes.insert(0, (self.node, True))
        return nodes

    def _unseen(self) -> list[Node]:
        """The nodes that may be there soon of which nobody knows more yet than, perhaps, their computing units."""
        if self.cluster is None or all(setup.described for setup in self.cluster.nodes):
            return []
        coming = set(self.engine.coming)
        return [setup.node for setup in self.cluster.nodes if not setup.described and setup.name in coming]

    def sent_definition(self, function: Any) -> tuple[Any, ...] | None:  # noqa: ARG002
        """How executors get at a function's code, if that is known without asking the function (`taskflow.nested`)."""
        return None

    def look(self, version: Version) -> bool:
        """Whether the version has been made, or failed."""
        return bool(version.state)

    def _release(self, datum: Datum) -> None:
        self.engine.released.append(datum.current)

    # ------------------------------------------------------------------ waiting

    def _wait(self, latch: Any, timeout: float | None = None) -> bool:
        if self.engine.released:
            with self.engine.lock:
                self.engine.enter_released()
        if self._progress is None or latch.satisfied(self.engine.kernel):
            return self.engine.wait(latch, timeout)
        return self._wait_showing(latch, timeout)

    def _wait_showing(self, latch: Any, timeout: float | None) -> bool:
        """Wait in slices, showing progress between them."""
        assert self._progress is not None
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            piece = 0.2 if deadline is None else max(0.0, min(0.2, deadline - time.monotonic()))
            if self.engine.wait(latch, piece):
                return True
            self._progress.show(time.monotonic())
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def wait_versions(self, versions: Sequence[Version], timeout: float | None = None, what: str = "") -> bool:
        """Wait until the main program can read the versions (or they failed)."""
        if what:
            self._note_sync(what, versions)
        return self._wait(Latch(versions), timeout)

    def _note_sync(self, what: str, versions: Sequence[Version] | None) -> None:
        engine = self.engine
        ids: list[int] | None = None
        if versions is not None:
            ids = [version.producer_id for version in versions[:1000] if version.producer_id]
            if not ids:
                return
        with engine.lock:
            self.journal.synced(engine.now_us(), what, ids)

    def value_of(self, version: Version) -> Any:
        """The value of a version that is there. Raises the task's exception if it failed."""
        state = version.state
        if state == VALUE:
            return version.value
        if state == FAILED:
            good = last_good(version)
            if good is not version:
                return self.value_of(good)
            self.raise_failure(version.value)
        if state == SEGMENT:
            try:
                return self.engine.store.read(version.value.descriptor)
            except FileNotFoundError:
                raise NotRunningError(VALUE_IS_GONE) from None
        if state == FILE:
            return str(version.value)
        return decode_blob(version.value)

    @staticmethod
    def raise_failure(failure: Failure) -> None:
        """Raise a task's exception in the main program, or TaskCancelledError with it as the cause."""
        failure.seen = True
        error = failure.error
        if failure.cancelled and not isinstance(error, NotRunningError):
            raise cancellation(failure)
        if not isinstance(error, Exception):
            raise TaskflowError(f"a task ended with {type(error).__name__}: {error}") from error.__cause__
        raise error.with_traceback(None)

    def barrier(self, what: str = "barrier") -> None:
        """Wait for every task; raise the first failure the main program has not been told of."""
        self._note_sync(what, None)
        self._wait(QuietLatch())
        self.engine.kernel.settle()
        failure = self.engine.kernel.unseen_failure()
        if failure is not None:
            for other in self.engine.kernel.failures:
                other.seen = True
            self.raise_failure(failure)

    # ------------------------------------------------------------------ cancellation

    def cancel_all(self, error: TaskflowError | None = None) -> None:
        """Cancel every unfinished task, and interrupt those that run; ``error`` says why."""
        with self.engine.lock:
            self.engine.kernel.cancel_all(error or CancelError("the program cancelled all unfinished tasks"))
            self._spread_news()
        self.engine.notify()

    def cancel_group(self, name: str) -> None:
        """Cancel the unfinished tasks of a group. An unknown name has no effect."""
        group = self.groups.get(name)
        if group is None:
            return
        with self.engine.lock:
            self.engine.kernel.cancel_group(group, CancelError(f"the program cancelled the group {name!r}"))
            self._spread_news()
        self.engine.notify()

    def _spread_news(self) -> None:
        """After the kernel has cancelled something: tell the executors and the journal, wake who waits."""
        self.engine.record_cancelled()
        self.engine.flush()
        self.engine.wake()

    def set_wall_clock(self, seconds: float) -> None:
        """After that time cancel all tasks and raise WallClockError in the main program.

        Raises TaskflowError in any other thread than the main one.
        """
        if threading.current_thread() is not threading.main_thread():
            raise TaskflowError("compss_set_wall_clock was called in a thread; call it in the main thread")
        if seconds <= 0:
            raise ValueError(f"the wall clock limit must be more than 0 seconds, not {seconds!r}")

        def strike(number: int, frame: Any) -> None:  # noqa: ARG001  a signal's handler
            error = WallClockError(f"the wall clock limit of {seconds:g} seconds was reached; all tasks are cancelled")
            self.cancel_all(error)
            raise error

        self._interrupts.alarm(seconds, strike)

    # ------------------------------------------------------------------ groups

    @property
    def current_groups(self) -> tuple[Group, ...]:
        """The groups open in this thread, outermost first."""
        return getattr(self._local, "groups", ())

    def open_group(self, name: str) -> Group:
        """Tasks called by this thread from now on belong to the group."""
        group = self.groups.get(name)
        if group is None or group.closed:
            group = self.groups[name] = Group(name)
        self._local.groups = (*self.current_groups, group)
        self.open_groups += 1
        return group

    def close_group(self, group: Group) -> None:
        """End of the group's block in this thread."""
        self._local.groups = tuple(other for other in self.current_groups if other is not group)
        self.open_groups -= 1
        group.closed = True

    def barrier_group(self, name: str) -> None:
        """Wait for the tasks of a group; raise their first failure. An unknown name returns at once."""
        group = self.groups.get(name)
        if group is None:
            return
        with self.engine.lock:
            self.journal.synced(self.engine.now_us(), "barrier_group", ())
        self._wait(QuietLatch(group))
        self.engine.kernel.settle(group)
        error, group.exception = group.exception, None
        if error is not None:
            raise error.with_traceback(None)
        failure = self.engine.kernel.unseen_failure(group)
        if failure is not None:
            for other in group.failures:
                other.seen = True
            self.raise_failure(failure)

    def view(self, groups: dict[Any, Group]) -> Session:
        """The session as a nested task uses it: with groups of its own, and silent."""
        import copy

        view = copy.copy(self)
        view.groups = groups
        view.journal = Silence()  # type: ignore[assignment]
        view._progress = None  # noqa: SLF001  it is one of us
        return view

    # ------------------------------------------------------------------ files

    def file_datum(self, path: str | os.PathLike[str], *, directory: bool) -> FileDatum:
        """The datum of a file; its first version is what lies at the path now."""
        name = absolute(path)
        datum = self.files.get(name)
        if datum is None:
            number = next(self.datum_ids)
            version = Version(number)
            version.state = FILE
            version.value = self.engine.own_file(name, directory=directory)
            # Bodies of nested tasks may get here at the same time.
            datum = self.files.setdefault(name, FileDatum(version, name, directory=directory))
            self._at_path.setdefault(name, weakref.WeakSet()).add(version)
        return datum

    def known_file(self, path: str | os.PathLike[str]) -> FileDatum | None:
        """The datum of a file that tasks have used, or None."""
        return self.files.get(absolute(path))

    def bring_back(self, datum: FileDatum, what: str) -> None:
        """Put the last version of a file at its path, waiting for it; the file is the main program's again."""
        version = datum.current
        datum.group = None
        self.wait_versions([version], what=what)
        version = last_good(version)
        if version.state == FAILED:
            self.raise_failure(version.value)
        if isinstance(version.value, OwnedPath):
            self.free_path(datum, keep=version)
            self._place(datum, version)
        self.files.pop(datum.path, None)

    def bring_back_path(self, path: str) -> None:
        """As `bring_back`, for a path that may be known or not."""
        datum = self.files.get(path)
        if datum is not None:
            self.bring_back(datum, "")

    def file_state(self, path: str) -> tuple[int, bool] | None:
        """State of the last version of a file, and whether it is a directory; None if tasks have not used it."""
        datum = self.files.get(path)
        return None if datum is None else (datum.current.state, datum.directory)

    def forget_path(self, path: str) -> None:
        """The file at the path is none that tasks know."""
        self.files.pop(path, None)
        self._at_path.pop(path, None)

    def release_path(self, path: str) -> None:
        """A file in the run folder that others have taken the place of: it goes with the versions that lie there."""
        self.files.pop(path, None)
        versions = [version for version in self._at_path.pop(path, ()) if str(version.value) == path]
        owner = self.engine.made_file(path, directory=os.path.isdir(path))
        for version in versions:
            version.value = owner

    def free_path(self, datum: FileDatum, keep: Version | None = None) -> None:
        """Wait until no pending task reads the user's own file at the path, so that it may change."""
        self.free_name(datum.path, keep)

    def free_name(self, path: str, keep: Version | None = None) -> None:
        """As `free_path`, for a path that may be known or not."""
        for version in list(self._at_path.pop(path, ())):
            if version is not keep and str(version.value) == path:
                self._wait(ReadersLatch(version))

    def wait_readers(self, path: str) -> None:
        """Wait until no pending task reads the user's own file at the path."""
        for version in list(self._at_path.get(path, ())):
            if str(version.value) == path:
                self._wait(ReadersLatch(version))

    def _place(self, datum: FileDatum, version: Version) -> None:
        owned = version.value
        shared = version.readers > 0 or version.kept
        move_into_place(str(owned), datum.path, directory=datum.directory, keep_source=shared)
        if not shared:
            owned.give_away()
            version.value = self.engine.own_file(datum.path, directory=datum.directory)

    def _gather_files(self) -> None:
        """Have finished files of other nodes brought home."""
        good = [last_good(datum.current) for datum in self.files.values() if not datum.deleted]
        away = [
            version
            for version in good
            if version.state == FILE and isinstance(version.value, OwnedPath) and not version.value.is_here
        ]
        if away:
            self._wait(Latch(away))

    def bring_back_all(self) -> None:
        """At the end: every finished file to its place. A failed version leaves the user's file alone."""
        problems: list[str] = []
        self._gather_files()
        for datum in list(self.files.values()):
            version = last_good(datum.current)
            if version.state == FILE and isinstance(version.value, OwnedPath) and not datum.deleted:
                try:
                    self._place(datum, version)
                except OSError as error:
                    problems.append(f"{datum.path}: {error}")
        self.files.clear()
        if problems:
            raise TaskflowError("some results could not be put in place:\n  " + "\n  ".join(problems))

    # ------------------------------------------------------------------ the end

    def stop(self, *, cancel: bool = False, code: int = 0) -> None:
        """Wait for all tasks (unless ``cancel``), bring files back, end the executors, remove what is temporary.

        Raises the first failure that the main program has not been told of.
        """
        if self.stopped:
            return
        if self.launched:
            self._stop_for_now(cancel=cancel)
            return
        unfinished = 0
        kernel = self.engine.kernel
        try:
            try:
                if not cancel:
                    self.barrier("end")
            finally:
                unfinished = self._drop_unfinished()
                self.bring_back_all()  # what is finished is the user's, however the program ends
        except BaseException:
            code = code or 1
            raise
        finally:
            self.stopped = True
            self.exit_code = code
            _forget(self)
            self._interrupts.restore()
            if self._progress is not None:
                self._progress.clear()
            # After Ctrl-C there is no point in asking busy executors.
            self.engine.close(cancel=cancel or unfinished > 0)
            if unfinished:
                code = code or 1
            if self.check is not None:
                found = self.check.conclude()
                code = code or found
            with self.engine.lock:
                self.journal.write({
                    "e": "end", "t": self.engine.now_us(), "exit": code,
                    "tasks": kernel.submitted - unfinished, "failed": kernel.failed_count,
                })  # fmt: skip
                self.journal.close()
            self._abandon()
            self.registry.clear()
            self.engine.snapshots.clear()
            import shutil

            shutil.rmtree(self._segments, ignore_errors=True)
            self._let_go()
            for folder in ("files", "scratch"):
                shutil.rmtree(self.run_dir / folder, ignore_errors=True)
            for log in self.run_dir.glob("*.log"):
                if not log.stat().st_size:
                    log.unlink()
            if self.check is not None:
                self.check.show()
        if self.check is not None and not cancel:
            self.check.judge()

    def _stop_for_now(self, *, cancel: bool) -> None:
        """What `stop` means to a program that runtask has started: the session goes on until the program ends."""
        self.opened = False
        if cancel:
            self.cancel_all()
        else:
            try:
                self.barrier("end")
            finally:
                self.bring_back_all()

    def _drop_unfinished(self) -> int:
        """The session is ending: whatever has not ended never will. How many tasks that are."""
        with self.engine.lock:
            kernel = self.engine.kernel
            unfinished = kernel.unfinished
            kernel.cancel_all(NotRunningError("the session was stopped before this task had ended"))
            kernel.cancels.clear()  # the executors are ended, too
            self.engine.record_cancelled()
        return unfinished

    def kill(self) -> None:
        """End the executors at once and take no lock: for a signal's handler that ends this process right after."""
        self.engine.end_at_once()
        import shutil

        shutil.rmtree(self._segments, ignore_errors=True)

    def _let_go(self) -> None:
        """Close the file by which the folder of segments is known to be in use."""
        if self._claim != -1:
            os.close(self._claim)
            self._claim = -1

    def leave_to_parent(self) -> None:
        """In a forked child of the main program: close this process's copies of what is open."""
        self.engine.leave_to_parent()
        self._let_go()

    def _abandon(self) -> None:
        """Futures that the program still has must not wait for a session that is over."""
        engine = self.engine
        error = NotRunningError("the session was stopped before this task had ended")
        with engine.lock:
            engine.kernel.abandon(error)
            for version in list(engine.held.values()):
                if version.state in (HELD, GONE):
                    version.state = FAILED
                    version.value = Failure(NotRunningError(VALUE_IS_GONE), version.producer_id)
            notices = engine.take_notices()
        for watch in notices:
            watch.callback()


def _check_options(workers: int | None, max_pending: int, io_executors: int | None, check: object) -> None:
    for name, value in (("workers", workers), ("max_pending", max_pending), ("io_executors", io_executors)):
        if value is not None and not isinstance(value, int):
            raise TypeError(f"{name} is a whole number, not {value!r}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    if max_pending < 1:
        raise ValueError(f"max_pending must be 1 or more, not {max_pending}")
    if io_executors is not None and io_executors < 0:
        raise ValueError(f"io_executors must be 0 or more, not {io_executors}")
    if check not in (False, True, "error"):
        raise ValueError(f"check must be True, False or 'error', not {check!r}")


def _module_path() -> list[str]:
    """``sys.path``, valid in any folder."""
    return [os.path.abspath(entry or ".") for entry in sys.path]


def cancellation(failure: Failure) -> TaskCancelledError:
    """The exception that tells the main program of a cancelled task; its cause is what the cancellation was for."""
    from taskflow.model.cancellation import TaskCancelledError

    cause = failure.error
    why = f"task {failure.task_id} raised {type(cause).__name__}: {cause}" if failure.task_id else str(cause)
    error = TaskCancelledError(f"the task was cancelled, and its value cannot be had: {why}")
    error.__cause__ = cause
    return error


class Silence:
    """Stands for the journal where nothing is to be noted: it tells the synchronisations of the main program only."""

    def synced(self, *_: Any) -> None:
        """Note nothing."""


def start(**options: Any) -> Session:
    """Start a session: from now on, calls of task functions run in parallel.

    Options: ``workers`` (executors; default the usable cores), ``run_dir`` (folder of the run, made if missing),
    ``progress`` (True, False, or None: on terminals), ``max_pending`` (unfinished tasks at which submission waits),
    ``io_executors`` (executors beside the others for tasks that need no computing unit; none are started before such a
    task is called),
    ``check`` (True: report tasks that do other things with their data than they declare, see `taskflow.check`;
    ``"error"``: and have `stop` raise FindingsError if there are any), ``nesting`` (True: tasks that call task
    functions submit tasks, see `taskflow.task`), ``engine`` ("local", or "simulated" on a
    virtual clock, with ``seed`` and `taskflow.drivers.simulated.Faults`).

    Machines other than this one: ``resources`` and ``project`` (XML files), or ``nodes`` (a list of
    ``[user@]host[:computing units]``), in place of ``workers``; and ``ssh_config``, ``tunnel``, ``listen``,
    ``node_timeout``, ``keep_working_dir``, ``shutdown_in_node_failure``, ``scheduler`` and ``plan``, see
    `taskflow.model.cluster.ClusterOptions`.

    ``services``: where the services of tasks with `taskflow.http` are: for each name a URL, several of them (each
    request goes to one), or a dict with ``url`` and ``limit``, which is of requests at a time to each URL.

    In a program run by runtask the session of runtask is returned; its options hold, and services are added to them.

    Raises TaskflowError if a session is running already, ArgumentError and ClusterFileError if the description of the
    machines makes no sense, NodeLostError if none of them can be used, TypeError for an option that there is not.
    """
    if options.get("launched"):
        return _start(options)
    tracebacks.show_uncaught()
    unknown = next((name for name in options if name not in _OPTIONS), "")
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown, _OPTIONS - _FOR_US, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(_OPTIONS - _FOR_US))}"
        raise TypeError(f"taskflow.start() has no option {unknown!r}; {hint}")
    try:
        return _start(options)
    except TaskflowError as error:
        error.args = tuple([as_arguments(part) if isinstance(part, str) else part for part in error.args])
        raise


def _start(options: dict[str, Any]) -> Session:
    global session, last_check
    from taskflow.node.executor import in_executor

    if in_executor():
        raise TaskflowError("taskflow.start() was called inside a task; a task's body runs without a session")
    if session is not None:
        if session.launched and not session.opened:
            session.opened = True
            session.add_services(options.get("services") or {})
            return session
        raise TaskflowError(f"a session is running already ({session!r}): call taskflow.stop() first")
    if not options.keys().isdisjoint(_OF_MACHINES):
        from taskflow import preparation

        options |= preparation.machines({name: options.pop(name) for name in _OF_MACHINES if name in options})
    session = Session(**options)
    last_check = session.check or last_check
    import atexit

    atexit.register(_stop_at_exit)
    return session


_OF_MACHINES = tuple(field.name for field in dataclasses.fields(ClusterOptions))
_FOR_US = frozenset({"argv", "cluster", "cluster_options", "launch", "launched", "zygote"})  #: of runtask, and tests
_OPTIONS = frozenset(Session.__init__.__kwdefaults__ or ()) | frozenset(_OF_MACHINES)


def stop(*, cancel: bool = False) -> None:
    """Stop the session: wait for all tasks, bring results in place, end the executors.

    ``cancel=True`` does not wait: tasks that have not ended are dropped. Does nothing without a session.
    Raises the exception of the first failed task that the program has not been told of. In a program run by runtask
    the session goes on: this waits for the tasks and brings results in place.
    """
    if session is not None:
        session.stop(cancel=cancel)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Session]:
    """Session for a ``with`` block; options as for `start`. An exception in the block cancels what is unfinished."""
    current = start(**options)
    try:
        yield current
    except BaseException:
        current.stop(cancel=True, code=1)
        raise
    current.stop()


@contextlib.contextmanager
def _with_session(other: Session | None) -> Iterator[None]:
    """Task bodies that run in this process (simulated engine) see no session, or their own, like those in executors."""
    global session
    kept, session = session, other
    try:
        yield
    finally:
        session = None if kept is not None and kept.stopped else kept


def require() -> Session:
    """The running session. Raises NotRunningError if there is none."""
    if session is None:
        raise NotRunningError("no session is running: start the program with runtask, or call taskflow.start() first")
    return session


def _forget(ended: Session) -> None:
    global session, ended_once
    if session is ended:
        session = None
        ended_once = True


def _stop_at_exit() -> None:
    """A program that ends without `stop`: end the executors, and lose nothing that was asked for."""
    if session is not None and os.getpid() == _pid:
        told = session.engine.told
        try:
            session.stop()
        except Exception as error:  # noqa: BLE001  the interpreter is ending: report, as an exit hook would
            if not told:
                sys.stderr.write(f"taskflow: {type(error).__name__}: {error}{error.__cause__ or ''}\n")
            os._exit(1)


_pid = os.getpid()


def _after_fork_in_child() -> None:
    """A forked child of the main program is not part of the session, and must not keep its connections open."""
    global session
    if session is not None:
        session.leave_to_parent()
        session = None


os.register_at_fork(after_in_child=_after_fork_in_child)


def _write_output(stream: int, text: str) -> None:
    target = sys.stdout if stream == 1 else sys.stderr
    if target is not None:
        target.write(text)
        target.flush()
