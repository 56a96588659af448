"""S05, S06, S11, S12, S14: files as parameters, and the main program's access to them."""

import os
from pathlib import Path

import pytest

from taskflow import (
    COLLECTION_FILE_IN,
    COLLECTION_FILE_INOUT,
    COLLECTION_FILE_OUT,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    IN_DELETE,
    Direction,
    Keep_rename,
    MissingOutputError,
    Type,
    compss_barrier,
    compss_delete_file,
    compss_file_exists,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    task,
)

pytestmark = pytest.mark.usefixtures("engine")


def content(path):
    with open(path) as file:
        return file.read()


@task(path=FILE_INOUT)
def increment(path):
    value = int(content(path))
    with open(path, "w") as file:
        file.write(str(value + 1))


@task(path=FILE_INOUT)
def append(path, text):
    with open(path, "a") as file:
        file.write(text)


@task(path=FILE_OUT)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)


@task(path=FILE_IN, returns=1)
def read(path):
    return content(path)


@task(path=FILE_IN, returns=1)
def read_and_spoil(path):
    text = content(path)
    with open(path, "w") as file:
        file.write("spoilt")
    return text


@task(source=FILE_IN, target=FILE_OUT)
def copy(source, target):
    with open(target, "w") as file:
        file.write(content(source))


@task(path=FILE_IN, returns=1)
def path_seen(path):
    return path


@task(path={Type: FILE_IN, Keep_rename: True}, returns=2)
def renamed(path):
    return path, content(path)


@task(path={Type: FILE_INOUT, Keep_rename: True})
def append_renamed(path, text):
    with open(path, "a") as file:
        file.write(text)


@task(first=FILE_IN, second=FILE_IN, returns=2)
def read_both(first, second):
    return [(os.path.basename(path), content(path)) for path in (first, second)]


@task(source=FILE_IN, target=FILE_INOUT, returns=2)
def add_itself(source, target):
    with open(target, "a") as file:
        file.write(content(source))
    return os.path.basename(source), os.path.basename(target)


@task(target=FILE_INOUT, source=FILE_IN, returns=2)
def add_itself_reversed(target, source):
    with open(target, "a") as file:
        file.write(content(source))
    return os.path.basename(source), os.path.basename(target)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("1")
    return str(path)


# ---------------------------------------------------------------------- S05


def test_s05_increment(data):
    increment(data)
    with compss_open(data) as file:
        assert file.read() == "2"


def test_s05_file_chain(tmp_path):
    made, copied = str(tmp_path / "made"), str(tmp_path / "copied")
    write(made, "5")
    copy(made, copied)
    increment(copied)
    increment(copied)
    assert compss_wait_on(read(made)) == "5"
    with compss_open(copied) as file:
        assert file.read() == "7"
    with compss_open(copied, "w") as file:
        file.write("20")
    increment(copied)
    assert compss_wait_on(read(copied)) == "21"


def test_s05_main_and_tasks_alternate(data):
    for turn in range(5):
        increment(data)
        with compss_open(data) as file:
            value = int(file.read())
        assert value == 2 + 11 * turn
        with compss_open(data, "w") as file:
            file.write(str(value + 10))


@pytest.mark.engines("local", "simulated")
def test_s05_input_changed_inside_the_task_is_unchanged_outside(data):
    assert compss_wait_on(read_and_spoil(data)) == "1"
    assert compss_wait_on(read(data)) == "1"
    assert content(data) == "1"


@pytest.mark.engines("local", "simulated")
def test_s05_input_made_by_a_task_is_not_changed_by_its_readers(tmp_path):
    path = str(tmp_path / "made")
    write(path, "whole")
    results = [read_and_spoil(path) for _ in range(4)]
    assert compss_wait_on(results) == ["whole"] * 4
    assert content(compss_wait_on_file(path)) == "whole"


def test_main_appends_and_updates_what_tasks_wrote(data):
    increment(data)
    with compss_open(data, "a") as file:
        file.write("0")
    increment(data)
    with compss_open(data, "r+") as file:
        assert file.read() == "21"
        file.write("!")
    assert compss_wait_on(read(data)) == "21!"


