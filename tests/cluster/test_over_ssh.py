"""Whole programs on nodes that are reached over SSH, as a user runs them."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

MAIN = """
import os
import helper
from package import deeper
from taskflow import compss_wait_on, task


@task(returns=1)
def look(number):
    return helper.square(number), deeper.word(), os.environ["TASKFLOW_TEST_NODE"], helper.__file__


seen = compss_wait_on([look(number) for number in range(60)])
assert [each[0] for each in seen] == [number * number for number in range(60)]
print("word:", {each[1] for each in seen})
print("nodes:", *sorted({each[2].rpartition("-")[2] for each in seen}))
print("from:", *sorted({each[3] for each in seen}))
"""


@pytest.fixture
def program(tmp_path):
    """A program with modules of its own, in a folder with a name that is not easy."""
    root = tmp_path / "my program é"
    (root / "package").mkdir(parents=True)
    (root / "main.py").write_text(MAIN, encoding="utf-8")
    (root / "helper.py").write_text("import time\ndef square(n):\n    time.sleep(0.02)\n    return n * n\n")
    (root / "package" / "__init__.py").write_text("")
    (root / "package" / "deeper.py").write_text(
        "from pathlib import Path\ndef word():\n    return (Path(__file__).parent / 'data.txt').read_text()\n"
    )
    (root / "package" / "data.txt").write_text("found")
    return root


@pytest.fixture
def run(loopback_cluster, tmp_path):
    def run(program, *options):
        return subprocess.run(
            [sys.executable, "-m", "taskflow", "--ssh-config", str(loopback_cluster.ssh_config), *options,
             str(program / "main.py")],
            capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("options", [(), ("--tunnel",)], ids=["directly", "through SSH"])
def test_a_program_runs_on_nodes_that_have_none_of_its_modules(run, program, loopback_cluster, options):
    done = run(program, "--nodes", "node1:2,node2:2,node3:1", *options)
    assert done.returncode == 0, done.stderr
    assert "word: {'found'}" in done.stdout
    assert "nodes: node1 node2 node3\n" in done.stdout
    assert str(program) not in done.stdout.split("from:")[1]  # each node has its own copy
    for node in loopback_cluster.nodes:
        assert not loopback_cluster.processes_of(node)
        left = [name for _, folders, files in os.walk(loopback_cluster.temporary(node)) for name in folders + files]
        assert left == [f"taskflow-{os.getuid()}"]


def test_what_is_said_of_nodes_by_their_names_is_enough_to_refuse_a_task(run, program):
    (program / "main.py").write_text(
        "from taskflow import constraint, task\n"
        "@constraint(computing_units=2)\n"
        "@task(returns=1)\n"
        "def wide():\n"
        "    return 1\n"
        "wide()\n"
    )
    done = run(program, "--nodes", "node1:1,node2:1")
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert "taskflow.model.errors.RequirementsError: task wide needs what no node has, so it could never run:" in lines
    assert "node1, node2 computing_units 2 1" in lines


def test_modules_on_a_shared_disk_are_not_sent(run, program, tmp_path):
    resources = tmp_path / "resources.xml"
    project = tmp_path / "project.xml"
    disk = f'<SharedDisks><AttachedDisk Name="home"><MountPoint>{tmp_path}</MountPoint></AttachedDisk></SharedDisks>'
    resources.write_text(
        f"""<ResourcesList><SharedDisk Name="home"/><ComputeNode Name="node1"><Processor Name="CPU">
        <ComputingUnits>2</ComputingUnits></Processor>{disk}</ComputeNode></ResourcesList>"""
    )
    project.write_text(
        f"""<Project><MasterNode>{disk}</MasterNode><ComputeNode Name="node1"><InstallDir>/opt</InstallDir>
        <WorkingDir>{tmp_path}/work</WorkingDir></ComputeNode></Project>"""
    )
    done = run(program, "--resources", str(resources), "--project", str(project))
    assert done.returncode == 0, done.stderr
    assert f"from: {program}/helper.py\n" in done.stdout


def test_the_folder_that_the_description_names_is_used(run, program, tmp_path):
    other = tmp_path / "on the node"
    program.rename(other)
    program.mkdir()
    (program / "main.py").write_text((other / "main.py").read_text())
    # Here, the modules are found in yet another place.
    (tmp_path / "here").symlink_to(other)
    resources = tmp_path / "resources.xml"
    project = tmp_path / "project.xml"
    resources.write_text(
        """<ResourcesList><ComputeNode Name="node1"><Processor Name="CPU">
        <ComputingUnits>2</ComputingUnits></Processor></ComputeNode></ResourcesList>"""
    )
    project.write_text(
        f"""<Project><MasterNode/><ComputeNode Name="node1"><InstallDir>/opt</InstallDir>
        <WorkingDir>{tmp_path}/work</WorkingDir><Application><AppDir>{other}</AppDir></Application>
        </ComputeNode></Project>"""
    )
    done = run(
        program, "--pythonpath", str(tmp_path / "here"), "--resources", str(resources), "--project", str(project)
    )
    assert done.returncode == 0, done.stderr
    assert f"from: {other}/helper.py\n" in done.stdout


def test_what_the_env_script_sets_reaches_the_tasks_on_nodes(run, tmp_path):
    root = tmp_path / "program"
    root.mkdir()
    (root / "main.py").write_text(
        "import os\nfrom taskflow import compss_wait_on, task\n\n\n@task(returns=1)\ndef look():\n"
        "    return os.environ.get('COLOUR'), os.environ['PATH'].split(':')\n\n\n"
        "colour, path = compss_wait_on(look())\nprint(colour, path[0], len(path) > 2)\n"
    )
    (tmp_path / "env.sh").write_text("export COLOUR='dark red' PATH=/opt/somewhere/bin:$PATH\n")
    done = run(root, "--nodes", "node1:1", "--env-script", "env.sh")
    assert done.stdout == "dark red /opt/somewhere/bin True\n", done.stderr


def test_programs_of_the_virtual_environment_come_first_on_nodes(program, tmp_path, loopback_cluster):
    (program / "main.py").write_text(
        "import os\nfrom taskflow import compss_wait_on, task\n\n\n@task(returns=1)\ndef look():\n"
        "    return os.environ['PATH'].split(':')[0]\n\n\nprint(compss_wait_on(look()))\n"
    )
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [folder / "python", "-m", "taskflow", "--ssh-config", loopback_cluster.ssh_config, "--nodes", "node1:1",
         program / "main.py"],
        capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path, env={**os.environ, **variables},
    )  # fmt: skip
    assert done.stdout == f"{folder}\n", done.stderr


def test_a_run_without_a_node_that_can_be_reached_says_why(run, program, loopback_cluster):
    loopback_cluster.crash("node1")
    done = run(program, "--nodes", "node1:2")
    assert done.returncode == 1
    assert "node1: node1, which is 127.0.1.1 port" in done.stderr
    assert "refuses the connection" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_wait_for_nodes_can_be_interrupted(program, tmp_path, number):
    with socket.create_server(("127.0.1.9", 0)) as silent:
        (tmp_path / "config").write_text(f"Host silent\n HostName 127.0.1.9\n Port {silent.getsockname()[1]}\n")
        options = ["--ssh-config", str(tmp_path / "config"), "--nodes", "silent:1"]
        run = subprocess.Popen([sys.executable, "-m", "taskflow", *options, str(program / "main.py")],
                               stderr=subprocess.PIPE, text=True, cwd=tmp_path)  # fmt: skip
        silent.settimeout(20)
        connection, _ = silent.accept()  # and not a word
        run.send_signal(number)
        _, errors = run.communicate(timeout=20)
        connection.close()
    assert run.returncode == 128 + number
    assert errors.endswith("while the nodes were started\n")
    assert "Traceback" not in errors


def test_a_host_that_is_off_holds_up_no_other_and_is_named(namespace_cluster):
    namespace_cluster.poweroff("node2")
    began = time.monotonic()
    words = ["-m", "taskflow", "cluster", "check", "--nodes", "node1,node2,node3", "--timeout", "6"]
    done = namespace_cluster.run("master", [sys.executable, *words])
    assert time.monotonic() - began < 15
    assert done.returncode == 1
    states = [line.split("  ")[1].strip() for line in done.stdout.splitlines()[1:4]]
    assert states == ["ok", "not reached", "ok"], done.stdout
    assert "node2: node2, which is 10.77." in done.stdout
    assert "does not answer: the machine is off, the address is wrong, or a firewall" in done.stdout


def test_late_and_lost_packets_are_no_reason_to_fail(namespace_cluster):
    namespace_cluster.latency("node1", 50)
    namespace_cluster.loss("node1", 1)
    words = ["-m", "taskflow", "cluster", "check", "--nodes", "node1"]
    done = namespace_cluster.run("master", [sys.executable, *words])
    assert done.returncode == 0, done.stdout + done.stderr


PROGRAMS = """
import os
from taskflow import FILE_OUT_STDOUT, binary, compss_open, compss_wait_on, julia, task

