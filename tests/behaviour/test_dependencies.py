"""S08, S09 and the dependency table: which tasks wait for which, which overlap, and what each of them sees.

Tasks that must overlap meet at files: if they did not overlap, the meeting would fail.
"""

import os

import pytest

import taskflow
from taskflow import (
    COLLECTION_INOUT,
    COMMUTATIVE,
    CONCURRENT,
    FILE_COMMUTATIVE,
    FILE_CONCURRENT,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    IN,
    IN_DELETE,
    INOUT,
    OUT,
    DeletedDataError,
    compss_barrier,
    compss_delete_object,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    task,
)
from tests.behaviour.helpers import meet, touch, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")


class Box:
    def __init__(self):
        self.items = []


@task(box=INOUT)
def put(box, item):
    box.items.append(item)


@task(box=IN, returns=1)
def seen(box):
    return list(box.items)


@task(box=OUT)
def renew(box, item):
    box.items = [item]


@task(box=CONCURRENT)
def put_concurrently(box, item):
    box.items.append(item)


@task(box=COMMUTATIVE)
def put_commutatively(box, item):
    box.items.append(item)


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def together(folder, name, count):
    return meet(folder, name, count)


@task(returns=1)
def after_file(path, value):
    wait_for_file(path)
    return value


# ---------------------------------------------------------------------- values in order


def test_chain_of_writes_in_order():
    box = Box()
    for n in range(50):
        put(box, n)
    assert compss_wait_on(box).items == list(range(50))


def test_readers_see_the_version_of_their_place_in_the_program():
    box = Box()
    results = []
    for n in range(10):
        results.append(seen(box))
        put(box, n)
    assert compss_wait_on(results) == [list(range(n)) for n in range(10)]


def test_out_begins_anew_and_readers_of_old_versions_are_undisturbed():
    box = Box()
    put(box, 1)
    old = seen(box)
    renew(box, 2)
    new = seen(box)
    put(box, 3)
    assert compss_wait_on(old, new) == [[1], [2]]
    assert compss_wait_on(box).items == [2, 3]


def test_futures_chain_through_tasks():
    value = give(0)
    for _ in range(50):
        value = give(value)
    assert compss_wait_on(value) == 0


def test_inout_on_a_future_gives_it_a_new_version():
    @task(returns=1)
    def make():
        return Box()

    box = make()
    before = seen(box)
    put(box, "a")
    between = seen(box)
    put(box, "b")
    assert compss_wait_on(before, between) == [[], ["a"]]
    assert compss_wait_on(box).items == ["a", "b"]


def test_object_after_waiting_belongs_to_the_program_again():
    box = Box()
    put(box, 1)
    box = compss_wait_on(box)
    box.items.append("main")
    put(box, 2)
    assert compss_wait_on(seen(box)) == [1, "main", 2]


def test_two_objects_written_by_one_task():
    @task(first=INOUT, second=INOUT)
    def move(first, second):
        second.items.append(first.items.pop())

    first, second = Box(), Box()
    put(first, 1)
    put(first, 2)
    move(first, second)
    assert [box.items for box in compss_wait_on(first, second)] == [[1], [2]]


def test_one_object_given_twice_to_a_task():
    @task(first=INOUT, second=IN, returns=1)
    def compare(first, second):
        first.items.append("x")
        return len(second.items) >= 1

    @task(first=IN, second=INOUT, returns=1)
    def compare_reversed(first, second):
        second.items.append("y")
        return len(first.items) >= 1

    box = Box()
    put(box, 1)
    assert compss_wait_on(compare(box, box), compare_reversed(box, box)) == [True, True]
    assert compss_wait_on(box).items == [1, "x", "y"]


def test_one_object_written_through_two_parameters():
    @task(first=INOUT, second=INOUT)
    def both(first, second):
        first.items.append(1)
        second.items.append(2)

    box = Box()
    both(box, box)
    put(box, 3)
    assert compss_wait_on(box).items == [1, 2, 3]


def test_immutable_values_as_inout():
    @task(n=INOUT, text=INOUT)
    def change(n, text):  # noqa: ARG001
        return

    n, text = 5, "text"
    change(n, text)
    assert compss_wait_on(n) == 5
    assert compss_wait_on(text) == "text"


# ---------------------------------------------------------------------- overlap


