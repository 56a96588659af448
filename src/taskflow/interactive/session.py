"""Start and end of the session of a notebook."""

from __future__ import annotations

import difflib
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from taskflow import runtime
from taskflow.api.functions import compss_set_wall_clock, compss_wait_on
from taskflow.api.futures import Future
from taskflow.interactive.state import graph_text
from taskflow.model.errors import ArgumentError, NotRunningError
from taskflow.observe.journal import FILE_NAME

if TYPE_CHECKING:
    from taskflow.model.functions import FunctionRecord
    from taskflow.runtime import Session

#: Options that mean something here, with their types.
OPTIONS: dict[str, tuple[type, ...]] = {
    "workers": (int, types.NoneType), "run_dir": (str, os.PathLike, types.NoneType),
    "progress": (bool, types.NoneType), "check": (bool, str), "graph": (bool,), "log_dir": (str,),
    "debug": (bool,), "verbose": (bool,), "summary": (bool,), "monitor": (int,), "wcl": (int, float),
    "o_c": (bool,), "app_name": (str,), "log_level": (str,), "task_count": (int,),
    "io_executors": (int,), "nesting": (bool,), "nested_enabled": (bool,), "nodes": (str, list, tuple),
    "resources_xml": (str,), "project_xml": (str,), "scheduler": (str,), "scheduler_config": (str,),
    "shutdown_in_node_failure": (bool,),
}  # fmt: skip
#: Those that are options of `taskflow.start`.
OURS = ("workers", "run_dir", "progress", "check", "io_executors", "nesting")
#: Options on machines, and what `taskflow.start` calls them.
OF_MACHINES = {
    "nodes": "nodes", "resources_xml": "resources", "project_xml": "project", "scheduler": "scheduler",
    "scheduler_config": "plan", "shutdown_in_node_failure": "shutdown_in_node_failure",
}  # fmt: skip
#: Options of PyCOMPSs' start without a meaning here, with their types.
WITHOUT_EFFECT: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ["trace", "external_adaptation", "propagate_virtual_environment", "mpi_worker",
         "reuse_on_block", "tracing_task_dependencies", "cache_profiler", "ear", "data_provenance",
         "disable_external"], (bool,)),
    **dict.fromkeys(
        ["task_execution", "storage_impl", "storage_conf", "streaming_backend",
         "streaming_master_name", "streaming_master_port", "uuid", "master_working_dir", "extrae_cfg",
         "extrae_final_directory", "comm", "conn", "master_name", "master_port", "jvm_workers",
         "cpu_affinity", "gpu_affinity", "fpga_affinity", "fpga_reprogram", "profile_input", "profile_output",
         "env_script", "trace_label", "extrae_cfg_python", "checkpoint_policy",
         "checkpoint_params", "checkpoint_folder"], (str,)),
    "worker_cache": (bool, str),
}  # fmt: skip


def start(**options: Any) -> None:
    """Start the session of a notebook; tasks that are called from now on run in parallel. Starting twice does nothing.

    ``workers``, ``run_dir``, ``progress``, ``check``, ``io_executors``, ``nesting``: as of `taskflow.start`; with
    ``nested_enabled`` for the last one, too. ``resources_xml``, ``project_xml``, ``nodes``: the machines, as the
    ``resources``, ``project`` and ``nodes`` of `taskflow.start`. ``log_dir``: make the run folder in that one. ``wcl``:
    seconds after which all tasks are cancelled. ``graph=True``: `stop` leaves the task graph in the run folder;
    ``summary=True``: it prints a summary. The other options of PyCOMPSs' start are accepted, with a word on those that
    have no effect.

    Raises ArgumentError, and starts nothing, if there is no such option or a value is of the wrong type.
    """
    _check(options)
    if runtime.session is not None and not (runtime.session.launched and not runtime.session.opened):
        _say(f"a session is running already: {runtime.session!r}; interactive.stop() ends it")
        return
    idle = [name for name in options if name in WITHOUT_EFFECT and options[name] not in ("", False, None)]
    machines = any(options.get(name) for name in ("resources_xml", "project_xml", "nodes"))
    if not machines:
        idle += [name for name in OF_MACHINES if options.get(name)]
    if idle:
        _say(f"without effect in this version: {', '.join(idle)}")
    given = {name: options[name] for name in OURS if name in options}
    if machines:
        given |= {ours: options[name] for name, ours in OF_MACHINES.items() if options.get(name)}
    if options.get("nested_enabled"):
        given["nesting"] = True
    if options.get("log_dir") and not given.get("run_dir"):
        import time

        name = f"{options.get('app_name', 'InteractiveMode')}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        given["run_dir"] = os.path.join(options["log_dir"], name)
    session = runtime.start(**given)
    if options.get("wcl", 0) > 0:
        compss_set_wall_clock(options["wcl"])
    session.notebook = Notebook({name for name in ("graph", "summary") if options.get(name)})
    _say(f"session with {session.where}; run folder {session.run_dir}")