def test_main_reads_bytes_and_passes_options(data):
    append(data, "é")
    with compss_open(data, "rb") as file:
        assert file.read() == b"1\xc3\xa9"
    with compss_open(data, encoding="latin-1") as file:
        assert file.read() == "1Ã©"


# ---------------------------------------------------------------------- versions


def test_readers_of_an_old_version_are_undisturbed(data):
    results = []
    for _ in range(6):
        results.append(read(data))
        increment(data)
    assert compss_wait_on(results) == ["1", "2", "3", "4", "5", "6"]
    assert content(compss_wait_on_file(data)) == "7"


def test_each_writer_makes_a_version_of_its_own(tmp_path):
    path = str(tmp_path / "same")
    results = []
    for n in range(6):
        write(path, str(n))
        results.append(read(path))
    assert compss_wait_on(results) == [str(n) for n in range(6)]
    assert content(compss_wait_on_file(path)) == "5"


def test_writing_in_main_does_not_disturb_tasks_called_before(data):
    results = []
    for n in range(4):
        results.append(read(data))
        with compss_open(data, "w") as file:
            file.write(f"main {n}")
    assert compss_wait_on(results) == ["1", "main 0", "main 1", "main 2"]


# ---------------------------------------------------------------------- names


def test_relative_and_absolute_path_are_one_file(data, monkeypatch):
    folder = Path(data).parent
    monkeypatch.chdir(folder)
    (folder / "sub").mkdir()
    increment("data.txt")
    increment(data)
    increment("./sub/../data.txt")
    increment(Path("data.txt"))
    assert compss_wait_on(read("data.txt")) == "5"
    assert content(compss_wait_on_file("data.txt")) == "5"


