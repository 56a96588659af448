"""Runs programs and Python functions of tasks in containers.

::

    executor ── engine's program (docker run ...) ┄┄► container: the program, or python3 .../inside.py
        └────── janitor.py, which outlives it

Inside, a task finds its files where they are outside: inputs to be read only, outputs in folders that have nothing else
in them, and its working folder. The program's own modules can be read. For a function, a request with the function and
its arguments is put into a folder that is there, too, and the answer is taken from it; this package and cloudpickle
are mounted to be read, so an image needs nothing but Python 3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import os
import pickle
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

from taskflow.launch.bundle import program_roots
from taskflow.launch.spawn import THREAD_VARIABLES
from taskflow.model.errors import (
    ArgumentError,
    ContainerError,
    MemoryLimitError,
    PicklableStandIn,
    RemoteTraceback,
    SerializationError,
)
from taskflow.model.parameters import Direction, Parameter
from taskflow.node import processes
from taskflow.node.environment import MEMORY_VARIABLE
from taskflow.node.executor import in_executor
from taskflow.runners import binary, inside
from taskflow.runners.command import PATHS
from taskflow.runners.engines import Limits, Mount, Order, engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskflow.runners.engines import Engine

KIT = "/.taskflow"  #: where this package and cloudpickle are inside
CACHE = f"{KIT}/bytecode"  #: where bytecode of modules is kept
MOST_FILES = 64  #: if there are more to be read, their folders are mounted in place of them
OUT_OF_MEMORY = 137  #: exit value of what the kernel has killed with SIGKILL

_PASSED_ON = (*THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES")
#: Folders of an image that must remain its own.
_OF_THE_IMAGE = ("/", "/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
                 "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Files:
    """The paths that a task was given. ``made``: those that it writes alone; ``shared``: with other tasks."""

    read: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter], values: Mapping[str, Sequence[str]]) -> Files:
        """Those among the arguments of a call; ``values``: the paths of each parameter that has some."""
        sorted_out: tuple[list[str], list[str], list[str]] = ([], [], [])
        for name, paths in values.items():
            direction = parameters[name].direction
            place = 2 if direction is Direction.CONCURRENT else 1 if direction.writes else 0
            sorted_out[place].extend(paths)
        return cls(*(tuple(paths) for paths in sorted_out))


@dataclasses.dataclass(frozen=True)
class Container:
    """What a task is run in: a `Body` that calls the function inside; programs take it to be run in (`run`).

    ``engine``: one of `engines.ENGINES`. ``image``: as the engine knows it. ``options``: more flags for the engine.
    ``where``: how errors begin. ``parameters``: what the task declares of its parameters.
    """

    engine: str
    image: str
    options: tuple[str, ...] = ()
    network: bool = False
    where: str = "@container"
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)

    decorator: ClassVar[str] = "container"
    in_plain_calls: ClassVar[bool] = False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, called inside."""
        return functools.update_wrapper(functools.partial(_call, self, function, inspect.signature(function)), function)

    def inside(self, container: Any) -> Container:
        """A container in a container is none."""
        raise ArgumentError(f"{self.where}: the task has one container already, {container.image}")

    def run(
        self,
        argv: Sequence[str],
        where: str,
        *,
        cwd: str,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, Sequence[str]] | None = None,
        mounts: Sequence[Mount] = (),
        streams: Mapping[str, Any] | None = None,
    ) -> binary.Ended:
        """Run a program inside, as `binary.run` outside: in the folder ``cwd``, with the files of the task.

        ``env``: variables that it sees besides those of the task. ``files``: the paths of each parameter that has some,
        by its name. ``streams``: open files for its standard streams, by their names. ``mounts``: what else is to be
        there. Raises ContainerError for what is wrong with the engine or the image, MemoryLimitError if the program was
        stopped because it needed more than the task's ``memory_size``, and what `binary.run` raises.
        """
        with contextlib.ExitStack() as stack, _named(where):
            chosen = engine(self.engine)
            scratch = stack.enter_context(_folder("scratch-"))
            staged = stack.enter_context(_staged(Files.of(self.parameters, files or {}), chosen))
            mounts = [*_of_program(cwd), *mounts, *staged, Mount(scratch, writable=True)]
            order = self._order(argv, where, cwd, scratch, mounts, env or {}, attended="stdin" in (streams or {}))
            chosen.prepare(order)
            _tell_once(chosen, order)
            stack.enter_context(_ended_for_certain(order.name, chosen))
            ended = binary.run(
                chosen.command(order), where, cwd=cwd, env={**os.environ, **chosen.environment(order)},
                told=argv, image=order.image, **(streams or {}),
            )  # fmt: skip
            problem = chosen.problem(ended.exit_value, ended.tail, order) if ended.exit_value else ""
            if problem:
                raise ContainerError(problem)
        if ended.exit_value == OUT_OF_MEMORY and order.limits.memory:
            raise MemoryLimitError(
                f"{where} was stopped in its container of {order.image}: it needed more than the "
                f"{order.limits.memory / 1e9:g} GB of memory that its constraint memory_size allows. Ask for more, or "
                f"have it use less"
            )
        return ended

    def _order(
        self, argv: Sequence[str], where: str, cwd: str, scratch: str, mounts: Sequence[Mount],
        env: Mapping[str, str], *, attended: bool,
    ) -> Order:  # fmt: skip
        name = _new_name()
        run = os.path.basename(os.environ.get("TASKFLOW_RUN_DIR", ""))
        return Order(
            name, os.path.expandvars(self.image), tuple(argv), cwd, scratch, _in_order(mounts),
            _variables(scratch, name, env), _limits(os.environ), tuple(map(os.path.expandvars, self.options)),
            (("taskflow.run", run), ("taskflow.task", where)), self.network, attended,
        )  # fmt: skip


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """What an engine complains of, it complains of to a task."""
    try:
        yield
    except ContainerError as error:
        raise ContainerError(f"{where}: {error}") from None


