"""`taskflow.start` with machines that make no sense, or none."""

import pytest

import taskflow
from taskflow import TaskflowWarning, compss_wait_on, task

RESOURCES = """
<ResourcesList>
  <ComputeNode Name="localhost"><Processor Name="cpu"><ComputingUnits>1</ComputingUnits></Processor></ComputeNode>
</ResourcesList>
"""


@task(returns=1)
def one():
    return 1


def test_workers_and_files_both_say_how_many(tmp_path):
    (tmp_path / "resources.xml").write_text(RESOURCES)
    with pytest.raises(ValueError, match=r"resources\.xml says how many executors there are"):
        taskflow.start(workers=2, resources=tmp_path / "resources.xml")


def test_options_of_machines_without_machines_warn(tmp_path):
    with (
        pytest.warns(TaskflowWarning, match="no machines are named"),
        taskflow.session(scheduler="lifo", workers=1, run_dir=tmp_path / "run"),
    ):
        assert compss_wait_on(one()) == 1


def test_a_scheduler_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match="there is no scheduler 'lofi'"):
        taskflow.start(scheduler="lofi", run_dir=tmp_path / "run")
