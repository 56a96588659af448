"""S02: methods as tasks, ``self`` as a datum."""

import collections

import pytest

import taskflow
from taskflow import COMMUTATIVE, IN, INOUT, compss_wait_on, task

pytestmark = pytest.mark.usefixtures("engine")


class Counter:
    step = 2

    def __init__(self, field=1):
        self.field = field

    @task()
    def double(self):
        self.field *= 2

    @task(returns=1, target_direction=IN)
    def read(self):
        return self.field

    @task(returns=1)
    def increase(self, amount):
        self.field += amount
        return self.field

    @task(returns=1, target_direction=IN)
    def spoil(self):
        self.field = -1
        return self.field

    @task(returns=1, self=IN)
    def spoil_too(self):
        self.field = -1
        return self.field

    @task(other=INOUT)
    def give_to(self, other):
        other.field += self.field

    @classmethod
    @task(returns=1)
    def stepped(cls, x):
        return x + cls.step

    @staticmethod
    @task(returns=1)
    def halved(x):
        return x // 2

    @task(returns=1)
    def keyword(self, *, by):
        return self.field * by


class Big(Counter):
    step = 100

    @task(returns=1, target_direction=IN)
    def read(self):
        return 1000 + self.field

    @task()
    def double_twice(self):
        super().double()
        self.double()


class Named:
    @task(returns=1, target_direction=IN)
    def name(self):
        return type(self).__name__


class Both(Named, Big):
    pass


class Holder:
    def __init__(self):
        self.inner = Counter(5)


class Slots:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 0

    @task()
    def add(self, n):
        self.value += n


@task(returns=Counter)
def make(field):
    return Counter(field)


def test_s02_reads_between_writes_see_the_version_of_their_place():
    o = Counter()
    o.double()
    r = o.read()
    o.double()
    assert compss_wait_on(r) == 2
    assert compss_wait_on(o).field == 4


def test_s02_method_on_a_result_that_is_not_there_yet():
    counter = make(10)
    counter.double()
    counter.increase(1)
    assert compss_wait_on(counter.read()) == 21
    assert compss_wait_on(counter).field == 21


def test_s02_class_and_static_methods():
    assert compss_wait_on(Counter.stepped(1)) == 3
    assert compss_wait_on(Big.stepped(1)) == 101
    assert compss_wait_on(Counter().stepped(1)) == 3
    assert compss_wait_on(Counter.halved(9)) == 4
    assert compss_wait_on(Counter().halved(9)) == 4


def test_s02_inherited_and_overridden_and_multiply_inherited():
    big = Big(3)
    big.double()
    assert compss_wait_on(big.read()) == 1006
    big.double_twice()
    assert compss_wait_on(big.read()) == 1024
    both = Both(1)
    both.double()
    assert compss_wait_on(both.name()) == "Both"
    assert compss_wait_on(both.read()) == 1002


def test_s02_classes_of_one_name_in_different_places():
    other = collections.namedtuple("Other", "x")  # noqa: PYI024

    class Counter:
        def __init__(self):
            self.field = "mine"

        @task(returns=1)
        def read(self):
            return self.field

    assert other.__name__ == "Other"
    assert compss_wait_on(Counter().read()) == "mine"
    assert compss_wait_on(globals()["Counter"]().read()) == 1


def test_s02_method_through_an_attribute():
    holder = Holder()
    holder.inner.double()
    assert compss_wait_on(holder.inner.read()) == 10
    holder.inner = compss_wait_on(holder.inner)
    assert holder.inner.field == 10


def test_unbound_call_with_the_object_as_first_argument():
    counter = Counter(2)
    Counter.double(counter)
    assert compss_wait_on(counter.read()) == 4


def test_consecutive_calls_form_a_chain_and_give_each_their_value():
    counter = Counter(0)
    assert compss_wait_on([counter.increase(1) for _ in range(10)]) == list(range(1, 11))
    assert compss_wait_on(counter).field == 10


def test_keyword_only_parameter_of_a_method():
    assert compss_wait_on(Counter(3).keyword(by=4)) == 12


@pytest.mark.engines("local", "simulated")
def test_changes_to_self_declared_as_input_are_discarded():
    counter = Counter(7)
    assert compss_wait_on([counter.spoil(), counter.spoil_too(), counter.read()]) == [-1, -1, 7]
    assert compss_wait_on(counter).field == 7


def test_method_writes_another_object():
    source, target = Counter(3), Counter(4)
    source.double()
    source.give_to(target)
    assert compss_wait_on(target).field == 10


def test_object_with_slots_only():
    value = Slots()
    for n in range(4):
        value.add(n)
    assert compss_wait_on(value).value == 6


def test_object_equal_to_another_is_another_datum():
    class Equal:
        def __init__(self):
            self.n = 0

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        @task()
        def add(self, n):
            self.n += n

    first, second = Equal(), Equal()
    first.add(1)
    second.add(10)
    first.add(1)
    assert [value.n for value in compss_wait_on([first, second])] == [2, 10]


def test_commutative_self():
    class Sum:
        def __init__(self):
            self.n = 0

        @task(target_direction=COMMUTATIVE)
        def add(self, n):
            self.n += n

    total = Sum()
    for n in range(5):
        total.add(n)
    assert compss_wait_on(total).n == 10


def test_target_direction_must_be_a_direction():
    with pytest.raises(TypeError, match="target_direction"):
        task(target_direction="INOUT")(Counter.double.__wrapped__)


@pytest.mark.parametrize(
    ("options", "wanted", "unwanted"),
    [
        ({"target_direction": "IN"}, "'IN' is a text, not a direction; import IN as you import task", "FILE"),
        ({"n": "inout"}, "import INOUT as you import task, and write it without quotes; the path of a file", "'n' is"),
        ({"n": "FILE_OUT"}, "import FILE_OUT as you import task, and write it without quotes", "path"),
        ({"n": "/data/in.txt"}, "use IN, OUT or INOUT; the path of a file takes FILE_IN, FILE_OUT", "import"),
    ],
)
def test_a_text_in_place_of_a_direction_is_explained(options, wanted, unwanted):
    def count(self, n):
        raise NotImplementedError

    with pytest.raises(TypeError) as caught:
        task(**options)(count)
    assert wanted in str(caught.value)
    assert unwanted not in str(caught.value)


@pytest.mark.engines("local", "simulated")
def test_future_of_an_instance_that_stands_for_a_result():
    counter = make(3)
    assert taskflow.future_of(counter).result().field == 3
    with pytest.raises(TypeError, match="does not stand"):
        taskflow.future_of(Counter())


def test_instance_of_a_declared_class_inside_an_unannotated_list():
    @task(returns=1)
    def total(counters, table):
        return sum(counter.field for counter in counters) + table["one"].field

    counters = [make(n) for n in range(4)]
    assert compss_wait_on(total(counters, {"one": counters[3]})) == 9


def test_object_that_tasks_wrote_inside_an_unannotated_list():
    @task(returns=1)
    def total(counters):
        return sum(counter.field for counter in counters)

    first, second = Counter(1), Counter(10)
    first.double()
    assert compss_wait_on(total([first, second])) == 12