@pytest.mark.engines("local")
def test_independent_tasks_overlap(tmp_path):
    results = [together(str(tmp_path), str(n), 2) for n in range(2)]
    assert compss_wait_on(results) == [True, True]


@pytest.mark.engines("local")
def test_write_after_read_does_not_wait(tmp_path):
    """The reader of the old version ends only after the writer has run: an edge would not let it."""
    flag = str(tmp_path / "written")

    @task(box=IN, returns=1)
    def read_late(box, flag):
        wait_for_file(flag)
        return list(box.items)

    @task(box=INOUT)
    def write(box, flag):
        box.items.append("new")
        touch(flag)

    box = Box()
    put(box, "old")
    late = read_late(box, flag)
    write(box, flag)
    assert compss_wait_on(late) == ["old"]
    assert compss_wait_on(box).items == ["old", "new"]


@pytest.mark.engines("local")
def test_write_after_write_does_not_wait(tmp_path):
    flag = str(tmp_path / "written")

    @task(box=OUT)
    def write_late(box, flag):
        wait_for_file(flag)
        box.items = ["late"]

    @task(box=OUT)
    def write(box, flag):
        box.items = ["second"]
        touch(flag)

    box = Box()
    write_late(box, flag)
    first = seen(box)
    write(box, flag)
    assert compss_wait_on(first) == ["late"]
    assert compss_wait_on(box).items == ["second"]


@pytest.mark.engines("local")
def test_write_after_read_of_a_file_does_not_wait(tmp_path):
    flag, data = str(tmp_path / "flag"), str(tmp_path / "data")

    @task(path=FILE_IN, returns=1)
    def read_late(path, flag):
        wait_for_file(flag)
        with open(path) as file:
            return file.read()

    @task(path=FILE_OUT)
    def write(path, flag):
        with open(path, "w") as file:
            file.write("new")
        touch(flag)

    with open(data, "w") as file:
        file.write("old")
    late = read_late(data, flag)
    write(data, flag)
    assert compss_wait_on(late) == "old"
    with compss_open(data) as file:
        assert file.read() == "new"


@pytest.mark.engines("local")
def test_readers_of_one_version_overlap(tmp_path):
    @task(box=IN, returns=1)
    def read_together(box, folder, name):
        return meet(folder, name, 2) and list(box.items)

    box = Box()
    put(box, 1)
    assert compss_wait_on([read_together(box, str(tmp_path), str(n)) for n in range(2)]) == [[1], [1]]


@pytest.mark.engines("local")
def test_writers_of_different_elements_overlap(tmp_path):
    @task(c=COLLECTION_INOUT, returns=1)
    def write_together(c, folder, name):
        c[0].items.append(name)
        return meet(folder, name, 2)

    boxes = [Box(), Box()]
    results = [write_together([box], str(tmp_path), str(n)) for n, box in enumerate(boxes)]
    assert compss_wait_on(results) == [True, True]
    assert [box.items for box in compss_wait_on(boxes)] == [["0"], ["1"]]


# ---------------------------------------------------------------------- S08: CONCURRENT


@task(path=FILE_CONCURRENT, returns=1)
def append_meeting(path, folder, name, count):
    came = meet(folder, name, count)
    with open(path, "a") as file:
        file.write("concurrent\n")
    return came


@task(path=FILE_CONCURRENT)
def append_concurrently(path, line):
    with open(path, "a") as file:
        file.write(f"{line}\n")


@task(path=FILE_INOUT, returns=1)
def append_alone(path, line):
    with open(path) as file:
        before = file.read().count("\n")
    with open(path, "a") as file:
        file.write(f"{line}\n")
    return before


@pytest.mark.engines("local")
def test_s08_concurrent_tasks_overlap_and_writers_follow_one_by_one(tmp_path):
    path, folder = str(tmp_path / "shared"), str(tmp_path / "meeting")
    os.mkdir(folder)
    touch(path)
    came = [append_meeting(path, folder, str(n), 2) for n in range(2)]
    came += [append_meeting(path, folder, str(n), 2) for n in range(2, 4)]
    alone = [append_alone(path, "inout") for _ in range(4)]
    assert compss_wait_on(came) == [True] * 4
    assert compss_wait_on(alone) == [4, 5, 6, 7]
    with compss_open(path) as file:
        assert sorted(file.read().split()) == ["concurrent"] * 4 + ["inout"] * 4


