"""Memory that is watched: who reads it is not noticed, whoever writes to it is."""

import ctypes
import mmap
import os

import numpy as np
import pytest

from taskflow.data import watching
from taskflow.data.watching import WriteWatch

PAGE = mmap.PAGESIZE // 8


def available():
    try:
        WriteWatch(0, 0)
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not available(), reason="no asynchronous userfaultfd: Linux before 6.7, or a container")


@pytest.fixture
def array():
    return np.ones(100 * PAGE)


@pytest.fixture
def inner(array):
    """Whole pages in the middle, and a part of one at each end."""
    first = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE - array.ctypes.data
    return array[first // 8 + PAGE - 10 : first // 8 + 50 * PAGE + 10]


@pytest.fixture
def watch(inner):
    watch = WriteWatch(inner.ctypes.data, inner.nbytes)
    yield watch
    watch.end()


def test_reading_is_not_writing(inner, watch):
    assert inner.sum() == inner.size
    assert inner.copy().tobytes()
    assert not watch.written()


@pytest.mark.parametrize("place", [0, 9, 10, 20 * PAGE, -11, -10, -1])
def test_one_changed_number_is_seen(inner, watch, place):
    inner[place] = 5
    assert watch.written()


def test_equal_bytes_are_written_all_the_same(inner, watch):
    inner[20 * PAGE] = 1
    assert watch.written()


def test_native_code_is_seen(inner, watch):
    ctypes.memset(inner.ctypes.data + 30 * mmap.PAGESIZE, 0, 8)
    assert watch.written()


def test_system_calls_are_seen_and_work(inner, watch):
    with open("/dev/zero", "rb", buffering=0) as zeros:
        assert zeros.readinto(memoryview(inner[20 * PAGE : 25 * PAGE]).cast("B")) == 5 * mmap.PAGESIZE
    assert watch.written()
    assert inner[20 * PAGE : 25 * PAGE].sum() == 0


def test_what_lies_beside_it_does_not_matter(array, inner, watch):
    array[:PAGE] = 5
    array[60 * PAGE :] = 5
    start = (inner.ctypes.data - array.ctypes.data) // 8
    array[start - 1] = array[start + inner.size] = 5
    assert not watch.written()


def test_memory_that_was_never_touched():
    zeros = np.zeros(1 << 20)
    watch = WriteWatch(zeros.ctypes.data, zeros.nbytes)
    assert zeros.sum() == 0
    assert not watch.written()
    zeros[300_000] = 1
    assert watch.written()
    watch.end()


def test_memory_can_be_watched_again(inner, watch):
    inner += 1
    watch.end()
    inner += 1
    again = WriteWatch(inner.ctypes.data, inner.nbytes)
    assert not again.written()
    inner[20 * PAGE] = 1
    assert again.written()
    again.end()


def test_descriptors_that_were_closed_are_no_proof_of_innocence(inner, monkeypatch):
    monkeypatch.setattr(watching, "_opened", {})
    watch = WriteWatch(inner.ctypes.data, inner.nbytes)
    os.close(watching._opened[os.getpid()])
    assert watch.written()
    os.close(watch._pages)
    assert watch.written()
    watch.end()


def test_descriptors_do_not_pile_up(inner):
    WriteWatch(inner.ctypes.data, inner.nbytes).end()
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        WriteWatch(inner.ctypes.data, inner.nbytes).end()
    assert os.listdir("/proc/self/fd") == before


def test_a_process_that_may_not_watch_is_told(monkeypatch):
    monkeypatch.setattr(watching, "_opened", {})
    monkeypatch.setattr(watching, "_SYSCALLS", {})
    with pytest.raises(OSError, match="does not tell"):
        WriteWatch(0, 0)
