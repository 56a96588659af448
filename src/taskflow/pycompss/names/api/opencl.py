"""``@opencl``: a task that is a kernel of OpenCL."""

from taskflow.api.opencl import opencl

OpenCL = opencl

__all__ = ["OpenCL", "opencl"]
