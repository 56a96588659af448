"""The task functions of the random nested programs. Executors import this module.

A program is a list of operations that a body works off; some have programs of their own, for tasks that it calls.
Without a session all of it is plain Python.
"""

import os
import tempfile

from taskflow import (
    COLLECTION_INOUT,
    COMMUTATIVE,
    FILE_INOUT,
    INOUT,
    Future,
    TaskGroup,
    compss_barrier,
    compss_barrier_group,
    compss_open,
    compss_wait_on,
    task,
)

PRIME = 1_000_003


@task(returns=1)
def total(value):
    return sum(((place + 1) * item for place, item in enumerate(value)), 7) % PRIME


@task(returns=1)
def plus(a, b):
    return (a * 5 + b) % PRIME


@task(items=INOUT)
def append(items, k):
    items.append(k)


@task(items=COMMUTATIVE)
def append_in_any_order(items, k):
    items.append(k)


@task(cells=COLLECTION_INOUT)
def shift(cells, k):
    for place, cell in enumerate(cells):
        cells[place] = (cell * 3 + k) % PRIME


@task(path=FILE_INOUT)
def extend(path, k):
    with open(path, "a") as file:
        file.write(f"{k},")


@task(returns=1, items=INOUT, cells=COLLECTION_INOUT, path=FILE_INOUT, nested=True)
def body(program, items, cells, path, folder):
    """Work off a program; the result, the items, the cells and the file may be left to tasks that were called."""
    return work_off(program, items, cells, path, folder)


@task(returns=1, items=INOUT, cells=COLLECTION_INOUT, nested=True)
def body_anywhere(program, items, cells):
    """As `body`, without files: bodies on other machines than the program's cannot call tasks with files."""
    return work_off(program, items, cells, None, None)


@task(returns=1, nested=True)
def apart_anywhere(program):
    """As `apart`, without files."""
    items, cells = [1], [1, 2]
    result = plus(body_anywhere(program, items, cells), total(items))
    for cell in compss_wait_on(cells):
        result = plus(result, cell)
    return result


def work_off(program, items, cells, path, folder):
    number = 1
    for operation, argument in program:
        if operation == "append":
            append(items, argument)
        elif operation == "shift":
            shift(cells, argument)
        elif operation in ("extend", "read") and path is None:
            continue
        elif operation == "extend":
            extend(path, argument)
        elif operation == "number":
            number = plus(number, argument)
        elif operation == "total":
            number = plus(number, total(items))
        elif operation == "wait":
            number = compss_wait_on(number)
        elif operation == "wait items":
            # The body's own object, which the caller knows, is what it is after the wait.
            items[:] = compss_wait_on(items)
        elif operation == "local":
            own = []
            for _ in range(argument):
                append_in_any_order(own, 3)
            number = plus(number, total(own))
        elif operation == "barrier":
            compss_barrier()
        elif operation == "group":
            with TaskGroup("inner", implicit_barrier=argument % 2 == 0):
                number = plus(number, argument)
            compss_barrier_group("inner")
        elif operation == "read":
            with compss_open(path) as file:
                number = plus(number, len(file.read()))
        elif operation == "call" and path is None:
            number = plus(number, body_anywhere(argument, items, cells))
        elif operation == "call apart" and path is None:
            number = plus(number, apart_anywhere(argument))
        elif operation == "call":
            number = plus(number, body(argument, items, cells, path, folder))
        elif operation == "call apart":
            number = plus(number, apart(argument, folder))
        elif operation == "ask" and isinstance(number, Future):
            number.done()
            number = number.result()
    return number


@task(returns=1, nested=True)
def apart(program, folder):
    """Work off a program with data of its own."""
    file, path = tempfile.mkstemp(dir=folder)
    os.close(file)
    items, cells = [1], [1, 2]
    result = body(program, items, cells, path, folder)
    result = plus(result, total(items))
    for cell in compss_wait_on(cells):
        result = plus(result, cell)
    with compss_open(path) as file:
        result = plus(result, len(file.read()))
    os.unlink(path)
    return result
