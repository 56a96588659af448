"""``runtask cluster check``: what it says of nodes as they should be, and of those with something wrong."""

import json
import subprocess
import sys

import pytest

from taskflow.cli import cluster_check
from taskflow.cli.cluster_check import Report, _compare, table, take_wishes
from taskflow.cli.options import UsageError
from taskflow.launch import probe
from taskflow.model.requirements import Node, Processor


@pytest.fixture
def check(loopback_cluster, tmp_path):
    def check(*words):
        return subprocess.run(
            [sys.executable, "-m", "taskflow", "cluster", "check", "--ssh-config", str(loopback_cluster.ssh_config),
             *words],
            capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path,
        )  # fmt: skip

    return check


def rows_of(done):
    """The table: node -> column -> text."""
    head, *lines = [line.split("  ") for line in done.stdout.partition("\n\n")[0].splitlines()]
    columns = [cell.strip() for cell in head if cell]
    return {
        line[0].strip(): dict(zip(columns, [cell.strip() for cell in line if cell], strict=False)) for line in lines
    }


def test_nodes_as_they_should_be(check, loopback_cluster):
    done = check("--nodes", "node1:1,node2:1,node3:1", "--packages", "cloudpickle,pytest")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(done)
    assert list(rows) == ["node1", "node2", "node3"]
    for row in rows.values():
        assert row["state"] == "ok"
        assert row["Python"] == sys.version.split()[0]
        assert row["pytest"] == pytest.__version__
        assert row["link"].endswith("MB/s")
        assert row["round trip"].endswith("ms")
    assert done.stdout.endswith("all can be used\n")
    for node in loopback_cluster.nodes:
        assert not loopback_cluster.processes_of(node)


def test_through_ssh(check):
    done = check("--nodes", "node1:1", "--tunnel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows_of(done)["node1"]["link"].endswith("MB/s")


def test_each_problem_is_told_and_how_to_mend_it(check, loopback_cluster):
    loopback_cluster.write_known_hosts("node1")
    loopback_cluster.crash("node2")
    done = check("--nodes", "node1:1,node2:1,node3:100000", "--packages", "no-such-package")
    assert done.returncode == 1
    assert {name: row["state"] for name, row in rows_of(done).items()} == {
        "node1": "not reached", "node2": "not reached", "node3": "wrong"
    }  # fmt: skip
    assert "node1: the host key of node1" in done.stdout
    assert "ssh-keyscan" in done.stdout
    assert "refuses the connection" in done.stdout
    assert "node3: it is said to have 100000 computing units, and has " in done.stdout
    assert "node3: the package no-such-package is not there; install it" in done.stdout
    assert "3 of 3 cannot be used as described" in done.stdout


def test_for_programs(check, loopback_cluster):
    loopback_cluster.crash("node2")
    done = check("--nodes", "node1:1,node2:1", "--json")
    assert done.returncode == 1
    first, second = json.loads(done.stdout)["nodes"]
    assert (first["state"], first["says"]["units"], first["wrong"]) == ("ok", 1, [])
    assert first["facts"]["cores"] >= 1
    assert (second["state"], second["reached"]) == ("not reached", False)
    assert "refuses the connection" in second["wrong"][0]


def test_what_files_say_is_looked_for(check, tmp_path):
    (tmp_path / "resources.xml").write_text(
        """<ResourcesList><SharedDisk Name="data"/><ComputeNode Name="node1"><Processor Name="CPU">
        <ComputingUnits>1</ComputingUnits></Processor><Processor Name="gpu"><ComputingUnits>100</ComputingUnits>
        <Type>GPU</Type></Processor><Memory><Size>1000000</Size></Memory>
        <SharedDisks><AttachedDisk Name="data"><MountPoint>/no/such/disk</MountPoint></AttachedDisk></SharedDisks>
        </ComputeNode></ResourcesList>"""
    )
    (tmp_path / "not-a-folder").write_text("")
    (tmp_path / "project.xml").write_text(
        f"""<Project><MasterNode/><ComputeNode Name="node1"><InstallDir>/opt</InstallDir>
        <WorkingDir>{tmp_path}/not-a-folder/inner</WorkingDir>
        <Application><AppDir>/no/such/folder</AppDir></Application></ComputeNode></Project>"""
    )
    done = check("--resources", str(tmp_path / "resources.xml"), "--project", str(tmp_path / "project.xml"))
    assert done.returncode == 1
    for sentence in (
        "node1: AppDir names /no/such/folder, and there is no such folder on it",
        "node1: MountPoint of the shared disk data names /no/such/disk, and there is no such folder on it",
        "node1: it is said to have 1e+06 GB of memory, and has ",
        "node1: it is said to have 100 GPUs, and we may use ",
    ):
        assert sentence in done.stdout


def test_a_configuration_that_cannot_be_understood_is_one_problem(check, tmp_path):
    (tmp_path / "config").write_text("Host\n")
    done = check("--nodes", "node1,node2", "--ssh-config", str(tmp_path / "config"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"runtask cluster check: the SSH configuration {tmp_path}/config cannot be understood: Unparsable line Host\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nodes", "a", "--speed"], "has no option --speed"),
        (["--nodes", "a", "b"], "what is 'b'? Nodes are named with --nodes"),
        ([], "name the machines: --resources, --project, --nodes"),
        (["--nodes", "a", "--timeout", "soon"], "--timeout wants a number of seconds, not 'soon'"),
        (["--nodes", "a", "--timeout"], "--timeout wants a number of seconds, not ''"),
    ],
)
def test_a_wrong_command_line(check, words, message):
    done = check(*words)
    assert done.returncode == 2
    assert message in done.stderr


