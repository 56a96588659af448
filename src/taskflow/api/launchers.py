"""Decorators of programs that are started in a way of their own: ``@ompss``, ``@julia`` and ``@decaf``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.binary import described, set_program, text_of
from taskflow.api.in_session import InSession
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.requirements import PROGRAMS
from taskflow.runners.launchers import NO_LIBRARY, Decaf, Julia, OmpSs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskflow.api.task import TaskFunction
    from taskflow.runners.binary import Program

F = TypeVar("F", bound="Callable[..., Any]")

COMMON = ("computing_nodes", "working_dir", "fail_by_exit_value")


def ompss(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a program of OmpSs; put it above ``@task``. As `binary`, with the threads of the computing units.

    ``binary``, ``working_dir``, ``fail_by_exit_value`` as of `binary`; ``computing_nodes`` (default 1) as of
    `multinode`. A call without a session raises NoSessionError.
    """
    by_name("ompss", args)
    known = checked("ompss", arguments, ("args", *COMMON), ("binary",))
    return _decorator("ompss", known, lambda fields: OmpSs(binary=text_of("binary", known, "ompss"), **fields))


def julia(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a script of Julia; put it above ``@task``.

    ``script``: its path; a relative one is looked for in the folder it runs in, then where the program is. ``executor``
    (default "julia"): what runs it. ``args``, ``working_dir`` and ``fail_by_exit_value`` as of `binary`;
    ``computing_nodes`` (default 1) as of `multinode`. The task runs on a node that has the executor. A call without a
    session raises NoSessionError.
    """
    by_name("julia", args)
    known = checked("julia", arguments, ("executor", "args", *COMMON), ("script",))
    executor = text_of("executor", {"executor": known.get("executor") or "julia"}, "julia")
    script = text_of("script", known, "julia")
    return _decorator("julia", known, lambda fields: Julia(binary=executor, script=script, **fields), executor)


def decaf(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a dataflow of Decaf; put it above ``@task``.

    ``df_script``: a script in Python that gets the arguments of the task and writes ``df_executor`` (default
    "executor.sh") into the folder it runs in, which is run then. Both find in their environment DECAF_RUNNER, the path
    of ``runner`` (default "mpirun"), and DECAF_LIBRARY, that of ``df_lib``. ``working_dir`` and ``fail_by_exit_value``
    as of `binary`; ``computing_nodes`` (default 1) as of `multinode`. A call without a session raises NoSessionError.
    """
    by_name("decaf", args)
    known = checked(
        "decaf", arguments, ("df_executor", "df_lib", "runner", "args", *COMMON), ("df_script",)
    )  # fmt: skip
    runner = text_of("runner", {"runner": known.get("runner") or "mpirun"}, "decaf")

    def made(fields: dict[str, Any]) -> Decaf:
        return Decaf(
            binary=text_of("df_script", known, "decaf"), executor=str(known.get("df_executor") or "executor.sh"),
            runner=runner, library=str(known.get("df_lib") or NO_LIBRARY), **fields,
        )  # fmt: skip

    return _decorator("decaf", known, made, runner)


def _decorator(
    name: str, known: Mapping[str, Any], made: Callable[[dict[str, Any]], Program], tool: str = ""
) -> Callable[[F], F]:
    made({"where": name})  # what is wrong with it is told now

    def decorate(function: F) -> F:
        task = task_under(function, name)
        task.options.programs = frozenset({tool}) & frozenset(PROGRAMS)
        launch(task, made(described(task, name, known)), known.get("computing_nodes", 1))
        return function

    return decorate


def launch(task: TaskFunction, program: Program, computing_nodes: Any) -> None:
    """The program is run in place of the task's body, on so many nodes, in a session. Raises ArgumentError."""
    if not isinstance(computing_nodes, (int, str)) or isinstance(computing_nodes, bool):
        raise ArgumentError(f"{program.where}: computing_nodes is a whole number, or says one, not {computing_nodes!r}")
    task.options.hosts = computing_nodes
    task.layers.append(InSession(program.where))
    set_program(task, program)
