"""What has been used is let go: objects, futures, files, shared memory."""

import gc
import os
import tracemalloc
import weakref

import numpy as np
import pytest

from taskflow import (
    COLLECTION_OUT,
    FILE_OUT,
    INOUT,
    compss_barrier,
    compss_delete_file,
    compss_delete_object,
    compss_wait_on,
    runtime,
    task,
)

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local")]


class Box:
    def __init__(self):
        self.n = 0


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


@task(box=INOUT)
def touch(box):
    box.n += 1


@task(items=INOUT)
def append(items):
    items.append(1)


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def array(size):
    return np.zeros(size)


@task(c=COLLECTION_OUT)
def fill(c):
    for place in range(len(c)):
        c[place] = place


@task(path=FILE_OUT)
def write(path):
    with open(path, "w") as file:
        file.write("text")


@pytest.fixture(autouse=True)
def settled(engine):  # noqa: ARG001
    compss_barrier()
    gc.collect()


def registry():
    return runtime.session.registry


def segments():
    return [name for name in os.listdir(runtime.session._segments) if not name.startswith(".")]


def test_tracked_objects_go_with_the_last_reference_of_the_program():
    box = Box()
    touch(box)
    compss_barrier()
    reference = weakref.ref(box)
    count = len(registry())
    del box
    gc.collect()
    assert reference() is None
    assert len(registry()) == count - 1


def test_tracked_objects_are_let_go_after_waiting():
    boxes = [Box() for _ in range(50)]
    before = len(registry())
    for box in boxes:
        touch(box)
    assert len(registry()) == before + 50
    boxes = compss_wait_on(boxes)
    assert len(registry()) == before
    assert [box.n for box in boxes] == [1] * 50


@pytest.mark.parametrize("kind", [list, Slotted])
def test_objects_that_allow_no_weak_reference_do_not_pile_up(kind):
    before = len(registry())
    for _ in range(3000):
        (append if kind is list else touch)(kind())
    compss_barrier()
    assert len(registry()) - before < 2000
    registry().sweep()
    assert len(registry()) <= before


def test_placeholders_of_collections_do_not_pile_up():
    before = len(registry())
    for _ in range(200):
        fill([object() for _ in range(20)])
    compss_barrier()
    registry().sweep()
    assert len(registry()) <= before


def test_deleted_objects_are_forgotten():
    before = len(registry())
    box, items = Box(), []
    touch(box)
    append(items)
    assert len(registry()) == before + 2
    compss_delete_object(box, items)
    assert len(registry()) == before


def test_values_read_with_mode_r_are_let_go():
    before = len(registry())
    for size in (10, 100_000):
        value = compss_wait_on(array(size), mode="r")
        reference = weakref.ref(value)
        del value
        gc.collect()
        assert reference() is None
    for _ in range(600):
        compss_wait_on(give([1]), mode="r")
    registry().sweep()
    assert len(registry()) <= before


def test_barrier_without_more_tasks_forgets_everything():
    boxes = [Box() for _ in range(5)]
    for box in boxes:
        touch(box)
    compss_barrier(no_more_tasks=True)
    assert len(registry()) == 0


def test_shared_memory_is_freed_with_the_futures():
    futures = [array(100_000) for _ in range(10)]
    values = [future.result() for future in futures]
    assert segments()
    assert values[0].sum() == 0
    del futures, values
    gc.collect()
    assert not segments()


def test_shared_memory_of_arguments_is_freed_after_the_tasks():
    data = np.ones(300_000)
    assert compss_wait_on([give(data).exception() for _ in range(3)]) == [None] * 3
    del data
    compss_barrier()
    gc.collect()
    assert not segments()


def test_versions_of_files_are_removed(tmp_path):
    path = str(tmp_path / "file")
    for _ in range(10):
        write(path)
    compss_barrier()
    files = runtime.session.run_dir / "files"
    assert len(list(files.glob("*/*"))) == 1
    compss_delete_file(path)
    gc.collect()
    assert not list(files.glob("*/*"))


def measure(body, count):
    """Bytes per repetition that stay allocated in the main program."""
    body(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        body(count)
        compss_barrier()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


def chain(count):
    value = give(0)
    for _ in range(count):
        value = give(value)
    compss_wait_on(value)


def independent(count):
    compss_wait_on([give(n) for n in range(count)])


def inout(count):
    box = Box()
    for _ in range(count):
        touch(box)
    compss_wait_on(box)


def lists(count):
    for _ in range(count):
        append([])
    compss_barrier()


@pytest.mark.parametrize("body", [chain, independent, inout, lists])
def test_finished_tasks_cost_nothing(body):
    assert measure(body, 3000) < 60
