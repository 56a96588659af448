"""Findings from journals given literally."""

from taskflow.observe.calls import TOGETHER, Calls
from taskflow.observe.check import check
from taskflow.observe.journal import Journal, read

WRITE = {"e": "fn", "fn": 1, "name": "write", "module": "app", "file": "app.py", "line": 3, "declared": {}, "self": ""}
LOOK = {**WRITE, "fn": 2, "name": "look", "line": 9}


def submitted(*ids, fn=1):
    return [{"e": "tasks", "t": 0, "fn": fn, "first": task, "count": 1} for task in ids]


def called(task, t, at="app.py:20"):
    return {"e": "calls", "first": task, "at": at, "ts": [t]}


def ended(task, t):
    return {"e": "done", "x": 0, "ids": [task], "starts": [t - 1], "ends": [t]}


def seen(what, name, *tasks, fn=1, **more):
    return {
        "e": "check", "fn": fn, "x": 0, "what": what, "name": name, "count": len(tasks), "tasks": list(tasks),
        "detail": "", **more,
    }  # fmt: skip


def test_an_empty_run_has_no_findings(journal):
    checked = check(journal())
    assert checked.findings == ()
    assert str(checked) == "The check of 0 tasks found no problem."


def test_what_several_executors_saw_is_one_finding(journal):
    path = journal(
        WRITE, *submitted(1, 2, 3), called(1, 0), called(2, 1, "app.py:30"), called(3, 2),
        seen("changed", "a", 1, 3, detail="a.x"), seen("changed", "a", 2, x=1, detail="a.y"),
    )  # fmt: skip
    (finding,) = check(path).findings
    assert finding.count == 3
    assert finding.calls == ("app.py:20", "app.py:30")
    assert str(finding) == (
        "app.py:3: write: changes its parameter a, which is IN, at a.x (3 times, called at app.py:20, app.py:30)\n"
        "    declare a=INOUT"
    )


def test_one_function_may_have_several_records(journal):
    path = journal(WRITE, {**WRITE, "fn": 2}, seen("changed", "a", 1), seen("changed", "a", 2, fn=2))
    (finding,) = check(path).findings
    assert finding.count == 2
    assert (
        check(journal(WRITE, {**WRITE, "fn": 2}, seen("unwritten", "a", 1), seen("written", "a", 2, fn=2))).findings
        == ()
    )


def test_never_written_keeps_the_family(journal):
    home = {**WRITE, "declared": {"a": "FILE_INOUT", "b": "INOUT", "c": "COMMUTATIVE", "self": "INOUT"}, "self": "self"}
    found = check(journal(home, *[seen("unwritten", name, 1) for name in ("a", "b", "c", "self")])).findings
    assert [finding.fix for finding in found] == ["declare a=FILE_IN", "declare b=IN", "declare c=IN"]


def test_writers_that_ran_at_the_same_time(journal):
    records = [WRITE, *submitted(1, 2), called(1, 0), called(2, 5), ended(1, 10), ended(2, 20)]
    path = journal(*records, seen("wrote", "/f", 1), seen("wrote", "/f", 2, x=1))
    (finding,) = check(path).findings
    assert (finding.kind, finding.name, finding.count) == ("file", "/f", 2)
    assert "other tasks of it write it, too" in finding.what


def test_writers_of_which_one_was_called_after_the_other_had_ended(journal):
    records = [WRITE, *submitted(1, 2), called(1, 0), called(2, 10), ended(1, 10), ended(2, 20)]
    assert check(journal(*records, seen("wrote", "/f", 1, 2))).findings == ()


def test_writers_that_data_flow_connects(journal):
    between = [{"e": "task", "t": 0, "id": task, "fn": 1, "deps": [[task - 1, f"d{task}v1"]]} for task in (2, 3)]
    records = [WRITE, *submitted(1), *between, called(1, 0), called(3, 1), ended(1, 10), ended(3, 20)]
    assert check(journal(*records, seen("wrote", "/f", 1, 3))).findings == ()


def test_data_flow_does_not_bring_a_declared_file_to_its_path(journal):
    path = journal(
        WRITE, LOOK, *submitted(1), {"e": "uses", "id": 1, "writes": ["/folder"], "alone": []},
        {"e": "task", "t": 0, "id": 2, "fn": 2, "deps": [[1, "d1v2"]]},
        called(1, 0), called(2, 1), ended(1, 10), ended(2, 20), seen("read", "/folder/f", 2, fn=2),
    )  # fmt: skip
    (finding,) = check(path).findings
    assert finding.function == "look"
    assert finding.what == "reads the file /folder/f without declaring it; write writes it (declared there)"


def test_tasks_that_take_turns(journal):
    turns = [{"e": "uses", "id": task, "writes": [], "alone": [7]} for task in (1, 2)]
    records = [WRITE, *submitted(1, 2), *turns, called(1, 0), called(2, 1), ended(1, 10), ended(2, 20)]
    assert check(journal(*records, seen("wrote", "/f", 1, 2))).findings == ()


def test_many_files_of_two_functions_are_one_finding(journal):
    records = [WRITE, LOOK, *submitted(1), *submitted(2, fn=2), called(1, 0), called(2, 1), ended(1, 10), ended(2, 20)]
    files = [record for name in "abc" for record in (seen("wrote", f"/{name}", 1), seen("read", f"/{name}", 2, fn=2))]
    (finding,) = check(journal(*records, *files)).findings
    assert finding.what == "reads the file /a and 2 more without declaring it; write writes it"
    assert finding.fix.endswith("declare path=FILE_IN")


def test_global_that_nobody_reads_later(journal):
    uses = seen("uses global", "app.TABLE")
    assert check(journal(WRITE, uses, seen("changed global", "app.TABLE", 1))).findings == ()
    (finding,) = check(journal(WRITE, uses, seen("changed global", "app.TABLE", 1, 2))).findings
    assert "later tasks of it may read it" in finding.what


def test_what_was_not_checked_is_told(journal):
    checked = check(journal(WRITE, seen("unchecked", "a", 1, detail="TypeError: no\nway")))
    assert checked.unchecked == (("write", "a", "TypeError: no?way"),)
    assert str(checked).endswith(
        "Not checked, because pickle cannot take it apart:\n  write: parameter a (TypeError: no?way)"
    )


def test_calls_from_one_place_share_records(tmp_path):
    journal = Journal.create(tmp_path)
    calls = Calls(journal)
    for task in range(1, TOGETHER + 3):
        calls.called(task, task * 10, "app.py:1")
    calls.called(TOGETHER + 3, 5, "app.py:2")
    calls.called(TOGETHER + 5, 6, "app.py:2")  # another thread made the one between
    assert repr(calls) == "<Calls [1 from app.py:2]>"
    calls.flush()
    calls.flush()
    journal.close()
    records = list(read(tmp_path / "journal.jsonl"))[1:]
    assert [(record["first"], record["at"], len(record["ts"])) for record in records] == [
        (1, "app.py:1", TOGETHER), (TOGETHER + 1, "app.py:1", 2), (TOGETHER + 3, "app.py:2", 1),
        (TOGETHER + 5, "app.py:2", 1),
    ]  # fmt: skip
