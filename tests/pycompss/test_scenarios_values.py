"""S01 Values through tasks, S02 Objects and methods, S03 Arguments, S04 Returns, S30 Serialisation, S41 Nested inline.

Each is a program as users of PyCOMPSs write it; it runs in parallel and sequentially, and checks itself.
"""

IMPORTS = """
    from pycompss.api.api import *
    from pycompss.api.parameter import *
    from pycompss.api.task import task
"""


def test_s01_values_keep_type_and_value(program):
    program(
        IMPORTS
        + """
    import numbers
    import numpy as np

    @task(returns=1)
    def same(value, kind):
        assert type(value).__name__ == kind, (type(value), kind)
        return value

    values = [
        0, -7, 2**31, 2**53 + 1, 2**63, 2**100, 1.5, float("inf"), True, False, "text", "", "c",
        "a\\nb 'q' \\"d\\" {{x}}",
        None, 3 + 4j, (1, "two", None), {"key": [1, 2], 3: (4,)}, [1, [2.5, ["three"]]], {1, 2}, frozenset({3}),
        b"bytes", bytearray(b"array"),
    ]
    for value in values:
        result = compss_wait_on(same(value, type(value).__name__))
        assert result == value and type(result) is type(value), (value, result)

    scalar = compss_wait_on(same(np.float64(2.5), "float64"))
    assert isinstance(scalar, numbers.Number) and scalar == 2.5 and type(scalar) is np.float64
    array = compss_wait_on(same(np.arange(6).reshape(2, 3), "ndarray"))
    assert array.shape == (2, 3) and array.sum() == 15
    objects = compss_wait_on(same(np.array([{}, [1], None], dtype=object), "ndarray"))
    assert objects.dtype == object and objects[1] == [1]
    """
    )


def test_s01_functions_lambdas_and_generators(program):
    program(
        IMPORTS
        + """
    def triple(x):
        return 3 * x

    @task(returns=1)
    def apply(function, value):
        return function(value)

    @task(returns=1)
    def power(exponent):
        return lambda base: base**exponent

    @task(returns=1)
    def following(generator):
        return next(generator)

    @task(returns=1)
    def all_of(generator):
        return list(generator)

    @task(returns=1)
    def counting():
        return (number * number for number in range(4))

    assert compss_wait_on(apply(triple, 4)) == 12
    assert compss_wait_on(apply(lambda x: x + 1, 4)) == 5
    assert compss_wait_on(apply(len, "four")) == 4
    assert compss_wait_on(power(3))(2) == 8
    assert compss_wait_on(apply(power(2), 5)) == 25

    def numbers():
        yield from range(10, 20)

    generator = numbers()
    for _ in range(3):
        next(generator)
    assert compss_wait_on(following(generator)) == 13
    generator = numbers()
    next(generator)
    assert compss_wait_on(all_of(generator)) == list(range(11, 20))
    assert list(compss_wait_on(counting())) == [0, 1, 4, 9]
    """
    )


CLASSES = """
    from pycompss.api.parameter import *
    from pycompss.api.task import task

    class Counter:
        step = 2

        def __init__(self, field=1):
            self.field = field

        @task()
        def double(self):
            self.field *= 2

        @task(returns=int, target_direction=IN)
        def read(self):
            return self.field

        @task(returns="Counter")
        def annotated(self):
            return Counter(self.field)

        @classmethod
        @task(returns=1)
        def stepped(cls, number):
            return cls.step * number

        @staticmethod
        @task(returns=1)
        def add(a, b):
            return a + b

        def twice(self):
            self.double()
            self.double()

        @task(returns=1, target_direction=IN)
        def name(self):
            return "counter"

    class Deep(Counter):
        step = 10

        @task(returns=1, target_direction=IN)
        def name(self):
            return "deep"

    class Mixin:
        @task(returns=1, target_direction=IN)
        def extra(self, x):
            return x, self.field

    class Mixed(Mixin, Deep):
        pass
"""

OTHER = """
    from pycompss.api.parameter import *
    from pycompss.api.task import task

    class Counter:
        @task(returns=1, target_direction=IN)
        def read(self):
            return "the other one"
"""


