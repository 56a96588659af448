"""A function of a file in a session of its own (``pycompss.runtime.launch``)."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from taskflow import finder, runtime
from taskflow.api.arguments import warn
from taskflow.api.functions import compss_set_wall_clock, compss_wait_on
from taskflow.model.errors import ArgumentError

if TYPE_CHECKING:
    from types import ModuleType

#: Settings of PyCOMPSs' runtime that may stand between the arguments of the function. Most have no meaning here.
SETTINGS = """
log_level debug o_c graph trace monitor project_xml resources_xml summary task_execution storage_impl storage_conf
streaming_backend streaming_master_name streaming_master_port task_count app_name uuid log_dir master_working_dir
extrae_cfg extrae_final_directory comm conn master_name master_port scheduler jvm_workers cpu_affinity gpu_affinity
fpga_affinity fpga_reprogram profile_input profile_output scheduler_config external_adaptation
propagate_virtual_environment mpi_worker worker_cache shutdown_in_node_failure io_executors env_script reuse_on_block
nested_enabled tracing_task_dependencies trace_label extrae_cfg_python wcl cache_profiler ear data_provenance
checkpoint_policy checkpoint_params checkpoint_folder verbose disable_external
""".split()  # noqa: SIM905  a table reads better than a column


def launch(app: str, func: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function of a file in a session; the function's result, with all tasks done and files in place.

    Raises ArgumentError if there is no such file or function, and whatever the function raises.
    """
    settings = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
    path = os.path.abspath(app)
    if not os.path.isfile(path):
        raise ArgumentError(f"there is no file {path}")
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    finder.install_last()
    name = os.path.splitext(os.path.basename(path))[0]
    for setting in sorted(settings):
        if setting not in ("log_level", "debug", "verbose", "app_name", "wcl"):
            warn(f"launch_pycompss_application: {setting} has no effect")
    with runtime.running(progress=False):
        if settings.get("wcl"):
            compss_set_wall_clock(settings["wcl"])
        module = _load(name, path)
        if func is None:
            return None
        function = getattr(module, func, None)
        if not callable(function):
            raise ArgumentError(f"{path} has no function {func!r}")
        return compss_wait_on(function(*args, **kwargs))


def _load(name: str, path: str) -> ModuleType:
    """The module of a file; loaded after the session has begun, so that its task functions find it."""
    module = importlib.import_module(name)
    if os.path.realpath(module.__file__ or "") != os.path.realpath(path):
        raise ArgumentError(f"{path} cannot be loaded: its name, {name}, is that of the module {module.__file__}")
    return module
