"""taskflow: write a sequential Python program, decorate functions with ``@task``, run it in parallel.

>>> from taskflow import task, compss_wait_on
>>> @task(returns=1)
... def double(x):
...     return 2 * x
>>> compss_wait_on([double(i) for i in range(3)])   # parallel under ``runtask``, sequential under ``python``
[0, 2, 4]
"""

from typing import TYPE_CHECKING, Any

from taskflow._version import __version__

if TYPE_CHECKING:
    from taskflow import check as check
    from taskflow.api.functions import (
        compss_barrier,
        compss_delete_file,
        compss_delete_object,
        compss_file_exists,
        compss_get_number_of_resources,
        compss_open,
        compss_set_wall_clock,
        compss_wait_on,
        compss_wait_on_directory,
        compss_wait_on_file,
        future_of,
        put,
    )
    from taskflow.api.futures import Future, as_completed
    from taskflow.api.groups import TaskGroup, compss_barrier_group, compss_cancel_group
    from taskflow.api.on_failure import on_failure
    from taskflow.api.parameter import (
        COLLECTION,
        COLLECTION_FILE,
        COLLECTION_FILE_IN,
        COLLECTION_FILE_INOUT,
        COLLECTION_FILE_OUT,
        COLLECTION_IN,
        COLLECTION_IN_DELETE,
        COLLECTION_INOUT,
        COLLECTION_OUT,
        COMMUTATIVE,
        CONCURRENT,
        DICTIONARY,
        DICTIONARY_IN,
        DICTIONARY_IN_DELETE,
        DICTIONARY_INOUT,
        DICTIONARY_OUT,
        DIRECTION,
        DIRECTORY,
        DIRECTORY_IN,
        DIRECTORY_INOUT,
        DIRECTORY_OUT,
        FILE,
        FILE_COMMUTATIVE,
        FILE_COMMUTATIVE_STDERR,
        FILE_COMMUTATIVE_STDIN,
        FILE_COMMUTATIVE_STDOUT,
        FILE_CONCURRENT,
        FILE_CONCURRENT_STDERR,
        FILE_CONCURRENT_STDIN,
        FILE_CONCURRENT_STDOUT,
        FILE_IN,
        FILE_IN_STDERR,
        FILE_IN_STDIN,
        FILE_IN_STDOUT,
        FILE_INOUT,
        FILE_INOUT_STDERR,
        FILE_INOUT_STDIN,
        FILE_INOUT_STDOUT,
        FILE_OUT,
        FILE_OUT_STDERR,
        FILE_OUT_STDIN,
        FILE_OUT_STDOUT,
        FILE_STDERR,
        FILE_STDIN,
        FILE_STDOUT,
        IN,
        IN_DELETE,
        INOUT,
        IOSTREAM,
        OUT,
        STDERR,
        STDIN,
        STDOUT,
        STREAM_IN,
        STREAM_OUT,
        Cache,
        Depth,
        Direction,
        Keep_rename,
        Prefix,
        StdIOStream,
        Type,
        Weight,
    )  # fmt: skip
    from taskflow.api.task import task
    from taskflow.model.errors import (
        CancelError,
        COMPSsException,
        DeletedDataError,
        ExecutorDiedError,
        FindingsError,
        FutureUsedAsValueError,
        MissingOutputError,
        NotRunningError,
        RemoteTraceback,
        SerializationError,
        TaskCancelledError,
        TaskflowError,
        TaskflowWarning,
        TimeOutError,
        WallClockError,
    )
    from taskflow.runtime import running as session
    from taskflow.runtime import start, stop