def test_s02_objects_and_methods(program):
    program(
        IMPORTS
        + """
    from shapes import Counter, Deep, Mixed
    import other

    @task(returns=Counter)
    def make(field):
        return Counter(field)

    o = Counter(1)
    o.double()
    r = o.read()
    o.double()
    assert compss_wait_on(r) == 2
    o = compss_wait_on(o)
    assert o.field == 4 and type(o) is Counter

    made = make(5)
    made.double()
    assert compss_wait_on(made.read()) == 10
    made.double()
    made = compss_wait_on(made)
    assert made.field == 20

    assert compss_wait_on(Counter.stepped(3)) == 6
    assert compss_wait_on(Deep.stepped(3)) == 30
    assert compss_wait_on(Counter.add(1, 2)) == 3
    assert compss_wait_on(Counter().add(3, 4)) == 7

    deep = Deep(7)
    assert compss_wait_on(deep.name()) == "deep"
    assert compss_wait_on(Counter().name()) == "counter"
    deep.double()
    assert compss_wait_on(deep.read()) == 14

    mixed = Mixed(2)
    mixed.twice()
    assert compss_wait_on(mixed.extra("x")) == ("x", 8)
    assert compss_wait_on(mixed.name()) == "deep"

    assert compss_wait_on(other.Counter().read()) == "the other one"

    class Holder:
        pass

    holder = Holder()
    holder.inner = Holder()
    holder.inner.counter = Counter(3)
    holder.inner.counter.double()
    assert compss_wait_on(holder.inner.counter.read()) == 6
    """,
        shapes=CLASSES,
        other=OTHER,
    )


def test_s03_arguments(program):
    program(
        IMPORTS
        + """
    @task(returns=1)
    def f(x, y, z=100, w=1000):
        return x + y + z * w

    calls = {
        100003: [f(1, 2), f(1, y=2), f(x=1, y=2), f(y=2, x=1)],
        2003: [f(1, 2, 2), f(1, 2, z=2)],
        23: [f(1, 2, 2, 10)],
        810: [f(w=40, z=20, x=8, y=2)],
    }
    for result, futures in calls.items():
        assert compss_wait_on(futures) == [result] * len(futures), (result, compss_wait_on(futures))

    @task(returns=1)
    def total(*args):
        return sum(args)

    @task(returns=1)
    def count(**kwargs):
        return len(kwargs)

    @task(returns=int)
    def g(a, b, c=9, *args, **kwargs):
        return a * b + sum(args) + len(kwargs) + c

    assert compss_wait_on(total(1, total(2, 3), f(1, 2, 2))) == 2009
    assert compss_wait_on(total()) == 0
    assert compss_wait_on(count(a=1, b=total(1), c=None)) == 3
    assert compss_wait_on(g(1, 2, 3, 4, 5, six=6, seven=7)) == 16
    assert compss_wait_on(g(1, 2)) == 11

    @task(returns=1, varargs_type=FILE_IN)
    def contents(*paths):
        return [open(path).read() for path in paths]

    for name in ("one", "two"):
        with open(name, "w") as file:
            file.write("text of " + name)
    assert compss_wait_on(contents("one", "two")) == ["text of one", "text of two"]

    @task(returns=1, path=FILE_IN)
    def by_keyword(**options):
        return open(options["path"]).read(), options["other"]

    assert compss_wait_on(by_keyword(path="one", other=1)) == ("text of one", 1)
    """
    )


