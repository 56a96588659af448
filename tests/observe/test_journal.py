import errno
import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskflow.observe import journal as journal_module
from taskflow.observe.journal import BUFFER_SIZE, Journal, JournalError, read

HEADER = {"e": "run", "v": 1, "id": "r1"}


def written(path):
    return [json.loads(line) for line in (path / "journal.jsonl").read_bytes().splitlines()]


def tasks(first, count, fn=3, t=0):
    return {"e": "tasks", "t": t, "fn": fn, "first": first, "count": count}


# --- writing ---


def test_header_is_in_the_file_at_once_and_only_for_its_owner(tmp_path):
    Journal.create(tmp_path, id="r1", workers=4)
    assert written(tmp_path) == [{"e": "run", "v": 1, "id": "r1", "workers": 4}]
    assert stat.S_IMODE((tmp_path / "journal.jsonl").stat().st_mode) == 0o600


def test_an_existing_journal_is_not_touched(tmp_path):
    Journal.create(tmp_path, id="r1").close()
    with pytest.raises(FileExistsError, match=r"journal\.jsonl"):
        Journal.create(tmp_path, id="r2")
    assert written(tmp_path) == [HEADER]


def test_records_keep_their_order_and_wait_for_flush(tmp_path):
    journal = Journal.create(tmp_path, id="r1")
    journal.write({"e": "fn", "fn": 3, "name": "inc"})
    journal.write_raw(b'{"e":"done","x":0,"ids":[1],"starts":[2],"ends":[3]}')
    assert written(tmp_path) == [HEADER]
    journal.flush()
    assert [record["e"] for record in written(tmp_path)] == ["run", "fn", "done"]
    journal.close()


def test_neighbouring_tasks_of_one_function_become_one_record(tmp_path):
    journal = Journal.create(tmp_path, id="r1")
    for task_id in range(17, 517):
        journal.submitted(task_id, 3, 40 + task_id)
    journal.close()
    assert written(tmp_path)[1:] == [tasks(17, 500, t=57)]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(1, 3), (2, 3), (3, 4)], [tasks(1, 2), tasks(3, 1, fn=4)]),  # another function
        ([(1, 3), (2, 3), (4, 3)], [tasks(1, 2), tasks(4, 1)]),  # a gap: task 3 had dependencies
        ([(2, 3), (1, 3)], [tasks(2, 1), tasks(1, 1)]),
        ([(0, 0), (1, 0)], [tasks(0, 2, fn=0)]),
    ],
)
def test_a_run_ends_where_it_must(tmp_path, calls, expected):
    journal = Journal.create(tmp_path, id="r1")
    for task_id, fn in calls:
        journal.submitted(task_id, fn, 0)
    journal.close()
    assert written(tmp_path)[1:] == expected


@pytest.mark.parametrize("other", ["write", "write_raw", "flush"])
def test_a_run_is_closed_by_whatever_follows(tmp_path, other):
    journal = Journal.create(tmp_path, id="r1")
    journal.submitted(1, 3, 0)
    {
        "write": lambda: journal.write({"e": "x"}),
        "write_raw": lambda: journal.write_raw(b'{"e":"x"}'),
        "flush": journal.flush,
    }[other]()
    journal.submitted(2, 3, 0)
    journal.close()
    between = [] if other == "flush" else [{"e": "x"}]
    assert written(tmp_path)[1:] == [tasks(1, 1), *between, tasks(2, 1)]


