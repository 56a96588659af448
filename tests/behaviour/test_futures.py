# ruff: noqa: PLW0108, PLC3002, ARG005, RUF005, ARG001  most lambdas here are the misuse under test
"""Futures: the whole interface, and what happens when one is taken for its value."""

import asyncio
import concurrent.futures
import dataclasses
import math
import operator
import pickle
import threading
import time

import pytest

import taskflow
from taskflow import (
    COLLECTION_IN,
    INOUT,
    Future,
    FutureUsedAsValueError,
    SerializationError,
    as_completed,
    compss_wait_on,
    put,
    task,
)
from tests.behaviour.helpers import touch, wait_for_file

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


class Holder:
    def __init__(self, content):
        self.content = content
        self.more = {"also": [content]}


@dataclasses.dataclass
class Record:
    content: object


class Slotted:
    __slots__ = ("content",)

    def __init__(self, content):
        self.content = content


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def fail(text):
    raise ZeroDivisionError(text)


@task(returns=1)
def after(path, value):
    wait_for_file(path)
    return value


@task(returns=1)
def total(values):
    return sum(values)


@task(returns=1)
def call(function, *args):
    return function(*args)


@task(items=INOUT)
def append(items, value):
    items.append(value)


@task(values=COLLECTION_IN, returns=1)
def collected(values):
    return values


# ---------------------------------------------------------------------- the interface


def test_call_returns_a_future_of_the_standard_kind():
    future = give(1)
    assert isinstance(future, Future)
    assert isinstance(future, concurrent.futures.Future)
    assert compss_wait_on(future) == 1


def test_result_gives_the_same_object_each_time():
    future = give([1])
    assert future.result() == [1]
    assert future.result() is future.result()


@pytest.mark.engines("local")
def test_result_with_a_time_limit(tmp_path):
    gate = tmp_path / "gate"
    future = after(str(gate), 5)
    for limit in (0, 0.01):
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(timeout=limit)
    with pytest.raises(TimeoutError, match=r"0\.01 seconds"):
        compss_wait_on([future], timeout=0.01)
    assert not future.done()
    touch(gate)
    assert future.result(timeout=20) == 5
    assert future.result(timeout=0) == 5
    assert future.done()


@pytest.mark.engines("local")
def test_running_and_cancel(tmp_path):
    gate = tmp_path / "gate"
    future = after(str(gate), 5)
    assert future.cancel() is False
    assert future.cancelled() is False
    touch(gate)
    assert future.result() == 5
    assert future.running() is False


def test_exception_of_a_task_that_failed_and_of_one_that_did_not():
    assert give(1).exception() is None
    error = fail("text").exception()
    assert type(error) is ZeroDivisionError
    assert str(error) == "text"


def test_value_cannot_be_set_from_outside():
    future = give(1)
    with pytest.raises(TypeError, match="from the task"):
        future.set_result(2)
    with pytest.raises(TypeError, match="from the task"):
        future.set_exception(ValueError())
    assert future.result() == 1


@pytest.mark.engines("local")
def test_callbacks_before_and_after_the_end(tmp_path):
    gate, called = tmp_path / "gate", threading.Event()
    seen = []
    future = after(str(gate), 5)
    future.add_done_callback(lambda future: seen.append(("before", future.done())))
    future.add_done_callback(lambda future: called.set())
    assert not seen
    touch(gate)
    assert called.wait(20)
    future.add_done_callback(lambda future: seen.append(("after", future.result())))
    assert seen == [("before", True), ("after", 5)]


def test_callback_of_a_failed_task():
    future = fail("text")
    future.exception()
    seen = []
    future.add_done_callback(seen.append)
    assert seen == [future]


@pytest.mark.engines("local")
def test_callback_that_raises_harms_nobody(tmp_path, caplog):
    gate, called = tmp_path / "gate", threading.Event()

    def bad(future):
        raise RuntimeError("callback")

    future = after(str(gate), 5)
    future.add_done_callback(bad)
    future.add_done_callback(lambda future: called.set())
    touch(gate)
    assert called.wait(20)
    assert "callback" in caplog.text
    assert compss_wait_on(give(1)) == 1