@pytest.mark.engines("local", "simulated")
def test_relative_path_is_relative_to_where_main_is_now(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        write("out.txt", name)
    compss_barrier(no_more_tasks=True)
    assert [content(tmp_path / name / "out.txt") for name in ("one", "two")] == ["one", "two"]


def test_path_through_a_link_to_the_folder_is_the_same_file(data):
    folder = Path(data).parent
    (folder / "link").symlink_to(folder)
    increment(data)
    increment(str(folder / "link" / "data.txt"))
    assert compss_wait_on(read(data)) == "3"


def test_s06_task_sees_the_name_of_the_user(data):
    assert os.path.basename(compss_wait_on(path_seen(data))) == "data.txt"
    append(data, "0")
    assert os.path.basename(compss_wait_on(path_seen(data))) == "data.txt"


@pytest.mark.engines("local", "simulated")
def test_path_inside_a_task_is_absolute(data, monkeypatch):
    monkeypatch.chdir(Path(data).parent)
    assert os.path.isabs(compss_wait_on(path_seen("data.txt")))


@pytest.mark.engines("local", "simulated")
def test_s06_internal_name_if_asked_for(data):
    path, text = compss_wait_on(renamed(data))
    assert os.path.basename(path) != "data.txt"
    assert path.endswith(".IT")
    assert text == "1"
    append_renamed(data, "2")
    append_renamed(data, "3")
    path, text = compss_wait_on(renamed(data))
    assert text == "123"
    assert content(compss_wait_on_file(data)) == "123"


def test_s06_equal_names_from_different_folders(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(folder)
    first, second = read_both(str(tmp_path / "a" / "x.txt"), str(tmp_path / "b" / "x.txt"))
    assert compss_wait_on(first, second) == [("x.txt", "a"), ("x.txt", "b")]


def test_s06_same_file_twice_as_input(data):
    first, second = read_both(data, data)
    assert compss_wait_on(first, second) == [("data.txt", "1")] * 2


@pytest.mark.parametrize("function", [add_itself, lambda source, target: add_itself_reversed(target, source)])
def test_s06_same_file_as_input_and_inout(data, function):
    names = function(data, data)
    assert compss_wait_on(list(names)) == ["data.txt", "data.txt"]
    assert content(compss_wait_on_file(data)) == "11"


def test_names_with_blanks_and_other_letters(tmp_path):
    path = str(tmp_path / "a b'ñ日\"$.txt")
    write(path, "odd")
    append(path, "!")
    assert compss_wait_on(read(path)) == "odd!"
    assert content(compss_wait_on_file(path)) == "odd!"


def test_default_path_is_a_file_parameter_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default.txt").write_text("x")

    @task(path=FILE_INOUT)
    def mark(path="default.txt"):
        with open(path, "a") as file:
            file.write("y")

    mark()
    mark("default.txt")
    mark()
    assert compss_wait_on(read("default.txt")) == "xyyy"
    assert content(compss_wait_on_file("default.txt")) == "xyyy"


# ---------------------------------------------------------------------- S07, None


@task(path=FILE_IN, other=FILE_OUT, third=FILE_INOUT, returns=1)
def all_none(path, other=None, third=None):
    return [path, other, third]


def test_s07_none_for_files():
    assert compss_wait_on(all_none(None)) == [None] * 3
    assert compss_wait_on(all_none(None, None, None)) == [None] * 3
    assert compss_wait_on(all_none(third=None, path=None)) == [None] * 3


# ---------------------------------------------------------------------- S11


def test_s11_create_increment_delete_with_one_name(tmp_path):
    path = str(tmp_path / "counter")
    for start in range(3):
        with compss_open(path, "w") as file:
            file.write(str(start))
        increment(path)
        if start < 2:
            assert compss_delete_file(path) is True
            assert not os.path.exists(path)
    with compss_open(path) as file:
        assert file.read() == "3"
    assert os.listdir(tmp_path) == ["counter"]


def test_s11_deleting_does_not_disturb_tasks_called_before(data):
    result = read(data)
    compss_delete_file(data)
    with open(data, "w") as file:
        file.write("new")
    assert compss_wait_on(result, read(data)) == ["1", "new"]


@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize("written", [False, True])
def test_s11_in_delete_removes_the_file_after_the_task(data, written):
    @task(path={Type: FILE_IN, Direction: IN_DELETE}, returns=1)
    def last_read(path):
        return content(path)

    if written:
        append(data, "2")
    assert compss_wait_on(last_read(data)) == ("12" if written else "1")
    compss_barrier()
    assert compss_file_exists(data) is False
    assert not os.path.exists(data)
    with open(data, "w") as file:
        file.write("again")
    assert compss_wait_on(read(data)) == "again"


@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize("written", [False, True])
def test_s11_in_delete_leaves_the_file_to_tasks_called_before(data, written):
    @task(path={Type: FILE_IN, Direction: IN_DELETE}, returns=1)
    def last_read(path):
        return content(path)

    before = [read(data) for _ in range(10)]
    if written:
        append(data, "2")
    last = last_read(data)
    with compss_open(data, "w") as file:
        file.write("again")
    after = read(data)
    assert compss_wait_on(before) == ["1"] * 10
    assert compss_wait_on(last, after) == ["12" if written else "1", "again"]
    compss_barrier()
    assert content(data) == "again"


# ---------------------------------------------------------------------- S12


def test_s12_file_exists(data, tmp_path):
    future_file = str(tmp_path / "future")
    assert compss_file_exists(data) is True
    assert compss_file_exists(future_file) is False
    write(future_file, "x")
    assert compss_file_exists(future_file) is True
    compss_wait_on_file(future_file)
    assert compss_file_exists(future_file) is True
    compss_delete_file(future_file)
    assert compss_file_exists(future_file) is False


def test_s12_structure_is_kept(data, tmp_path):
    other, missing = str(tmp_path / "other"), str(tmp_path / "missing")
    write(other, "x")
    assert compss_file_exists([data, (other, missing)]) == [True, (True, False)]
    assert compss_file_exists(data, missing) == [True, False]
    assert compss_wait_on_file([data, (other, data)]) == [data, (other, data)]
    assert compss_wait_on_file(data, other) == [data, other]
    assert content(other) == "x"
    assert compss_delete_file([data, (other,)]) == [True, (True,)]


def test_s12_waiting_for_a_file_that_no_task_touched(data):
    assert compss_wait_on_file(data) == data
    assert content(data) == "1"


def test_s12_after_wait_on_file_the_plain_path_has_the_last_version(data):
    for _ in range(3):
        increment(data)
    compss_wait_on_file(data)
    assert content(data) == "4"
    with open(data, "w") as file:
        file.write("100")
    increment(data)
    compss_wait_on_file(data)
    assert content(data) == "101"


def test_end_of_program_brings_all_files_back(tmp_path):
    paths = [str(tmp_path / str(n)) for n in range(5)]
    for path in paths:
        write(path, path)
    compss_barrier(no_more_tasks=True)
    assert [content(path) for path in paths] == paths
    assert sorted(os.listdir(tmp_path)) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("function", [compss_open, compss_wait_on_file, compss_file_exists, compss_delete_file])
@pytest.mark.engines("local", "simulated")
def test_what_is_no_path_is_refused(function):
    with pytest.raises(TypeError, match="path"):
        function(3)


@pytest.mark.engines("local", "simulated")
def test_input_that_does_not_exist_is_refused_at_the_call(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"argument 'path' of task read: there is no file .*nowhere"):
        read(str(tmp_path / "nowhere"))
    with pytest.raises(IsADirectoryError, match="is not a file"):
        read(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="folder"):
        write(str(tmp_path / "no" / "file"), "x")
    with pytest.raises(TypeError, match="takes a path"):
        read(3)


@pytest.mark.engines("local", "simulated")
def test_declared_output_that_was_not_made_fails_the_task(tmp_path):
    @task(path=FILE_OUT)
    def forget(path):
        pass

    path = str(tmp_path / "forgotten")
    forget(path)
    reader = read(path)
    with pytest.raises(MissingOutputError, match="without making the output 'forgotten'"):
        compss_wait_on_file(path)
    with pytest.raises(MissingOutputError):
        compss_wait_on(reader)


@pytest.mark.engines("local", "simulated")
def test_failed_writer_leaves_the_file_of_the_user_as_it_was(data):
    @task(path=FILE_INOUT)
    def spoil(path):
        with open(path, "w") as file:
            file.write("half")
        raise ValueError("broken")

    spoil(data)
    with pytest.raises(ValueError, match="broken"):
        compss_wait_on_file(data)
    assert content(data) == "1"


def test_permission_bits_travel(data):
    @task(path=FILE_IN, returns=1)
    def runnable(path):
        return os.access(path, os.X_OK)

    os.chmod(data, 0o755)  # noqa: S103
    assert compss_wait_on(runnable(data)) is True
    increment(data)
    assert os.stat(compss_wait_on_file(data)).st_mode & 0o777 == 0o755


def test_empty_and_large_files(tmp_path):
    empty, large = str(tmp_path / "empty"), str(tmp_path / "large")
    write(empty, "")
    write(large, "x" * 3_000_000)
    append(large, "y")
    assert compss_wait_on(read(empty)) == ""
    assert len(compss_wait_on(read(large))) == 3_000_001


# ---------------------------------------------------------------------- S14


@task(paths=COLLECTION_FILE_OUT)
def write_all(paths):
    for path in _flat(paths):
        with open(path, "w") as file:
            file.write("1")


@task(paths=COLLECTION_FILE_INOUT)
def append_all(paths):
    for path in _flat(paths):
        with open(path, "a") as file:
            file.write("1")


@task(paths=COLLECTION_FILE_IN, returns=1)
def read_all(paths):
    return [read_all.__wrapped__(path) if isinstance(path, list) else content(path) for path in paths]


def _flat(paths):
    for path in paths:
        if isinstance(path, list):
            yield from _flat(path)
        else:
            yield path


def test_s14_collections_of_files(tmp_path):
    f1, f2, f3, f4, f5 = (str(tmp_path / f"f{n}") for n in range(1, 6))
    nested = [[f1, f2], [f3, f4], f5]
    write_all(nested)
    append_all(nested)
    first, second = read_all(nested), read_all(nested)
    assert compss_wait_on(first) == [["11", "11"], ["11", "11"], "11"]
    assert compss_wait_on(second) == compss_wait_on(first)
    for path in _flat(nested):
        with compss_open(path) as file:
            assert file.read() == "11"


def test_s14_one_file_of_a_collection_alone(tmp_path):
    paths = [str(tmp_path / name) for name in "ab"]
    write_all(paths)
    append(paths[1], "2")
    assert compss_wait_on(read_all(paths)) == ["1", "12"]
    assert compss_wait_on(read_all(tuple(paths))) == ["1", "12"]
