"""The ``@mpi`` and ``@mpmd_mpi`` decorators: tasks that are MPI programs, or Python functions on MPI ranks."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from taskflow.api.arguments import by_name, checked, warn
from taskflow.api.binary import check_template, described, place_of, set_program, text_of
from taskflow.api.options import BodyOfCall, task_under
from taskflow.model.errors import ArgumentError, UnavailableError
from taskflow.model.parameters import Kind
from taskflow.model.requirements import PROGRAMS
from taskflow.runners import mpi as runner
from taskflow.runners.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskflow.api.task import TaskFunction
    from taskflow.runners.ranks import Ranks

F = TypeVar("F", bound="Callable[..., Any]")

_LAYOUT = "_layout"
_PROGRAM = ("working_dir", "args", "fail_by_exit_value")
#: Kinds of parameters of which every rank uses the same files: what it changes in them needs no way back.
_PATHS = (Kind.FILE, Kind.DIRECTORY, Kind.COLLECTION_FILE)


def mpi(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of an MPI program, or of a Python function on MPI ranks; put it above ``@task``.

    ``runner``: what starts the ranks: mpirun, mpiexec, srun, a path, or ``$VARIABLE``; Open MPI, MPICH, Intel MPI and
    SLURM are told apart by what it says of itself (or by COMPSS_MPIRUN_TYPE: ompi, mpich, impi, slurm). ``processes``
    and ``processes_per_node`` (default 1): numbers, ``$VARIABLE``, or names of parameters or of globals of the task's
    module, looked at in each call. The task has processes / processes_per_node nodes at once, and of each its
    `constraint` for every process. ``scale_by_cu``: there is a rank for each computing unit, not for each process.
    ``flags``: more arguments of the runner.

    With ``binary`` it is a program, with ``args``, ``working_dir`` and ``fail_by_exit_value`` as `binary` has them, and
    the task returns the exit value of the runner.

    Without, the body of the function runs on each rank, and ``mpi4py.MPI.COMM_WORLD`` is all of them. All get the same
    arguments, but for collections with a ``<parameter>_layout={block_count, block_length, stride}``, of which each has
    its own blocks. The task returns the list of all ranks' values; ``returns=N`` with N ranks: each has its own future.
    Of objects that it changes, and of files, what counts is what rank 0 has left.

    Raises ArgumentError for wrong arguments, and TypeError if there is no task below.
    """
    by_name("mpi", args)
    layouts = {name: value for name, value in arguments.items() if name.endswith(_LAYOUT)}
    known = checked(
        "mpi", {name: value for name, value in arguments.items() if name not in layouts},
        ("binary", "processes", "processes_per_node", "scale_by_cu", "flags", *_PROGRAM), ("runner",),
        computing_nodes="processes", computingNodes="processes",
    )  # fmt: skip
    for name, layout in layouts.items():
        _check_layout(name, layout)

    def decorate(function: F) -> F:
        task = task_under(function, "mpi")
        size = Size.of("mpi", task, known)
        body: runner.MPIProgram | Ranks
        if known.get("binary") is not None:
            if layouts:
                raise ArgumentError(f"{size.where}: {next(iter(layouts))} is for Python functions, not for a binary")
            body = runner.MPIProgram(binary=text_of("binary", known, "mpi"), **described(task, "mpi", known))
        else:
            from taskflow.runners.ranks import Ranks

            for name in _PROGRAM:
                if name in known:
                    warn(f"{size.where}: {name} has no effect on a Python function; is binary missing?")
            body = Ranks(size.where, runner.World(), _layouts(task, layouts, size.where))
        set_program(task, OnWorld(body, size))
        return function

    return decorate


