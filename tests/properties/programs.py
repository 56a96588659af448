"""Random programs, and running them: with a session or, as the oracle, as plain Python.

A program is a list of operations with numbers for operands; `Run` takes an operand modulo what exists, so any
list is a valid program. What a variable may be used for depends on how it came about, never on values or on
time, so the same program does the same with and without a session.
"""

import os

from hypothesis import strategies as st

from taskflow import (
    TaskGroup,
    compss_barrier,
    compss_delete_file,
    compss_delete_object,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
)
from tests.properties import functions as f

# Where a variable's value is.
MAIN = "main"  #: in the main program, which may change it
FUTURE = "future"  #: behind a future
TRACKED = "tracked"  #: an object of the main program that tasks have written
READ = "read"  #: taken with mode "r": the main program may look at it

OBJECTS = ("array", "list", "box")
NESTED = ("cells1", "cells2", "cells3")


class Variable:
    def __init__(self, kind, value, where):
        self.kind = kind
        self.value = value
        self.where = where


class Run:
    """One execution of a program. ``log`` collects all that the program can see."""

    def __init__(self, folder, *, wild):
        self.folder = str(folder)
        self.wild = wild
        self.variables = []
        self.log = []
        self.documents = {}
        self.lines = 0

    def execute(self, program):
        self.run(program)
        for index in range(len(self.variables)):
            self.wait(index, "rw")
        for number in sorted(self.documents):
            compss_wait_on_file(self.path(number))
            self.log.append(self.content(number))
        return self.log

    def run(self, program):
        for name, *operands in program:
            getattr(self, f"do_{name}")(*operands)

    # ---------------------------------------------------------------- variables

    def pick(self, index, kinds=(*OBJECTS, "number"), where=(MAIN, FUTURE, TRACKED, READ)):
        fitting = [known for known in self.variables if known.kind in kinds and known.where in where]
        return fitting[index % len(fitting)] if fitting else None

    def picks(self, indices, kinds=(*OBJECTS, "number"), where=(MAIN, FUTURE, TRACKED, READ)):
        """Different variables."""
        chosen = []
        for index in indices:
            variable = self.pick(index, kinds, where)
            if variable is not None and variable not in chosen:
                chosen.append(variable)
        return chosen

    def add(self, kind, value, where=FUTURE):
        if len(self.variables) < 12:
            self.variables.append(Variable(kind, value, where))
        else:
            self.variables[f.total([len(self.log), len(kind)]) % 12] = Variable(kind, value, where)

    def wait(self, index, mode):
        variable = self.variables[index]
        variable.value = compss_wait_on(variable.value, mode=mode)
        self.waited(variable, mode)

    def waited(self, variable, mode):
        self.log.append(f.total(variable.value))
        if mode == "rw" or variable.kind == "number" or variable.where == MAIN:
            variable.where = MAIN
        else:
            variable.where = READ

    @staticmethod
    def written(variable):
        if variable.where != FUTURE:
            variable.where = TRACKED

    # ---------------------------------------------------------------- operations on values

    def do_main(self, kind, k):
        self.add("array" if kind == "large" else kind, f.new(kind, k), MAIN)

    def do_make(self, kind, k):
        self.add("array" if kind == "large" else kind, f.make(kind, k))

    def do_cells(self, depth, k):
        array = f.new("array", k)
        inner = [k + 1, f.new("array", k + 5)]
        value = {1: [k, array], 2: [k, inner, array], 3: [[k, array, [inner, k]], k + 2]}[depth]
        self.add(f"cells{depth}", value, MAIN)

    def do_plus(self, i, j):
        a, b = self.pick(i, ("number",)), self.pick(j, ("number",))
        if a and b:
            self.add("number", f.plus(a.value, b.value))

    def do_combine(self, i, j, k):
        a, b = self.pick(i), self.pick(j)
        if a and b:
            self.add(a.kind, f.combine(a.value, b.value, k, self.wild))

    def do_urgent(self, i, k):
        a = self.pick(i)
        if a:
            self.add(a.kind, f.urgent(a.value, k))

    def do_update(self, i, j, k):
        x, a = self.pick(i, OBJECTS), self.pick(j)
        if x and a:
            f.update(x.value, a.value, k, self.wild)
            self.written(x)

    def do_exchange(self, i, j, k):
        both = self.picks((i, j), OBJECTS)
        if len(both) == 2:
            self.add("number", f.exchange(both[0].value, both[1].value, k))
            self.written(both[0])
            self.written(both[1])

    def do_fill(self, i, k):
        x = self.pick(i, ("list", "box"), (MAIN, TRACKED, READ))
        if x:
            f.fill(x.value, k)
            self.written(x)

    def do_add(self, i, k):
        x = self.pick(i, ("array", "box"))
        if x:
            for step in range(k % 4 + 1):
                f.add(x.value, k + step)
            self.written(x)

    def do_add_both(self, i, j, k):
        both = self.picks((i, j), ("array", "box"))
        if len(both) == 2:
            for step in range(k % 3 + 1):
                f.add_both(both[0].value, both[1].value, k + step)
                f.add(both[step % 2].value, k)
            self.written(both[0])
            self.written(both[1])

    def do_split(self, i, k):
        a = self.pick(i)
        if a:
            first, number, second = f.split(a.value, k)
            self.add(a.kind, first)
            self.add("number", number)
            self.add(a.kind, second)

    def do_finish(self, i, k):
        a = self.pick(i)
        if a:
            self.variables.remove(a)
            self.add("number", f.finish(a.value, k))

    def do_weigh(self, indices, shape):
        """Futures, tracked objects and plain values, hidden in containers without annotation."""
        parts = [known.value for known in self.picks(indices)]
        container = [parts, {"a": parts[:1], "b": (parts, {"c": parts[-1:]})}, (parts[:1], [parts])][shape % 3]
        self.add("number", f.weigh(container, self.wild))

    def do_gather(self, indices, depth):
        parts = [known.value for known in self.picks(indices)]
        container = {1: parts, 2: [parts[:1], parts], 3: [[parts[:2], parts[1:]], [parts]]}[depth]
        self.add("number", getattr(f, f"gather{depth}")(container, self.wild))

    def do_alter_all(self, indices, k):
        chosen = self.picks(indices, OBJECTS)
        f.alter_all([known.value for known in chosen], k)
        for known in chosen:
            self.written(known)

    def do_look_up(self, indices):
        chosen = self.picks(indices)
        self.add("number", f.look_up({f"k{n}": known.value for n, known in enumerate(chosen)}, self.wild))

    def do_alter_values(self, indices, k):
        chosen = self.picks(indices, OBJECTS)
        f.alter_values({f"k{n}": known.value for n, known in enumerate(chosen)}, k)
        for known in chosen:
            self.written(known)

    def do_bump(self, i, k):
        c = self.pick(i, NESTED)
        if c:
            getattr(f, f"bump{c.kind[-1]}")(c.value, k)
            self.written(c)

    def do_gather_cells(self, i):
        c = self.pick(i, NESTED)
        if c:
            self.add("number", getattr(f, f"gather{c.kind[-1]}")(c.value, self.wild))

    def do_weigh_cells(self, i):
        c = self.pick(i, NESTED)
        if c:
            self.add("number", f.weigh(c.value, self.wild))

    def do_wait(self, i, mode):
        if self.variables:
            index = i % len(self.variables)
            self.wait(index, mode)

    def do_wait_many(self, indices, mode):
        chosen = self.picks(indices)
        values = [known.value for known in chosen]
        first, (rest, last) = compss_wait_on([values[:1], (values[1:-1], {"x": values[1:][-1:]})], mode=mode)
        for known, value in zip(chosen, [*first, *rest, *last["x"]], strict=True):
            known.value = value
            self.waited(known, mode)

    def do_mutate(self, i, k):
        x = self.pick(i, OBJECTS)
        if x:
            if x.where != MAIN:
                self.wait(self.variables.index(x), "rw")
            f.alter(x.value, k)

    def do_delete(self, i):
        x = self.pick(i)
        if x:
            compss_delete_object(x.value)
            self.variables.remove(x)

    def do_drop(self, i):
        x = self.pick(i)
        if x:
            self.variables.remove(x)

    def do_barrier(self):
        compss_barrier()

    def do_group(self, k, program):
        with TaskGroup(f"group {k}", implicit_barrier=bool(k % 2)):
            self.run(program)

    # ---------------------------------------------------------------- operations on files

    # Documents 0 and 1 are written in order; 2 and 3 by commuting and concurrent tasks, so only as sets of
    # lines.

    def path(self, number):
        return os.path.join(self.folder, f"document{number}")

    def content(self, number):
        with open(self.path(number), encoding="ascii") as file:
            lines = file.read().splitlines()
        return lines if number < 2 else sorted(set(lines))

    def line(self):
        self.lines += 1
        return self.lines

    def do_write(self, number):
        f.write(self.path(number), self.line())
        self.documents[number] = True

    def do_append(self, number):
        if number not in self.documents:
            self.do_write(number)
        f.append(self.path(number), self.line())

    def do_together(self, number, k):
        number = 2 + number % 2
        if number not in self.documents:
            self.do_write(number)
        function = f.append_commuting if k % 2 else f.append_together
        for _ in range(k % 5 + 1):
            function(self.path(number), self.line())

    def do_read(self, number):
        if number in self.documents:
            self.add("number", f.read(self.path(number), number < 2, self.wild))

    def do_copy(self, number, other):
        if number in self.documents and (other >= 2 or number < 2):
            f.copy(self.path(number), self.path(other))
            self.documents[other] = True

    def do_open(self, number, mode):
        if number not in self.documents and mode != "w":
            return
        with compss_open(self.path(number), mode) as file:
            if mode == "r":
                lines = file.read().splitlines()
                self.log.append(lines if number < 2 else sorted(set(lines)))
            else:
                file.write(f"{self.line()}\n")
        self.documents[number] = True

    def do_wait_file(self, number):
        if number in self.documents:
            compss_wait_on_file(self.path(number))
            self.log.append(self.content(number))

    def do_delete_file(self, number):
        if self.documents.pop(number, None):
            assert compss_delete_file(self.path(number)) is True
            assert not os.path.exists(self.path(number))


