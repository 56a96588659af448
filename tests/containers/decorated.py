"""A module of tasks as programs have them: it imports the runtime, inside as outside."""

from pycompss.api.api import compss_wait_on
from pycompss.api.constraint import constraint
from pycompss.api.container import container
from pycompss.api.task import task

from taskflow import TaskflowError


@task(returns=1)
def double(x):
    return 2 * x


@constraint(computing_units=1)
@container(engine="singularity", image="$TASKFLOW_TEST_IMAGE")
@task(returns=1, on_failure="FAIL")
def call_another(x):
    """A task function that is called inside is a plain function."""
    if x < 0:
        raise TaskflowError("no negative numbers")
    return compss_wait_on(double(x)) + 1
