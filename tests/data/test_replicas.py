"""Handles of segments and files that several nodes have."""

import os

import pytest

from taskflow.data.replicas import Ledger

DESCRIPTOR = ("seg-x1-1", 10, ((64, 100),), 164)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(str(tmp_path / "segments"), [("data", "/gpfs/data"), ("home", "/home"), ("deep", "/gpfs/data/deep/")])
    os.makedirs(made.segments)
    made.join(1, [("data", "/mnt/d/")])
    made.join(2, [])
    made.join(3, [("deep", "/deep"), ("data", "/")])
    return made


def file_at(path, data=b"x"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def test_a_segment_is_where_it_was_made_and_where_it_was_brought(ledger):
    segment = ledger.segment(DESCRIPTOR, 2)
    assert (segment.at(2), segment.at(0), segment.lost, segment.nbytes) == (True, False, False, 164)
    segment.places.add(0)
    assert segment.at(0)
    segment.places.clear()
    assert segment.lost


def test_the_end_of_a_segment_frees_every_copy(ledger):
    path = f"{ledger.segments}/{DESCRIPTOR[0]}"
    file_at(path)
    segment = ledger.segment(DESCRIPTOR, 0)
    segment.places |= {1, 3}
    del segment
    assert not os.path.exists(path)
    assert sorted(ledger.drops) == [(1, "segment", "seg-x1-1"), (3, "segment", "seg-x1-1")]


def test_a_segment_of_another_node_touches_nothing_at_home(ledger):
    path = f"{ledger.segments}/{DESCRIPTOR[0]}"
    file_at(path)
    segment = ledger.segment(DESCRIPTOR, 1)
    del segment
    assert os.path.exists(path)


@pytest.mark.parametrize(
    ("path", "place", "number", "there"),
    [
        ("/gpfs/data/a/b", 0, 1, "/mnt/d/a/b"),
        ("/gpfs/data", 0, 1, "/mnt/d"),
        ("/gpfs/database/a", 0, 1, None),
        ("/home/me/x", 0, 1, None),
        ("/gpfs/data/a", 0, 2, None),
        ("/gpfs/data/a", 0, 9, None),
        ("/mnt/d/a", 1, 0, "/gpfs/data/a"),
        ("/gpfs/data/a", 0, 3, "/a"),
        ("/gpfs/data/deep/a", 0, 3, "/deep/a"),
        ("/a", 3, 0, "/gpfs/data/a"),
    ],
)
def test_a_shared_disk_has_other_names_elsewhere(ledger, path, place, number, there):
    assert ledger.translate(path, place, number) == there


def test_a_users_file_on_a_shared_disk_is_at_the_nodes_that_mount_it(ledger):
    own = ledger.own("/gpfs/data/in.txt", directory=False)
    assert str(own) == own.path_at(0) == "/gpfs/data/in.txt"
    assert [own.at(number) for number in (0, 1, 2, 3)] == [True, True, False, True]
    assert own.path_at(1) == "/mnt/d/in.txt"
    own.put_at(2, "/w/n2/files/1/in.txt")
    own.places.add(2)
    assert own.path_at(2) == "/w/n2/files/1/in.txt"
    del own
    assert list(ledger.drops) == [(2, "file", "/w/n2/files/1/in.txt")]


def test_the_users_own_file_stays(ledger, tmp_path):
    path = f"{tmp_path}/mine.txt"
    file_at(path, b"12345")
    own = ledger.own(path, directory=False)
    assert own.nbytes == 5
    del own
    assert os.path.exists(path)
    assert not ledger.drops


def test_a_made_file_comes_home_and_goes_with_its_handle(ledger, tmp_path):
    made = ledger.made("/w/n2/files/1/out", 2, directory=False, nbytes=3)
    assert (made.at(0), made.nbytes, made.kind, made.base_name) == (False, 3, "file", "out")
    home = f"{tmp_path}/files/1/out"
    made.put_at(0, home)
    assert not made.at(0)
    file_at(home, b"123")
    made.places.add(0)
    assert (str(made), made.nbytes, made.source_at(2)) == (home, 3, "/w/n2/files/1/out")
    del made
    assert not os.path.exists(home)
    assert list(ledger.drops) == [(2, "file", "/w/n2/files/1/out")]


def test_a_made_file_that_was_given_away_stays(ledger, tmp_path):
    home = f"{tmp_path}/files/1/out"
    file_at(home)
    made = ledger.made(home, 0, directory=False)
    made.give_away()
    del made
    assert os.path.exists(home)


def test_a_transfer_that_failed_leaves_the_users_file_of_that_name_alone(ledger, tmp_path):
    home = f"{tmp_path}/files/1/out"
    made = ledger.made("/w/n2/files/1/out", 2, directory=True)
    made.put_at(0, home)
    file_at(home)
    del made
    assert os.path.exists(home)
    assert list(ledger.drops) == [(2, "directory", "/w/n2/files/1/out")]


def test_a_forked_child_frees_nothing(ledger, tmp_path):
    home = f"{tmp_path}/files/1/out"
    file_at(home)
    made = ledger.made(home, 0, directory=False)
    child = os.fork()
    if not child:
        del made
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.exists(home)
    del made
    assert not os.path.exists(home)