@pytest.mark.engines("local")
def test_callback_may_call_tasks(tmp_path):
    gate, results, called = tmp_path / "gate", [], threading.Event()

    def more(future):
        results.append(give(future.result() + 1))
        called.set()

    future = after(str(gate), 5)
    future.add_done_callback(more)
    touch(gate)
    assert called.wait(20)
    assert compss_wait_on(results) == [6]


def test_text_of_a_future_tells_its_state():
    future = give([1])
    assert "task" in repr(future)
    future.result()
    assert "done" in repr(future)
    assert "Future" in f"{future}"
    failed = fail("x")
    failed.exception()
    assert "failed" in repr(failed)


# ---------------------------------------------------------------------- await


@pytest.mark.engines("local")
def test_await(tmp_path):
    async def main():
        gate = tmp_path / "gate"
        late = after(str(gate), "late")
        assert await give([1, 2]) == [1, 2]
        asyncio.get_running_loop().call_soon(touch, gate)
        assert await late == "late"
        assert await late == "late"

    asyncio.run(main())


@pytest.mark.engines("local")
def test_await_raises_what_the_task_raised():
    async def main():
        with pytest.raises(ZeroDivisionError, match="text"):
            await fail("text")

    asyncio.run(main())


@pytest.mark.engines("local")
def test_gather_and_wrap_future():
    async def main():
        assert await asyncio.gather(*[give(n) for n in range(10)]) == list(range(10))
        assert await asyncio.wrap_future(give(3)) == 3
        assert await asyncio.wait_for(give([4]), 20) == [4]
        with pytest.raises(ZeroDivisionError):
            await asyncio.wrap_future(fail("wrapped"))

    asyncio.run(main())


@pytest.mark.engines("local")
def test_other_coroutines_run_while_one_awaits(tmp_path):
    gate = tmp_path / "gate"

    async def open_gate():
        touch(gate)

    async def main():
        late, _ = await asyncio.gather(asyncio.wait_for(after(str(gate), 1), 20), open_gate())
        assert late == 1

    asyncio.run(main())


@pytest.mark.engines("local")
def test_large_result_can_be_awaited():
    async def main():
        return len(await give(bytes(1_000_000)))

    assert asyncio.run(main()) == 1_000_000


# ---------------------------------------------------------------------- as_completed, concurrent.futures


@pytest.mark.engines("local")
def test_as_completed_yields_in_the_order_of_ends(tmp_path):
    gates = [tmp_path / str(n) for n in range(2)]
    futures = [after(str(gate), n) for n, gate in enumerate(gates)]
    order = []
    touch(gates[1])
    for future in as_completed(futures, timeout=20):
        order.append(future.result())
        touch(gates[0])
    assert order == [1, 0]


@pytest.mark.engines("local")
def test_as_completed_gives_up_after_its_time_limit(tmp_path):
    gate = tmp_path / "gate"
    late = after(str(gate), 1)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(as_completed([late], timeout=0.02))
    touch(gate)
    assert next(as_completed([late])) is late


@pytest.mark.engines("local")
def test_as_completed_of_many_with_failures():
    futures = [fail("x") if n % 10 == 0 else give(n) for n in range(100)]
    done = list(as_completed(futures))
    assert set(map(id, done)) == set(map(id, futures))
    assert sum(future.exception() is not None for future in done) == 10


@pytest.mark.engines("sequential")
def test_as_completed_of_plain_values():
    assert list(as_completed([1, "two", None])) == [1, "two", None]


def test_as_completed_of_finished_futures():
    futures = [give(n) for n in range(3)]
    taskflow.compss_barrier()
    assert sorted(future.result() for future in as_completed(futures)) == [0, 1, 2]


@pytest.mark.engines("local")
def test_standard_wait(tmp_path):
    gate = tmp_path / "gate"
    quick, late = give([1]), after(str(gate), 2)
    done, pending = concurrent.futures.wait([quick, late], return_when=concurrent.futures.FIRST_COMPLETED, timeout=20)
    assert (done, pending) == ({quick}, {late})
    touch(gate)
    done, pending = concurrent.futures.wait([quick, late], timeout=20)
    assert (done, pending) == ({quick, late}, set())
    assert concurrent.futures.wait([quick, late]).done == {quick, late}


