"""The keywords of ``@task``: which are settings of the task, and which annotate a parameter of the function."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from taskflow.api.arguments import warn, warn_old_name, warn_unknown
from taskflow.api.options import TaskOptions
from taskflow.model.errors import ArgumentError
from taskflow.model.policies import OnFailure, parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Settings that say how the task is run.
SETTINGS = frozenset({
    "returns", "priority", "target_direction", "varargs_type", "on_failure", "defaults", "time_out",
    "numba", "numba_flags", "numba_signature", "numba_declaration", "nested",
    "is_distributed", "is_replicated",
    # Each executor keeps what it can use again, and a Python task has one node: these say what is done anyway.
    "cache_returns", "computing_nodes", "processes_per_node", "is_reduce",
    "chunk_size", "tracing_hook",
})  # fmt: skip

#: Spellings of old programs.
_OLD = {
    "targetDirection": "target_direction", "varargsType": "varargs_type", "onFailure": "on_failure",
    "timeOut": "time_out", "cacheReturns": "cache_returns", "isDistributed": "is_distributed",
    "isReplicated": "is_replicated", "computingNodes": "computing_nodes", "processesPerNode": "processes_per_node",
    "isReduce": "is_reduce", "chunkSize": "chunk_size",
}  # fmt: skip


def sort_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and annotations among the keywords of ``@task``.

    Old spellings are honoured with a warning. A keyword that is neither a setting nor a parameter is left out with a
    warning, unless the function takes any number of arguments. Raises ArgumentError for ``isModifier``.
    """
    settings: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    parameters = inspect.signature(function).parameters
    takes_any = any(item.kind in (item.VAR_KEYWORD, item.VAR_POSITIONAL) for item in parameters.values())
    for name, value in arguments.items():
        if name in SETTINGS and not (name == "nested" and name in parameters):
            settings[name] = value
        elif name in parameters:
            annotations[name] = value
        elif name in _OLD:
            warn_old_name("task", name, _OLD[name])
            settings[_OLD[name]] = value
        elif name == "isModifier":
            raise ArgumentError(
                f"task {function.__qualname__}: isModifier is not supported; write target_direction=INOUT or "
                f"target_direction=IN"
            )
        elif takes_any:
            annotations[name] = value
        else:
            warn_unknown("task", name, [*SETTINGS, *parameters], f"of {function.__qualname__}")
    for name in ("computing_nodes", "processes_per_node"):
        if _is_not_positive(settings.get(name, 1)):
            warn(f"@task of {function.__qualname__}: {name}={settings[name]!r} is taken for 1")
            settings[name] = 1
    return settings, annotations


def task_options(function: Callable[..., Any], settings: Mapping[str, Any]) -> TaskOptions:
    """What the settings of ``@task`` say about how its tasks are run. Raises ArgumentError or ValueError."""
    where = f"task {function.__qualname__}"
    options = TaskOptions(
        on_failure=parse_policy(settings.get("on_failure") or OnFailure.RETRY, where),
        defaults=dict(settings.get("defaults") or {}),
        time_out=_seconds(settings.get("time_out"), where),
        nested=bool(settings.get("nested")),
        spread="replicated"
        if settings.get("is_replicated")
        else "distributed"
        if settings.get("is_distributed")
        else "",
    )
    if settings.get("numba") or settings.get("numba") == {}:
        from taskflow.runners.compiled import parse_numba

        options.wrappers.append(parse_numba(settings, where))
    return options


def _seconds(value: Any, where: str) -> float:
    try:
        seconds = float(value or 0)
    except (TypeError, ValueError):
        raise ArgumentError(f"{where}: time_out is a number of seconds, not {value!r}") from None
    if not 0 <= seconds < float("inf"):
        raise ArgumentError(f"{where}: time_out must be 0 (no limit) or more seconds, not {value!r}")
    return seconds


def _is_not_positive(value: Any) -> bool:
    try:
        return int(value) <= 0
    except (TypeError, ValueError):
        return False  # the name of a variable
