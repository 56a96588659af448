import textwrap

from taskflow.observe.summary import ExecutorTimes, FunctionTimes, format_summary, summarise

INC = {"e": "fn", "fn": 3, "name": "inc", "module": "app"}
ADD = {"e": "fn", "fn": 4, "name": "add", "module": "app"}
FAILED = {
    "e": "failed",
    "t": 2_000_000,
    "id": 5,
    "x": 0,
    "attempt": 1,
    "final": False,
    "error": "ValueError: no",
}


def executor(x, t, state, **more):
    return {"e": "executor", "t": t, "x": x, "pid": 100 + x, "state": state, **more}


def done(x, *tasks):
    ids, starts, ends = zip(*tasks, strict=True)
    return {"e": "done", "x": x, "ids": ids, "starts": starts, "ends": ends}


def full_journal(journal):
    return journal(
        INC,
        ADD,
        executor(0, 0, "started"),
        executor(1, 0, "started"),
        {"e": "tasks", "t": 10, "fn": 3, "first": 1, "count": 1204},
        {"e": "task", "t": 20, "id": 1205, "fn": 4, "deps": [[1, "d1v2"]]},
        done(0, *((n, n * 1000, n * 1000 + 500) for n in range(1, 1001))),
        done(1, (1001, 0, 1_000_000), (1205, 1_000_000, 2_500_000)),
        FAILED,
        FAILED | {"attempt": 2, "final": True},
        {"e": "cancelled", "t": 2_000_001, "ids": [1202, 1203], "why": "input of task 5 failed"},
        executor(1, 2_500_000, "died", why="SIGKILL"),
        {"e": "end", "t": 4_000_000, "exit": 1, "tasks": 1005, "failed": 1},
    )


def test_everything_is_counted(journal):
    summary = summarise(full_journal(journal))
    assert summary.run_id == "r1"
    assert (summary.tasks, summary.done, summary.failed, summary.cancelled, summary.retried) == (
        1205,
        1002,
        1,
        2,
        1,
    )
    assert (summary.elapsed, summary.exit) == (4.0, 1)
    assert summary.functions == (
        FunctionTimes("inc", 1001, 1.5, 1.5 / 1001, 0.0005, 1.0),
        FunctionTimes("add", 1, 1.5, 1.5, 1.5, 1.5),
    )
    assert summary.executors == (ExecutorTimes(0, 1000, 0.5, 0.125), ExecutorTimes(1, 2, 2.5, 1.0))
    assert (summary.deaths, summary.executors_died) == (("executor 1: SIGKILL",), 1)


def test_it_reads_well(journal):
    expected = """\
        Run r1 · 4.00 s · exit code 1
        1,205 tasks · 1,002 done · 1 failed · 2 cancelled · 1 retried
        Executors died: 1 (executor 1: SIGKILL)

        Function  Tasks   Total     Mean     Min     Max
        inc       1,001  1.50 s  1.50 ms  500 µs  1.00 s
        add           1  1.50 s   1.50 s  1.50 s  1.50 s

        Executor  Tasks    Busy  Utilisation
        0         1,000  500 ms          12%
        1             2  2.50 s         100%"""
    assert format_summary(summarise(full_journal(journal))) == textwrap.dedent(expected)


def test_a_killed_run_is_summed_up_as_far_as_it_came(journal):
    path = journal(
        INC,
        {"e": "tasks", "t": 10, "fn": 3, "first": 1, "count": 9},
        done(0, (1, 3_690_000_000, 7_380_000_000)),
    )
    summary = summarise(path)
    assert (summary.exit, summary.elapsed) == (None, 7380.0)
    assert summary.executors == (ExecutorTimes(0, 1, 3690.0, 0.5),)  # never announced
    assert format_summary(summary).splitlines()[0] == "Run r1 · 2 h 03 min · no end recorded"


def test_a_run_without_tasks(journal):
    text = format_summary(summarise(journal({"e": "end", "t": 150_000_000, "exit": 0, "tasks": 0, "failed": 0})))
    assert text == "Run r1 · 2 min 30 s · exit code 0\n0 tasks · 0 done · 0 failed · 0 cancelled · 0 retried"


def test_an_executor_number_may_live_twice(journal):
    summary = summarise(
        journal(
            INC,
            executor(0, 0, "started"),
            executor(0, 1_000_000, "died"),
            executor(0, 3_000_000, "started"),
            {"e": "tasks", "t": 0, "fn": 3, "first": 1, "count": 1},
            done(0, (1, 3_000_000, 4_000_000)),
            executor(0, 4_000_000, "stopped", why="end of the run"),
            {"e": "end", "t": 9_000_000, "exit": 0},
        )
    )
    assert summary.executors == (ExecutorTimes(0, 1, 1.0, 0.5),)
    assert summary.deaths == ("executor 0: reason unknown",)


def test_functions_of_one_name_show_their_module(journal):
    summary = summarise(
        journal(
            INC,
            {"e": "fn", "fn": 4, "name": "inc", "module": "lib"},
            {"e": "fn", "fn": 5, "name": "add", "module": "lib"},
            *({"e": "task", "t": 0, "id": n, "fn": 2 + n, "deps": []} for n in (1, 2, 3)),
            done(0, (1, 0, 10), (2, 0, 30), (3, 0, 20)),
        )
    )
    assert [function.name for function in summary.functions] == ["lib.inc", "add", "app.inc"]


def test_odd_names_cannot_steer_the_terminal(journal):
    path = journal(
        {"e": "fn", "fn": 3, "name": "a\x1b[2J\nb"},
        {"e": "tasks", "t": 0, "fn": 3, "first": 1, "count": 1},
        done(0, (1, 0, 10)),
        executor(0, 20, "died", why="\x1b]0;title\x07"),
    )
    text = format_summary(summarise(path))
    assert "a?[2J?b" in text
    assert all(line.isprintable() for line in text.split("\n"))
