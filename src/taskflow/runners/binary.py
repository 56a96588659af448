"""Runs programs for tasks: as vectors of arguments, never through a shell; what they print is kept.

A program stays in the process group of its executor, so it ends with the executor, however that ends. If the task is
interrupted (time-out, cancellation), the program and what it has started are killed first. Its output goes to files in
the run folder, and from there to where the task prints; without an executor there is no run folder, and it is only
passed on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError, ProgramError, TaskflowError
from taskflow.node.executor import in_executor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PASS_ON_BYTES = 1 << 20  #: of each output of a program, as much is shown where tasks print; the file has all of it
TAIL_BYTES = 2000  #: of the error output, as much is told in an error

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_numbers = itertools.count(1)


# ---------------------------------------------------------------------- the command line


def places(template: str | Sequence[str]) -> list[str]:
    """The names in a template's ``{{name}}``."""
    return _PLACE.findall(template if isinstance(template, str) else " ".join(template))


def arguments(template: str | Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The vector of arguments that a template stands for.

    A text is split at blanks before ``{{name}}`` is replaced, so a value with blanks remains one argument. Environment
    variables and the wildcards of shells are expanded in what the template says, not in the values.
    """
    found: list[str] = []
    if isinstance(template, str):
        template = _PLACE.sub(r"{{\1}}", template).split()
    for token in template:
        pieces = _PLACE.split(token)  # text and names in turn
        if len(pieces) == 1:
            text = os.path.expandvars(token)
            found += sorted(glob.glob(text)) or [text] if glob.has_magic(text) else [text]
            continue
        found.append("".join(
            str(values[piece]) if place % 2 else os.path.expandvars(piece) for place, piece in enumerate(pieces)
        ))  # fmt: skip
    return found


def truth(value: Any, where: str) -> bool:
    """What ``fail_by_exit_value`` means: a bool, a number, ``"true"``, ``"false"`` or ``"$VARIABLE"``.

    Raises ArgumentError, which names ``where`` it was said.
    """
    if isinstance(value, (bool, int)):
        return bool(value)
    text = os.path.expandvars(str(value)).strip().lower()
    if text in ("true", "false"):
        return text == "true"
    if text.lstrip("-").isdigit():
        return bool(int(text))
    raise ArgumentError(f"{where}: fail_by_exit_value is True or False, not {value!r}")


# ---------------------------------------------------------------------- running


@dataclasses.dataclass(frozen=True)
class Ended:
    """A program that has ended. ``exit_value``: negative if a signal ended it; ``kept``: where its output is."""

    argv: list[str]
    exit_value: int
    tail: str
    kept: str

    def failure(self, where: str) -> ProgramError:
        """The error that says that this exit value is a failure."""
        code = self.exit_value
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit value {code}"
        said = f"; the end of what it said:\n{self.tail}" if self.tail else " and said nothing"
        kept = f"\nAll of its output is in {self.kept}" if self.kept and self.tail else ""
        return ProgramError(f"{where}: {shlex.join(self.argv)} {how}{said}{kept}")


def run(
    argv: Sequence[str],
    where: str,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> Ended:
    """Run a program to its end.

    ``stdin``, ``stdout`` and ``stderr`` are open files in place of nothing, and of the files in the run folder. The
    exit value is for the caller to judge. Raises ProgramError, which begins with ``where``, if the program cannot be
    started.
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
            code = _run(command, where, cwd, env, stdin, out, err)
        for path, stream in zip(paths, (sys.stdout, sys.stderr), strict=True):
            _pass_on(path, stream)
        tail = _tail(paths[1]) or _tail(paths[0])
        return Ended(command, code, tail, f"{folder}/{name}.*" if in_executor() else "")
    finally:
        for path in paths:
            if os.path.exists(path) and (not in_executor() or not os.path.getsize(path)):
                os.unlink(path)
        if not in_executor():
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    command: list[str], where: str, cwd: str | None, env: Mapping[str, str] | None, stdin: Any, out: Any, err: Any
) -> int:
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err
        )  # fmt: skip
    except OSError as error:
        if isinstance(error, TaskflowError):  # the time of the task was over
            raise
        raise ProgramError(f"{where}: {_why_not(command[0], cwd, error)}") from None
    try:
        return process.wait()
    except BaseException:
        _kill(process)
        raise


def _why_not(program: str, cwd: str | None, error: OSError) -> str:
    if cwd is not None and not os.path.isdir(cwd):
        return f"there is no folder {cwd!r} to run {program} in"
    if isinstance(error, FileNotFoundError):
        if os.sep in program:
            return f"there is no program {program!r} (seen from {cwd or os.getcwd()})"
        return f"there is no program {program!r} in the folders of PATH ({os.environ.get('PATH', '')})"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be run: it is a folder or not executable (chmod +x)"
    return f"{program!r} could not be started: {error.strerror or error}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


# ---------------------------------------------------------------------- what it prints


def _place_for_output(where: str) -> tuple[str, str]:
    """A folder for the output, and what its files are called."""
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', where).strip('-')}-{os.getpid()}-{next(_numbers)}"
    if not in_executor():
        return tempfile.mkdtemp(prefix="taskflow-"), name
    folder = os.path.join(os.environ["TASKFLOW_RUN_DIR"], "programs")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder, name


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


def _tail(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
