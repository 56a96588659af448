"""S18: functions with several nodes."""

import os
import warnings

import pytest

import taskflow
from taskflow import compss_wait_on, constraint, multinode, task
from taskflow.model.errors import ArgumentError, NoSessionError, TaskflowWarning
from tests.behaviour.conftest import start

VARIABLES = ("COMPSS_NUM_NODES", "COMPSS_HOSTNAMES", "COMPSS_NUM_THREADS", "OMP_NUM_THREADS")

#: What srun and sbatch have said of the job that the run is in.
JOB = {
    "SLURM_JOB_ID": "77", "SLURM_JOBID": "77", "SLURM_QOS": "high", "SLURM_NODELIST": "n[1-9]", "SLURM_NTASKS": "99",
    "SLURM_STEP_ID": "3",
}  # fmt: skip


@multinode(computing_nodes=2)
@constraint(computing_units="2")
@task(returns=4)
def described():
    return [os.environ[name] for name in VARIABLES]


@multinode(computing_nodes="count", processes_per_node=2)
@task(returns=1)
def slurm(count):  # noqa: ARG001
    return {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}


@task(returns=1)
def slurm_of_others():
    return {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}


@multinode()
@task(returns=1)
def inner(x):
    return x + 1


@task(returns=1)
def calls_inner(x):
    return inner(x)


@pytest.mark.engines("cluster")
def test_s18_the_body_sees_its_nodes(engine):  # noqa: ARG001
    nodes, names, threads, omp = compss_wait_on(described())
    assert (nodes, threads, omp) == ("2", "2", "2")
    assert len(set(names.split(","))) == 2


@pytest.mark.engines("local", "simulated")
def test_s18_one_machine_stands_for_all(engine):  # noqa: ARG001
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TaskflowWarning)
        future = slurm(2)
    assert compss_wait_on(future) == {}


@pytest.mark.engines("sequential")
def test_s18_without_a_session_there_are_no_nodes(engine):  # noqa: ARG001
    with pytest.raises(NoSessionError, match=r"@multinode of task described \(.*\): its nodes are reserved by a"):
        described()


@pytest.mark.engines("local")
def test_s41_within_another_task_it_is_a_plain_call(engine):  # noqa: ARG001
    assert compss_wait_on(calls_inner(1)) == 2


def test_in_a_job_of_slurm_its_variables_are_of_the_nodes_of_the_task(tmp_path, monkeypatch):
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    try:
        start("local", tmp_path / "run")
        host = os.uname().nodename
        kept = {"SLURM_JOB_ID": "77", "SLURM_JOBID": "77", "SLURM_QOS": "high"}
        assert compss_wait_on(slurm(1)) == kept | {
            "SLURM_NODELIST": host, "SLURM_JOB_NODELIST": host, "SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1",
            "SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_TASKS_PER_NODE": "2",
            "SLURM_JOB_CPUS_PER_NODE": "1", "SLURM_CPUS_ON_NODE": "1", "SLURM_CPUS_PER_TASK": "1",
            "SLURM_MEM_PER_NODE": "0",
        }  # fmt: skip
        assert [compss_wait_on(slurm_of_others()) for _ in range(4)] == [JOB] * 4
    finally:
        taskflow.stop()


def test_what_is_wrong_is_told_where_it_is_written():
    with pytest.raises(ArgumentError, match=r"computing_nodes is a whole number, or a text that says one, not 1\.5"):
        multinode(computing_nodes=1.5)
    with pytest.raises(ArgumentError, match=r"processes_per_node is a whole number, not .x."):
        multinode(processes_per_node="x")
    with pytest.raises(TypeError, match="needs @task"):
        multinode()(len)