def stop(sync: bool = False, _hard_stop: bool = False) -> None:
    """End the session: wait for all tasks and bring files in place.

    With ``sync`` each variable of the caller's module (of the notebook) that has a future, or an object that tasks have
    written, alone or in lists, tuples and dictionaries, gets the value. Without it the futures remain: `result` still
    gives their small values, and a message names the variables.

    Raises the first failure that the program has not been told of. A variable whose task failed keeps its future.
    """
    session = runtime.session
    if session is None:
        _say("no session is running")
        return
    scope = sys._getframe(1).f_globals  # noqa: SLF001
    wanted = session.notebook.wanted if session.notebook is not None else set()
    failure: Exception | None = None
    pending = _pending_names(session, scope)
    if _hard_stop:
        runtime.stop(cancel=True)
        return
    if sync:
        failure = _synchronise(scope, pending)
    elif pending:
        _say(
            f"these variables are not synchronised: {', '.join(sorted(pending))}; "
            f"interactive.stop(sync=True) leaves values in them"
        )
    if "graph" in wanted:
        path = os.path.join(session.run_dir, "complete_graph.dot")
        with open(path, "w", encoding="utf-8") as file:
            file.write(graph_text(session))
        _say(f"task graph: {path}")
    try:
        runtime.stop()
    finally:
        if "summary" in wanted:
            from taskflow.observe.summary import format_summary, summarise

            sys.stdout.write(format_summary(summarise(os.path.join(session.run_dir, FILE_NAME))) + "\n")
    if failure is not None:
        raise failure


def _check(options: dict[str, Any]) -> None:
    known = {**OPTIONS, **WITHOUT_EFFECT}
    wrong = []
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            wrong.append(f"there is no option {name!r}{f'; did you mean {near[0]}?' if near else ''}")
        elif not isinstance(value, known[name]) or (type(value) is bool and bool not in known[name]):
            kinds = " or ".join(kind.__name__ for kind in known[name] if kind is not types.NoneType)
            wrong.append(f"{name} is of type {kinds}, not {value!r}")
    if wrong:
        raise ArgumentError("the session was not started: " + "; ".join(wrong))


# ---------------------------------------------------------------------- variables


def _pending_names(session: Session, scope: dict[str, Any]) -> dict[str, Any]:
    """The variables whose value is not there, or is not what tasks have made of it."""
    return {
        name: value
        for name, value in scope.items()
        if not name.startswith("_") and name not in ("In", "Out") and _is_pending(session, value, set())
    }


def _is_pending(session: Session, value: Any, seen: set[int]) -> bool:
    if isinstance(value, Future):
        return True
    registry = session.registry
    if registry and (registry.find(value) is not None or registry.has_cells(value)):
        return True
    if type(value) not in (list, tuple, dict) or id(value) in seen:
        return False
    seen.add(id(value))
    items = list(value.values()) if isinstance(value, dict) else value
    return any(_is_pending(session, item, seen) for item in items)


def _synchronise(scope: dict[str, Any], pending: dict[str, Any]) -> Exception | None:
    """Give the variables their values; the first failure. Variables for one object have one object afterwards."""
    failure: Exception | None = None
    done: dict[int, Any] = {}
    for name, value in pending.items():
        try:
            if id(value) not in done:
                done[id(value)] = compss_wait_on(value)
            scope[name] = done[id(value)]
        except NotRunningError:
            raise
        except Exception as error:  # noqa: BLE001  raised when the session has ended
            _say(f"the variable {name!r} has no value: {type(error).__name__}: {error}")
            failure = failure or error
    return failure


# ---------------------------------------------------------------------- functions that are defined anew


class Notebook:
    """What belongs to one session: what is ``wanted`` at its end, and where its task functions were defined.

    It says when one was defined anew, so that it is no surprise which code runs.
    """

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self._places: dict[tuple[str, str], tuple[str, int]] = {}

    def register(self, record: FunctionRecord) -> None:
        """Called with each task function that becomes known."""
        name = (record.module, record.name)
        place = (record.file, record.line)
        before = self._places.get(name)
        if before is not None and before != place and record.module == "__main__":
            _say(f"task {record.name} was defined anew, at {place[0]}:{place[1]}: calls run the new code from now on")
        self._places[name] = place


def _say(text: str) -> None:
    sys.stdout.write(f"taskflow: {text}\n")
    sys.stdout.flush()
