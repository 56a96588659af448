"""S07: directories as parameters, moved as a whole."""

import os

import pytest

from taskflow import (
    DIRECTORY_IN,
    DIRECTORY_INOUT,
    DIRECTORY_OUT,
    MissingOutputError,
    compss_barrier,
    compss_file_exists,
    compss_wait_on,
    compss_wait_on_directory,
    task,
)

pytestmark = pytest.mark.usefixtures("engine")


@task(folder=DIRECTORY_OUT)
def make(folder, names):
    os.mkdir(folder)
    for name in names:
        with open(os.path.join(folder, name), "w") as file:
            file.write(name)


@task(folder=DIRECTORY_INOUT)
def mark(folder, text):
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "a") as file:
            file.write(text)


@task(folder=DIRECTORY_IN, returns=1)
def listing(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as file:
            found[name] = file.read()
    return found


@task(folder=DIRECTORY_IN, returns=1)
def spoil(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    return os.listdir(folder)


@task(folder=DIRECTORY_IN, other=DIRECTORY_INOUT, third=DIRECTORY_OUT, returns=1)
def all_none(folder=None, other=None, third=None):
    return [folder, other, third]


def test_s07_directory_made_by_a_task_appears_after_waiting(tmp_path):
    folder = str(tmp_path / "made")
    make(folder, ["a", "b"])
    assert compss_file_exists(folder)
    assert compss_wait_on_directory(folder) == folder
    assert sorted(os.listdir(folder)) == ["a", "b"]


def test_s07_marking_each_file_and_listing(tmp_path):
    folder = str(tmp_path / "made")
    make(folder, ["a", "b"])
    mark(folder, "+")
    assert compss_wait_on(listing(folder)) == {"a": "a+", "b": "b+"}


def test_s07_ten_chained_tasks(tmp_path):
    folder = str(tmp_path / "made")
    make(folder, ["a"])
    listings = []
    for n in range(10):
        mark(folder, str(n))
        listings.append(listing(folder))
    assert compss_wait_on(listings)[3] == {"a": "a0123"}
    compss_wait_on_directory(folder)
    assert (tmp_path / "made" / "a").read_text() == "a0123456789"


def test_s07_none_for_directories():
    assert compss_wait_on(all_none()) == [None] * 3
    assert compss_wait_on(all_none(None, third=None)) == [None] * 3


def test_directory_of_the_user_is_written(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "x").write_text("0")
    (folder / "sub").mkdir()
    (folder / "sub").rmdir()
    mark(str(folder), "1")
    mark(f"{folder}/", "2")
    assert compss_wait_on_directory(str(folder)) == str(folder)
    assert (folder / "x").read_text() == "012"


def test_nested_folders_and_links_travel(tmp_path):
    folder = tmp_path / "deep"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("deep")
    (folder / "link").symlink_to("a/b/file")

    @task(source=DIRECTORY_IN, returns=1)
    def inspect(source):
        with open(os.path.join(source, "link")) as file:
            return os.path.islink(os.path.join(source, "link")), file.read()

    assert compss_wait_on(inspect(str(folder))) == (True, "deep")


def test_base_name_is_that_of_the_user(tmp_path):
    @task(folder=DIRECTORY_IN, returns=1)
    def name(folder):
        return os.path.basename(folder)

    (tmp_path / "known").mkdir()
    assert compss_wait_on(name(str(tmp_path / "known"))) == "known"


def test_end_of_program_brings_directories_back(tmp_path):
    make(str(tmp_path / "one"), ["a"])
    make(str(tmp_path / "two"), ["b"])
    compss_barrier(no_more_tasks=True)
    assert (tmp_path / "one" / "a").read_text() == "a"
    assert (tmp_path / "two" / "b").read_text() == "b"


@pytest.mark.engines("local", "simulated")
def test_input_changed_inside_the_task_is_unchanged_outside(tmp_path):
    folder = str(tmp_path / "made")
    make(folder, ["a"])
    assert compss_wait_on(spoil(folder)) == []
    assert compss_wait_on(listing(folder)) == {"a": "a"}


@pytest.mark.engines("local", "simulated")
def test_output_replaces_what_lay_there(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "old").write_text("old")
    make(str(folder), ["new"])
    compss_wait_on_directory(str(folder))
    assert os.listdir(folder) == ["new"]


@pytest.mark.engines("local", "simulated")
def test_directory_that_was_not_made_fails_the_task(tmp_path):
    @task(folder=DIRECTORY_OUT)
    def forget(folder):
        pass

    forget(str(tmp_path / "never"))
    with pytest.raises(MissingOutputError, match="'never'"):
        compss_wait_on_directory(str(tmp_path / "never"))


@pytest.mark.engines("local", "simulated")
def test_input_that_is_no_directory_is_refused_at_the_call(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        listing(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        listing(str(tmp_path / "nowhere"))
