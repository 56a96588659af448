"""The functions of :mod:`benchmarks.functions` as taskflow tasks: the same functions, decorated."""

from __future__ import annotations

from benchmarks import functions
from benchmarks.driver import Function
from taskflow import FILE_IN, FILE_OUT, task

noop = task(returns=1)(functions.noop)
inc = task(returns=1)(functions.inc)
identity = task(returns=1)(functions.identity)
add = task(returns=1)(functions.add)
sum_all = task(returns=1)(functions.sum_all)
warm = task(returns=1)(functions.warm)
busy = task(returns=1)(functions.busy)
nap = task(returns=1)(functions.nap)
logged_nap = task(returns=1)(functions.logged_nap)
hold = task(returns=1)(functions.hold)
write_file = task(path=FILE_OUT)(functions.write_file)
read_file = task(returns=1, path=FILE_IN)(functions.read_file)

TASKS: dict[Function, Function] = {
    functions.noop: noop,
    functions.inc: inc,
    functions.identity: identity,
    functions.add: add,
    functions.sum_all: sum_all,
    functions.warm: warm,
    functions.busy: busy,
    functions.nap: nap,
    functions.logged_nap: logged_nap,
    functions.hold: hold,
    functions.write_file: write_file,
    functions.read_file: read_file,
}
"""From the plain function that a workload names to its task."""
