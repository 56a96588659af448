"""The ``@container`` decorator: a task that is run in a container."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow import runtime
from taskflow.api.arguments import by_name, checked, warn
from taskflow.api.binary import place_of
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError, NoSessionError
from taskflow.model.parameters import Kind
from taskflow.runners.compiled import Compiled
from taskflow.runners.container import Container
from taskflow.runners.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")

#: What the node of a task needs, as `model.requirements.PROGRAMS` names it.
_PROGRAMS = {
    "DOCKER": "docker", "PODMAN": "podman", "SINGULARITY": "apptainer or singularity",
    "APPTAINER": "apptainer or singularity", "UDOCKER": "udocker",
}  # fmt: skip
#: Arguments of old programs that have never had an effect.
_IGNORED = ("binary", "fail_by_exit_value", "working_dir")


def container(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Run a task in a container; put it above `binary` and its kin, or above ``@task`` for a Python function.

    ``engine``: "DOCKER", "PODMAN", "SINGULARITY", "APPTAINER" or "UDOCKER". ``image``: as the engine knows it; for
    Apptainer also the path of a file or of a folder. It must be there: none is fetched unless ``options`` or an address
    like ``docker://...`` say so. ``options``: more flags for the engine, a text that is split as a shell does, or a
    list. ``network`` (default False): the network of the node can be used inside. Environment variables are expanded in
    image and options, where the task runs.

    Inside, the files that the task is given are at the same paths, those to be read cannot be written to; so are the
    working folder and the folders of the program's modules. The user is the same. ``computing_units`` and
    ``memory_size`` of `constraint` are limits. An image needs Python 3 for a Python function, and nothing else. Its
    arguments and its result are copies, so of parameters only files can be written to.

    Raises ArgumentError for wrong arguments and for parameters that cannot be, TypeError if there is no task below. A
    call without a session raises NoSessionError, one for an engine that no node has RequirementsError; a task whose
    image is missing, or whose engine does not work, fails with ContainerError.
    """
    by_name("container", args)
    known = checked("container", arguments, ("options", "network", *_IGNORED), ("engine", "image"))
    for name in _IGNORED:
        if name in known:
            warn(f"@container: the argument {name!r} has no effect; it belongs to the decorator below")
    engine = _engine(known["engine"])
    image = known["image"]
    if not isinstance(image, (str, os.PathLike)) or not os.fspath(image).strip():
        raise ArgumentError(f"@container: image is the name or the path of an image, not {image!r}")
    if not isinstance(known.get("network", False), bool):
        raise ArgumentError(f"@container: network is True or False, not {known['network']!r}")
    options = _options(known.get("options"))

    def decorate(function: F) -> F:
        task = task_under(function, "container")
        where = place_of(task, "container")
        if task.options.container is not None:
            raise ArgumentError(f"{where}: the task has a container already; take one of them away")
        if task.options.body is None:
            _check_function(task, where)
        task.options.container = Container(
            engine, os.fspath(image), options, known.get("network", False), where, task.plan.all_parameters()
        )
        task.options.programs = frozenset({_PROGRAMS[engine]})  # what a program needs besides is in the image
        task.layers.append(_needs_session)
        task.changed()
        return function

    return decorate


def _engine(given: Any) -> str:
    name = str(given).strip().upper()
    if name not in ENGINES:
        raise ArgumentError(f"@container: engine is one of {', '.join(ENGINES)}, not {given!r}")
    return name


def _options(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            raise ArgumentError(f"@container: options={given!r} cannot be split into flags: {error}") from None
    if isinstance(given, (list, tuple)) and all(isinstance(flag, str) for flag in given):
        return tuple(given)
    raise ArgumentError(f"@container: options is a text or a list of texts, not {given!r}")


def _check_function(task: TaskFunction, where: str) -> None:
    """There is no runtime inside; and what a function writes to there stays there, unless it is a file."""
    if task.options.nested:
        raise ArgumentError(f"{where}: a function in a container cannot submit tasks; take nested=True away")
    if any(isinstance(wrapper, Compiled) for wrapper in task.options.wrappers):
        raise ArgumentError(f"{where}: a function in a container is not compiled by numba; take one of them away")
    for name, parameter in task.plan.all_parameters().items():
        if parameter.direction.writes and parameter.kind in (Kind.OBJECT, Kind.COLLECTION, Kind.DICTIONARY):
            what = "the object of a method" if name == task.plan.object_name else f"parameter {name!r}"
            remedy = "target_direction=IN" if name == task.plan.object_name else "returns"
            raise ArgumentError(
                f"{where}: {what} is {parameter!r}, but a function in a container works on copies of its arguments; "
                f"use {remedy}, or a file"
            )
        if parameter.kind is Kind.STREAM:
            raise ArgumentError(f"{where}: parameter {name!r} is a stream, which does not reach into a container")


def _needs_session(task: TaskFunction, submit: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The layer: there is no container without a session."""
    if runtime.session is None:
        raise NoSessionError(
            f"task {task.plan.name} is to be run in a container, so it cannot be called as a plain function; start the "
            f"program with runtask, or call taskflow.start() first"
        )
    return submit(*args, **kwargs)