# ---------------------------------------------------------------------- what is inside


def _of_program(cwd: str) -> list[Mount]:
    """The folder that it runs in, and those that the program's modules are in."""
    roots = [root for root in (*program_roots(sys.path), os.environ.get("COMPSS_APP_DIR", "")) if root]
    found = {root: Mount(root) for root in roots if os.path.isdir(root) and not _belongs_to_image(root)}
    if not _belongs_to_image(cwd):
        found[cwd] = Mount(cwd, writable=True)
    return list(found.values())


def _belongs_to_image(folder: str) -> bool:
    return os.path.realpath(folder) in _OF_THE_IMAGE or folder in _OF_THE_IMAGE


def _in_order(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Each path once, what lies in another after it; what is written to wins."""
    found: dict[str, Mount] = {}
    for mount in mounts:
        known = found.get(mount.path)
        if known is None or mount.writable or mount.source:
            found[mount.path] = mount
    return tuple(sorted(found.values(), key=lambda mount: mount.path.count(os.sep)))


def _variables(scratch: str, name: str, more: Mapping[str, str]) -> dict[str, str]:
    """What a task may look at, in the container, of its environment."""
    found = {
        variable: value for variable, value in os.environ.items()
        if variable.startswith("COMPSS_") or variable in _PASSED_ON
    }  # fmt: skip
    mark = f"{processes.mark_of_owner(os.environ.get('TASKFLOW_RUN_DIR', ''), os.getpid())}{name}/"
    return {**found, "COMPSS_WORKING_DIR": scratch, **more, processes.VARIABLE: f":{mark}"}


def _limits(environment: Mapping[str, str]) -> Limits:
    """What the task may use, from the variables that it sees (see `drivers.engine`)."""
    gpus = environment.get("COMPSS_BINDED_GPUS", "")
    return Limits(
        int(environment.get(MEMORY_VARIABLE, "0")), int(environment.get("COMPSS_NUM_THREADS", "1")),
        environment.get("COMPSS_BINDED_CPUS", ""), tuple(filter(None, gpus.split(","))),
        "ROCR_VISIBLE_DEVICES" in environment and "CUDA_VISIBLE_DEVICES" not in environment,
    )  # fmt: skip


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[str]:
    """A folder of the task's own, which is removed afterwards."""
    scratch = os.environ["COMPSS_WORKING_DIR"] if in_executor() else None
    if scratch:
        os.makedirs(scratch, mode=0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=prefix, dir=scratch)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _staged(files: Files, chosen: Engine) -> Iterator[list[Mount]]:
    """Mounts for the files of a task.

    What the task writes is, as long as it runs, in a folder beside its place that has nothing else in it.
    """
    read = _read(files.read, files_too=chosen.mounts_files and len(files.read) <= MOST_FILES)
    mounts = {path: Mount(path) for path in read}
    for path in files.shared:
        folder = os.path.dirname(path)
        mounts[folder] = Mount(folder, writable=True)
    aside: dict[str, str] = {}  # folder: that in its place
    for path in files.made:
        folder = os.path.dirname(path)
        if folder not in aside:
            aside[folder] = tempfile.mkdtemp(prefix=".container-", dir=folder)
            mounts[folder] = Mount(folder, aside[folder], writable=True)
        if os.path.lexists(path):
            os.rename(path, os.path.join(aside[folder], os.path.basename(path)))
    for path in read:  # beside what is written: there must be something to mount it on
        place = aside.get(os.path.dirname(path))
        if place is not None and path not in files.made:
            _make_place(os.path.join(place, os.path.basename(path)), directory=os.path.isdir(path))
    try:
        yield list(mounts.values())
    finally:
        for path in files.made:
            written = os.path.join(aside[os.path.dirname(path)], os.path.basename(path))
            if os.path.lexists(written):
                os.rename(written, path)
        for folder in aside.values():
            shutil.rmtree(folder, ignore_errors=True)


def _read(paths: Sequence[str], *, files_too: bool) -> list[str]:
    """What is mounted for files and folders that are read."""
    if files_too:
        return list(dict.fromkeys(paths))
    return list(dict.fromkeys(path if os.path.isdir(path) else os.path.dirname(path) for path in paths))


def _make_place(path: str, *, directory: bool) -> None:
    if directory:
        os.makedirs(path, exist_ok=True)
    elif not os.path.lexists(path):
        with open(path, "xb"):
            pass


_told: set[tuple[str, str]] = set()


def _tell_once(chosen: Engine, order: Order) -> None:
    """Say what the engine cannot do, once in this process."""
    for note in chosen.notes(order):
        if (chosen.title, note) not in _told:
            _told.add((chosen.title, note))
            sys.stderr.write(f"taskflow: {chosen.title} on node {os.uname().nodename} {note}\n")


# ---------------------------------------------------------------------- the end


def _new_name() -> str:
    """A name that no container on this machine has, and that tells whose it is."""
    run = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(os.environ.get("TASKFLOW_RUN_DIR", ""))).strip("-.")
    return f"taskflow-{run or 'run'}-{os.getpid()}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def _ended_for_certain(name: str, chosen: Engine) -> Iterator[None]:
    """When the block is left, the container is gone; the janitor sees to it if this process is, too."""
    commands = chosen.ends(name)
    if not commands:
        yield  # it is a process like others
        return
    _janitor.note(name, commands)
    try:
        yield
    except BaseException:
        for command in commands:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # then it is left to the janitor
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
        if in_executor():
            raise  # what the engine was just about to begin is looked for once more when the executor ends
        _janitor.note(name, [])
        raise
    _janitor.note(name, [])


