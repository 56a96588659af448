"""The task functions of the random programs. Executors import this module, so it imports little itself.

Every function that writes has read its other arguments before, so that giving it one object twice means the
same with and without a runtime. ``wild`` is set in sessions only: there a task may do to its inputs what it
likes.
"""

import zlib

import numpy as np

from taskflow import (
    COLLECTION_IN,
    COLLECTION_INOUT,
    COMMUTATIVE,
    DICTIONARY_IN,
    DICTIONARY_INOUT,
    FILE_COMMUTATIVE,
    FILE_CONCURRENT,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    IN_DELETE,
    INOUT,
    OUT,
    Depth,
    Type,
    task,
)

PRIME = 1_000_003


class Box:
    """An object of a user's class."""

    def __init__(self):
        self.items = []
        self.count = 0


def new(kind, k):
    if kind == "array":
        return np.arange(k, k + 40)
    if kind == "large":
        return np.arange(k, k + 10_000)  # more than travels in messages, with the limits of real runs, too
    if kind == "list":
        return [k, k + 1]
    if kind == "box":
        box = Box()
        box.items.append(k)
        return box
    return k


def total(value):
    """One number for a value of any kind, in which the order of its parts counts."""
    if isinstance(value, np.ndarray):
        return int((value * np.arange(1, value.size + 1)).sum()) % PRIME
    if isinstance(value, (list, tuple)):
        result = 7
        for item in value:
            result = (result * 31 + total(item)) % PRIME
        return result
    if isinstance(value, dict):
        return total([[zlib.crc32(key.encode()), value[key]] for key in sorted(value)])
    if isinstance(value, Box):
        return total([value.items, value.count])
    assert isinstance(value, int), f"a task was given {value!r}"
    return value % PRIME


def mixed(value, k):
    """A new value of the same kind."""
    if isinstance(value, np.ndarray):
        return (value * 3 + k) % PRIME
    if isinstance(value, list):
        return [*value, k]
    if isinstance(value, Box):
        box = Box()
        box.items = [*value.items, k]
        box.count = value.count
        return box
    return (value * 3 + k) % PRIME


def alter(value, k):
    """Change a value in place."""
    if isinstance(value, np.ndarray):
        value[:] = (value * 3 + k) % PRIME
    elif isinstance(value, list):
        value.append(k)
    else:
        value.items.append(k)


def scribble(value):
    """Spoil a value."""
    if isinstance(value, np.ndarray):
        value[:] = -1
    elif isinstance(value, (list, tuple)):
        for item in value:
            scribble(item)
        if isinstance(value, list):
            value.clear()
    elif isinstance(value, dict):
        for item in value.values():
            scribble(item)
        value.clear()
    elif isinstance(value, Box):
        value.items = None


@task(returns=1)
def make(kind, k):
    return new(kind, k)


@task(returns=1)
def plus(a, b):
    return (a * 5 + b) % PRIME


@task(returns=1)
def combine(a, b, k, wild):
    result = mixed(a, total(b) + k)
    if wild:
        scribble(a)
        scribble(b)
    return result


@task(returns=1, priority=True)
def urgent(a, k):
    return mixed(a, k)


@task(x=INOUT)
def update(x, a, k, wild):
    number = total(a)
    if wild and a is not x:  # given one object twice, a task sees one object
        scribble(a)
    alter(x, number + k)


@task(x=INOUT, y=INOUT, returns=1)
def exchange(x, y, k):
    a, b = total(x), total(y)
    alter(x, b + k)
    alter(y, a + k)
    return (a + b) % PRIME


@task(x=OUT)
def fill(x, k):
    if isinstance(x, list):
        x[:] = [k, k + 2]
    else:
        x.items = [k, k + 3]
        x.count = k


@task(x=COMMUTATIVE)
def add(x, k):
    if isinstance(x, np.ndarray):
        x[:] = (x + k) % PRIME
    else:
        x.count = (x.count + k) % PRIME


@task(x=COMMUTATIVE, y=COMMUTATIVE)
def add_both(x, y, k):
    for value in (x, y):
        if isinstance(value, np.ndarray):
            value[:] = (value + k) % PRIME
        else:
            value.count = (value.count + k) % PRIME


@task(returns=3)
def split(a, k):
    return mixed(a, k), total(a), mixed(a, k + 1)


@task(a=IN_DELETE, returns=1)
def finish(a, k):
    return (total(a) + k) % PRIME


@task(returns=1)
def weigh(container, wild):
    result = total(container)
    if wild:
        scribble(container)
    return result


def _gather(c, wild):
    result = total(c)
    if wild:
        for item in c:
            scribble(item)
    return result


@task(c={Type: COLLECTION_IN, Depth: 1}, returns=1)
def gather1(c, wild):
    return _gather(c, wild)


@task(c={Type: COLLECTION_IN, Depth: 2}, returns=1)
def gather2(c, wild):
    return _gather(c, wild)


@task(c={Type: COLLECTION_IN, Depth: 3}, returns=1)
def gather3(c, wild):
    return _gather(c, wild)


def _bump_to(c, depth, k):
    for place, item in enumerate(c):
        if depth > 1 and isinstance(item, list):
            _bump_to(item, depth - 1, k)
        else:
            c[place] = mixed(item, k)


@task(c={Type: COLLECTION_INOUT, Depth: 1})
def bump1(c, k):
    _bump_to(c, 1, k)


@task(c={Type: COLLECTION_INOUT, Depth: 2})
def bump2(c, k):
    _bump_to(c, 2, k)


@task(c={Type: COLLECTION_INOUT, Depth: 3})
def bump3(c, k):
    _bump_to(c, 3, k)


@task(c={Type: COLLECTION_INOUT, Depth: 1})
def alter_all(c, k):
    for item in c:
        alter(item, k)


@task(d=DICTIONARY_IN, returns=1)
def look_up(d, wild):
    result = total(d)
    if wild:
        for value in d.values():
            scribble(value)
    return result


@task(d=DICTIONARY_INOUT)
def alter_values(d, k):
    for value in d.values():
        alter(value, k)


@task(path=FILE_OUT)
def write(path, k):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{k}\n")


@task(path=FILE_INOUT)
def append(path, k):
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{k}\n")


@task(path=FILE_COMMUTATIVE)
def append_commuting(path, k):
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{k}\n")


@task(path=FILE_CONCURRENT)
def append_together(path, k):
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{k}\n")


@task(path=FILE_IN, returns=1)
def read(path, in_order, wild):
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    if wild:
        with open(path, "w", encoding="ascii") as file:
            file.write("spoilt")
    return zlib.crc32(repr(lines if in_order else sorted(set(lines))).encode())


@task(source=FILE_IN, target=FILE_OUT)
def copy(source, target):
    with open(source, "rb") as file:
        content = file.read()
    with open(target, "wb") as file:
        file.write(content)