# The names are imported when they are first used: `runtask` starts the executors before it imports the rest.
_HOMES = {
    "taskflow.api.functions": (
        "compss_barrier",
        "compss_delete_file",
        "compss_delete_object",
        "compss_file_exists",
        "compss_get_number_of_resources",
        "compss_open",
        "compss_set_wall_clock",
        "compss_wait_on",
        "compss_wait_on_directory",
        "compss_wait_on_file",
        "future_of",
        "put",
    ),
    "taskflow.api.futures": (
        "Future",
        "as_completed",
    ),
    "taskflow.api.groups": (
        "TaskGroup",
        "compss_barrier_group",
        "compss_cancel_group",
    ),
    "taskflow.api.on_failure": ("on_failure",),
    "taskflow.api.task": ("task",),
    "taskflow.model.errors": (
        "COMPSsException",
        "CancelError",
        "DeletedDataError",
        "ExecutorDiedError",
        "FindingsError",
        "FutureUsedAsValueError",
        "MissingOutputError",
        "NotRunningError",
        "RemoteTraceback",
        "SerializationError",
        "TaskCancelledError",
        "TaskflowError",
        "TaskflowWarning",
        "TimeOutError",
        "WallClockError",
    ),
    "taskflow.runtime": (
        "session",
        "start",
        "stop",
    ),
}
_RENAMED = {"session": "running"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    import importlib

    if name == "check":  # a module: found after ``import taskflow``, but no part of ``import *``
        return importlib.import_module("taskflow.check")
    if name in __all__:
        home = next((home for home, names in _HOMES.items() if name in names), "taskflow.api.parameter")
        value = getattr(importlib.import_module(home), _RENAMED.get(name, name))
        globals()[name] = value
        return value
    raise AttributeError(f"module 'taskflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "check"})


__all__ = [
    "COLLECTION",
    "COLLECTION_FILE",
    "COLLECTION_FILE_IN",
    "COLLECTION_FILE_INOUT",
    "COLLECTION_FILE_OUT",
    "COLLECTION_IN",
    "COLLECTION_INOUT",
    "COLLECTION_IN_DELETE",
    "COLLECTION_OUT",
    "COMMUTATIVE",
    "CONCURRENT",
    "DICTIONARY",
    "DICTIONARY_IN",
    "DICTIONARY_INOUT",
    "DICTIONARY_IN_DELETE",
    "DICTIONARY_OUT",
    "DIRECTION",
    "DIRECTORY",
    "DIRECTORY_IN",
    "DIRECTORY_INOUT",
    "DIRECTORY_OUT",
    "FILE",
    "FILE_COMMUTATIVE",
    "FILE_COMMUTATIVE_STDERR",
    "FILE_COMMUTATIVE_STDIN",
    "FILE_COMMUTATIVE_STDOUT",
    "FILE_CONCURRENT",
    "FILE_CONCURRENT_STDERR",
    "FILE_CONCURRENT_STDIN",
    "FILE_CONCURRENT_STDOUT",
    "FILE_IN",
    "FILE_INOUT",
    "FILE_INOUT_STDERR",
    "FILE_INOUT_STDIN",
    "FILE_INOUT_STDOUT",
    "FILE_IN_STDERR",
    "FILE_IN_STDIN",
    "FILE_IN_STDOUT",
    "FILE_OUT",
    "FILE_OUT_STDERR",
    "FILE_OUT_STDIN",
    "FILE_OUT_STDOUT",
    "FILE_STDERR",
    "FILE_STDIN",
    "FILE_STDOUT",
    "IN",
    "INOUT",
    "IN_DELETE",
    "IOSTREAM",
    "OUT",
    "STDERR",
    "STDIN",
    "STDOUT",
    "STREAM_IN",
    "STREAM_OUT",
    "COMPSsException",
    "Cache",
    "CancelError",
    "DeletedDataError",
    "Depth",
    "Direction",
    "ExecutorDiedError",
    "FindingsError",
    "Future",
    "FutureUsedAsValueError",
    "Keep_rename",
    "MissingOutputError",
    "NotRunningError",
    "Prefix",
    "RemoteTraceback",
    "SerializationError",
    "StdIOStream",
    "TaskCancelledError",
    "TaskGroup",
    "TaskflowError",
    "TaskflowWarning",
    "TimeOutError",
    "Type",
    "WallClockError",
    "Weight",
    "__version__",
    "as_completed",
    "compss_barrier",
    "compss_barrier_group",
    "compss_cancel_group",
    "compss_delete_file",
    "compss_delete_object",
    "compss_file_exists",
    "compss_get_number_of_resources",
    "compss_open",
    "compss_set_wall_clock",
    "compss_wait_on",
    "compss_wait_on_directory",
    "compss_wait_on_file",
    "future_of",
    "on_failure",
    "put",
    "session",
    "start",
    "stop",
    "task",
]  # fmt: skip