def test_s08_all_lines_of_concurrent_tasks_arrive(tmp_path):
    path = str(tmp_path / "shared")
    with open(path, "w") as file:
        file.write("first\n")
    for n in range(6):
        append_concurrently(path, n)
    before = append_alone(path, "middle")
    for n in range(6):
        append_concurrently(path, n)
    assert compss_wait_on(before) == 7
    with compss_open(path) as file:
        lines = file.read().split()
    assert lines[0] == "first"
    assert lines[7] == "middle"
    assert sorted(lines[1:7]) == sorted(lines[8:]) == list("012345")


def test_concurrent_tasks_after_a_writer_start_from_its_version(tmp_path):
    path = str(tmp_path / "shared")
    touch(path)
    append_alone(path, "writer")
    append_concurrently(path, "a")
    append_concurrently(path, "b")
    compss_wait_on_file(path)
    with open(path) as file:
        assert file.readline() == "writer\n"
        assert sorted(file.read().split()) == ["a", "b"]


def test_concurrent_objects_leave_one_version():
    box = Box()
    put(box, 0)
    put_concurrently(box, 1)
    put_concurrently(box, 2)
    put(box, 3)
    items = compss_wait_on(box).items
    assert items[0] == 0
    assert items[-1] == 3
    assert set(items[1:-1]) <= {1, 2}


# ---------------------------------------------------------------------- S09: COMMUTATIVE


@task(total=FILE_COMMUTATIVE, part=FILE_IN)
def add_file(total, part):
    with open(part) as file:
        amount = int(file.read())
    with open(total) as file:
        value = int(file.read())
    with open(total, "w") as file:
        file.write(str(value + amount))


@task(path=FILE_OUT)
def produce(path, value, wait_for=None):
    if wait_for is not None:
        wait_for_file(wait_for)
    with open(path, "w") as file:
        file.write(str(value))


@task(path=FILE_IN, returns=1)
def number_in(path):
    with open(path) as file:
        return int(file.read())


def test_s09_sum_of_commutative_additions(tmp_path):
    total = str(tmp_path / "total")
    with open(total, "w") as file:
        file.write("0")
    parts = [str(tmp_path / f"part{n}") for n in range(6)]
    for n, part in enumerate(parts):
        produce(part, 10**n)
        add_file(total, part)
    assert compss_wait_on(number_in(total)) == 111111
    with compss_open(total) as file:
        assert file.read() == "111111"


@pytest.mark.engines("local")
def test_s09_commutative_task_runs_as_soon_as_it_is_ready(tmp_path):
    """The first addition needs a part that is made only after the second addition has run."""
    box, order = Box(), []
    flag = str(tmp_path / "second")

    @task(box=COMMUTATIVE)
    def note(box, value, flag):
        box.items.append(value)
        if flag is not None:
            touch(flag)

    note(box, after_file(flag, "first"), None)
    note(box, give("second"), flag)
    order = compss_wait_on(seen(box))
    assert order == ["second", "first"]


@pytest.mark.engines("local")
def test_s09_commutative_tasks_never_overlap(tmp_path):
    @task(box=COMMUTATIVE)
    def alone(box, folder):
        mark = os.path.join(folder, "busy")
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # fails if another is inside
        box.items.append(len(box.items))
        os.unlink(mark)

    box = Box()
    for _ in range(20):
        alone(box, str(tmp_path))
    assert compss_wait_on(box).items == list(range(20))


@pytest.mark.engines("local")
def test_s09_commutative_tasks_on_different_data_overlap(tmp_path):
    @task(box=COMMUTATIVE, returns=1)
    def meeting(box, folder, name):
        box.items.append(name)
        return meet(folder, name, 2)

    boxes = [Box(), Box()]
    assert compss_wait_on([meeting(box, str(tmp_path), str(n)) for n, box in enumerate(boxes)]) == [
        True,
        True,
    ]


def test_s09_groups_of_different_functions_follow_each_other():
    @task(box=COMMUTATIVE)
    def other(box, item):
        box.items.append(-item)

    box = Box()
    put_commutatively(box, 1)
    put_commutatively(box, 2)
    middle = seen(box)
    other(box, 3)
    other(box, 4)
    put_commutatively(box, 5)
    assert sorted(compss_wait_on(middle)) == [1, 2]
    items = compss_wait_on(box).items
    assert sorted(items[:2]) == [1, 2]
    assert sorted(items[2:4]) == [-4, -3]
    assert items[4] == 5