def _operation(name, *operands):
    return st.tuples(st.just(name), *operands)


_index = st.integers(0, 11)
_indices = st.lists(_index, max_size=4)
_k = st.integers(0, 99)
_kind = st.sampled_from((*OBJECTS, "large", "number"))
_depth = st.integers(1, 3)
_number = st.integers(0, 3)
_mode = st.sampled_from(("rw", "r"))

VALUES = [
    _operation("main", _kind, _k),
    _operation("make", _kind, _k),
    _operation("make", st.just("array"), _k),
    _operation("cells", _depth, _k),
    _operation("plus", _index, _index),
    _operation("combine", _index, _index, _k),
    _operation("urgent", _index, _k),
    _operation("update", _index, _index, _k),
    _operation("update", _index, _index, _k),
    _operation("exchange", _index, _index, _k),
    _operation("fill", _index, _k),
    _operation("add", _index, _k),
    _operation("add_both", _index, _index, _k),
    _operation("split", _index, _k),
    _operation("finish", _index, _k),
    _operation("weigh", _indices, _k),
    _operation("gather", _indices, _depth),
    _operation("alter_all", _indices, _k),
    _operation("look_up", _indices),
    _operation("alter_values", _indices, _k),
    _operation("bump", _index, _k),
    _operation("gather_cells", _index),
    _operation("weigh_cells", _index),
    _operation("wait", _index, _mode),
    _operation("wait_many", _indices, _mode),
    _operation("mutate", _index, _k),
    _operation("delete", _index),
    _operation("drop", _index),
    _operation("barrier"),
]
FILES = [
    _operation("write", _number),
    _operation("append", _number),
    _operation("together", _number, _k),
    _operation("together", _number, _k),
    _operation("read", _number),
    _operation("read", _number),
    _operation("copy", _number, _number),
    _operation("open", _number, st.sampled_from("raw")),
    _operation("wait_file", _number),
    _operation("delete_file", _number),
]
_simple = st.one_of(*VALUES, *FILES)
_group = _operation("group", _k, st.lists(_simple, max_size=5))


def programs(max_size):
    """Programs that begin with something to work on."""
    start = st.lists(st.one_of(*VALUES[:4]), min_size=2, max_size=5)
    rest = st.lists(st.one_of(*VALUES, *FILES, _group), min_size=1, max_size=max_size)
    return st.builds(lambda first, then: first + then, start, rest)