def mpmd_mpi(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of several MPI programs in one MPI_COMM_WORLD; put it above ``@task``.

    ``runner``: as `mpi` has it. ``programs``: a list of dictionaries with ``binary``, ``processes`` (default 1) and
    ``args``, a template; they have the ranks in this order. ``processes_per_node``, ``working_dir`` and
    ``fail_by_exit_value`` as `mpi` has them. The task returns the exit value of the runner.

    Raises ArgumentError for wrong arguments, and TypeError if there is no task below.
    """
    by_name("mpmd_mpi", args)
    known = checked(
        "mpmd_mpi", arguments, ("processes_per_node", "working_dir", "fail_by_exit_value", "flags"),
        ("runner", "programs"),
    )  # fmt: skip
    programs = known["programs"]
    if not isinstance(programs, (list, tuple)) or not programs:
        raise ArgumentError(f"@mpmd_mpi: programs is a list of dictionaries, one for each program, not {programs!r}")
    for number, program in enumerate(programs, 1):
        if not isinstance(program, dict) or not isinstance(program.get("binary"), (str, os.PathLike)):
            raise ArgumentError(f"@mpmd_mpi: program {number} needs a binary: {{'binary': ..., 'processes': ...}}")
        for name in program.keys() - {"binary", "processes", "args"}:
            warn(f"@mpmd_mpi: program {number} has no argument {name!r}, it is ignored")

    def decorate(function: F) -> F:
        task = task_under(function, "mpmd_mpi")
        size = Size.of("mpmd_mpi", task, {**known, "processes": [program.get("processes", 1) for program in programs]})
        for number, program in enumerate(programs, 1):
            check_template(program.get("args"), task, f"{size.where}, program {number}")
            check_template(os.fspath(program["binary"]), task, f"{size.where}, program {number}", "binary")
        body = runner.MPMDProgram(
            binary="", **described(task, "mpmd_mpi", known),
            parts=tuple([runner.Part(os.fspath(item["binary"]), 1, item.get("args") or "") for item in programs]),
        )  # fmt: skip
        set_program(task, OnWorld(body, size))
        return function

    return decorate


# ---------------------------------------------------------------------- how large a world is


@dataclasses.dataclass(frozen=True)
class Size:
    """What a decorator says of the number of ranks; for several programs, a list of numbers."""

    where: str
    runner: str
    processes: Any
    per_node: Any
    scale_by_cu: bool
    flags: tuple[str, ...]

    @classmethod
    def of(cls, decorator: str, task: TaskFunction, known: Mapping[str, Any]) -> Size:
        """From the arguments of a decorator; the task is for nodes that have the runner. Raises ArgumentError."""
        where = place_of(task, decorator)
        flags = known.get("flags") or ()
        try:
            words = runner.split_flags(flags)
        except ValueError as error:
            raise ArgumentError(f"{where}: flags {flags!r} cannot be split into words: {error}") from None
        scale = known.get("scale_by_cu", False)
        scale = scale.strip().lower() == "true" if isinstance(scale, str) else bool(scale)
        starter = text_of("runner", known, decorator)
        task.options.programs = frozenset({starter}) & frozenset(PROGRAMS)
        return cls(
            where, starter, known.get("processes", 1), known.get("processes_per_node", 1),
            scale, words,
        )  # fmt: skip

    def counts(self, scope: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[list[int], int]:
        """The processes of each program, and those on each node, of a call.

        ``scope``: arguments, and globals of the task's module; ``said``: what the call says instead. Raises
        ArgumentError.
        """
        wanted = said.get("computing_nodes", said.get("computingNodes", self.processes))
        each = wanted if isinstance(wanted, list) else [wanted]
        counts = [self._number(value, "processes", scope) for value in each]
        per_node = self._number(said.get("processes_per_node", self.per_node), "processes_per_node", scope)
        total = sum(counts)
        if per_node > 1 and (total < per_node or total % per_node):
            raise ArgumentError(
                f"{self.where}: {total} processes cannot be spread with {per_node} on each node (processes_per_node); "
                f"the number of processes must be a multiple of it"
            )
        return counts, per_node

    def _number(self, value: Any, name: str, scope: Mapping[str, Any]) -> int:
        if isinstance(value, str) and value.strip().isidentifier():
            if value.strip() not in scope:
                raise ArgumentError(
                    f"{self.where}: {name} is {value!r}, but the module of the task has no global of that name; it "
                    f"is a number, $VARIABLE, or the name of a global or a parameter"
                )
            value = scope[value.strip()]
        number = runner.whole_number(value, name, self.where)
        if number < 1:
            warn(f"{self.where}: {name}={number} is taken for 1")
        return max(number, 1)


@dataclasses.dataclass(frozen=True)
class OnWorld:
    """A body of which each call says on how many ranks it runs: a `VaryingBody` (see `api.options`)."""

    body: runner.MPIProgram | Ranks
    size: Size

    in_plain_calls: ClassVar[bool] = True

    @property
    def decorator(self) -> str:
        """Its name, for messages."""
        return self.body.decorator

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What a call without a session runs: the program as it is on this machine; of a Python function, its body."""
        return functools.update_wrapper(functools.partial(_run_plainly, self, function), function)

    def inside(self, container: Any) -> OnWorld:
        """The same within a container."""
        body: Any = self.body.inside(container)
        return dataclasses.replace(self, body=body)

    def of_call(
        self, task: TaskFunction, units: int, arguments: Mapping[str, Any], said: Mapping[str, Any]
    ) -> BodyOfCall:  # fmt: skip
        """The body of a call. Raises ArgumentError for numbers that make no sense."""
        scope = {**getattr(task.__taskflow_function__, "__globals__", {}), **arguments}
        world, body, shares = self._of_size(scope, units, said)
        if not isinstance(body, runner.MPIProgram):
            body = dataclasses.replace(body, **_parameters(task))
        # Nothing is reserved for an I/O task, so there are no other nodes for it to go to.
        hosts = 1 if task.options.io else world.hosts
        note = (
            f"({self.size.where}: {world.processes} ranks, {world.per_node} on each node, take {hosts} nodes; "
            f"processes_per_node says how many are on each)"
        )
        parts = body.parts if isinstance(body, runner.MPMDProgram) else ()
        return BodyOfCall(body, (world, tuple([part.processes for part in parts])), hosts, shares, note)

    def _of_size(
        self, scope: Mapping[str, Any], units: int, said: Mapping[str, Any]
    ) -> tuple[runner.World, runner.MPIProgram | Ranks, int]:
        """World and body of a call, and how many times the constraints it takes of each node."""
        size = self.size
        counts, shares = size.counts(scope, said)
        scale, threads = (max(units, 1), 1) if size.scale_by_cu else (1, max(units, 1))
        world = runner.World(os.path.expandvars(size.runner), sum(counts) * scale, shares * scale, threads, size.flags)
        body = dataclasses.replace(self.body, world=world)
        if isinstance(body, runner.MPMDProgram):
            parts = [
                dataclasses.replace(part, processes=count * scale)
                for part, count in zip(body.parts, counts, strict=True)
            ]
            body = dataclasses.replace(body, parts=tuple(parts))
        return world, body, shares

    def plainly(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call without a session."""
        if isinstance(self.body, runner.MPMDProgram):
            raise UnavailableError(
                f"{self.size.where}: several MPI programs can only be run in a session; start the program by runtask"
            )
        if isinstance(self.body, runner.MPIProgram):
            _, body, _ = self._of_size(getattr(function, "__globals__", {}), 1, {})
            return body(function)(*args, **kwargs)
        warn(f"{self.size.where}: without a session the function runs once, and there are no MPI ranks")
        return function(*args, **kwargs)


def _run_plainly(body: OnWorld, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return body.plainly(function, args, kwargs)


# ---------------------------------------------------------------------- Python functions


def _parameters(task: TaskFunction) -> dict[str, Any]:
    """What ranks have to know of the parameters of a task."""
    plan = task.plan
    declared = plan.all_parameters()
    rest = [name for name in declared if name in plan.signature.parameters and name not in plan.by_name]  # *args
    paths = {name: item for name, item in declared.items() if item.kind in _PATHS}
    return {
        "written": frozenset(
            name for name, item in declared.items() if item.direction.writes and name not in paths
        ),
        "read": frozenset(name for name, item in paths.items() if item.direction.reads),
        "made": frozenset(name for name, item in paths.items() if not item.direction.reads),
        "positional": (*plan.positional, *rest),
    }  # fmt: skip


def _check_layout(name: str, layout: Any) -> None:
    if not isinstance(layout, dict) or "block_count" not in layout:
        raise ArgumentError(
            f"@mpi: {name} must be a dictionary with block_count (and block_length, stride), not {layout!r}"
        )
    for key, value in layout.items():
        if key not in Layout._fields:
            raise ArgumentError(f"@mpi: {name} has no key {key!r}; its keys are {', '.join(Layout._fields)}")
        if not isinstance(value, int) or value < (-1 if key == "block_count" else 1) or value == 0:
            raise ArgumentError(f"@mpi: {name}: {key} is a whole number of at least 1, not {value!r}")


def _layouts(task: TaskFunction, layouts: Mapping[str, Any], where: str) -> tuple[tuple[str, Layout], ...]:
    found = []
    for key, layout in layouts.items():
        name = key.removesuffix(_LAYOUT)
        parameter = task.plan.by_name.get(name)
        if parameter is None or name not in task.plan.signature.parameters:
            raise ArgumentError(f"{where}: {key} is for the parameter {name!r}, which the task has not")
        if parameter.kind not in (Kind.COLLECTION, Kind.COLLECTION_FILE):
            raise ArgumentError(f"{where}: {key}: {name!r} is no collection; declare it as COLLECTION_IN")
        found.append((name, Layout(**layout)))
    return tuple(found)
