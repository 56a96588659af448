import os

import pytest

from taskflow.data.files import (
    OwnedPath,
    absolute,
    copy_any,
    copy_file,
    fingerprint,
    move_into_place,
    remove_any,
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "file").write_text("text")
    (path / "link").symlink_to("sub/file")
    return path


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_copy_of_a_file_has_content_and_permissions(tmp_path, size):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * size)
    source.chmod(0o750)
    copy_file(str(source), str(target))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o750


def test_copy_of_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        copy_file(str(tmp_path / "none"), str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_copy_of_a_directory_keeps_links(tmp_path, folder):
    copy_any(str(folder), str(tmp_path / "copy"), directory=True)
    assert (tmp_path / "copy" / "link").is_symlink()
    assert (tmp_path / "copy" / "link").read_text() == "text"


def test_removing(tmp_path, folder):
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in (file, link, folder, tmp_path / "none"):
        remove_any(str(path))
    assert os.listdir(tmp_path) == []


def test_removing_a_link_leaves_what_it_points_to(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    remove_any(str(tmp_path / "link"))
    assert (folder / "sub" / "file").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_moving_into_place_replaces_what_is_there(tmp_path, keep):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    move_into_place(str(source), str(target), directory=False, keep_source=keep)
    assert target.read_text() == "new"
    assert source.exists() is keep
    assert sorted(os.listdir(tmp_path)) == (["source", "target"] if keep else ["target"])


def test_moving_a_directory_into_place(tmp_path, folder):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("")
    move_into_place(str(folder), str(target), directory=True, keep_source=False)
    assert sorted(os.listdir(target)) == ["link", "sub"]
    assert not folder.exists()


def test_moving_a_file_onto_itself_does_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    move_into_place(str(path), str(path), directory=False, keep_source=False)
    assert path.read_text() == "text"


def test_moving_to_another_file_system_copies(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    real = os.rename

    def across(first, second):
        if str(first) == str(source):
            raise OSError(18, "Invalid cross-device link")
        real(first, second)

    monkeypatch.setattr(os, "rename", across)
    move_into_place(str(source), str(target), directory=False, keep_source=False)
    assert target.read_text() == "new"
    assert not source.exists()


def test_fingerprint_changes_with_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    before = fingerprint(str(path))
    assert fingerprint(str(path)) == before
    path.write_text("longer")
    assert fingerprint(str(path)) != before


def test_owned_path_goes_with_its_handle(tmp_path):
    (tmp_path / "d1v2").mkdir()
    path = tmp_path / "d1v2" / "file"
    path.write_text("")
    owned = OwnedPath(str(path))
    assert str(owned) == str(path)
    del owned
    assert not path.exists()


def test_owned_path_that_was_given_away_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    owned = OwnedPath(str(path))
    owned.give_away()
    del owned
    assert path.exists()


def test_owned_path_in_a_forked_child_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    owned = OwnedPath(str(path))
    owned._process = -1
    del owned
    assert path.exists()


def test_owned_path_that_is_gone_already_is_quiet(tmp_path):
    owned = OwnedPath(str(tmp_path / "none" / "file"))
    del owned


def test_one_name_for_every_spelling(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    real = os.path.realpath(tmp_path)
    for spelling in (
        "sub/f",
        "./sub/f",
        "sub/../sub/f",
        f"{tmp_path}/sub/f",
        "link/f",
        tmp_path / "sub" / "f",
    ):
        assert absolute(spelling) == f"{real}/sub/f"
    assert absolute("sub/") == f"{real}/sub"
    assert absolute("f") == f"{real}/f"


def test_name_follows_the_working_directory(tmp_path, monkeypatch):
    names = []
    for name in "ab":
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        names.append(absolute("f"))
    assert names == [f"{os.path.realpath(tmp_path)}/{name}/f" for name in "ab"]
