"""Tasks that are kernels of OpenCL."""

import importlib.util

import numpy as np
import pytest

from taskflow import INOUT, NoSessionError, ProgramError, compss_wait_on, opencl, task
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")
parallel = pytest.mark.engines("local")  # it takes the seconds that a compiler takes
needs_opencl = pytest.mark.skipif(
    importlib.util.find_spec("pyopencl") is None, reason="PyOpenCL is not installed (extra test)"
)

SOURCE = """
__kernel void scale(__global const float *a, const float by, __global float *result, const int columns) {
    size_t place = get_global_id(0) * columns + get_global_id(1);
    result[place] += a[place] * by;
}
__kernel void other(__global float *a) { a[get_global_id(0)] = 1; }
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "kernels.cl"
    path.write_text(SOURCE)
    return str(path)


def kernel_task(source, name="scale", **declared):
    """A task of the kernel of that name."""

    def function(a, by, result, columns):
        pass

    function.__name__ = function.__qualname__ = name
    declared = declared or {"returns": 1}
    return opencl(kernel=source)(task(result=INOUT, on_failure="FAIL", **declared)(function))


@parallel
@needs_opencl
def test_a_kernel_goes_through_the_array_that_it_writes(source, engine):  # noqa: ARG001
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = np.asfortranarray(np.ones((2, 3), np.float32))
    scale = kernel_task(source)
    assert compss_wait_on(scale(a, 2, result, 3)) == 0
    scale(a, 1, result, 3)
    assert (compss_wait_on(result) == 1 + 3 * a).all()
    assert a[0, 1] == 1


@parallel
@needs_opencl
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("missing", (np.ones(1), 1, np.ones(1), 1), "has no kernel that is called missing; there is scale, other"),
        ("other", (np.ones(1), 1, np.ones(1), 1), "the kernel other has 1 parameters, and the task 4: a, by, result"),
        (
            "scale",
            (np.ones(1), 1, np.ones(1), 1),
            r"'a' .* of type float\*, and the array of type float64",
        ),
        ("scale", ("text", 1, np.ones(1), 1), r"parameter 'a' of the kernel is of type float\*, for which str will"),
    ],
)
def test_what_does_not_fit_is_told(name, arguments, message, source, engine):  # noqa: ARG001
    with pytest.raises(ProgramError, match=f"@opencl of task {name} .*{message}"):
        compss_wait_on(kernel_task(source, name)(*arguments))


@parallel
@needs_opencl
def test_the_compiler_is_quoted(source, engine):  # noqa: ARG001
    with open(source, "a") as file:
        file.write("__kernel void broken( {")
    with pytest.raises(ProgramError, match=r"(?s)kernels.cl cannot be compiled: .*expected parameter"):
        compss_wait_on(kernel_task(source)(np.ones(1), 1, np.ones(1), 1))


@parallel
@pytest.mark.skipif(importlib.util.find_spec("pyopencl") is not None, reason="PyOpenCL is installed")
def test_without_pyopencl_the_error_says_how_to_get_it(source, engine):  # noqa: ARG001
    with pytest.raises(ProgramError, match=r"PyOpenCL cannot be imported by .* on .*; pip install pyopencl"):
        compss_wait_on(kernel_task(source)(np.ones(1), 1, np.ones(1), 1))


@pytest.mark.engines("sequential")
def test_it_needs_a_session(source, engine):  # noqa: ARG001
    with pytest.raises(NoSessionError):
        kernel_task(source)(np.ones(1), 1, np.ones(1), 1)
    with pytest.raises(ArgumentError, match="kernel is the name or the path"):
        opencl(kernel="")
