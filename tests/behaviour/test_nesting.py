"""Tasks that call tasks: submitted with nesting on (or for one function), plain calls otherwise."""

import os
import signal
import threading
import time

import pytest

import taskflow
from taskflow import (
    COLLECTION_IN,
    COLLECTION_INOUT,
    COMMUTATIVE,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    INOUT,
    Future,
    NotRunningError,
    TaskflowError,
    TaskGroup,
    UnavailableError,
    as_completed,
    compss_barrier,
    compss_barrier_group,
    compss_file_exists,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    task,
)
from tests.behaviour.helpers import touch, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")

#: A body on another machine than the program's cannot call tasks with files.
FILES_HERE = pytest.mark.engines("sequential", "local", "simulated")


# ---------------------------------------------------------------------- by default: S41


@task(returns=1)
def add_one(x):
    return x + 1


@task(returns=1)
def kind_of_call(x):
    return type(add_one(x)).__name__


@task(returns=1)
def level(n):
    return n if n == 0 else compss_wait_on(level(n - 1)) + 1


@task(items=INOUT)
def append(items, item):
    items.append(item)


@task(returns=1)
def plainly(path):
    items = []
    append(items, 1)
    with TaskGroup("inner"):
        append(items, 2)
    compss_barrier()
    compss_barrier_group("inner")
    with compss_open(path, "w") as file:
        file.write("text")
    return compss_wait_on(items), compss_file_exists(path)


def test_s41_a_task_in_a_task_is_a_plain_call_by_default():
    assert compss_wait_on(kind_of_call(3)) == "int"
    assert compss_wait_on(level(3)) == 3


def test_s41_functions_in_a_task_are_the_sequential_ones_by_default(tmp_path):
    assert compss_wait_on(plainly(str(tmp_path / "file"))) == ([1, 2], True)


# ---------------------------------------------------------------------- nested


@task(returns=1, nested=True)
def fib(n):
    if n < 2:
        return n
    a, b = compss_wait_on(fib(n - 1), fib(n - 2))
    return a + b


@task(returns=1, nested=True)
def what_a_call_gives(x):
    result = add_one(x)
    if taskflow.runtime.session is None:
        return type(result).__name__, result
    return (type(result).__name__, isinstance(result, Future), result.result(), result.done(), result.result())


@task(returns=1, nested=True)
def count(n):
    return 0 if n == 0 else compss_wait_on(count(n - 1)) + 1


@task(returns=1)
def merged(a, b):
    return sorted(a + b)


@task(returns=1, nested=True)
def merge_sort(items):
    if len(items) < 8:
        return sorted(items)
    half = len(items) // 2
    return merged(merge_sort(items[:half]), merge_sort(items[half:]))


def test_recursion():
    assert compss_wait_on(fib(8)) == 21


def test_a_call_gives_a_future(engine):
    expected = ("Future", True, 4, True, 4) if engine.parallel else ("int", 4)
    assert compss_wait_on(what_a_call_gives(3)) == expected


def test_s48_count_with_waits_on_every_level():
    assert compss_wait_on(count(5)) == 5


def test_merge_sort_returns_futures_of_children():
    items = [(i * 7919) % 1000 for i in range(300)]
    assert compss_wait_on(merge_sort(items)) == sorted(items)


# ---------------------------------------------------------------------- data


@task(returns=1, nested=True)
def inout_in_child(n):
    items = []
    for i in range(n):
        append(items, i)
    return compss_wait_on(items)


@task(items=INOUT, nested=True)
def append_by_child(items, item):
    append(items, item)


@task(returns=1, nested=True)
def returns_tracked(n):
    items = []
    for i in range(n):
        append(items, i)
    return items


@task(returns=1, nested=True)
def returns_hidden(x):
    return {"a": [add_one(x), add_one(x + 1)], "b": 7}


@task(returns=2, nested=True)
def returns_two(x):
    return add_one(x), 2 * x


@task(values=COLLECTION_INOUT)
def add_to_all(values, k):
    for place, value in enumerate(values):
        values[place] = value + k


@task(returns=1, values=COLLECTION_IN)
def total(values):
    return sum(values)


@task(values=COLLECTION_INOUT, nested=True)
def add_to_all_by_children(values, k):
    add_to_all(values, k)
    add_to_all(values, k)


@task(returns=1, nested=True)
def total_of_futures(n):
    return total([add_one(i) for i in range(n)])


class Box:
    def __init__(self):
        self.items = []

    @task()
    def put(self, item):
        self.items.append(item)

    @task(nested=True)
    def put_twice(self, item):
        self.put(item)
        self.put(item)


@task(returns=1)
def zeros(n):
    import numpy as np

    return np.zeros(n)


@task(values=INOUT)
def add_in_place(values, k):
    values += k


@task(returns=1, nested=True)
def large_by_children(n):
    values = zeros(n)
    add_in_place(values, 1)
    add_in_place(values, 2)
    return values


