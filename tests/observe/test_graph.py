import re
import shutil
import subprocess

import pytest

from taskflow.observe import graph
from taskflow.observe.graph import dot_lines, write_dot
from taskflow.observe.journal import JournalError

INC = {"e": "fn", "fn": 3, "name": "inc", "module": "app", "file": "app.py", "line": 12}
ADD = {"e": "fn", "fn": 4, "name": "add", "module": "app", "file": "app.py", "line": 20}


def task(task_id, *deps, fn=3, **more):
    return {"e": "task", "t": task_id, "id": task_id, "fn": fn, "deps": [list(dep) for dep in deps], **more}


def tasks(first, count, fn=3):
    return {"e": "tasks", "t": 0, "fn": fn, "first": first, "count": count}


def sync(what, *waited):
    return {"e": "sync", "t": 0, "what": what} | ({"tasks": list(waited)} if waited else {})


def drawn(path):
    return "".join(dot_lines(path))


def edges(text):
    """{"1 -> 2": label or None}."""
    found = {}
    for source, target, attributes in re.findall(r"^  (\w+) -> (\w+) \[(.*)\];$", text, re.MULTILINE):
        label = re.search(r'label="([^"]*)"', attributes)
        found[f"{source} -> {target}"] = label and label[1]
    return found


def nodes(text):
    """{"1": label}, of everything but the legend."""
    return dict(re.findall(r'(\w+) \[label="((?:[^"\\]|\\.)*)", (?:fill|shape)', text))


def test_a_chain(journal):
    text = drawn(journal(INC, task(1, (0, "d1v1")), task(2, (1, "d1v2")), task(3, (2, "d1v3")), sync("wait_on", 3)))
    assert nodes(text) == {
        "Synchro0": "main",
        "1": r"1\ninc",
        "2": r"2\ninc",
        "3": r"3\ninc",
        "Synchro1": "wait_on",
    }
    assert edges(text) == {
        "Synchro0 -> 1": "d1v1",
        "1 -> 2": "d1v2",
        "2 -> 3": "d1v3",
        "3 -> Synchro1": None,
    }


def test_independent_tasks_have_no_edges(journal):
    text = drawn(journal(INC, tasks(1, 3)))
    assert set(nodes(text)) == {"1", "2", "3"}
    assert edges(text) == {}


def test_a_barrier_gathers_the_ends_of_chains_and_later_tasks_hang_from_it(journal):
    text = drawn(
        journal(
            INC,
            task(1),
            task(2, (1, "d1v2")),
            tasks(3, 1),
            sync("barrier"),
            task(4, (2, "d1v3")),
            task(5, (4, "d1v4")),
            tasks(6, 1),
            sync("barrier"),
        )
    )
    assert edges(text) == {
        "1 -> 2": "d1v2",
        "2 -> Synchro1": None,
        "3 -> Synchro1": None,
        "Synchro1 -> 4": None,
        "2 -> 4": "d1v3",
        "4 -> 5": "d1v4",  # follows the barrier through 4
        "Synchro1 -> 6": None,
        "5 -> Synchro2": None,
        "6 -> Synchro2": None,
    }
    assert 'Synchro1 [label="barrier", shape=octagon' in text


def test_a_barrier_with_nothing_new_follows_the_synchronisation_before_it(journal):
    assert edges(drawn(journal(INC, task(1), sync("barrier"), sync("barrier")))) == {
        "1 -> Synchro1": None,
        "Synchro1 -> Synchro2": None,
    }


def test_a_group_barrier_waits_for_the_group_only(journal):
    text = drawn(journal(INC, tasks(1, 3), sync("barrier_group", 1, 2), task(4), sync("barrier")))
    assert edges(text) == {
        "1 -> Synchro1": None,
        "2 -> Synchro1": None,
        "Synchro1 -> 4": None,
        "3 -> Synchro2": None,
        "4 -> Synchro2": None,
    }


def test_what_the_main_program_made_comes_from_its_latest_synchronisation(journal):
    text = drawn(journal(INC, task(1), sync("wait_on", 1), task(2, (0, "d2v1")), task(3)))
    assert edges(text) == {"1 -> Synchro1": None, "Synchro1 -> 2": "d2v1"}


def test_several_versions_between_two_tasks_are_one_edge(journal):
    few = [(1, "d1v2"), (1, "d2v2")]
    many = [(2, f"d{n}v1") for n in range(5, 25)]
    text = drawn(journal(INC, task(1), task(2, *few), task(3, *many)))
    assert edges(text) == {"1 -> 2": "d1v2, d2v2", "2 -> 3": "[d5v1…d24v1](20)"}


def test_groups_are_nested_clusters(journal):
    text = drawn(
        journal(
            INC,
            task(1, groups=["big"]),
            task(2, groups=["big", "g0"]),
            task(3, groups=["big", "g1"]),
            task(4, groups=["big", "g0"]),
            task(5, groups=["g0"]),  # not the g0 within big
        )
    )
    opened = re.findall(r"^  (subgraph .*?)(\d) \[label", text, re.MULTILINE)
    assert opened == [
        ('subgraph cluster_1 { label="big"; ', "1"),
        ('subgraph cluster_1 { subgraph cluster_2 { label="g0"; ', "2"),
        ('subgraph cluster_1 { subgraph cluster_3 { label="g1"; ', "3"),
        ("subgraph cluster_1 { subgraph cluster_2 { ", "4"),
        ('subgraph cluster_4 { label="g0"; ', "5"),
    ]


