from taskflow.observe.nodes import size
from taskflow.observe.summary import format_summary, summarise
from tests.observe.test_summary import INC, done, executor


def node(number, t, state, why="", **more):
    return {"e": "node", "t": t, "node": number, "name": f"host{number}", "state": state, "why": why, **more}


def moved(source, target, nbytes):
    return {"e": "moved", "t": 5, "from": source, "to": target, "bytes": nbytes, "us": 10, "what": "segment"}


def test_a_summary_says_what_each_node_did(journal):
    path = journal(
        INC,
        node(1, 0, "joined"),
        node(2, 0, "joined"),
        executor(0, 0, "started", node=1),
        executor(1, 0, "started", node=1),
        executor(2, 0, "started", node=2),
        {"e": "tasks", "t": 10, "fn": 3, "first": 1, "count": 4},
        done(0, (1, 0, 500_000)),
        done(1, (2, 0, 1_500_000)),
        done(2, (3, 0, 1_000_000)),
        {"e": "failed", "t": 9, "id": 4, "x": 2, "attempt": 1, "final": False, "error": "ValueError: no"},
        moved(0, 1, 5_000_000),
        moved(1, 2, 2_000_000),
        moved(0, 2, 500),
        {"e": "move failed", "t": 6, "from": 1, "to": 2, "why": "connection reset"},
        node(2, 3_000_000, "lost", "it has said nothing for 8 s"),
        {"e": "end", "t": 4_000_000, "exit": 0},
    )
    summary = summarise(path)
    first, second = summary.nodes[1:]
    assert (first.name, first.executors, first.tasks, first.busy, first.state) == ("host1", 2, 2, 2.0, "joined")
    assert (first.received, first.sent, first.retried) == (5_000_000, 2_000_000, 0)
    assert (second.tasks, second.retried, second.received, second.state) == (1, 1, 2_000_500, "lost")
    text = format_summary(summary)
    (row,) = (line for line in text.splitlines() if line.startswith("host1 "))
    assert row.split() == ["host1", "2", "2", "2.00", "s", "0", "5.0", "MB", "2.0", "MB", "joined"]
    assert "host2: it has said nothing for 8 s" in text


def test_tasks_whose_node_had_no_time_to_tell_of_them_are_counted(journal):
    path = journal(
        INC,
        node(1, 0, "joined"),
        executor(0, 0, "started", node=1),
        {"e": "tasks", "t": 10, "fn": 3, "first": 1, "count": 5},
        done(0, (1, 0, 500_000)),
        node(1, 3_000_000, "lost"),
        {"e": "failed", "t": 9, "id": 4, "x": 0, "attempt": 1, "final": True, "error": "ValueError: no"},
        {"e": "cancelled", "t": 9, "ids": [5]},
        {"e": "end", "t": 4_000_000, "exit": 0, "tasks": 5},
    )
    summary = summarise(path)
    assert (summary.tasks, summary.done, summary.failed, summary.cancelled) == (5, 3, 1, 1)


def test_a_node_that_was_tried_in_vain_is_told_of_once(journal):
    path = journal(
        INC,
        node(1, 0, "joined"),
        {**node(2, 0, "failed", "refused"), "name": "absent"},
        {**node(3, 0, "failed", "refused"), "name": "late"},
        {**node(4, 5, "failed", "refused again"), "name": "absent"},
        {**node(5, 6, "joined"), "name": "late"},
        {"e": "end", "t": 4_000_000, "exit": 0},
    )
    summary = summarise(path)
    assert [(each.name, each.state) for each in summary.nodes[1:]] == [("absent", "failed"), ("late", "joined")]
    lines = format_summary(summary).splitlines()
    assert "Nodes that could not be used: absent" in lines
    assert "absent: refused again" in lines


def test_a_run_on_one_machine_has_no_table_of_nodes(journal):
    path = journal(INC, executor(0, 0, "started"), done(0, (1, 0, 500)), {"e": "end", "t": 4_000_000, "exit": 0})
    assert summarise(path).nodes == ()


def test_sizes_are_short():
    assert [size(n) for n in (0, 999, 1500, 123_456_789, 5e12)] == ["0 B", "999 B", "1.5 kB", "123 MB", "5.0 TB"]


def test_a_summary_says_which_nodes_a_task_has_had_at_once(journal):
    path = journal(
        INC,
        node(1, 0, "joined"),
        node(2, 0, "joined"),
        node(3, 0, "joined"),
        executor(0, 0, "started", node=1),
        executor(1, 0, "started", node=2),
        {"e": "task", "t": 1, "id": 1, "fn": 3, "deps": []},
        {"e": "tasks", "t": 2, "fn": 3, "first": 2, "count": 1},
        {"e": "span", "t": 3, "id": 1, "nodes": [1, 3]},
        {"e": "failed", "t": 9, "id": 1, "x": 0, "attempt": 1, "final": False, "error": "node host3 is lost"},
        {"e": "span", "t": 4, "id": 1, "nodes": [1, 2]},
        done(1, (2, 0, 500_000)),
        done(0, (1, 0, 1_500_000)),
        {"e": "end", "t": 4_000_000, "exit": 0},
    )
    summary = summarise(path)
    (span,) = summary.spans
    assert (span.task, span.nodes, span.seconds) == (1, ("host1", "host2"), 1.5)
    assert [node.shared for node in summary.nodes if node.number] == [0, 1, 0]
    lines = format_summary(summary).splitlines()
    (row,) = (line for line in lines if line.startswith(f"1 {span.function}"))
    assert row.endswith("host1, host2")
    (row,) = (line for line in lines if line.startswith("host2 "))
    assert row.split()[:4] == ["host2", "1", "1", "1"]
