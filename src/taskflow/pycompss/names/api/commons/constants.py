"""Names of the arguments of decorators: each attribute of `LABELS` is the text of its own name."""

from types import SimpleNamespace

_LABELS = """
app_name app_software args binary block_count block_length cache_returns chunk_size computing_nodes computing_units
config_file defaults df_executor df_lib df_script engine executor fail_by_exit_value flags image is_distributed
is_reduce is_replicated kernel management memory_size memory_type method numba numba_declaration numba_flags
numba_signature on_failure options payload payload_type priority processes processes_per_node processor_architecture
processors produces programs request resource returns runcompss runner scale_by_cu script service_name source_class
storage_size stride target_direction time_out tracing_hook updates varargs_type worker_in_master working_dir
""".split()  # noqa: SIM905  a table reads better than a column

_LEGACY = {
    "app_name": "appName", "computing_nodes": "computingNodes", "df_executor": "dfExecutor", "df_lib": "dfLib",
    "df_script": "dfScript", "is_distributed": "isDistributed", "is_replicated": "isReplicated",
    "source_class": "sourceClass", "target_direction": "targetDirection", "time_out": "timeOut",
    "varargs_type": "varargsType", "worker_in_master": "workerInMaster", "working_dir": "workingDir",
}  # fmt: skip

LABELS = SimpleNamespace(**{name: name for name in _LABELS})
#: The spellings of old programs.
LEGACY_LABELS = SimpleNamespace(**_LEGACY)
INTERNAL_LABELS = SimpleNamespace(unassigned="[unassigned]", default_filter="[unassigned]")

__all__ = ["INTERNAL_LABELS", "LABELS", "LEGACY_LABELS"]
