"""Kernels of OpenCL in place of the bodies of tasks, in the executor; PyOpenCL does the work."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from taskflow.model.errors import ArgumentError, ProgramError
from taskflow.runners.binary import found_file, working_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskflow.model.parameters import Parameter

#: Types of NumPy of the scalar types of OpenCL.
_SCALARS = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32", "uint": "uint32",
    "long": "int64", "ulong": "uint64", "half": "float16", "float": "float32", "double": "float64", "bool": "uint8",
    "size_t": "uint64",
}  # fmt: skip
_REMEDY = (
    "pip install pyopencl there, and a driver: that of the GPU's vendor, or pip install pocl-binary-distribution for "
    "the cores of the processor"
)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel in place of the body of a task: a `Body` (see `api.options`). What it returns is 0.

    ``where``: how errors begin. ``source``: the path of the file that has it. ``name``: what it is called there, unless
    it is the only one. ``working_dir``: the folder that the source, and what it includes, is looked for in.
    """

    where: str
    source: str
    name: str
    working_dir: str = ""
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    object_name: str = ""

    decorator: ClassVar[str] = "opencl"
    in_plain_calls: ClassVar[bool] = True

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is called with the arguments of the task in place of the function."""
        return functools.update_wrapper(functools.partial(_run, self, inspect.signature(function)), function)

    def inside(self, container: Any) -> Kernel:
        """A kernel is run by its executor. Raises ArgumentError."""
        raise ArgumentError(f"{self.where}: a kernel cannot be run in a container (@{container.decorator})")

    def run(self, values: dict[str, Any]) -> int:
        """Run it with the arguments of one call. Raises ProgramError."""
        cl, context = self._context()
        with working_folder(self.working_dir, {}, self.where) as folder:
            kernel = self._kernel(cl, context, folder)
        if kernel.num_args != len(values):
            raise ProgramError(
                f"{self.where}: the kernel {kernel.function_name} has {kernel.num_args} parameters, and the task "
                f"{len(values)}: {', '.join(values)}"
            )
        queue = cl.CommandQueue(context)
        written: list[tuple[Any, Any, Any]] = []
        shape: tuple[int, ...] = ()
        given: list[Any] = []
        for place, (name, value) in enumerate(values.items()):
            writes = name in self.parameters and self.parameters[name].direction.writes
            given.append(self._argument(cl, context, kernel, place, name, value, writes, written))
            if not shape or (writes and len(written) == 1):
                shape = getattr(value, "shape", ()) or shape
        if not shape:
            raise ProgramError(f"{self.where}: no argument is an array, so there is nothing that it could go through")
        try:
            kernel(queue, shape, None, *given)
            for value, copy, buffer in written:
                cl.enqueue_copy(queue, copy, buffer)
                value[...] = copy
            queue.finish()
        except cl.Error as error:
            raise ProgramError(f"{self.where}: the kernel {kernel.function_name} failed: {error}") from None
        return 0

    def _argument(
        self, cl: Any, context: Any, kernel: Any, place: int, name: str, value: Any, writes: bool, written: list[Any]
    ) -> Any:
        """What the kernel is given for an argument of the task: memory for an array, a number of its type."""
        import numpy as np

        wanted = kernel.get_arg_info(place, cl.kernel_arg_info.TYPE_NAME)
        kind = _SCALARS.get(wanted.removesuffix("*"))
        if isinstance(value, np.ndarray) and wanted.endswith("*"):
            if kind is not None and value.dtype != kind:
                raise ProgramError(
                    f"{self.where}: parameter {name!r} of the kernel is of type {wanted}, and the array of type "
                    f"{value.dtype}; make it one of {kind}"
                )
            copy = np.ascontiguousarray(value)
            flags = cl.mem_flags.READ_WRITE if writes else cl.mem_flags.READ_ONLY
            buffer = cl.Buffer(context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=copy)
            if writes:
                written.append((value, np.empty_like(copy), buffer))
            return buffer
        if wanted in _SCALARS and isinstance(value, (int, float, np.number)):
            return np.dtype(_SCALARS[wanted]).type(value)
        raise ProgramError(
            f"{self.where}: parameter {name!r} of the kernel is of type {wanted}, for which {type(value).__name__} "
            f"will not do: arrays of NumPy are for pointers, numbers for numbers"
        )

    def _context(self) -> tuple[Any, Any]:
        """PyOpenCL, and a context with one device: a GPU if the task has one."""
        here = os.uname().nodename
        try:
            import pyopencl as cl
        except ImportError as error:
            raise ProgramError(
                f"{self.where}: PyOpenCL cannot be imported by {sys.executable} on {here} ({error}); {_REMEDY}"
            ) from None
        try:
            devices = [device for platform in cl.get_platforms() for device in platform.get_devices()]
        except cl.Error:  # no driver is installed
            devices = []
        if not devices:
            raise ProgramError(f"{self.where}: there is no device of OpenCL on {here}; {_REMEDY}")
        kind = cl.device_type.GPU if os.environ.get("COMPSS_BINDED_GPUS") else cl.device_type.CPU
        devices.sort(key=lambda device: not device.type & kind)
        return cl, cl.Context([devices[0]])

    def _kernel(self, cl: Any, context: Any, folder: str) -> Any:
        path = found_file(os.path.expandvars(self.source), folder)
        if not path:
            raise ProgramError(f"{self.where}: kernel: there is no file {self.source} on {os.uname().nodename}")
        with open(path, encoding="utf-8") as file:
            source = file.read()
        try:
            options = ["-cl-kernel-arg-info", "-I", folder, "-I", os.path.dirname(path)]
            kernels = cl.Program(context, source).build(options=options).all_kernels()
        except cl.Error as error:
            raise ProgramError(f"{self.where}: {path} cannot be compiled: {error}") from None
        for kernel in kernels:
            if kernel.function_name == self.name or len(kernels) == 1:
                return kernel
        names = ", ".join(kernel.function_name for kernel in kernels) or "none"
        raise ProgramError(f"{self.where}: {path} has no kernel that is called {self.name}; there is {names}")


def _run(kernel: Kernel, signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> int:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return kernel.run({name: value for name, value in bound.arguments.items() if name != kernel.object_name})