def test_own_options_are_told_from_those_of_machines():
    wishes, left = take_wishes(
        ["--packages=a,b", "--nodes", "x", "--json", "--packages", "c", "--timeout=3", "--tunnel"]
    )
    assert (wishes.packages, wishes.as_json, wishes.limit) == (["a", "b", "c"], True, 3.0)
    assert left == ["--nodes", "x", "--tunnel"]
    with pytest.raises(UsageError):
        take_wishes(["--timeout", "-1"])


# ---------------------------------------------------------------------- without nodes


def report_of(**facts):
    there = {
        "python": "3.11.1", "cores": 4, "memory": 16 << 30, "gpus": 0, "packages": {"cloudpickle": "3", "numpy": None},
        "missing": [], "working_dir": "/tmp/w", "working_dir_problem": "", "free": 10**12,
    }  # fmt: skip
    return Report("n", reached=True, facts={**there, **facts})


def node_of(**said):
    return Node("n", (Processor(said.pop("units", 4)),), **said)


def test_what_fits_is_no_problem():
    report = report_of()
    _compare(report, node_of(memory_size=17.0, storage_size=100.0), [])
    assert report.wrong == []


def test_a_working_folder_that_cannot_be_used_is_wrong():
    report = report_of(working_dir_problem="nothing can be made in /: Permission denied")
    _compare(report, node_of(), [])
    assert "; ".join(report.wrong) == (
        "its working folder /tmp/w cannot be used: nothing can be made in /: Permission denied; name another with"
        " <WorkingDir> in project.xml"
    )


def test_less_free_disk_than_said_is_worth_a_note():
    report = report_of(free=10**9)
    _compare(report, node_of(storage_size=100.0), [])
    assert report.wrong == []
    assert any("said to have 100 GB of storage, and 1 GB are free where /tmp/w lies" in note for note in report.notes)


def test_other_versions_of_packages_are_told(monkeypatch):
    monkeypatch.setattr(probe, "version_of", {"numpy": "2.0", "own": "1"}.get)
    report = report_of(packages={"cloudpickle": None, "numpy": "1.26", "own": "2"})
    _compare(report, node_of(), ["own"])
    assert report.wrong == ["the package own is 2 there and 1 here; values may not be understood on both sides"]
    assert report.notes == ["the package numpy is 1.26 there and 2.0 here; values may not be understood on both sides"]


def test_a_node_that_was_not_reached_has_an_empty_line():
    dead = Report("n", reached=False, wrong=["it is off"])
    assert table([dead], []).splitlines()[1:] == [
        "n     not reached",
        "",
        "n: it is off",
        "",
        "1 of 1 cannot be used as described",
    ]


def test_versions_are_found_by_the_names_of_packages_and_of_modules():
    assert probe.version_of("pytest") == pytest.__version__
    assert probe.version_of("_pytest") == pytest.__version__
    assert probe.version_of("json") == "there"
    assert probe.version_of("no.such.module") is None
    assert cluster_check.PACKAGES[0] == "cloudpickle"
