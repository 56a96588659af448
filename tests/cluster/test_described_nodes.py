"""Runs on nodes over SSH that resources.xml and project.xml describe: each task where it may run, with what it gets."""

import itertools
import json
import os
import subprocess
import sys

import pytest

RESOURCES = """
<ResourcesList>
  <ComputeNode Name="node1">
    <Processor Name="Xeon"><ComputingUnits>2</ComputingUnits><Architecture>amd64</Architecture></Processor>
    <Processor Name="Stratix"><ComputingUnits>2</ComputingUnits><Type>FPGA</Type></Processor>
    <Memory><Size>8</Size></Memory>
    <Software><Application>Gromacs</Application></Software>
  </ComputeNode>
  <ComputeNode Name="node2">
    <Processor Name="Xeon"><ComputingUnits>1</ComputingUnits></Processor>
    <Processor Name="Grace"><ComputingUnits>1</ComputingUnits></Processor>
    <Processor Name="Tesla"><ComputingUnits>1</ComputingUnits><Type>GPU</Type></Processor>
    <Processor Name="Hopper"><ComputingUnits>2</ComputingUnits><Type>GPU</Type></Processor>
    <Memory><Size>4</Size></Memory>
    <Adaptors><Adaptor Name="any"><SubmissionSystem><Batch><Queue>long</Queue></Batch></SubmissionSystem></Adaptor>
    </Adaptors>
  </ComputeNode>
  <ComputeNode Name="node3">
    <Processor Name="Xeon"><ComputingUnits>2</ComputingUnits></Processor>
  </ComputeNode>
</ResourcesList>
"""

PROJECT = """
<Project>
  <MasterNode><Processor Name="Home"><ComputingUnits>1</ComputingUnits></Processor></MasterNode>
  <ComputeNode Name="node1">
    <WorkingDir>{folder}/work</WorkingDir>
    <Application>
      <Pythonpath>{folder}/modules</Pythonpath>
      <EnvironmentScript>{folder}/env.sh</EnvironmentScript>
    </Application>
  </ComputeNode>
  <ComputeNode Name="node2"><LimitOfTasks>2</LimitOfTasks></ComputeNode>
</Project>
"""

HEAD = """
import json, os, sys, time
from taskflow import RequirementsError, compss_wait_on, constraint, task

def where():
    time.sleep(0.05)
    return os.environ.get("TASKFLOW_TEST_NODE", "home").rpartition("-")[2]

def call_of(function=where, **constraints):
    return constraint(**constraints)(task(returns=1)(function))

def answer(value):
    print(json.dumps(value))
"""


@pytest.fixture
def run(loopback_cluster, tmp_path):
    """Run the lines of a program on the described nodes; give what it answers."""
    (tmp_path / "resources.xml").write_text(RESOURCES)
    (tmp_path / "project.xml").write_text(PROJECT.format(folder=tmp_path))
    (tmp_path / "env.sh").write_text("export FLAVOUR=sweet\n")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "only_on_node1.py").write_text("WORD = 'found'\n")

    def run(text, *options):
        (tmp_path / "main.py").write_text(HEAD + text)
        done = subprocess.run(
            [sys.executable, "-m", "taskflow", "--ssh-config", str(loopback_cluster.ssh_config),
             "--resources=resources.xml", "--project=project.xml", *options, "main.py"],
            capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_every_task_runs_where_its_constraints_say(run):
    seen = run("""
wanted = {
    "software": call_of(app_software="gromacs"),
    "queue": call_of(host_queues="LONG"),
    "processor": call_of(processor_name="Grace"),
    "memory": call_of(memory_size=6, processor_name="Xeon"),
    "home": call_of(is_local=True),
    "by name": call_of(processor_name="Home"),
    "gpu": call_of(processors=[{"type": "GPU"}]),
    "fpga": call_of(processors=[{"type": "FPGA", "computing_units": 2}]),
    "units": call_of(computing_units=2),
}
results = {name: [function() for _ in range(4)] for name, function in wanted.items()}
anywhere = [call_of()() for _ in range(60)]
answer([{name: sorted(set(compss_wait_on(futures))) for name, futures in results.items()},
        sorted(set(compss_wait_on(anywhere)))])
""")
    assert seen == [
        {
            "software": ["node1"],
            "queue": ["node2"],
            "processor": ["node2"],
            "memory": ["node1"],
            "home": ["home"],
            "by name": ["home"],
            "gpu": ["node2"],
            "fpga": ["node1"],
            "units": ["node1"],
        },
        ["home", "node1", "node2"],
    ]


def test_devices_of_a_node_are_handed_out_by_model_and_to_one_task_at_a_time(run):
    seen = run("""
def held():
    begun = time.time()
    time.sleep(0.2)
    return os.environ["CUDA_VISIBLE_DEVICES"], begun, time.time()

hopper = call_of(held, processors=[{"type": "GPU", "name": "Hopper"}])
tesla = call_of(held, processors=[{"type": "GPU", "name": "Tesla"}])
answer([compss_wait_on([function() for _ in range(4)]) for function in (hopper, tesla)])
""")
    for spans, numbers in zip(seen, (("1", "2"), ("0",)), strict=True):
        assert {number for number, _, _ in spans} <= set(numbers)
        for number in numbers:
            own = sorted(span[1:] for span in spans if span[0] == number)
            assert all(earlier[1] <= later[0] + 0.01 for earlier, later in itertools.pairwise(own))


def test_what_the_project_says_of_a_node_holds_for_its_tasks_only(run, tmp_path):
    seen = run("""
def look():
    try:
        import only_on_node1
    except ImportError:
        return "no module", os.environ.get("FLAVOUR"), os.environ["COMPSS_WORKING_DIR"]
    return only_on_node1.WORD, os.environ.get("FLAVOUR"), os.environ["COMPSS_WORKING_DIR"]

answer(compss_wait_on([call_of(look, processor_name=name)() for name in ("Home", "Grace")] +
                      [call_of(look, app_software="gromacs")()]))
""")
    assert [each[:2] for each in seen] == [["no module", None], ["no module", None], ["found", "sweet"]]
    assert seen[2][2].startswith(f"{tmp_path}/work/")


def test_a_task_that_no_node_can_run_is_told_of_each_of_them(run):
    text = run("""
try:
    call_of(computing_units=2, host_queues="long", memory_size=5)()
except RequirementsError as error:
    answer(str(error))
""")
    first, head, *rows, last = text.splitlines()
    assert first == "task where needs what no node has, so it could never run:"
    assert head.split() == ["node", "constraint", "requested", "available"]
    assert [" ".join(row.split()) for row in rows] == [
        f"{os.uname().nodename} computing_units 2 1",
        "host_queues LONG none is declared",
        "node1 host_queues LONG none is declared",
        "node2 computing_units 2 1",
        "memory_size 5 GB 4 GB",
    ]
    assert last.startswith("lower its @constraint, or declare in ")


def test_a_plan_says_which_node_runs_which_task(run, tmp_path):
    plan = [{"taskId": number, "resource": ["node1", "node2"][number % 3 == 0]} for number in range(1, 13)]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    seen = run(
        "\nanswer(compss_wait_on([call_of()() for _ in range(12)]))\n",
        "--scheduler=predefined", "--scheduler-config-file=plan.json",
    )  # fmt: skip
    assert seen == [entry["resource"] for entry in plan]
