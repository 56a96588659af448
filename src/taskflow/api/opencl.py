"""The ``@opencl`` decorator: a task that is a kernel of OpenCL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked
from taskflow.api.binary import described, set_program, text_of
from taskflow.api.in_session import InSession
from taskflow.api.options import task_under
from taskflow.runners.opencl import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def opencl(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task of a kernel of OpenCL; put it above ``@task``.

    ``kernel``: the path of a file with the source of the kernel, which is called as the function, or is the only one
    there. ``working_dir``: a folder in which the file, and what it includes, is looked for. The arguments of the task
    are those of the kernel: arrays of NumPy for pointers, numbers for numbers; what is declared as INOUT is written
    back. There is a work item for each element of the first array that it writes, with as many dimensions. It runs on a
    GPU if the task has one, else on the processor. The node needs PyOpenCL and a driver of OpenCL.

    Raises ArgumentError for wrong arguments, TypeError if there is no task below. A call without a session raises
    NoSessionError.
    """
    by_name("opencl", args)
    known = checked("opencl", arguments, ("working_dir",), ("kernel",))
    source = text_of("kernel", known, "opencl")

    def decorate(function: F) -> F:
        task = task_under(function, "opencl")
        fields = described(task, "opencl", known)
        wanted = ("where", "working_dir", "parameters", "object_name")
        task.layers.append(InSession(fields["where"]))
        name = task.__taskflow_function__.__name__
        set_program(task, Kernel(source=source, name=name, **{key: fields[key] for key in wanted}))
        return function

    return decorate