class Janitor:
    """Our end of the pipe to the process that cleans up when we are gone (see `runners.janitor`)."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def note(self, name: str, commands: list[list[str]]) -> None:
        """A container is about to be run, and these commands end it; none: it has ended."""
        line = json.dumps([name, commands]).encode() + b"\n"
        if self._owner != os.getpid() or not self._tell(line):
            self._start()
            if not self._tell(line):
                raise ContainerError("the process that cleans up after containers ends as soon as it is started")

    def _tell(self, line: bytes) -> bool:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def _start(self) -> None:
        script = os.path.join(os.path.dirname(__file__), "janitor.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self._owner = os.getpid()


_janitor = Janitor()


# ---------------------------------------------------------------------- Python functions


def _call(
    container: Container, function: Callable[..., Any], signature: inspect.Signature, /, *args: Any, **kwargs: Any
) -> Any:
    """Call the function inside; what it returns or raises is what this does."""
    where = container.where
    with _folder("call-") as folder:
        _write_request(f"{folder}/{inside.REQUEST}", function, args, kwargs, where)
        ended = container.run(
            ["python3", "-u", f"{KIT}/taskflow/runners/inside.py", folder], where, cwd=os.getcwd(),
            env={"PYTHONDONTWRITEBYTECODE": "1"}, files=_files(container.parameters, signature, args, kwargs),
            mounts=[Mount(folder, writable=True), *_kit(), Mount(CACHE, _folder_of_bytecode(folder), writable=True)],
        )  # fmt: skip
        return _answer(folder, ended, f"{where}, in a container of {container.image}")


def _folder_of_bytecode(folder: str) -> str:
    """Where bytecode that an image's Python makes is kept for the next task, as long as the run lasts on this node."""
    scratch = os.environ["COMPSS_WORKING_DIR"] if in_executor() else folder
    bytecode = os.path.join(scratch, "bytecode")
    os.makedirs(bytecode, mode=0o700, exist_ok=True)
    return bytecode


