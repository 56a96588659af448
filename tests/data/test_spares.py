"""The memory of dropped segments is used again, and never under the eyes of somebody who still looks at it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from taskflow.data import spares
from taskflow.data.serialization import encode
from taskflow.data.spares import create_segment, free_spares, remove_segment
from taskflow.data.store import Store

SIZE = 2 << 20


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def make(folder, name, content):
    file = create_segment(folder, f"{folder}/{name}", len(content))
    os.pwrite(file, content, 0)
    os.ftruncate(file, len(content))
    identity = os.fstat(file).st_ino
    os.close(file)
    return identity


def spare_names(folder):
    return os.listdir(f"{folder}/.spares") if os.path.isdir(f"{folder}/.spares") else []


def test_a_dropped_segment_is_the_next_one(folder):
    first = make(folder, "a", bytes(SIZE))
    remove_segment(folder, "a")
    assert not os.path.exists(f"{folder}/a")
    assert make(folder, "b", b"b" * (SIZE - 5)) == first
    assert Path(f"{folder}/b").read_bytes() == b"b" * (SIZE - 5)
    assert spare_names(folder) == []


def test_the_spare_of_the_nearest_size_is_taken(folder):
    sizes = {name: make(folder, name, bytes(megabytes << 20)) for name, megabytes in (("a", 8), ("b", 3), ("c", 2))}
    for name in sizes:
        remove_segment(folder, name)
    assert make(folder, "d", bytes((2 << 20) + 1)) == sizes["b"]
    assert make(folder, "e", bytes(16 << 20)) == sizes["a"]


def test_small_segments_are_just_removed(folder):
    make(folder, "a", b"small")
    remove_segment(folder, "a")
    assert spare_names(folder) == []


def test_a_segment_with_a_second_name_stays_what_it_is(folder):
    make(folder, "a", b"a" * SIZE)
    os.link(f"{folder}/a", f"{folder}/second")
    remove_segment(folder, "a")
    make(folder, "b", b"b" * SIZE)
    assert Path(f"{folder}/second").read_bytes() == b"a" * SIZE


def test_what_somebody_still_looks_at_is_not_written_over(folder):
    numpy = pytest.importorskip("numpy")
    store = Store(folder, "x")
    segment = store.keep(encode(numpy.ones(SIZE // 8), "an array"))
    view = store.read(segment.descriptor)
    del segment
    assert len(spare_names(folder)) == 1
    again = store.keep(encode(numpy.zeros(SIZE // 8), "an array"))
    assert view.sum() == SIZE // 8
    del view
    assert len(spare_names(folder)) == 1
    last = store.keep(encode(numpy.zeros(SIZE // 8), "an array"))
    assert spare_names(folder) == []
    del again, last


def test_nor_what_another_process_still_looks_at(folder):
    make(folder, "a", b"a" * SIZE)
    program = """
        import mmap, os, sys
        file = os.open(sys.argv[1], os.O_RDONLY)
        mapping = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
        os.close(file)
        print(flush=True)
        sys.stdin.readline()
        print(mapping[:].count(b"a"))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), f"{folder}/a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        reader.stdout.readline()
        remove_segment(folder, "a")
        make(folder, "b", b"b" * SIZE)
        assert spare_names(folder)  # kept for later
        assert reader.communicate("\n", timeout=20)[0] == f"{SIZE}\n"
    (spare,) = spare_names(folder)
    identity = os.stat(f"{folder}/.spares/{spare}").st_ino
    assert make(folder, "c", b"c" * SIZE) == identity


def test_spares_are_few(folder, monkeypatch):
    monkeypatch.setattr(spares, "LIMIT", 2)
    for name in "abcd":
        make(folder, name, bytes(SIZE))
    for name in "abcd":
        remove_segment(folder, name)
    assert len(spare_names(folder)) == 2
    monkeypatch.setattr(spares, "LIMIT", 10)
    monkeypatch.setattr(spares, "LIMIT_BYTES", 2 * SIZE)
    make(folder, "e", bytes(SIZE))
    make(folder, "f", bytes(SIZE))
    for name in "ef":
        remove_segment(folder, name)
    assert len(spare_names(folder)) == 2


def test_their_memory_is_given_back_when_there_is_no_room(folder):
    make(folder, "a", bytes(SIZE))
    remove_segment(folder, "a")
    assert free_spares(folder)
    assert spare_names(folder) == []
    assert not free_spares(folder)


def test_a_full_disk_takes_back_the_spares(tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    folder = str(tmp_path / "small")
    os.mkdir(folder)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "small", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        for name in "ab":
            make(folder, name, bytes(SIZE))
        for name in "ab":
            remove_segment(folder, name)
        assert len(spare_names(folder)) == 2
        descriptor = Store(folder, "x").write(encode(bytearray(62 << 20), "a value"))
        assert descriptor[3] > 62 << 20
        with pytest.raises(OSError, match="no room for a value"):
            Store(folder, "y").write(encode(bytearray(62 << 20), "a value"))
    finally:
        subprocess.run(["umount", folder], check=True)