@task(returns=1, nested=True)
def large_of_its_own(n):
    import numpy as np

    values = np.ones(n)
    sums = [array_sum(values) for _ in range(3)]
    add_in_place(values, 1)
    sums.append(array_sum(values))
    return compss_wait_on(sums)


@task(returns=1)
def array_sum(values):
    return float(values.sum())


def test_object_written_by_children():
    assert compss_wait_on(inout_in_child(5)) == [0, 1, 2, 3, 4]


def test_inout_parameter_left_to_a_child():
    items = []
    append(items, 0)
    append_by_child(items, 1)
    append(items, 2)
    append_by_child(items, 3)
    assert compss_wait_on(items) == [0, 1, 2, 3]


def test_tracked_object_is_returned_unfinished():
    assert compss_wait_on(returns_tracked(4)) == [0, 1, 2, 3]


def test_futures_in_a_returned_object():
    assert compss_wait_on(returns_hidden(1)) == {"a": [2, 3], "b": 7}


def test_one_of_two_results_is_a_child_s():
    a, b = returns_two(5)
    assert compss_wait_on(a, b) == [6, 10]


def test_collection_written_by_children():
    values = [1, 2, 3]
    add_to_all_by_children(values, 10)
    assert compss_wait_on(values) == [21, 22, 23]


def test_collection_of_futures_in_a_body():
    assert compss_wait_on(total_of_futures(5)) == 15


def test_method_whose_object_children_write():
    box = Box()
    box.put(0)
    box.put_twice(1)
    box.put(2)
    box = compss_wait_on(box)
    assert box.items == [0, 1, 1, 2]


def test_large_array_made_and_changed_by_children():
    assert compss_wait_on(large_by_children(100_000)).sum() == 300_000


def test_large_array_of_the_body():
    assert compss_wait_on(large_of_its_own(100_000)) == [100_000.0, 100_000.0, 100_000.0, 200_000.0]


@task(items=COMMUTATIVE, nested=True)
def append_by_child_in_any_order(items, item):
    append(items, item)


def test_commutative_parameter_left_to_children():
    items = []
    for i in range(6):
        append_by_child_in_any_order(items, i)
    assert sorted(compss_wait_on(items)) == [0, 1, 2, 3, 4, 5]


# ---------------------------------------------------------------------- files


@task(path=FILE_OUT)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)


@task(path=FILE_INOUT)
def extend(path, text):
    with open(path, "a") as file:
        file.write(text)


@task(returns=1, path=FILE_IN)
def read(path):
    with open(path) as file:
        return file.read()


@task(returns=1, path=FILE_IN)
def read_late(path, gate):
    wait_for_file(gate)
    with open(path) as file:
        return file.read()


@task(path=FILE_INOUT, nested=True)
def extend_by_children(path, text):
    extend(path, text)
    extend(path, text)


@task(path=FILE_OUT, nested=True)
def write_by_children(path, text):
    write(path, text)
    extend(path, "!")


@task(returns=1, path=FILE_IN, nested=True)
def read_by_child(path):
    return read(path)


@task(returns=1, nested=True)
def files_of_its_own(folder):
    path = os.path.join(folder, "inner")
    write(path, "a")
    extend(path, "b")
    there = compss_file_exists(path)
    with compss_open(path) as file:
        text = file.read()
    extend(path, "c")
    compss_wait_on_file(path)
    with open(path) as file:
        return there, text, file.read()


@task(nested=True)
def leaves_a_file(path):
    write(path, "left")


@FILES_HERE
def test_file_left_to_children(tmp_path):
    path = str(tmp_path / "file")
    write_by_children(path, "one")
    extend_by_children(path, "+")
    extend(path, ".")
    with compss_open(path) as file:
        assert file.read() == "one!++."


@FILES_HERE
def test_file_read_by_a_child(tmp_path):
    path = str(tmp_path / "file")
    write(path, "text")
    assert compss_wait_on(read_by_child(path)) == "text"


@FILES_HERE
def test_files_of_a_body(tmp_path):
    assert compss_wait_on(files_of_its_own(str(tmp_path))) == (True, "ab", "abc")


@FILES_HERE
def test_file_that_a_body_leaves_behind(tmp_path):
    path = str(tmp_path / "file")
    compss_wait_on(leaves_a_file(path))
    compss_barrier()
    with compss_open(path) as file:
        assert file.read() == "left"


# ---------------------------------------------------------------------- groups and barriers


@task(returns=1)
def mark(path):
    time.sleep(0.01)
    touch(path)
    return path


@task(returns=1, nested=True)
def with_barriers(folder):
    seen = []
    paths = [os.path.join(folder, str(n)) for n in range(6)]
    mark(paths[0])
    compss_barrier()
    seen.append(os.path.exists(paths[0]))
    with TaskGroup("inner"):
        mark(paths[1])
        with TaskGroup("innermost", implicit_barrier=False):
            mark(paths[2])
    seen += [os.path.exists(path) for path in paths[1:3]]
    with TaskGroup("inner", implicit_barrier=False):
        mark(paths[3])
    compss_barrier_group("inner")
    seen.append(os.path.exists(paths[3]))
    return seen


