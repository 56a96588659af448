"""Plans of the scheduler "predefined"."""

import json
import re
from pathlib import Path

import pytest

from taskflow.cluster.plans import Planned, read_plan
from taskflow.model.errors import ClusterFileError

NODES = ["node1", "node2"]


@pytest.fixture
def plan(tmp_path):
    def plan(entries):
        path = tmp_path / "plan.json"
        path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        return read_plan(str(path), NODES)

    return plan


def test_a_plan_says_of_each_task_where_it_runs(plan):
    assert plan(
        [
            {"taskId": 1, "implementationId": 0, "predecessors": [], "resource": "node2"},
            {"taskId": 2, "implementationId": 1, "predecesors": [1], "resource": "node1"},
            {"taskId": 3, "resources": ["node1", "node2"], "predecessors": [1, 2]},
        ]
    ) == {
        1: Planned(1, ("node2",), 0, ()),
        2: Planned(2, ("node1",), 1, (1,)),
        3: Planned(3, ("node1", "node2"), 0, (1, 2)),
    }


def test_the_plan_of_the_documentation(plan):
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert [planned.nodes for planned in plan(block).values()] == [("node1",), ("node2",)]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("node1", "it has to be an object, and is a text"),
        ({"resource": "node1"}, "taskId has to be a whole number, 1 or more, not None"),
        ({"taskId": 0, "resource": "node1"}, "taskId has to be a whole number, 1 or more, not 0"),
        ({"taskId": True, "resource": "node1"}, "taskId has to be a whole number, 1 or more, not True"),
        ({"taskid": 1, "taskId": 1, "resource": "node1"}, "there is no key 'taskid'; did you mean taskId?"),
        (
            {"taskId": 1, "implementationId": -1, "resource": "node1"},
            "implementationId has to be a whole number, 0 or more, not -1",
        ),
        ({"taskId": 1, "predecessors": 3, "resource": "node1"}, "predecessors has to be a list of taskIds, not 3"),
        ({"taskId": 1}, "it names its node as resource, or several nodes as resources"),
        ({"taskId": 1, "resource": "a", "resources": ["a"]}, "it names its node as resource, or several"),
        ({"taskId": 1, "resource": 5}, "resource has to be the name of a node, not 5"),
        ({"taskId": 1, "resources": []}, "resources has to be a list of names of nodes, not []"),
        ({"taskId": 1, "resource": "nod1"}, "there is no node 'nod1'; did you mean node1?"),
        ({"taskId": 1, "resource": "saturn"}, "there is no node 'saturn'; there is node1, node2"),
        ({"taskId": 1, "resource": "node1", "predecessors": [2]}, "its predecessor 2 is called after it"),
    ],
)
def test_an_entry_that_makes_no_sense(plan, entry, told):
    with pytest.raises(ClusterFileError) as caught:
        plan([{"taskId": 7, "resource": "node1"}, entry])
    assert told in str(caught.value)
    assert "plan.json: entry 2" in str(caught.value)


def test_a_task_that_is_planned_twice(plan):
    with pytest.raises(ClusterFileError, match=r"entry 2 \(task 1\): an earlier entry is of the same task"):
        plan([{"taskId": 1, "resource": "node1"}] * 2)


def test_all_problems_are_told_at_once_but_not_thousands(plan):
    with pytest.raises(ClusterFileError) as caught:
        plan([{}] * 1000)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("and 1980 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"taskId": 1,\n}]', "plan.json:2: this is no JSON: "),
        ("{}", "a plan is a list of objects, one for each task; this is an object"),
        ("3", "this is a number"),
        ("[" * 100_000, "this is no JSON"),
    ],
)
def test_a_file_that_is_no_plan(plan, text, told):
    with pytest.raises(ClusterFileError) as caught:
        plan(text)
    assert told in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ClusterFileError, match=r"none.json cannot be read: No such file"):
        read_plan(str(tmp_path / "none.json"), NODES)