def test_a_full_buffer_flushes_itself(tmp_path):
    journal = Journal.create(tmp_path, id="r1")
    line = b'{"e":"x","pad":"' + b"." * 1000 + b'"}'
    for _ in range(BUFFER_SIZE // len(line)):
        journal.write_raw(line)
    assert len(written(tmp_path)) == 1
    journal.write_raw(line)
    assert len(written(tmp_path)) == 2 + BUFFER_SIZE // len(line)
    journal.close()


def test_odd_text_and_odd_objects_survive(tmp_path):
    journal = Journal.create(tmp_path, id="r1", argv=["caf\udce9.py", "a\nb"], host=tmp_path)
    journal.close()
    (header,) = read(tmp_path / "journal.jsonl")
    assert header["argv"] == ["caf\udce9.py", "a\nb"]
    assert header["host"] == str(tmp_path)


def test_closing_twice_is_fine_writing_afterwards_is_not(tmp_path):
    journal = Journal.create(tmp_path, id="r1")
    journal.close()
    journal.close()
    for call in (lambda: journal.write({"e": "x"}), lambda: journal.submitted(1, 3, 0)):
        with pytest.raises(ValueError, match=r"journal\.jsonl is closed: the run is over"):
            call()
    assert written(tmp_path) == [HEADER]


def test_a_disk_that_was_full_for_a_while_leaves_no_damaged_line(tmp_path, monkeypatch):
    journal = Journal.create(tmp_path, id="r1")
    journal.submitted(1, 3, 0)
    journal.write({"e": "end", "t": 9, "exit": 0})
    write = os.write
    room = [5, 3]

    def nearly_full(fd, data):
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", nearly_full)
        with pytest.raises(OSError, match="No space left"):
            journal.flush()
    journal.close()
    records = list(read(tmp_path / "journal.jsonl"))
    assert records == [HEADER, tasks(1, 1), {"e": "end", "t": 9, "exit": 0}]


def test_repr_shows_state(tmp_path):
    journal = Journal.create(tmp_path, id="r1")
    journal.write_raw(b"{}")
    assert repr(journal) == f"<Journal {tmp_path}/journal.jsonl [1 lines, 3 bytes buffered]>"
    journal.flush()
    journal.close()
    assert repr(journal).endswith("[closed]>")


# --- reading ---

WHOLE = [
    HEADER,
    {"e": "fn", "fn": 3, "name": 'naïve {"}\\'},
    tasks(1, 4),
    {
        "e": "task",
        "t": 5,
        "id": 5,
        "fn": 3,
        "deps": [[1, "d1v2"], [0, "d2v1"]],
        "groups": ["g"],
        "line": "a.py:3",
    },
    {"e": "done", "x": 0, "ids": [1, 2], "starts": [5, 6], "ends": [6, 9]},
    {"e": "new kind", "of": {"a": [None, True, 1.5]}},
    {"e": "end", "t": 9, "exit": 0},
]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_journal_torn_at_any_byte_gives_its_whole_records(tmp_path, ascii_only):
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps(record, ensure_ascii=ascii_only).encode() for record in WHOLE]
    data = b"\n".join(lines) + b"\n"
    ends = [sum(len(line) + 1 for line in lines[:n]) - 1 for n in range(1, len(lines) + 1)]  # without the line end
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        assert list(read(path)) == WHOLE[: sum(end <= size for end in ends)], f"torn at byte {size}"


json_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(max_size=5), max_size=3)
any_record = st.dictionaries(st.text(max_size=5), json_values, max_size=3).map(lambda fields: {**fields, "e": "other"})


@settings(deadline=None)
@given(records=st.lists(any_record, max_size=5), ascii_only=st.booleans(), data=st.data())
def test_any_journal_torn_anywhere(tmp_path_factory, records, ascii_only, data):
    path = tmp_path_factory.getbasetemp() / "torn.jsonl"
    records = [HEADER, *records]
    lines = [json.dumps(record, ensure_ascii=ascii_only).encode(errors="surrogatepass") for record in records]
    whole = b"\n".join(lines) + b"\n"
    size = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:size])
    read_back = list(read(path))
    assert read_back == records[: len(read_back)]
    assert len(read_back) in {whole[:size].count(b"\n"), whole[:size].count(b"\n") + 1}


def test_a_last_line_of_zeroes_is_a_torn_one(journal):
    path = journal(tasks(1, 2))
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert [record["e"] for record in read(path)] == ["run", "tasks"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"e":"tasks","t":1', "damaged record .*the lines before it are good"),
        (b"\x00\x00\x00", "damaged record"),
        (b'{"e":"fn","name":"caf\xe9"}', "damaged record"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"t":1}', "no kind in its field 'e'"),
        (b'{"e":"tasks","t":1,"fn":3,"first":"1","count":2}', "'tasks' needs 'first' of type int"),
        (b'{"e":"done","x":0,"ids":[1]}', "'done' needs 'starts' of type list"),
        (b"[" * 100_000, "line 3"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(journal, line, why):
    path = journal(tasks(1, 2))
    with path.open("ab") as file:
        file.write(line + b'\n{"e":"end","t":9,"exit":0}\n')
    records = read(path)
    assert [next(records)["e"], next(records)["e"]] == ["run", "tasks"]
    with pytest.raises(JournalError, match=rf"journal\.jsonl, line 3: .*{'' if why == 'line 3' else why}"):
        next(records)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (
            {"e": "run", "v": 2, "taskflow": "9.0"},
            r"line 1: journal format 2, but this taskflow reads format 1 \(taskflow 9\.0",
        ),
        ({"e": "run"}, "line 1: journal format None"),
        (tasks(1, 2), "line 1: not a taskflow journal"),
    ],
)
def test_another_file_or_version_is_refused(tmp_path, header, why):
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(header) + "\n", encoding="utf-8")
    with pytest.raises(JournalError, match=why):
        list(read(path))


def test_an_empty_file_is_a_run_that_has_just_begun(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.touch()
    assert list(read(path)) == []


def test_blank_lines_are_skipped(journal):
    path = journal()
    with path.open("ab") as file:
        file.write(b'\n\n{"e":"end","t":9,"exit":0}\n')
    assert [record["e"] for record in read(path)] == ["run", "end"]
