"""``@opencl``: a task that is an OpenCL kernel."""

from taskflow.pycompss.runners import RunnerDecorator


class OpenCL(RunnerDecorator):
    """``@opencl(kernel="kernel.cl")``."""

    name = "opencl"
    mandatory = ("kernel",)
    optional = ("working_dir",)


opencl = OpenCL

__all__ = ["OpenCL", "opencl"]
