"""Functions and classes that exist only in the script itself: executors cannot import them."""

import pytest

HEAD = """
import taskflow
from taskflow import *

"""
RUN = """
if __name__ == "__main__":
    with taskflow.session(workers=2, progress=False):
        main()
    print("end")
"""


@pytest.fixture
def passes(script):
    """Run a program with a session round ``main``; its output up to the end."""

    def run(text):
        done = script(HEAD + text + RUN)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines.pop() == "end"
        return lines

    return run


def test_function_with_globals_and_helpers(passes):
    text = """
import math
LIMIT = 10

def helper(x):
    return min(x, LIMIT)

@task(returns=1)
def clipped(x):
    return helper(x) + math.floor(0.5)

@task(returns=1)
def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)

def main():
    print(compss_wait_on([clipped(n) for n in (5, 50)]), compss_wait_on(recursive(5)))
"""
    assert passes(text) == ["[5, 10] 120"]


def test_classes_with_task_methods(passes):
    text = """
class Base:
    step = 1

    def __init__(self):
        self.n = 0

    @task()
    def add(self, n):
        self.n += n * self.step

    @classmethod
    @task(returns=1)
    def stepped(cls, x):
        return x + cls.step

    @staticmethod
    @task(returns=1)
    def half(x):
        return x // 2

class Derived(Base):
    step = 10

    @task()
    def add(self, n):
        super().add(n)
        self.n += 1

@task(returns=Derived)
def make():
    return Derived()

@task(returns=1)
def kind(x):
    return type(x).__name__, isinstance(x, Base), x.__class__.step

def main():
    one, two = Base(), make()
    one.add(3)
    two.add(3)
    two.add(1)
    print(compss_wait_on(kind(two)))
    one, two = compss_wait_on(one, two)
    print(one.n, two.n, type(one) is Base, type(two) is Derived, isinstance(two, Base))
    print(compss_wait_on(Derived.stepped(1)), compss_wait_on(Base.half(9)))
"""
    assert passes(text) == ["('Derived', True, 10)", "3 42 True True True", "11 4"]


def test_lambdas_and_closures(passes):
    text = """
def make(factor):
    @task(returns=1)
    def scaled(x, function=lambda y: y):
        return function(factor * x)
    return scaled

def main():
    double, triple = make(2), make(3)
    print(compss_wait_on(double(5)), compss_wait_on(triple(5, lambda y: -y)))
    print(compss_wait_on(task(returns=1)(lambda x: x + 1)(1)))
"""
    assert passes(text) == ["10 -15", "2"]


def test_exception_class_of_the_script_can_be_caught(passes):
    text = """
class OwnError(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

@task(returns=1)
def fail(code):
    raise OwnError(code)

def main():
    try:
        compss_wait_on(fail(7))
    except OwnError as error:
        print(type(error) is OwnError, error, error.code)
"""
    assert passes(text) == ["True code 7 7"]


def test_instances_that_come_back_are_of_the_class_of_the_script(passes):
    text = """
import dataclasses, enum
from typing import NamedTuple

class Colour(enum.Enum):
    RED = 1

class Pair(NamedTuple):
    a: int
    b: int

@dataclasses.dataclass(frozen=True)
class Record:
    colour: Colour
    pair: Pair

@task(returns=1)
def swap(record):
    assert record.colour is Colour.RED
    return Record(record.colour, Pair(record.pair.b, record.pair.a))

def main():
    record = compss_wait_on(swap(Record(Colour.RED, Pair(1, 2))))
    print(record == Record(Colour.RED, Pair(2, 1)), record.colour is Colour.RED, type(record.pair) is Pair)
"""
    assert passes(text) == ["True True True"]


def test_class_attribute_changed_in_main_is_not_overwritten_by_results(passes):
    text = """
class Counter:
    made = 0

    def __init__(self):
        type(self).made += 1

@task(returns=1)
def make():
    return Counter()

def main():
    Counter()
    first = compss_wait_on(make())
    Counter.made = 100
    second = compss_wait_on([make() for _ in range(4)])
    print(Counter.made, type(first) is Counter, type(second[0]) is Counter)
"""
    assert passes(text) == ["100 True True"]


def test_methods_of_the_class_in_main_stay_its_own(passes):
    text = """
SETTING = "old"

class Reader:
    def setting(self):
        return SETTING

@task(returns=1)
def make():
    return Reader()

def main():
    global SETTING
    method = Reader.setting
    reader = compss_wait_on(make())
    SETTING = "new"
    print(reader.setting(), Reader.setting is method)
"""
    assert passes(text) == ["new True"]


def test_function_that_uses_a_session_object_of_main_is_refused_clearly(passes):
    text = """
import threading
LOCK = threading.Lock()

@task(returns=1)
def locked():
    with LOCK:
        return 1

def main():
    try:
        locked()
    except SerializationError as error:
        print("locked" in str(error), "LOCK" in str(error))

from taskflow import SerializationError
"""
    assert passes(text) == ["True True"]


def test_module_beside_the_script_is_imported_by_executors(passes, tmp_path):
    (tmp_path / "beside.py").write_text(
        "from taskflow import task\n@task(returns=1)\ndef f(x):\n    return x, __name__\n"
    )
    text = """
import beside

def main():
    print(compss_wait_on(beside.f(1)))
"""
    assert passes(text) == ["(1, 'beside')"]


def test_modules_are_found_in_folders_that_the_program_adds_while_it_runs(passes, tmp_path):
    for folder in ("early", "late"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}_module.py").write_text(
            "class Value:\n    def __init__(self, x):\n        self.x = x"
        )
    text = """
import sys

@task(returns=1)
def same(value):
    return value

def main():
    print(compss_wait_on(same(1)))
    for folder in ("early", "late"):
        sys.path.insert(0, folder)
        module = __import__(folder + "_module")
        value = compss_wait_on(same(module.Value(folder)))
        print(value.x, type(value) is module.Value)
"""
    assert passes(text) == ["1", "early True", "late True"]


def test_top_level_of_the_script_is_not_run_again(passes):
    text = """
print("top")

@task(returns=1)
def f():
    return 1

def main():
    print(compss_wait_on([f() for _ in range(4)]))
"""
    assert passes(text) == ["top", "[1, 1, 1, 1]"]


def test_same_script_without_a_session_gives_the_same(script):
    text = """
import sys
from taskflow import *
import taskflow

@task(returns=1)
def f(x, items):
    items.append(x)
    return sum(items)

class Box:
    n = 0

    @task()
    def add(self, n):
        self.n += n

if __name__ == "__main__":
    if "parallel" in sys.argv:
        taskflow.start(workers=2, progress=False)
    box = Box()
    for n in range(4):
        box.add(n)
    with TaskGroup("g"):
        values = [f(n, [1]) for n in range(3)]
    compss_barrier()
    print(compss_wait_on(values), compss_wait_on(box).n)
    taskflow.stop()
"""
    plain, parallel = script(text), script(text, "parallel")
    assert plain.stdout == parallel.stdout == "[1, 2, 3] 6\n"
    assert plain.returncode == parallel.returncode == 0