def test_functions_have_colours_and_a_legend(journal):
    text = drawn(journal(INC, ADD, task(1), task(2, fn=4), task(3, fn=4), task(4, fn=9)))
    colours = dict(re.findall(r'(\d) \[label="[^"]*", fillcolor="(#\w+)"', text))
    assert colours["2"] == colours["3"] != colours["1"]
    legend = re.findall(r'bgcolor="(#\w+)">([^<]*)</td><td align="right">(\d+)<', text)
    assert legend == [
        (colours["1"], "app.inc", "1"),
        (colours["2"], "app.add", "2"),
        (colours["4"], "function 9", "1"),
    ]


def test_failed_and_cancelled_tasks_stand_out(journal):
    failed = {"e": "failed", "t": 1, "id": 1, "x": 0, "attempt": 1, "final": False, "error": "ValueError"}
    text = drawn(
        journal(
            INC,
            tasks(1, 3),
            failed,
            failed | {"id": 2, "final": True},
            {"e": "cancelled", "t": 2, "ids": [3]},
        )
    )
    assert "  2 [color=red, penwidth=3];\n" in text
    assert '  3 [style="filled,dashed"];\n' in text
    assert "  1 [color=red" not in text


ODD = 'a"b\\N\\ <i>&\n\x00\x1b[31m}; evil -> node; // \udce9'


def odd_journal(journal):
    return journal(
        {"e": "fn", "fn": 3, "name": ODD, "module": ODD},
        task(1, (0, ODD), groups=[ODD, "inner"], line=ODD),
        task(2, (1, "d1v2"), groups=[ODD, "inner"]),
        task(3, groups=[ODD]),
        sync("barrier " + ODD),
        {"e": "cancelled", "t": 2, "ids": [3]},
    )


def test_odd_names_stay_inside_their_strings(journal):
    text = drawn(odd_journal(journal))
    quoted = r"a\"b\\N\\ <i>&???[31m}; evil -> node; // ?"
    assert nodes(text)["1"] == r"1\n" + quoted
    assert f'label="{quoted}";' in text
    assert f'tooltip="{quoted}"' in text
    assert "a&quot;b\\N\\ &lt;i&gt;&amp;???[31m" in text
    assert not re.search("[\x00-\x09\x0b-\x1f]", text)


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
@pytest.mark.parametrize("limit", [10_000, 1])
def test_graphviz_reads_it(journal, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(graph, "MAX_TASKS", limit)
    write_dot(odd_journal(journal), tmp_path / "graph.dot")
    done = subprocess.run(
        [shutil.which("dot"), "-Tsvg", str(tmp_path / "graph.dot")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    clusters = done.stdout.count('class="cluster"')
    assert clusters == (2 if limit > 1 else 0)
    assert "a&quot;b\\N\\ &lt;i&gt;&amp;" in done.stdout


def test_beyond_the_limit_of_tasks_functions_become_the_nodes(journal):
    path = journal(
        INC,
        ADD,
        tasks(1, 1_000_000),
        task(1_000_001, (1, "d1v2"), (2, "d2v2"), fn=4),
        task(1_000_002, (0, "d3v1"), (1_000_001, "d4v2"), fn=4),
        sync("wait_on", 1_000_001),
        sync("wait_on", 7, 1_000_002),
        sync("barrier"),
        tasks(1_000_003, 2),
        sync("barrier"),
    )
    text = drawn(path)
    assert text.startswith("// Collapsed: 1,000,004 tasks and 4 dependencies, too many to draw one by one.\n")
    assert nodes(text) == {
        "f3": r"inc\n1,000,002 tasks",
        "f4": r"add\n2 tasks",
        "main": "main",
        "sync0": "2 times wait_on",
        "sync1": "2 times barrier",
    }
    assert edges(text) == {
        "f3 -> f4": "2",
        "main -> f4": "1",
        "f4 -> f4": "1",
        "f4 -> sync0": "2",
        "f3 -> sync0": "1",
        "f3 -> sync1": "1,000,002",
        "f4 -> sync1": "2",
    }


def test_beyond_the_limit_of_edges_too(journal):
    everything = [(n, f"d{n}v1") for n in range(1, 6001)]
    path = journal(INC, tasks(1, 6000), *(task(6000 + n, *everything) for n in range(1, 5)))
    assert edges(drawn(path)) == {"f3 -> f3": "24,000"}
    assert "// Collapsed" not in drawn(journal(INC, tasks(1, 6000), *(task(6000 + n, *everything) for n in (1, 2, 3))))


def test_a_run_without_tasks_is_an_empty_graph(journal):
    text = drawn(journal())
    assert (nodes(text), "legend" in text, text[-2:]) == ({}, False, "}\n")


def test_a_damaged_journal_leaves_an_older_drawing_alone(journal, tmp_path):
    path, out = journal(INC), tmp_path / "graph.dot"
    write_dot(path, out)
    before = out.read_text(encoding="utf-8")
    with path.open("ab") as file:
        file.write(b"damage\n{}\n")
    with pytest.raises(JournalError, match="line 3"):
        write_dot(path, out)
    assert out.read_text(encoding="utf-8") == before