def test_commutative_task_with_two_data():
    @task(first=COMMUTATIVE, second=COMMUTATIVE)
    def both(first, second, n):
        first.items.append(n)
        second.items.append(n)

    first, second = Box(), Box()
    for n in range(6):
        both(*((first, second) if n % 2 else (second, first)), n)
    assert [sorted(box.items) for box in compss_wait_on(first, second)] == [list(range(6))] * 2


# ---------------------------------------------------------------------- S11: deletion


def test_s11_deleted_object_is_sent_again_as_it_is_now():
    items = Box()
    for n in range(5):
        put(items, "task")
        compss_delete_object(items)
        items = Box()
        items.items.append(n)
        assert compss_wait_on(seen(items)) == [n]
        items.items.append("main")
        assert compss_wait_on(seen(items)) == [n, "main"]


@pytest.mark.engines("local", "simulated")
def test_s11_object_is_unknown_after_deletion():
    box = Box()
    put(box, 1)
    assert compss_delete_object(box) is True
    assert compss_wait_on(box) is box
    assert compss_wait_on(seen(box)) == []


@pytest.mark.engines("local", "simulated")
def test_s11_in_delete_has_the_effect_of_deletion():
    @task(box=IN_DELETE, returns=1)
    def last_seen(box):
        return list(box.items)

    box = Box()
    put(box, 1)
    assert compss_wait_on(last_seen(box)) == [1]
    assert compss_wait_on(seen(box)) == []
    future = give([1])
    assert compss_wait_on(last_seen_of(future)) == [1]
    with pytest.raises(DeletedDataError, match=r"give|last_seen_of|count_items"):
        count_items(future)


@task(value=IN_DELETE, returns=1)
def last_seen_of(value):
    return value


@task(returns=1)
def count_items(value):
    return len(value)


@pytest.mark.parametrize("value", [None, 3, [1], {}, object(), int, len])
def test_anything_may_be_deleted(value):
    assert compss_delete_object(value, value) is True


# ---------------------------------------------------------------------- reading in main


@pytest.mark.engines("local", "simulated")
def test_reading_with_mode_r_keeps_the_version_of_the_runtime():
    box = Box()
    put(box, 1)
    copy = compss_wait_on(box, mode="r")
    copy.items.append("only here")
    put(copy, 2)
    assert compss_wait_on(seen(box)) == [1, 2]
    assert compss_wait_on(seen(copy)) == [1, 2]


@pytest.mark.engines("local", "simulated")
def test_reading_with_mode_r_of_a_future():
    future = give([1, 2])
    copy = compss_wait_on(future, mode="r")
    copy.append("only here")
    assert compss_wait_on(count_items(copy)) == 2
    assert compss_wait_on(count_items(future)) == 2


@pytest.mark.engines("local", "simulated")
def test_reading_with_mode_rw_makes_an_object_of_the_program():
    future = give([1, 2])
    copy = compss_wait_on(future)
    copy.append("sent")
    assert compss_wait_on(count_items(copy)) == 3


@pytest.mark.engines("local", "simulated")
def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode must be"):
        compss_wait_on(1, mode="w")


def test_waiting_for_what_no_task_touched_returns_it():
    value, items = object(), {"a"}
    assert compss_wait_on(value) is value
    assert compss_wait_on(items) is items
    assert compss_wait_on(1, "two", None) == [1, "two", None]


def test_barrier_waits_for_all(tmp_path):
    @task()
    def leave(folder, name):
        touch(os.path.join(folder, name))

    for n in range(20):
        leave(str(tmp_path), str(n))
    compss_barrier()
    assert len(os.listdir(tmp_path)) == 20
    assert taskflow.compss_get_number_of_resources() == 1


@task(items=CONCURRENT)
def add_one_item(items, item):
    items.append(item)


@task(items=CONCURRENT)
def add_two_items(items, item):
    items += [item, item]


@pytest.mark.engines("local", "simulated")
def test_concurrent_tasks_lose_nothing_of_an_object():
    items = []
    for item in range(20):
        add_one_item(items, item)
        add_two_items(items, item)
    assert sorted(compss_wait_on(items)) == sorted([*range(20), *range(20), *range(20)])