def test_barriers_and_groups_in_a_body(tmp_path):
    assert compss_wait_on(with_barriers(str(tmp_path))) == [True] * 4


# ---------------------------------------------------------------------- failures


@task(returns=1)
def fail(text):
    raise LookupError(text)


@task(returns=1, nested=True)
def waits_for_failure():
    return compss_wait_on(fail("bad child"))


@task(returns=1, nested=True)
def catches_failure():
    try:
        compss_wait_on(fail("caught"))
    except LookupError as error:
        return str(error)


@task(returns=1, nested=True)
def returns_failure():
    return fail("returned")


@task(nested=True)
def leaves_failure():
    fail("left")


@pytest.mark.engines("local", "simulated")
def test_failure_of_a_child_names_both():
    with pytest.raises(LookupError, match="bad child") as caught:
        compss_wait_on(waits_for_failure())
    story = str(caught.value.__cause__)
    assert " waits_for_failure, called at " in story
    assert " fail, called at " in story


def test_failure_of_a_child_is_caught():
    assert compss_wait_on(catches_failure()) == "caught"


def test_failure_of_a_returned_child():
    with pytest.raises(LookupError, match="returned"):
        compss_wait_on(returns_failure())


def test_failure_that_a_body_leaves_behind():
    with pytest.raises(LookupError, match="left"):
        leaves_failure()
        compss_barrier()


@task(returns=1)
def slow(mark_path, gate):
    touch(mark_path)
    wait_for_file(gate)
    return "slow"


@task(returns=1, nested=True)
def waits_and_says_who(folder):
    touch(os.path.join(folder, f"parent-{os.getpid()}"))
    return compss_wait_on(slow(os.path.join(folder, "child"), os.path.join(folder, "gate")))


@task(returns=1)
def dies_once(path):
    if not os.path.exists(path):
        touch(path)
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@task(returns=1, nested=True)
def survives_its_child(path):
    return os.getpid(), compss_wait_on(dies_once(path)), os.getpid()


@pytest.mark.engines("local")
def test_death_of_a_child_does_not_touch_its_parent(tmp_path):
    before, child, after = compss_wait_on(survives_its_child(str(tmp_path / "died")))
    assert before == after != child


# ---------------------------------------------------------------------- ways to wait


@task(returns=1, nested=True)
def polls(x):
    future = add_one(x)
    while not future.done():
        time.sleep(0.001)
    return future.result()


@task(returns=1, nested=True)
def takes_as_completed(n):
    return sorted(future.result() for future in as_completed([add_one(i) for i in range(n)]))


@task(returns=1, nested=True)
def is_called_back(x):
    called = threading.Event()
    future = add_one(x)
    future.add_done_callback(lambda _: called.set())
    return called.wait(20), future.result()


@task(returns=1, nested=True)
def awaits(x):
    import asyncio

    async def main():
        return await add_one(x), await asyncio.gather(add_one(x + 1), add_one(x + 2))

    return asyncio.run(main())


@task(returns=1, nested=True)
def has_threads(n):
    results = [None] * n

    def work(i):
        results[i] = add_one(i).result()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@task(returns=1, nested=True)
def gives_up(folder):
    future = slow(os.path.join(folder, "begun"), os.path.join(folder, "gate"))
    try:
        compss_wait_on(future, timeout=0.05)
    except TimeoutError:
        touch(os.path.join(folder, "gate"))
        return compss_wait_on(future)


kept = []


@task(returns=1, nested=True)
def keeps_a_future(folder):
    kept.append(slow(os.path.join(folder, "begun"), os.path.join(folder, "gate")))
    return os.getpid()


@task(returns=1, nested=True)
def uses_a_kept_future():
    try:
        compss_wait_on(kept.pop())
    except NotRunningError as error:
        return str(error)
    except IndexError:
        return None


@task(returns=1, nested=True)
def stops():
    try:
        taskflow.stop()
    except TaskflowError as error:
        return str(error)


@pytest.mark.engines("local", "simulated")
def test_a_task_cannot_stop_the_session():
    assert "only the main program" in compss_wait_on(stops())


# ---------------------------------------------------------------------- many


@task(returns=1, nested=True)
def many_children(n):
    started = time.perf_counter()
    result = sum(compss_wait_on([add_one(i) for i in range(n)]))
    return result, n / (time.perf_counter() - started)


@pytest.mark.engines("local")
def test_ten_thousand_children_of_one_task(record_property):
    result, rate = compss_wait_on(many_children(10_000))
    assert result == 50_005_000
    record_property("children_per_second", round(rate))
    assert rate > 1000


@task(returns=1, nested=True)
def one_child(x):
    return compss_wait_on(add_one(x))


@pytest.mark.engines("cluster")
def test_a_body_on_another_machine_that_calls_tasks_with_files_is_told_so(tmp_path):
    path = str(tmp_path / "file")
    with open(path, "w") as file:
        file.write("text")
    leaves_a_file(path)
    with pytest.raises(UnavailableError, match="leaves_a_file calls tasks with files and runs on another machine"):
        compss_barrier()
