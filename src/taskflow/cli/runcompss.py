"""Options of PyCOMPSs' launcher that have no meaning here: they are accepted, and a line says what is not done.

An option that asks for what happens anyway (``--tracing=false``, ``--lang=python``) is accepted without a word.
"""

from __future__ import annotations

_JAVA = "no Java runs here"
_TRACE = "this version makes no traces"
_MONITOR = "this version has no monitor; --progress shows a status line"
_NODES = "this version makes no machines; those that there are stand in --resources or --nodes"
_PLACES = "nodes are reached over SSH, and connect back by themselves; see --listen and --tunnel"
_SCHEDULER = "the scheduler learns run times by itself"
_STORAGE = "this version has no storage back-ends"
_STREAMS = "this version has no streams"
_CHECKPOINT = "this version makes no checkpoints: a run that is cut off begins anew"
_PROVENANCE = "this version writes no provenance; the journal in the run folder tells what was run"
_AFFINITY = "the operating system places executors on cores"
_PROFILE = "this version measures no memory or cache profile; --summary shows run times"
_ITSELF = "the runtime sees to it by itself"

#: Option -> (its value's name; None: true or false; with "=": only after the equals sign; why it has no effect).
MEANINGLESS: dict[str, tuple[str | None, str]] = {
    "--tracing": ("=VALUE", _TRACE),
    "--generate-trace": (None, _TRACE),
    "--delete-trace-packages": (None, _TRACE),
    "--trace-label": ("LABEL", _TRACE),
    "--custom-threads": (None, _TRACE),
    "--tracing-task-dependencies": (None, _TRACE),
    "--extrae-config-file": ("FILE", _TRACE),
    "--extrae-config-file-python": ("FILE", _TRACE),
    "--monitoring": ("=MS", _MONITOR),
    "--external-debugger": ("=PORT", _MONITOR),
    "--jmx-port": ("PORT", _JAVA),
    "--jvm-master-opts": ("OPTIONS", _JAVA),
    "--jvm-workers-opts": ("OPTIONS", _JAVA),
    "--classpath": ("PATH", _JAVA),
    "--lang": ("LANGUAGE", "runtask runs Python programs"),
    "--enable-external-adaptation": (None, _NODES),
    "--conn": ("CLASS", _NODES),
    "--comm": ("CLASS", _PLACES),
    "--master-name": ("NAME", _PLACES),
    "--master-port": ("PORT", _PLACES),
    "--socket": ("=PATH", _PLACES),
    "--uuid": ("ID", "every run has an id of its own"),
    "--input-profile": ("FILE", _SCHEDULER),
    "--output-profile": ("FILE", _SCHEDULER),
    "--task-count": ("N", "the number of task functions has no limit"),
    "--task-execution": ("PLACE", _STORAGE),
    "--storage-impl": ("NAME", _STORAGE),
    "--storage-conf": ("FILE", _STORAGE),
    "--streaming": ("KIND", _STREAMS),
    "--streaming-master-name": ("NAME", _STREAMS),
    "--streaming-master-port": ("PORT", _STREAMS),
    "--checkpoint": ("CLASS", _CHECKPOINT),
    "--checkpoint-params": ("PARAMETERS", _CHECKPOINT),
    "--checkpoint-folder": ("DIR", _CHECKPOINT),
    "--provenance": ("=FILE", _PROVENANCE),
    "--provenance-folder": ("DIR", _PROVENANCE),
    "--zip-provenance": (None, _PROVENANCE),
    "--cpu-affinity": ("MAP", _AFFINITY),
    "--gpu-affinity": ("MAP", _AFFINITY),
    "--fpga-affinity": ("MAP", _AFFINITY),
    "--fpga-reprogram": ("COMMAND", "this version runs nothing on FPGAs"),
    "--ear": ("VALUE", "this version measures no energy"),
    "--master-working-dir": ("DIR", "temporary files are in the run folder: see --run-dir"),
    "--gen-coredump": (None, "set `ulimit -c unlimited` in the shell for core files"),
    "--pyobject-serialize": (None, _ITSELF),
    "--python-propagate-virtual-environment": (None, "executors always use the interpreter of the program"),
    "--python-mpi-worker": (None, "executors are no MPI ranks"),
    "--python-memory-profile": (None, _PROFILE),
    "--python-cache-profiler": (None, _PROFILE),
    "--python-worker-cache": ("VALUE", _ITSELF),
    "--persistent-worker-c": (None, "runtask runs Python programs"),
}

#: Values that ask for what is done anyway.
_AS_IS = {
    "--lang": {"python"},
    "--task-execution": {"compss"},
    "--streaming": {"none"},
    "--checkpoint": {"nocheckpoint", "es.bsc.compss.checkpoint.policies.nocheckpoint"},
    "--cpu-affinity": {"automatic", "disabled"},
    "--gpu-affinity": {"automatic", "disabled"},
    "--fpga-affinity": {"automatic", "disabled"},
    "--python-propagate-virtual-environment": {"true"},
}


def note(name: str, value: str) -> str | None:
    """What to say of a meaningless option; None if it asks for what is done anyway."""
    if value.lower() in _AS_IS.get(name, ("false", "0", "none", "off")):
        return None
    return f"{name} has no effect: {MEANINGLESS[name][1]}"
