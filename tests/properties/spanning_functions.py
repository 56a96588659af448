"""Tasks for several nodes, and small ones beside them, for random programs."""

from taskflow import IO, compss_wait_on, constraint, task
from taskflow.api.options import task_under

MOST_NODES = 3  #: that a task has


def multinode(hosts):
    """Put above ``@task``: how many nodes it has."""

    def decorate(target):
        function = task_under(target, "multinode")
        function.options.hosts = hosts
        function.changed()
        return function

    return decorate


@task(returns=1)
def plain(x, units, hosts):
    return [x] * units * hosts


@multinode("hosts")
@constraint(computing_units="units")
@task(returns=1)
def wide(x, units, hosts):
    return [x] * units * hosts


@multinode("hosts")
@constraint(memory_size="units * 3.0")
@task(returns=1)
def hungry(x, units, hosts):
    return [x] * units * hosts


@multinode("hosts")
@constraint(processors=[{"type": "GPU", "computing_units": 1}, {"type": "CPU", "computing_units": 1}])
@task(returns=1)
def on_devices(x, units, hosts):
    return [x] * units * hosts


@multinode("hosts")
@task(returns=1, priority=True)
def urgent(x, units, hosts):
    return [x] * units * hosts


@constraint(memory_size="units * 1.5")
@task(returns=1)
def small(x, units, hosts):
    return [x] * units * hosts


@IO()
@task(returns=1)
def reads(x, units, hosts):
    return [x] * units * hosts


FUNCTIONS = (plain, plain, wide, wide, hungry, urgent, small, reads, on_devices)


def run(program):
    """Make the calls (function, units, nodes, earlier call whose result it gets or none, whether it is waited for)."""
    results = []
    for function, units, hosts, source, waits in program:
        value = results[source % len(results)] if source is not None and results else 1
        results.append(FUNCTIONS[function](value, units, hosts))
        if waits:
            compss_wait_on(results[-1])
    return results
