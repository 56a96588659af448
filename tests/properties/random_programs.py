"""Random programs from a generator of random numbers, for runs of many thousand seeds.

The strategies of the other property tests find small counterexamples; these make programs a hundred times as fast.
"""

from tests.properties.programs import OBJECTS

#: What the operations of `tests.properties.programs.Run` take: i(ndex), I(ndices), k, d(epth), n(umber of a file),
#: m(ode), t(ype of a value), o(pen mode).
VALUES = {
    "main": "tk", "make": "tk", "cells": "dk", "plus": "ii", "combine": "iik", "urgent": "ik", "update": "iik",
    "exchange": "iik", "fill": "ik", "add": "ik", "add_both": "iik", "split": "ik", "finish": "ik", "weigh": "Ik",
    "gather": "Id", "alter_all": "Ik", "look_up": "I", "alter_values": "Ik", "bump": "ik", "gather_cells": "i",
    "weigh_cells": "i", "wait": "im", "wait_many": "Im", "mutate": "ik", "delete": "i", "drop": "i", "barrier": "",
}  # fmt: skip
FILES = {
    "write": "n", "append": "n", "together": "nk", "read": "n", "copy": "nn", "open": "no", "wait_file": "n",
    "delete_file": "n",
}  # fmt: skip
OFTEN = ("update", "combine", "make", "together", "read", "append", "add")

NAMES = [*VALUES, *FILES, *OFTEN]


def _operand(chance, kind):
    if kind == "i":
        return chance.randint(0, 11)
    if kind == "I":
        return [chance.randint(0, 11) for _ in range(chance.randint(0, 4))]
    if kind == "k":
        return chance.randint(0, 99)
    if kind == "d":
        return chance.randint(1, 3)
    if kind == "n":
        return chance.randint(0, 3)
    if kind == "m":
        return chance.choice(("rw", "r"))
    if kind == "o":
        return chance.choice("raw")
    return chance.choice((*OBJECTS, "array", "large", "number"))


def _operation(chance, names):
    name = chance.choice(names)
    return (name, *[_operand(chance, kind) for kind in (VALUES.get(name) or FILES.get(name, ""))])


def program(chance, size):
    """For `tests.properties.programs.Run`."""
    operations = [_operation(chance, ("main", "make", "make", "cells")) for _ in range(chance.randint(2, 5))]
    # Waits hold a program up: some have few of them, so that many tasks are under way at once.
    names = NAMES if chance.random() < 0.5 else [name for name in NAMES if not name.startswith(("wait", "barrier"))]
    for _ in range(chance.randint(1, size)):
        if chance.random() < 0.05:
            inner = [_operation(chance, names) for _ in range(chance.randint(0, 5))]
            operations.append(("group", chance.randint(0, 99), inner))
        else:
            operations.append(_operation(chance, names))
    return operations


def constrained(chance, size):
    """For `tests.properties.test_constraints.run`."""
    return [
        (
            chance.randint(0, 7),
            chance.randint(1, 4),
            chance.randint(0, 60) if chance.random() < 0.5 else None,
            chance.random() < 0.1,
        )
        for _ in range(chance.randint(0, size))
    ]


def spanning(chance, size, kinds):
    """For `tests.properties.spanning_functions.run`."""
    return [
        (
            chance.randint(0, kinds - 1),
            chance.randint(1, 2),
            chance.randint(1, 2 if chance.random() < 0.8 else 3),
            chance.randint(0, 60) if chance.random() < 0.5 else None,
            chance.random() < 0.1,
        )
        for _ in range(chance.randint(0, size))
    ]


def policies(chance, size):
    """For `tests.properties.test_policies.execute`."""
    steps = []
    for _ in range(chance.randint(0, size)):
        if chance.random() < 0.15:
            steps.append(("barrier",))
        elif chance.random() < 0.4:
            steps.append(("put", chance.randint(0, 2), chance.randint(0, 2), "RETRY", False))
        else:
            policy = chance.choice(("IGNORE", "CANCEL_SUCCESSORS"))
            steps.append(("put", chance.randint(0, 2), chance.randint(0, 2), policy, chance.random() < 0.5))
    return steps


def nested(chance, size, depth):
    """For `tests.properties.test_nested_programs.outcome`."""
    operations = []
    for _ in range(chance.randint(0, size)):
        if depth and chance.random() < 0.3:
            operations.append((chance.choice(("call", "call apart")), nested(chance, size - 1, depth - 1)))
        elif chance.random() < 0.6:
            name = chance.choice(("append", "shift", "extend", "number", "local", "group"))
            operations.append((name, chance.randint(0, 9)))
        else:
            operations.append((chance.choice(("total", "wait", "wait items", "barrier", "read", "ask")), None))
    return operations
