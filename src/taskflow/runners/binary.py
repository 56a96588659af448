"""Runs programs for tasks: as vectors of arguments, never through a shell; what they print is kept.

A program has a session of its own. If the task is interrupted (time-out, cancellation), the program and all it has
started are ended first; if the executor dies, the zygote ends them (see `node.processes`). Its output goes to files in
the run folder, and from there to where the task prints; without an executor there is no run folder, and it is only
passed on.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import errno
import functools
import inspect
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, ClassVar

from taskflow.model.errors import ProgramError, TimeOutError
from taskflow.model.parameters import Direction, Parameter, StdStream
from taskflow.node import processes
from taskflow.node.environment import path_here
from taskflow.node.executor import in_executor
from taskflow.runners.command import PATHS, arguments, default_arguments, text, texts_of, truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskflow.runners.container import Container

PASS_ON_BYTES = 1 << 20  #: of each output of a program, as much is shown where tasks print; the file has all of it
COMMAND_CHARACTERS = 1000  #: of a command, as much is told in an error
TAIL_BYTES = 2000  #: of the error output, as much is told in an error

_numbers = itertools.count(1)


# ---------------------------------------------------------------------- programs as bodies of tasks


@dataclasses.dataclass(frozen=True)
class Program:
    """A program in place of the body of a task: a `Body` (see `api.options`). What it returns is the exit value.

    ``where``: how errors begin, ``"@binary of task f (app.py:12)"``. ``args``: a template; None: all parameters.
    ``working_dir``: a template for the folder it is run in; "": one of its own, which is removed afterwards.
    ``parameters``: what the task declares of them; ``object_name``: the one that is the object of a method, or "".

    Runners of programs of other kinds derive from it and say what is different.
    """

    where: str
    binary: str
    args: str | Sequence[str] | None = None
    working_dir: str = ""
    fail_by_exit_value: Any = True
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    object_name: str = ""
    container: Container | None = None

    decorator: ClassVar[str] = "binary"
    in_plain_calls: ClassVar[bool] = True

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called with the arguments of the task in place of the function."""
        run = functools.partial(_run_body, self, inspect.signature(function))
        setattr(run, _BODY, self)
        return functools.update_wrapper(run, function)

    def inside(self, container: Any) -> Program:
        """The same program in a container."""
        return dataclasses.replace(self, container=container)

    def run(self, texts: dict[str, list[str]]) -> int:
        """Run it with the arguments of one call, as `command.texts_of` gives them. Raises ProgramError."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self.folder(texts))
            return self.execute(self.argv(texts, folder), texts, folder, self.streams(texts, stack), self.variables())

    def streams(self, texts: Mapping[str, Sequence[str]], stack: contextlib.ExitStack) -> dict[str, IO[bytes]]:
        """The open files that are its standard streams; the stack closes them."""
        return open_streams(self.parameters, texts, stack, self.where)

    def variables(self) -> dict[str, str]:
        """Variables that it sees besides those of the task."""
        return {}

    @contextlib.contextmanager
    def folder(self, texts: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """The folder that it is run in; entered within itself, the same."""
        there = _open_folder.get()
        if there is not None and there[0] is self:
            yield there[1]
            return
        with working_folder(self.working_dir, texts, self.where) as folder:
            token = _open_folder.set((self, folder))
            try:
                yield folder
            finally:
                _open_folder.reset(token)

    def argv(self, texts: dict[str, list[str]], folder: str) -> list[str]:
        """The program and its arguments."""
        return [self.program(self.binary, folder, texts), *self.arguments(texts, folder)]

    def program(self, template: str, folder: str, texts: Mapping[str, Sequence[str]]) -> str:
        """The path of a program; within a container, where its name is looked up there, only that of one of ours."""
        name = text(template, texts)
        return name if self.container is not None and os.sep not in name else located(name, folder)

    def tool(self, name: str, folder: str, remedy: str) -> str:
        """The path of a program that runs others. Raises ProgramError, with ``remedy``, if this node has none."""
        path = self.program(name, folder, {})
        if self.container is None and not shutil.which(path):
            raise ProgramError(
                f"{self.where}: there is no {name} on {os.uname().nodename} (looked for in "
                f"{'the folders of PATH, ' + os.environ.get('PATH', '') if os.sep not in path else path}); {remedy}"
            )
        return path

    def file(self, name: str, folder: str, what: str) -> str:
        """The path of a file that is given to a program. Raises ProgramError if it is not there."""
        name = os.path.expandvars(name)
        path = found_file(name, folder)
        if not path:
            raise ProgramError(
                f"{self.where}: {what}: there is no {name} on {os.uname().nodename} (seen from {folder}, "
                f"{program_folder()} and the folders of modules)"
            )
        return path

    def arguments(self, texts: dict[str, list[str]], folder: str) -> list[str]:
        """The arguments alone: from the template, or one for each parameter."""
        if self.args is None:
            return default_arguments(self.parameters, texts)
        if self.working_dir:
            return arguments(self.args, texts, folder)
        return arguments(self.args, texts, program_folder(), absolute=True)

    def execute(
        self, argv: Sequence[str], texts: dict[str, list[str]], folder: str, streams: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """Run a command, in the container if there is one; the exit value. Raises ProgramError if it counts as failure.

        ``env``: variables that it sees besides those of the task.
        """
        if self.container is not None:
            return self.judged(self.execute_inside(self.container, argv, texts, folder, streams, env))
        return self.judged(run(argv, self.where, cwd=folder, env={**os.environ, **(env or {})}, **streams))

    def execute_inside(
        self, container: Container, argv: Sequence[str], texts: Mapping[str, Sequence[str]], folder: str,
        streams: Mapping[str, IO[bytes]], env: Mapping[str, str] | None = None,
    ) -> Ended:  # fmt: skip
        """Run a command in a container, with the files among the arguments."""
        files = {name: texts[name] for name in texts if self._is_path(name)}
        return container.run(argv, self.where, cwd=folder, env=env, files=files, streams=streams)

    def judged(self, ended: Ended) -> int:
        """The exit value. Raises ProgramError if it counts as failure."""
        if ended.exit_value and truth(self.fail_by_exit_value, self.where):
            raise ended.failure(self.where)
        return ended.exit_value

    def _is_path(self, name: str) -> bool:
        return name in self.parameters and self.parameters[name].kind in PATHS


def _run_body(program: Program, signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> int:
    return program.run(texts_of(signature, program.parameters, args, kwargs, without=program.object_name))


_BODY = "__taskflow_program__"  #: attribute of what is called in place of the function: the `Program`
_open_folder: contextvars.ContextVar[tuple[Program, str] | None] = contextvars.ContextVar("folder", default=None)


def folder_of_body(
    function: Callable[..., Any], texts: Mapping[str, Sequence[str]]
) -> contextlib.AbstractContextManager[str | None]:
    """The folder that the program is run in that is in place of the function; None if it is the function itself."""
    program = getattr(function, _BODY, None)
    return contextlib.nullcontext() if program is None else program.folder(texts)


@contextlib.contextmanager
def working_folder(template: str, texts: Mapping[str, Sequence[str]], where: str) -> Iterator[str]:
    """The folder that a program is run in: what the template says, made if need be; else one that is removed then."""
    if template:
        folder = path_here(os.path.join(program_folder(), os.path.expanduser(text(template, texts))))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            why = "is no folder" if os.path.lexists(folder) else f"cannot be used: {error.strerror}"
            raise ProgramError(f"{where}: working_dir {folder} {why}") from None
        yield os.path.normpath(folder)
        return
    scratch = os.environ["COMPSS_WORKING_DIR"] if in_executor() else None
    if scratch:
        os.makedirs(scratch, mode=0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="program-", dir=scratch)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_streams(
    parameters: Mapping[str, Parameter], texts: Mapping[str, Sequence[str]], stack: contextlib.ExitStack, where: str
) -> dict[str, IO[bytes]]:
    """The files that parameters connect with standard streams, open, as keywords of `run`; the stack closes them.

    What a program writes is added to what the file has, but for OUT: that is a new file, also in plain calls, where
    the old one lies at the same path.
    """
    streams: dict[str, IO[bytes]] = {}
    for name, parameter in parameters.items():
        if parameter.stream is StdStream.UNSPECIFIED or not texts.get(name):
            continue
        path = texts[name][0]
        mode = "rb" if parameter.stream is StdStream.STDIN else "ab"
        opener = _opened_anew if parameter.direction is Direction.OUT else None
        try:
            file = open(path, mode, opener=opener)  # noqa: SIM115  the stack closes it
        except OSError as error:
            raise ProgramError(f"{where}: parameter {name!r}: {path} cannot be opened: {error.strerror}") from None
        streams[parameter.stream.name.lower()] = stack.enter_context(file)
    return streams


def _opened_anew(path: str, flags: int) -> int:
    # Still to be added to: both outputs may be the same file.
    return os.open(path, flags | os.O_TRUNC, 0o666)


def in_task() -> bool:
    """Whether this is the process of an executor."""
    return in_executor()


def program_folder() -> str:
    """What relative paths of a task function are relative to: the folder that the main program was started in."""
    return os.environ["COMPSS_APP_DIR"] if in_executor() else os.getcwd()


def located(name: str, folder: str) -> str:
    """The path of a program.

    One with a slash is looked for in the folder that it is to be run in, in that of the main program, and where the
    program's modules are; a mere name in the folders of PATH first. What is not there is returned as it is.
    """
    if os.path.isabs(name):
        return path_here(name)
    if os.sep not in name and shutil.which(name):
        return name
    return found_file(name, folder) or name


def found_file(name: str, folder: str) -> str:
    """The path of a file that belongs to the program; "" if it is nowhere."""
    for place in (folder, program_folder(), *sys.path):
        path = path_here(os.path.normpath(os.path.join(place, name)))
        if os.path.isfile(path):
            return path
    return ""


# ---------------------------------------------------------------------- running


@dataclasses.dataclass(frozen=True)
class Ended:
    """A program that has ended.

    ``exit_value``: negative if a signal ended it; ``kept``: where its output is; ``image``: what its container, if it
    was run in one, was made of.
    """

    argv: list[str]
    exit_value: int
    tail: str
    kept: str
    image: str = ""

    def failure(self, where: str) -> ProgramError:
        """The error that says that this exit value is a failure."""
        code = self.exit_value
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit value {code}"
        return ProgramError(f"{where}: {self._told(how)}")

    def interrupted(self, where: str, error: TimeOutError) -> TimeOutError:
        """The error that says that its time was over, with what it had said by then."""
        return TimeOutError(f"{where}: {error}; {self._told('was ended')}")

    def _told(self, how: str) -> str:
        """What was run, how it ended, and what it said."""
        said = f"; the end of what it said:\n{self.tail}" if self.tail else " and said nothing"
        kept = f"\nAll of its output is in {self.kept}" if self.kept and self.tail else ""
        inside = f" in a container of {self.image}" if self.image else ""
        return f"{self._command()}{inside} {how}{said}{kept}"

    def _command(self) -> str:
        """The command, as much of it as people read."""
        command = shlex.join(self.argv)
        if len(command) <= COMMAND_CHARACTERS:
            return command
        return f"{command[:COMMAND_CHARACTERS]}... (with {len(self.argv) - 1} arguments)"


def run(
    argv: Sequence[str],
    where: str,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    sift: Callable[[str], None] | None = None,
    told: Sequence[str] = (),
    image: str = "",
) -> Ended:
    """Run a program to its end.

    ``env``: all of its environment (None: that of the task). ``stdin``, ``stdout`` and ``stderr`` are open files in
    place of nothing, and of the files in the run folder. ``sift`` is given the path of the file with the error output
    before that is shown, to take out what is not for people. ``told`` is the command that errors tell, if it is another
    one, and ``image`` what its container is made of. The exit value is for the caller to judge. Raises ProgramError,
    which begins with ``where``, if the program cannot be started, and TimeOutError, which does so, too, if the time of
    the task is over.
    """
    command = [os.path.expandvars(argv[0]), *argv[1:]]
    folder, name = _place_for_output(where)
    paths = [f"{folder}/{name}.{suffix}" for suffix in ("out", "err")]
    try:
        with contextlib.ExitStack() as stack:
            out, err = (
                given or stack.enter_context(open(path, "wb"))
                for given, path in zip((stdout, stderr), paths, strict=True)
            )
            late: TimeOutError | None = None
            code = 0
            try:
                code = _run(command, where, cwd, dict(os.environ if env is None else env), stdin, out, err)
            except TimeOutError as error:
                late = error
            if sift is not None:
                sift(err.name)
            tail = _tail(err) or _tail(out)
            if late is not None:  # how far it came is among the one or the other, and shells say that they are ended
                tail = "\n".join(filter(None, (_tail(out), _tail(err))))
        for path, stream in zip(paths, (sys.stdout, sys.stderr), strict=True):
            _pass_on(path, stream)
        ended = Ended(list(told) or command, code, tail, _kept(folder, name), image)
        if late is not None:
            raise ended.interrupted(where, late)
        return ended
    finally:
        for path in paths:
            if os.path.exists(path) and (not in_executor() or not os.path.getsize(path)):
                os.unlink(path)
        if not in_executor():
            shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], where: str, cwd: str | None, env: dict[str, str], stdin: Any, out: Any, err: Any) -> int:
    mark = processes.new_mark()
    processes.running.add(mark)
    process: subprocess.Popen[bytes] | None = None
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=processes.marked(env, mark), stdin=stdin or subprocess.DEVNULL, stdout=out,
            stderr=err, start_new_session=True,
        )  # fmt: skip
        return process.wait()
    except (OSError, ValueError) as error:
        raise ProgramError(f"{where}: {_why_not(command[0], cwd, error)}") from None
    except BaseException:  # the time of the task is over, or it is not wanted any more
        processes.end(mark, process.pid if process else 0)
        if process is not None:
            process.wait()
        raise
    finally:
        processes.running.discard(mark)


def _why_not(program: str, cwd: str | None, error: OSError | ValueError) -> str:
    """Why a program could not be started."""
    if isinstance(error, ValueError):
        return f"{program!r} could not be started: its arguments or variables hold what cannot be there: {error}"
    if cwd is not None and not os.path.isdir(cwd):
        return f"there is no folder {cwd!r} to run {program} in"
    if isinstance(error, FileNotFoundError):
        if os.path.isfile(program):
            return f"{program!r} cannot be run: the interpreter that its first line names does not exist here"
        if os.sep in program:
            return f"there is no program {program!r} (seen from {cwd or os.getcwd()})"
        return f"there is no program {program!r} in the folders of PATH ({os.environ.get('PATH', '')})"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be run: it is a folder or not executable (chmod +x)"
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is no program of this machine; if it is a script, its first line must be like #!/bin/sh"
    return f"{program!r} could not be started: {error.strerror or error}"


# ---------------------------------------------------------------------- what it prints


def _place_for_output(where: str) -> tuple[str, str]:
    """A folder for the output, and what its files are called."""
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", where.partition(" (")[0]).strip("-")
    name = f"{label}-{os.getpid()}-{next(_numbers)}"
    if not in_executor():
        return tempfile.mkdtemp(prefix="taskflow-"), name
    folder = os.path.join(os.environ["TASKFLOW_RUN_DIR"], processes.FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder, name


def _kept(folder: str, name: str) -> str:
    """Where people find the output."""
    if not in_executor():
        return ""
    node = os.environ.get("TASKFLOW_NODE")
    home = f" on node {node}, and when the run has ended in programs/{node}-{name}.* of the run folder" if node else ""
    return f"{folder}/{name}.*{home}"


def _pass_on(path: str, stream: Any) -> None:
    """Write what a program has printed to where the task prints."""
    if stream is None or not os.path.exists(path) or not os.path.getsize(path):
        return
    with open(path, "rb") as file:
        stream.write(file.read(PASS_ON_BYTES).decode(errors="replace"))
        rest = os.path.getsize(path) - PASS_ON_BYTES
        if rest > 0:
            place = f" in {path}" if in_executor() else ""
            stream.write(f"\n[taskflow: {rest} more bytes of output{place}]\n")


def _tail(output: IO[bytes]) -> str:
    # By another descriptor: what a task gives us may not be open for reading, or have a name.
    try:
        with open(f"/proc/self/fd/{output.fileno()}", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace").strip()
    except OSError:  # a pipe, a socket: it has been read by somebody else
        return ""