here = os.path.dirname(os.path.abspath(__file__))


@task(returns=1)
def ready():
    return True


@binary(binary="./run.sh", working_dir=here + "/tools", args="{{word}}")
@task(out=FILE_OUT_STDOUT)
def by_folder(word, out):
    pass


@binary(binary="tools/run.sh")
@task(out=FILE_OUT_STDOUT)
def by_path(word, out):
    pass


@julia(script=here + "/tools/script.jl", executor="sh")
@task(out=FILE_OUT_STDOUT)
def script(word, out):
    pass


assert compss_wait_on(ready())
os.rename(here + "/tools", here + "/no longer here")
for number, run in enumerate([by_folder, by_path, script]):
    run("a word", f"out{number}")
    with compss_open(f"out{number}") as file:
        print(file.read().strip())
"""


def test_scripts_that_belong_to_the_program_are_there(run, tmp_path):
    root = tmp_path / "program"
    (root / "tools").mkdir(parents=True)
    (root / "main.py").write_text(PROGRAMS)
    for name in ("run.sh", "script.jl"):
        (root / "tools" / name).write_text('#!/bin/sh\necho "$(basename "$0") $1"\n')
    (root / "tools" / "run.sh").chmod(0o755)
    done = run(root, "--nodes", "node1:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run.sh a word\nrun.sh a word\nscript.jl a word\n"