def test_s04_returns(program):
    program(
        IMPORTS
        + """
    from typing import Tuple

    parts = 3

    class Shape:
        def __init__(self, sides=0):
            self.sides = sides
            self.inner = None

    @task(returns=int)
    def typed(x):
        return x

    @task(returns="1")
    def text(x):
        return x

    @task(returns="2")
    def pair(x):
        return 2 * x, x

    @task(returns=(float, float))
    def types(x):
        return 2 * x, x

    @task(returns=2)
    def listed(x):
        return [2 * x, x]

    @task(returns="parts")
    def by_global():
        return list(range(parts))

    @task(returns="value_of(shape.sides)")
    def by_value(shape):
        return list(range(shape.sides))

    @task(returns="value_of(n)")
    def by_number(n):
        return tuple(range(n))

    @task()
    def at_call(items):
        return items

    @task(returns="{{items}}", items=INOUT)
    def doubled(items):
        for place, item in enumerate(items):
            items[place] = 2 * item
        return items

    @task()
    def annotated(x) -> (int, str):
        return x, str(x)

    @task()
    def hinted(x) -> Tuple[int, str]:
        return x, str(x)

    @task()
    def from_source(x):
        if x > 10:
            return x, x + 1, x + 2
        return x

    @task()
    def nothing(x):
        x + 1

    @task(returns=1)
    def none():
        return None

    @task(returns=[int])
    def single(x):
        return [x]

    assert compss_wait_on(typed(1)) == 1 and compss_wait_on(text("a")) == "a"
    for function in (pair, types, listed):
        v, w = function(10.0)
        v, w = compss_wait_on(v), compss_wait_on(w)
        assert v * v + w * w == 500.0
        assert compss_wait_on(*function(1)) == [2, 1]
    assert compss_wait_on(list(by_global())) == [0, 1, 2]
    assert compss_wait_on(list(by_value(Shape(4)))) == [0, 1, 2, 3]
    assert compss_wait_on(list(by_number(2))) == [0, 1]
    a, b, c, d = at_call([1, 2, 3, 4], returns=4)
    assert compss_wait_on([a, b, c, d]) == [1, 2, 3, 4]

    items = [1, 1]
    result = items
    for _ in range(3):
        result = doubled(result)
        assert id(result) == id(items)
    assert compss_wait_on(result) == [8, 8]
    assert sum(compss_wait_on(doubled([4, 4]))) == 16

    number, string = annotated(1)
    assert compss_wait_on(number, string) == [1, "1"]
    number, string = hinted(1)
    assert compss_wait_on(number, string) == [1, "1"]
    one, two, three = from_source(11)
    assert compss_wait_on([one, two, three]) == [11, 12, 13]
    assert nothing(1) is None
    assert compss_wait_on(none()) is None
    """
    )


def test_s04_a_single_entry_in_a_list_of_types_is_a_single_future(program):
    ended = program(
        IMPORTS
        + """
    from pycompss.runtime.management.classes import Future

    @task(returns=[int])
    def single(x):
        return [x]

    result = single(7)
    print(isinstance(result, Future), compss_wait_on(result))
    """
    )
    assert ended.stdout == f"{program.parallel} [7]\n"


def test_s30_serialisation(program):
    program(
        IMPORTS
        + """
    import numpy as np

    @task(returns=1)
    def same(value):
        return value

    def local_class():
        class Point:
            def __init__(self, x):
                self.x = x

            def shifted(self):
                return Point(self.x + 1)

        return Point(3)

    @task(returns=1)
    def shift(point):
        return point.shifted()

    assert compss_wait_on(shift(shift(local_class()))).x == 5
    array = np.array([1, "two", {"three": 3}, None], dtype=object)
    assert compss_wait_on(same(array)).tolist() == array.tolist()
    texts = (
        "ñandú €", "日本語", "😀", "quote ' and \\" and \\\\", "  blanks  ", "line\\nline", "\\0zero", "{{p}} $HOME %s",
    )
    for text in texts:
        assert compss_wait_on(same(text)) == text
    repeated = [same("the same text") for _ in range(10)]
    assert compss_wait_on(repeated) == ["the same text"] * 10
    for number in (2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**64, 2**64 + 1, -(2**70), 10**100):
        assert compss_wait_on(same(number)) == number
    """
    )


def test_s41_tasks_in_tasks_are_plain_calls(program):
    program(
        IMPORTS
        + """
    @task(returns=1)
    def inc(x):
        return x + 1

    @task(returns=1)
    def inc_twice(x):
        return compss_wait_on(inc(inc(x)))

    @task(returns=1)
    def inc_three_times(x):
        y = inc_twice(x)
        compss_barrier()
        return inc(y)

    assert compss_wait_on(inc_three_times(1)) == 4

    @task(returns=1)
    def recursion(n):
        return 0 if n == 0 else 1 + recursion(n - 1)

    assert compss_wait_on(recursion(3)) == 3

    @task(items=INOUT)
    def extend(items, n):
        items.append(n)
        if n < 103:
            extend(items, n + 1)

    items = [100]
    extend(items, 101)
    items = compss_wait_on(items)
    assert items == [100, 101, 102, 103]

    @task(returns=1)
    def product(a, b):
        if b == 1:
            return a
        half = product(a, b // 2)
        return compss_wait_on(half) * 2 + (a if b % 2 else 0)

    assert compss_wait_on(product(product(80, 60), 40)) == 80 * 60 * 40
    """
    )
