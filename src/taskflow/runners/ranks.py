"""Runs a Python function on MPI ranks: the executor's side (`runners.rank` is the other).

The call travels as one file beside the first rank, which shares it out over MPI; so nodes need no common file system.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import pickle
import shutil
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

from taskflow.data.serialization import decode_blob, encode
from taskflow.launch.spawn import package_path
from taskflow.model.errors import ArgumentError, ProgramError, RemoteTraceback
from taskflow.node.call import Left
from taskflow.node.executor import in_executor
from taskflow.node.span import PACKAGE_VARIABLE, PATH_VARIABLE, PYTHON_VARIABLE
from taskflow.runners import binary, mpi, rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.runners.layouts import Layout

#: The argument is the folder of the package; on other nodes that, and the program's modules, may be elsewhere.
_CODE = (
    "import os, sys; "
    f"sys.path[0] = os.environ.get('{PACKAGE_VARIABLE}') or sys.argv[1]; "
    "from taskflow.runners.rank import main; "
    f"sys.path[:1] = filter(None, os.environ.get('{PATH_VARIABLE}', '').split(os.pathsep)); "
    "main()"
)
#: And so may be the interpreter. ``$0`` is that of the executor.
_ON_NODES = ("/bin/sh", "-c", f'exec "${{{PYTHON_VARIABLE}:-$0}}" "$@"')


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The body of a task on the ranks of a world: a `Body` (see `api.options`). Returns the list of their values.

    ``where``: how errors begin. ``layouts``: of collections, by name. ``written``: names of the parameters whose
    objects it may change; ``read``, ``made``: of those that are paths of files that it reads, and that it only writes.
    ``positional``: names of the parameters by position; from the last on they are in ``*args``.
    """

    where: str
    world: mpi.World
    layouts: tuple[tuple[str, Layout], ...] = ()
    written: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    positional: tuple[str, ...] = ()

    decorator: ClassVar[str] = "mpi"
    in_plain_calls: ClassVar[bool] = False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called with the arguments of the task in place of the function."""
        return functools.update_wrapper(functools.partial(_run, self, function), function)

    def inside(self, container: Any) -> Any:
        """Ranks of a Python function cannot be in a container."""
        raise ArgumentError(
            f"{self.where}: a Python function on MPI ranks cannot be run by @{container.decorator}; put a program that "
            f"is in the image into @mpi(binary=...)"
        )

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the function on all ranks. Raises what one of them has raised, or ProgramError."""
        written, layouts = self._keys(self.written, args, kwargs), self._layouts(function, args, kwargs)
        paths = [(key, True) for key in self._keys(self.read, args, kwargs)]
        paths += [(key, False) for key in self._keys(self.made, args, kwargs)]
        folder = tempfile.mkdtemp(prefix="ranks-", dir=os.environ["TASKFLOW_RUN_DIR"] if in_executor() else None)
        try:
            blob = encode((list(args), kwargs), "the arguments").blob()
            with open(os.path.join(folder, rank.CALL), "wb") as file:
                pickle.dump((_definition(function), blob, layouts, paths, written), file, protocol=5)
            self._start(folder)
            with open(os.path.join(folder, rank.RESULT), "rb") as file:
                blobs, left = pickle.load(file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        values = [decode_blob(value) for value in blobs]
        return Left(values, decode_blob(left)) if written else values

    def _start(self, folder: str) -> None:
        """Start the ranks and wait for them. Raises what the first of them that failed has raised, or ProgramError."""
        world = self.world
        runner = mpi.runner_of(world.runner, self.where).path
        package = package_path().split(os.pathsep)[0]
        argv = [sys.executable, "-c", _CODE, package, folder, str(world.processes), runner]
        if len(mpi.hosts_of(world)) > 1:
            argv = [*_ON_NODES, *argv]
        launcher = mpi.starting(world, [(world.processes, argv)], self.where)
        launcher.environment["PYTHONPATH"] = os.pathsep.join([os.path.abspath(entry) for entry in sys.path if entry])
        reports: list[Any] = []
        try:
            ended = launcher.run(self.where, env=launcher.environment, sift=lambda path: reports.extend(_sifted(path)))
        finally:
            launcher.remove_files()
        for name in os.listdir(folder):
            if name.startswith(rank.REPORT) and not name.endswith(".part"):
                with open(os.path.join(folder, name), "rb") as file:
                    reports.append(pickle.load(file))
        if reports:
            self._raise(min(reports, key=lambda report: (report[1] == "left", report[0])), ended)
        if ended.exit_value:
            raise dataclasses.replace(ended, argv=ended.argv[:1]).failure(self.where)  # the rest is ours
        if not os.path.exists(os.path.join(folder, rank.RESULT)):
            raise ProgramError(f"{self.where}: all ranks have ended, but there is no result; was os._exit called?")

    def _raise(self, report: tuple[Any, ...], ended: binary.Ended) -> None:
        _, kind, number, host, content = report
        name = f"rank {number} of {self.world.processes}" if number >= 0 else "a rank"
        kept = f". What the ranks have printed is in {ended.kept}" if ended.kept else ""
        if kind == "lost":
            number, process = content
            with contextlib.suppress(ValueError):
                number = signal.Signals(number).name
            raise ProgramError(
                f"{self.where}: {name} was lost: process {process} on {host} was ended by {number} (out of memory, a "
                f"crash of a library, or somebody's kill); the others were stopped{kept}"
            )
        if kind == "ended":
            process, how, text = content
            error = ProgramError(
                f"{self.where}: {name} has not come to its end: process {process} on {host} {how}; the others were "
                f"stopped{kept}"
            )
            raise error from (RemoteTraceback(f"{self.where}: {name} on {host}:\n{text}") if text else None)
        blob, text = content[:2]
        error = decode_blob(blob)
        raise error from RemoteTraceback(f"{self.where}: {name} on {host} raised:\n{text}")

    def _keys(self, names: frozenset[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | str]:
        """The arguments for parameters of these names, by position or keyword."""
        last = len(self.positional) - 1
        found: list[int | str] = [name for name in kwargs if name in names]
        return found + [place for place in range(len(args)) if self.positional[min(place, last)] in names]

    def _layouts(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[int | str, tuple[Layout, bool]]:
        """For each argument with a layout: that, and whether it is an output."""
        found: dict[int | str, tuple[Layout, bool]] = {}
        for name, layout in self.layouts:
            key = name if name in kwargs else self.positional.index(name)
            if isinstance(key, int) and key >= len(args):
                default = inspect.signature(function).parameters[name].default
                raise ArgumentError(f"{self.where}: {name} has a layout, so it must be given, not left at {default!r}")
            found[key] = (layout, name in self.written)
        return found


def _run(ranks: Ranks, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return ranks.run(function, args, kwargs)


def _definition(function: Callable[..., Any]) -> tuple[Any, ...]:
    """How ranks get at the function: by its name if that leads to it, else as it is (see `FunctionRecord`)."""
    module = sys.modules.get(function.__module__)
    if module is not None and function.__module__ != "__main__" and getattr(module, "__spec__", None) is not None:
        found: Any = module
        for name in function.__qualname__.split("."):
            found = getattr(found, name, None)
        if getattr(found, "__taskflow_function__", found) is function:
            return ("ref", function.__module__, function.__qualname__)
    return ("value", encode(function, function.__qualname__).blob())


def _sifted(path: str) -> list[Any]:
    """Take reports of ranks on other nodes out of the error output of the launcher."""
    with open(path, "rb") as file:
        output = file.read()
    if rank.LINE.encode() not in output:
        return []
    found, rest = rank.reports_in(output)
    with open(path, "wb") as file:
        file.write(rest)
    return found
