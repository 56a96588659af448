"""Tasks on nodes that differ: each runs where its constraints allow, as the user and in the folder the files name."""

import shutil

import pytest

from tests.cluster.hosts.namespaces import MASTER
from tests.cluster.runs import FOLDER

GPU = '<Processor Name="gpu"><ComputingUnits>2</ComputingUnits><Type>GPU</Type></Processor>'
SOFTWARE = "<Software><Application>Blast</Application></Software>"
MEMORY = "<Memory><Size>{}</Size></Memory>"


def processor(units, architecture):
    return (
        f'<Processor Name="cpu"><ComputingUnits>{units}</ComputingUnits><Architecture>{architecture}</Architecture>'
        "</Processor>"
    )


@pytest.fixture
def placed(runs):
    """Run the program on three nodes that differ; its lines by their first words."""

    def placed(*more, settings=None):
        options = runs.describe(
            processors={
                "node1": processor(2, "amd64"),
                "node2": processor(4, "amd64") + GPU,
                "node3": processor(2, "arm64"),
            },
            elements={
                "node1": MEMORY.format(4) + SOFTWARE,
                "node2": MEMORY.format(8),
                "node3": MEMORY.format(16),
            },
            settings=settings,
            interpreter=runs.cluster.python,  # nothing is installed there
            home=processor(1, "amd64") + MEMORY.format(1),
        )
        run = runs.start("placing.py", options=[*options, *more])
        assert run.end() == 0, str(run)
        return dict(line.split(" ", 1) for line in run.output.splitlines())

    return placed


@pytest.mark.parametrize("way", [[], ["--tunnel"]], ids=["direct", "tunnel"])
def test_constraints_place_each_task(runs, placed, way):
    lines = placed(*way)
    assert lines["software"] == "node1"
    assert lines["memory"] == "node3"
    assert lines["architecture"] == "node3"
    assert lines["gpu"] in {"('node2', '0')", "('node2', '0') ('node2', '1')", "('node2', '1')"}
    assert lines["wide"] == "('node2', '4')"
    assert lines["local"] == "master"
    assert runs.cluster.path(MASTER, f"{FOLDER}/a.txt").read_text() == "a.txt of master\nb.txt of master\nnode1\n"


def test_a_node_has_its_own_user_and_working_folder(runs, placed):
    lines = placed(settings={"node1": "<WorkingDir>/home/alice/work</WorkingDir><User>alice</User>"})
    user, cwd, mode, uid, eight = lines["surroundings"].split()
    assert (user, mode, uid, eight) == ("alice", "700", "2001", "8")
    assert cwd.startswith("/home/alice/work/")
    left = list(runs.cluster.path("node1", "/home/alice/work").glob("*"))
    assert not left


def test_the_working_folders_stay_if_that_is_wanted(runs, placed):
    placed("--keep-workingdir", settings={"node1": "<WorkingDir>/root/work</WorkingDir>"})
    (folder,) = runs.cluster.path("node1", "/root/work").glob("*/*")
    assert folder.name.startswith("node1")
    for node in ("node2", "node3"):
        for path in runs.cluster.path(node, "/tmp").glob("taskflow-*/*"):
            shutil.rmtree(path)