@pytest.mark.engines("local")
def test_standard_wait_for_the_first_exception():
    bad = fail("first")
    done, _ = concurrent.futures.wait([bad, give(1)], return_when=concurrent.futures.FIRST_EXCEPTION, timeout=20)
    assert bad in done
    assert isinstance(bad.exception(), ZeroDivisionError)


@pytest.mark.engines("local")
def test_standard_as_completed_together_with_futures_of_others():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        futures = [give(1), give([2]), pool.submit(int, "3")]
        results = [future.result() for future in concurrent.futures.as_completed(futures, timeout=20)]
    assert sorted(map(str, results)) == ["1", "3", "[2]"]


@pytest.mark.engines("local")
def test_results_from_several_threads():
    futures = [give([n]) for n in range(50)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda future: future.result(), futures)) == [[n] for n in range(50)]


@pytest.mark.engines("local")
def test_tasks_called_from_several_threads():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = list(pool.map(give, range(200)))
    assert compss_wait_on(futures) == list(range(200))


# ---------------------------------------------------------------------- misuse

MISUSES = {
    "if": lambda f: 1 if f else 2,
    "not": lambda f: not f,
    "and": lambda f: f and 1,
    "iteration": lambda f: list(f),
    "unpacking": lambda f: (lambda a, b: a)(*f),
    "len": lambda f: len(f),
    "index": lambda f: f[0],
    "assignment to an index": lambda f: operator.setitem(f, 0, 1),
    "deletion of an index": lambda f: operator.delitem(f, 0),
    "in": lambda f: 1 in f,
    "call": lambda f: f(),
    "int": lambda f: int(f),
    "float": lambda f: float(f),
    "range": lambda f: range(f),
    "round": lambda f: round(f),
    "with": lambda f: f.__enter__(),
    "+": lambda f: f + 1,
    "reversed +": lambda f: 1 + f,
    "+=": lambda f: operator.iadd(f, 1),
    "text +": lambda f: "a" + f,
    "list +": lambda f: [1] + f,
    "*": lambda f: f * f,
    "reversed *": lambda f: [0] * f,
    "-": lambda f: -f,
    "abs": lambda f: abs(f),
    "**": lambda f: f**2,
    "/": lambda f: 1 / f,
    "//": lambda f: f // 2,
    "%": lambda f: f % 2,
    "@": lambda f: f @ f,
    "<<": lambda f: f << 1,
    "&": lambda f: f & 1,
    "~": lambda f: ~f,
    "divmod": lambda f: divmod(f, 2),
    "<": lambda f: f < 1,
    "reversed <": lambda f: 1 < f,  # noqa: SIM300
    ">=": lambda f: f >= 1,
    "max": lambda f: max(f, 1),
    "sorted": lambda f: sorted([f, f]),
    "== number": lambda f: f == 1,
    "!= text": lambda f: f != "text",
    "number ==": lambda f: 1 == f,  # noqa: SIM300
    "sum": lambda f: sum([f]),
    "math": lambda f: math.sqrt(f),
    "format": lambda f: f"{f:.2f}",
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_taking_a_future_for_its_value_says_compss_wait_on(misuse):
    future = give([1])
    with pytest.raises(FutureUsedAsValueError, match=r"compss_wait_on") as caught:
        misuse(future)
    assert isinstance(caught.value, TypeError)
    assert future.result() == [1]


ARRAY_MISUSES = {
    "numpy +": lambda np, f: np.arange(3) + f,
    "+ numpy": lambda np, f: f + np.arange(3),
    "scalar *": lambda np, f: np.float64(2) * f,
    "ufunc": lambda np, f: np.sqrt(f),
    "function": lambda np, f: np.concatenate([f, f]),
    "sum": lambda np, f: np.sum(np.array([f, f])),
}


@pytest.mark.parametrize("misuse", ARRAY_MISUSES.values(), ids=ARRAY_MISUSES.keys())
def test_taking_a_future_for_an_array_says_compss_wait_on(misuse):
    import numpy as np

    future = give(1)
    with pytest.raises(FutureUsedAsValueError, match=r"compss_wait_on"):
        misuse(np, future)
    assert future.result() == 1


def test_attribute_of_the_value_says_compss_wait_on():
    future = give([1])
    with pytest.raises(AttributeError, match=r"no attribute 'append'.*compss_wait_on"):
        future.append(2)
    assert not hasattr(future, "real")
    assert future.result() == [1]


def test_futures_may_be_compared_with_each_other_and_kept_in_sets():
    first, second = give(1), give(1)
    assert first == first  # noqa: PLR0124
    assert first != second
    assert first is not None
    assert first not in (second, None)
    assert len({first, second, first}) == 2
    assert {first: "a"}[first] == "a"
    compss_wait_on(first, second)


def test_pickling_a_future_outside_a_call_is_refused():
    future = give(1)
    with pytest.raises(SerializationError, match="compss_wait_on"):
        pickle.dumps(future)
    assert future.result() == 1


# ---------------------------------------------------------------------- futures hidden in arguments

PLACES = {
    "list": (lambda f: [1, f], lambda v: v[1]),
    "tuple": (lambda f: (1, f), lambda v: v[1]),
    "dict": (lambda f: {"k": f}, lambda v: v["k"]),
    "nested": (lambda f: [{"a": (0, [f])}], lambda v: v[0]["a"][1][0]),
    "object": (lambda f: Holder(f), lambda v: v.content),
    "object's dict": (lambda f: Holder(f), lambda v: v.more["also"][0]),
    "dataclass": (lambda f: Record(f), lambda v: v.content),
    "slots": (lambda f: Slotted(f), lambda v: v.content),
    "closure": (lambda f: lambda: f, lambda v: v()),
    "default of a lambda": (lambda f: lambda x=f: x, lambda v: v()),
    "method": (lambda f: Holder(f).__getattribute__, lambda v: v("content")),
    "generator": (lambda f: (item for item in [f]), lambda v: next(v)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("value", [5, "text", [1, 2], bytes(200_000)], ids=["int", "str", "list", "large"])
def test_future_hidden_in_an_argument_is_found_and_resolved(place, value):
    hide, find = place
    assert compss_wait_on(call(lambda argument: find(argument), hide(give(value)))) == value


def test_hidden_future_makes_a_dependency():
    chain = give([0])
    for n in range(20):
        chain = call(lambda box, n: [*box["inner"][0], n], {"inner": [chain]}, n)
    assert compss_wait_on(chain) == [0, *range(20)]


def test_one_future_hidden_several_times_is_one_object():
    future = give([1])
    assert compss_wait_on(call(lambda a: a[0] is a[1]["k"], [future, {"k": future}])) is True


def test_many_futures_hidden_in_a_list():
    assert compss_wait_on(total([give(n) for n in range(300)])) == sum(range(300))


def test_hidden_future_of_a_failed_task_fails_the_reader():
    with pytest.raises(ZeroDivisionError, match="hidden"):
        compss_wait_on(total([1, fail("hidden")]))


def test_hidden_future_in_an_inout_object():
    items = [give(1), give(2)]
    append(items, 3)
    append(items, give(4))
    assert compss_wait_on(items) == [1, 2, 3, 4]


def test_hidden_future_in_an_element_of_a_collection():
    assert compss_wait_on(collected([Record(give(1)), [give(2)]]))[0].content == 1


def test_hidden_future_in_an_object_that_was_put():
    stored = put([give(1), give(2)])
    assert compss_wait_on(total(stored)) == 3


def test_future_in_keyword_arguments_of_a_dictionary_kind():
    @task(returns=1)
    def keys(**options):
        return {name: value for name, value in options.items()}  # noqa: C416

    assert compss_wait_on(keys(a=[give(1)], b=give(2))) == {"a": [1], "b": 2}


def test_future_of_another_library_is_refused_as_an_argument():
    with pytest.raises(SerializationError, match=r"args\[0\]"):
        give(concurrent.futures.Future())


def test_waiting_many_times_costs_one_task():
    future = give([1])
    start = time.perf_counter()
    for _ in range(1000):
        compss_wait_on(future)
    assert time.perf_counter() - start < 5
