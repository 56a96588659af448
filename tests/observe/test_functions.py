import json

from taskflow.observe.functions import Functions, printable


def fed(*records):
    functions = Functions()
    for record in records:
        functions.feed(record)
    return functions


def test_tasks_find_their_function_in_runs():
    functions = fed(
        {"e": "tasks", "first": 1, "count": 10, "fn": 3},
        {"e": "task", "id": 11, "fn": 3},
        {"e": "task", "id": 12, "fn": 4},
        {"e": "tasks", "first": 13, "count": 7, "fn": 3},
    )
    assert [functions.of(n) for n in (0, 1, 10, 11, 12, 13, 19)] == [None, 3, 3, 3, 4, 3, 3]
    assert repr(functions) == "<Functions [0 functions, 3 runs of tasks]>"


def test_tasks_may_come_late():
    functions = fed(
        {"e": "tasks", "first": 1, "count": 4, "fn": 3},
        {"e": "tasks", "first": 8, "count": 3, "fn": 4},
        {"e": "tasks", "first": 5, "count": 3, "fn": 5},
    )
    assert [functions.of(n) for n in (4, 5, 7, 8, 10)] == [3, 5, 5, 4, 4]


def test_late_tasks_of_the_latest_function_do_not_shadow_the_others():
    functions = fed(
        {"e": "task", "id": 5, "fn": 3},
        {"e": "task", "id": 4, "fn": 4},
        {"e": "task", "id": 6, "fn": 3},
    )
    assert [functions.of(n) for n in (3, 4, 5, 6)] == [None, 4, 3, 3]


def test_names():
    functions = fed({"e": "fn", "fn": 3, "name": "inc", "module": "app"}, {"e": "fn", "fn": 4, "name": "a\x1bb"})
    assert [functions.name(3), functions.full_name(3)] == ["inc", "app.inc"]
    assert [functions.name(4), functions.full_name(4)] == ["a?b", "a?b"]
    assert [functions.name(5), functions.full_name(None)] == ["function 5", "function ?"]


def test_printable():
    assert printable("größe <lambda>") == "größe <lambda>"
    assert printable(json.loads(r'"a\nb\u001b[2J\ud800"')) == "a?b?[2J?"