def _kit() -> list[Mount]:
    """This package and cloudpickle."""
    import cloudpickle

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [Mount(f"{KIT}/taskflow", package), Mount(f"{KIT}/cloudpickle", os.path.dirname(cloudpickle.__file__))]


def _write_request(
    path: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], where: str
) -> None:
    import cloudpickle

    try:
        arguments = cloudpickle.dumps((args, kwargs), inside.PROTOCOL)
    except Exception as error:  # noqa: BLE001  classes of the user may do anything here
        raise SerializationError(f"{where}: an argument cannot be sent into the container: {error}") from None
    request = {
        "path": [*program_roots(sys.path), KIT], "bytecode": CACHE, "argv": sys.argv,
        "python": list(sys.version_info[:2]), "function": _definition(function), "arguments": arguments,
    }  # fmt: skip
    with open(path, "wb") as file:
        pickle.dump(request, file, inside.PROTOCOL)


def _definition(function: Callable[..., Any]) -> tuple[Any, ...]:
    """How the function is found inside: by its name, or all of it."""
    import cloudpickle

    module = getattr(function, "__module__", None)
    found: Any = sys.modules.get(module or "")
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    if module != "__main__" and getattr(found, "__taskflow_function__", found) is function:
        return ("ref", module, function.__qualname__)
    return ("value", cloudpickle.dumps(function, inside.PROTOCOL))


def _files(
    parameters: Mapping[str, Parameter], signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, list[str]]:
    """The paths of each parameter that has some."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    values: dict[str, Any] = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            values.update(values.pop(name))
    return {
        name: list(_flat(value)) for name, value in values.items()
        if name in parameters and parameters[name].kind in PATHS
    }  # fmt: skip


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield os.path.abspath(os.fsdecode(value))


def _answer(folder: str, ended: binary.Ended, where: str) -> Any:
    """What the function has returned. Raises what it has raised, or ContainerError."""
    try:
        with open(f"{folder}/{inside.ANSWER}", "rb") as file:
            answer = pickle.load(file)
    except FileNotFoundError:
        raise ContainerError(f"{where}: {_how_it_died(ended)}") from None
    kind = answer[0]
    if kind == inside.UNUSABLE:
        raise ContainerError(f"{where}: {answer[1]}")
    if kind == inside.RAISED:
        _, blob, text, trace = answer
        raise _revived(blob, text) from RemoteTraceback(f"\n{trace}")
    try:
        return pickle.loads(answer[1])
    except Exception as error:  # noqa: BLE001  classes of the image's modules may do anything here
        raise ContainerError(
            f"{where}: what the task returned cannot be read outside of the image: {type(error).__name__}: {error}"
        ) from None


def _revived(blob: bytes | None, text: str) -> BaseException:
    if blob is not None:
        try:
            error = pickle.loads(blob)
        except Exception:  # noqa: BLE001  its class is only in the image, say
            return PicklableStandIn(text)
        if isinstance(error, BaseException):
            return error
    return PicklableStandIn(text)


def _how_it_died(ended: binary.Ended) -> str:
    """Why there is no answer."""
    code = ended.exit_value
    said = f"; the end of what it said:\n{ended.tail}" if ended.tail else ""
    if code in (126, 127) and "python3" in ended.tail:
        return f"the image has no python3 that works, which a Python function needs{said}"
    signalled = code - 128 if code > 128 else -code
    if signalled > 0:
        with contextlib.suppress(ValueError):
            return f"its Python was ended by {signal.Signals(signalled).name}{said}"
    return f"its Python ended with exit value {code} before the function did{said}"
