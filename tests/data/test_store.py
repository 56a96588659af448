import errno
import os

import numpy as np
import pytest

from taskflow.data import store as module
from taskflow.data.serialization import encode
from taskflow.data.store import Segment, Snapshots, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "m")


def write(store, value):
    return store.write(encode(value, "value"))


@pytest.mark.parametrize("value", [[1, "two"], {"k": np.arange(5.0)}, [np.zeros(3), np.ones((2, 2)), b"x" * 1000]])
def test_what_is_written_can_be_read_many_times(store, value):
    descriptor = write(store, value)
    for _ in range(2):
        assert repr(store.read(descriptor)) == repr(value)


def test_buffers_are_aligned(store):
    descriptor = write(store, [np.zeros(3, dtype="i1"), np.zeros(5)])
    assert [start % module.ALIGNMENT for start, _ in descriptor[2]] == [0, 0]
    assert descriptor[3] == os.path.getsize(f"{store.directory}/{descriptor[0]}")


def test_reader_may_write_without_touching_the_segment(store):
    descriptor = write(store, np.zeros(1000))
    first = store.read(descriptor)
    first += 1
    assert store.read(descriptor).sum() == 0


def test_names_differ_between_owners_and_values(tmp_path):
    names = {write(Store(tmp_path, owner), 1)[0] for owner in ("m", "x0", "x1")}
    store = Store(tmp_path, "y")
    names |= {write(store, 1)[0] for _ in range(3)}
    assert len(names) == 6


def test_segments_are_private_files(store):
    descriptor = write(store, 1)
    assert os.stat(f"{store.directory}/{descriptor[0]}").st_mode & 0o777 == 0o600


def test_handle_removes_the_file_and_mappings_keep_their_pages(store):
    descriptor = write(store, np.ones(1000))
    handle = Segment(store.directory, descriptor)
    assert handle.nbytes == descriptor[3]
    array = store.read(descriptor)
    del handle
    assert os.listdir(store.directory) == []
    assert array.sum() == 1000


def test_handle_in_a_forked_child_removes_nothing(store):
    descriptor = write(store, 1)
    handle = Segment(store.directory, descriptor)
    handle._process = -1
    del handle
    assert os.path.exists(f"{store.directory}/{descriptor[0]}")


def test_handle_of_a_folder_that_is_gone_is_quiet(tmp_path):
    handle = Segment(str(tmp_path / "gone"), ("x", 0, (), 5))
    del handle


def test_full_memory_names_the_folder_and_the_size_and_leaves_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "writev", full, raising=False)
    with pytest.raises(OSError, match=r"no room for a value of [\d,]+ bytes in .*No space") as caught:
        write(store, np.zeros(1000))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(store.directory) == []


def names_of(snapshots, blocks):
    """The segments' names after each block was passed to a task."""
    return [snapshots.segment_of(block, encode(block, "block")).descriptor[0] for block in blocks]


@pytest.fixture
def snapshots(store, monkeypatch):
    monkeypatch.setattr(Snapshots, "SMALLEST", 1000)
    return Snapshots(store)


def test_blocks_passed_in_turn_are_written_once(snapshots):
    blocks = [np.full(1000, float(index)) for index in range(100)]
    assert names_of(snapshots, blocks) == names_of(snapshots, blocks)


def test_a_block_changed_in_place_is_written_again(snapshots):
    blocks = [np.zeros(1000), np.ones(1000)]
    first = names_of(snapshots, blocks)
    blocks[1][500] = 3.0
    second = names_of(snapshots, blocks)
    assert first[0] == second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize("limit", ["LIMIT", "LIMIT_BYTES"])
def test_the_block_used_longest_ago_is_let_go_first(snapshots, store, monkeypatch, limit):
    blocks = [np.full(1000, float(index)) for index in range(3)]
    first = names_of(snapshots, blocks)
    names_of(snapshots, blocks[:1])
    monkeypatch.setattr(Snapshots, limit, 3 if limit == "LIMIT" else 30_000)
    names_of(snapshots, [np.full(1000, 9.0)])
    kept = {name for name in first if os.path.exists(f"{store.directory}/{name}")}
    assert kept == {first[0], first[2]}


def test_the_segment_goes_with_the_block(snapshots, store):
    block = np.zeros(1000)
    names_of(snapshots, [block])
    del block
    assert os.listdir(store.directory) == []
