"""The plan of the scheduler "predefined": a JSON file that says which node runs which task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from taskflow.cluster.names import near
from taskflow.model.errors import ClusterFileError

if TYPE_CHECKING:
    from collections.abc import Collection

#: Keys of an entry. One of them is misspelt in many plans; a task on several nodes has the last one.
_KEYS = ("taskId", "implementationId", "predecessors", "predecesors", "resource", "resources")
_SHOWN = 20  #: problems that are told at once


class Planned(NamedTuple):
    """What a plan says of a task.

    ``task``: its number, in the order of the calls, from 1. ``nodes``: the names of those that it runs on, one but for
    tasks on several. ``implementation``: the number of the implementation, the first is 0. ``predecessors``: the
    numbers of the tasks that it needs data of.
    """

    task: int
    nodes: tuple[str, ...]
    implementation: int
    predecessors: tuple[int, ...]


def read_plan(path: str, nodes: Collection[str]) -> dict[int, Planned]:
    """What the plan in the file says of each task, by its number; ``nodes``: the names of the nodes that there are.

    Raises ClusterFileError, with everything that is wrong, if the file cannot be read or makes no sense.
    """
    entries = _load(path)
    if not isinstance(entries, list):
        raise ClusterFileError(f"{path}: a plan is a list of objects, one for each task; this is {_kind(entries)}")
    problems: list[str] = []
    plan: dict[int, Planned] = {}
    for place, entry in enumerate(entries, start=1):
        where = f"{path}: entry {place}"
        found = [*_wrong(entry)]
        if not found:
            planned = _planned(entry)
            where += f" (task {planned.task})"
            found = [_unknown(name, nodes) for name in planned.nodes if name not in nodes]
            found += ["an earlier entry is of the same task"] if planned.task in plan else []
            found += [
                f"its predecessor {before} is called after it" for before in planned.predecessors
                if before >= planned.task
            ]  # fmt: skip
            plan[planned.task] = planned
        problems += [f"{where}: {text}" for text in found]
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ClusterFileError("\n".join(problems[:_SHOWN] + more))
    return plan


def _load(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise ClusterFileError(f"{path} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ClusterFileError(f"{path}:{error.lineno}: this is no JSON: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError):
        raise ClusterFileError(f"{path}: this is no JSON") from None


def _wrong(entry: Any) -> list[str]:
    """What keeps an entry from being read."""
    if not isinstance(entry, dict):
        return [f"it has to be an object, and is {_kind(entry)}"]
    found: list[str] = []
    for key in entry:
        if key not in _KEYS:
            meant = near(key, _KEYS)
            found.append(f"there is no key {key!r}" + (f"; did you mean {meant}?" if meant else ""))
    if not _is_number(entry.get("taskId"), 1):
        found.append(f"taskId has to be a whole number, 1 or more, not {entry.get('taskId')!r}")
    if not _is_number(entry.get("implementationId", 0), 0):
        found.append(f"implementationId has to be a whole number, 0 or more, not {entry['implementationId']!r}")
    for key in ("predecessors", "predecesors"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(_is_number(item, 1) for item in value):
            found.append(f"{key} has to be a list of taskIds, not {value!r}")
    if ("resource" in entry) == ("resources" in entry):
        found.append("it names its node as resource, or several nodes as resources")
    elif not isinstance(entry.get("resource", ""), str):
        found.append(f"resource has to be the name of a node, not {entry['resource']!r}")
    elif "resources" in entry and not _is_list_of_names(entry["resources"]):
        found.append(f"resources has to be a list of names of nodes, not {entry['resources']!r}")
    return found


def _planned(entry: dict[str, Any]) -> Planned:
    nodes = entry["resources"] if "resources" in entry else [entry["resource"]]
    before = [*entry.get("predecessors", ()), *entry.get("predecesors", ())]
    return Planned(entry["taskId"], tuple(nodes), entry.get("implementationId", 0), tuple(before))


def _unknown(name: str, nodes: Collection[str]) -> str:
    meant = near(name, nodes)
    return f"there is no node {name!r}; " + (f"did you mean {meant}?" if meant else f"there is {', '.join(nodes)}")


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
