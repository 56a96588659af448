"""taskflow: write a sequential Python program, decorate functions with ``@task``, run it in parallel.

>>> from taskflow import task, compss_wait_on
>>> @task(returns=1)
... def double(x):
...     return 2 * x
>>> compss_wait_on([double(i) for i in range(3)])   # parallel under ``runtask``, sequential under ``python``
[0, 2, 4]
"""

from taskflow._version import __version__
from taskflow.api.functions import (
    compss_barrier,
    compss_delete_file,
    compss_delete_object,
    compss_file_exists,
    compss_get_number_of_resources,
    compss_open,
    compss_wait_on,
    compss_wait_on_directory,
    compss_wait_on_file,
    future_of,
    put,
)
from taskflow.api.futures import Future, as_completed
from taskflow.api.groups import TaskGroup, compss_barrier_group
from taskflow.api.parameter import *  # noqa: F403  the names of `taskflow.api.parameter.__all__`
from taskflow.api.parameter import __all__ as _parameter_names
from taskflow.api.task import task
from taskflow.model.errors import (
    DeletedDataError,
    ExecutorDiedError,
    FutureUsedAsValueError,
    MissingOutputError,
    NotRunningError,
    RemoteTraceback,
    SerializationError,
    TaskflowError,
)
from taskflow.runtime import running as session
from taskflow.runtime import start, stop

__all__ = [  # noqa: PLE0604  the names of directions are listed where they are defined
    *_parameter_names,
    "DeletedDataError", "ExecutorDiedError", "Future", "FutureUsedAsValueError", "MissingOutputError",
    "NotRunningError", "RemoteTraceback", "SerializationError", "TaskGroup", "TaskflowError", "__version__",
    "as_completed", "compss_barrier", "compss_barrier_group", "compss_delete_file", "compss_delete_object",
    "compss_file_exists", "compss_get_number_of_resources", "compss_open", "compss_wait_on",
    "compss_wait_on_directory", "compss_wait_on_file", "future_of", "put", "session", "start", "stop", "task",
]  # fmt: skip
