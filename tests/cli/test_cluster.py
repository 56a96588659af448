"""`runtask cluster`, and runs on machines that files describe."""

import os
import sys

import pytest

from taskflow.cluster.files import cluster_of_files

PROGRAM = """
    import os, sys
    import taskflow.runtime as r
    from taskflow import constraint, compss_wait_on, task

    @constraint(app_software="Simulator")
    @task(returns=1)
    def f():
        return os.environ.get("FLAVOUR"), os.environ.get("LD_LIBRARY_PATH"), "/modules" in sys.path

    print(compss_wait_on(f()), r.session.workers)
"""

RESOURCES = """
    <ResourcesList>
      <ComputeNode Name="localhost">
        <Processor Name="cpu"><ComputingUnits>3</ComputingUnits></Processor>
        <Software><Application>SIMULATOR</Application></Software>
      </ComputeNode>
      <ComputeNode Name="node1"><Processor Name="cpu"><ComputingUnits>3</ComputingUnits></Processor></ComputeNode>
    </ResourcesList>
"""

PROJECT = """
    <Project>
      <ComputeNode Name="localhost">
        <Application>
          <Pythonpath>/modules</Pythonpath>
          <LibraryPath>/libraries</LibraryPath>
          <EnvironmentScript>{folder}/env.sh</EnvironmentScript>
        </Application>
        <LimitOfTasks>{limit}</LimitOfTasks>
      </ComputeNode>
    </Project>
"""


@pytest.fixture
def files(runtask):
    runtask.write(RESOURCES, "resources.xml")
    runtask.write(PROJECT.format(folder=runtask.folder, limit=2), "project.xml")
    runtask.write("export FLAVOUR=sweet", "env.sh")
    return ["--resources=resources.xml", "--project=project.xml"]


def test_this_machine_as_the_files_describe_it(runtask, files):
    ended = runtask(PROGRAM, options=files)
    assert ended.stderr == ""
    assert ended.stdout == "('sweet', '/libraries', True) 2\n"


@pytest.mark.usefixtures("files")
def test_a_program_that_starts_its_own_session(runtask):
    text = """
        import taskflow
        with taskflow.session(resources="resources.xml", project="project.xml") as session:
            print(session.workers, session.node.name, sorted(session.node.software))
    """
    ended = runtask.start(runtask.write(text), command=[sys.executable])
    assert ended.communicate() == ("2 localhost ['SIMULATOR']\n", "")


@pytest.mark.parametrize("limit", [0, "two"])
def test_files_that_are_wrong_end_the_run_before_it_begins(runtask, files, limit):
    path = runtask.write(PROJECT.format(folder=runtask.folder, limit=limit), "project.xml")
    ended = runtask(PROGRAM, options=files)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "runtask: the machines cannot be used as they are described:\n"
        f"{path}:9: ComputeNode localhost > LimitOfTasks: it has to be a whole number, 1 or more, not '{limit}'\n"
    )
    assert not (runtask.folder / ".taskflow").exists()


def test_a_script_of_the_environment_that_is_not_there(runtask, files):
    (runtask.folder / "env.sh").unlink()
    ended = runtask(PROGRAM, options=files)
    assert ended.returncode == 2
    assert f"the EnvironmentScript of localhost: there is no file {runtask.folder}/env.sh" in ended.stderr


def test_nodes_that_make_no_sense(runtask):
    ended = runtask(PROGRAM, options=["--nodes=a,,b"])
    assert ended.returncode == 2
    assert "a host is missing between the commas" in ended.stderr


# --- describe -----------------------------------------------------------------------------------------------


def test_describe_writes_a_file_that_can_be_used(runtask):
    ended = runtask.words("cluster", "describe", "--write", "here.xml")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert cluster_of_files(str(runtask.folder / "here.xml"), "").home.name == os.uname().nodename


def test_describe_without_a_file_writes_to_standard_output(runtask):
    ended = runtask.words("cluster", "describe")
    assert ended.returncode == 0
    assert "<ResourcesList>" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["describe", "--write=here.xml"], "exists already; name another file, or remove it"),
        (["describe", "--write=none/here.xml"], "none/here.xml cannot be written: No such file or directory"),
        (["chek"], "there is no 'chek'; it is describe or check"),
        (["describe", "--write"], "write: runtask cluster describe [--write FILE]"),
        (["describe", "here.xml"], "write: runtask cluster describe [--write FILE]"),
        (["descirbe"], "usage: runtask cluster"),
        ([], "usage: runtask cluster"),
    ],
)
def test_wrong_words(runtask, words, told):
    kept = runtask.write("mine", "here.xml")
    ended = runtask.words("cluster", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert kept.read_text() == "mine"


def test_help_of_the_sub_commands(runtask):
    ended = runtask.words("cluster", "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: runtask cluster describe")
