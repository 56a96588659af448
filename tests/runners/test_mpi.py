"""What launchers of each kind are told."""

import os
import stat

import pytest

from taskflow.model.errors import ProgramError
from taskflow.runners import mpi
from taskflow.runners.mpi import MPICH, IntelMPI, OpenMPI, Runner, Srun, World
from tests.mpis import any_mpi, mpi_folder

__all__ = ["any_mpi", "mpi_folder"]

PROGRAMS = [(2, ["ocean", "a b"]), (4, ["air", "%t", "it's"])]
NODES = [("one", 4), ("two", 2)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("COMPSS_MPIRUN_TYPE", raising=False)
    monkeypatch.delenv("TASKFLOW_LAUNCH_AGENT", raising=False)


@pytest.fixture
def agent(monkeypatch, tmp_path):
    """The program by which other nodes are reached."""
    path = tmp_path / "agent"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    monkeypatch.setenv("TASKFLOW_LAUNCH_AGENT", str(path))
    return str(path)


def told(kind, hosts, *, version=(), programs=PROGRAMS, world=None):
    """The words after the runner, its settings, and the content of each of its files by the setting or option."""
    world = world or World("runner", sum(count for count, _ in programs), hosts[0][1], 3)
    launcher = kind(Runner(kind, "/mpi/bin/mpirun", version), world, hosts, {"COMPSS_X": "1", "PATH": "/bin"})
    settings = launcher.settings()
    launcher.environment.update(settings)
    words = [*launcher.options(), *world.flags, *launcher.programs(programs)]
    texts = {}
    for name, value in [*settings.items(), ("last word", words[-1])]:
        if os.path.isfile(value) and not os.access(value, os.X_OK):
            with open(value) as file:
                texts[name] = file.read()
            assert stat.S_IMODE(os.stat(value).st_mode) == 0o600
    launcher.remove_files()
    assert not any(map(os.path.exists, launcher._files))
    return words, settings, texts


MPMD = ["-n", "2", "ocean", "a b", ":", "-n", "4", "air", "%t", "it's"]
#: Each node has its own folder: that of the first one may not be there.
OWN = ["-wdir", "/proc/self/cwd"]
MPMD_ON_NODES = ["-n", "2", *OWN, "ocean", "a b", ":", "-n", "4", *OWN, "air", "%t", "it's"]


def test_open_mpi_on_one_node():
    words, settings, texts = told(OpenMPI, [("localhost", 6)], version=(5, 0, 11))
    assert words == MPMD
    assert texts == {"PRTE_MCA_prte_default_hostfile": "localhost slots=6\n"}
    assert settings["OMPI_ALLOW_RUN_AS_ROOT"] == settings["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"
    assert settings["PRTE_MCA_hwloc_default_binding_policy"] == "none"
    assert "PRTE_MCA_plm" not in settings


def test_open_mpi_5_on_several_nodes(agent):
    words, settings, texts = told(OpenMPI, NODES, version=(5, 0, 11))
    exported = [*OWN, "-x", "COMPSS_X", "-x", "PATH"]
    assert words == [
        "--prefix",
        "/mpi",
        "-n",
        "2",
        *exported,
        "ocean",
        "a b",
        ":",
        "-n",
        "4",
        *exported,
        "air",
        "%t",
        "it's",
    ]
    assert texts == {"PRTE_MCA_prte_default_hostfile": "one slots=4\ntwo slots=2\n"}
    assert settings["PRTE_MCA_plm_ssh_agent"] == agent
    # Without "slot" ranks that are more than the cores of the first node would all be there.
    assert settings["PRTE_MCA_rmaps_default_mapping_policy"] == "slot:oversubscribe"
    assert (settings["PRTE_MCA_plm"], settings["PRTE_MCA_plm_ssh_no_tree_spawn"]) == ("ssh", "1")


def test_open_mpi_4_on_several_nodes(agent):
    words, settings, texts = told(OpenMPI, NODES, version=(4, 1, 4), world=World("r", 6, 4, 1, ("--prefix", "/else")))
    assert words[:2] == ["--prefix", "/else"]
    assert words.count("--prefix") == 1
    assert texts == {"OMPI_MCA_orte_default_hostfile": "one slots=4\ntwo slots=2\n"}
    assert settings["OMPI_MCA_plm_rsh_agent"] == agent
    assert not [name for name in settings if name.startswith("PRTE")]


def test_mpich(agent):
    words, settings, texts = told(MPICH, [("localhost", 6)])
    assert (words, texts) == (MPMD, {"HYDRA_HOST_FILE": "localhost:6\n"})
    assert settings["HYDRA_LAUNCHER"] == "fork"
    words, settings, texts = told(MPICH, NODES)
    assert (words, texts) == (MPMD_ON_NODES, {"HYDRA_HOST_FILE": "one:4\ntwo:2\n"})
    assert (settings["HYDRA_LAUNCHER"], settings["HYDRA_LAUNCHER_EXEC"]) == ("ssh", agent)


def test_intel_mpi(agent):
    words, settings, texts = told(IntelMPI, NODES)
    assert (words, texts) == (MPMD_ON_NODES, {"I_MPI_HYDRA_HOST_FILE": "one:4\ntwo:2\n"})
    assert (settings["I_MPI_HYDRA_BOOTSTRAP"], settings["I_MPI_HYDRA_BOOTSTRAP_EXEC"]) == ("ssh", agent)
    assert settings["I_MPI_PIN"] == "off"


def test_srun():
    words, settings, texts = told(Srun, NODES)
    assert words[:-1] == ["--nodes=2", "--ntasks=6", "--ntasks-per-node=4", "--cpus-per-task=3", "--multi-prog"]
    assert texts == {"last word": "0-1 'ocean' 'a b'\n2-5 'air' '%t' 'it'\\''s'\n"}
    assert settings["SLURM_OVERLAP"] == settings["SLURM_KILL_BAD_EXIT"] == "1"

    launcher = Srun(Runner(Srun, "/bin/srun", ()), World("srun", 6, 4), NODES, {"SLURM_JOB_ID": "5"})
    assert launcher.options()[-1] == "--nodelist=one,two"
    assert launcher.programs([(6, ["solver", "%t"])]) == ["solver", "%t"]

    job = {"SLURM_JOB_ID": "5", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n7"}
    for more, here in (({}, "n7"), ({"SLURMD_NODENAME": "n8"}, "n8")):
        launcher = Srun(Runner(Srun, "/bin/srun", ()), World("srun", 2, 2), [("localhost", 2)], {**job, **more})
        assert launcher.options()[-1] == f"--nodelist={here}"


def test_the_hosts_are_those_of_the_task(monkeypatch):
    monkeypatch.setenv("COMPSS_HOSTNAMES", "one,two")
    assert mpi.hosts_of(World("r", 4, 2)) == [("one", 2), ("two", 2)]
    assert mpi.hosts_of(World("r", 5, 2)) == [("one", 3), ("two", 2)]
    assert mpi.hosts_of(World("r", 2, 2)) == [("localhost", 2)]
    monkeypatch.setenv("COMPSS_HOSTNAMES", "one")
    assert mpi.hosts_of(World("r", 4, 1)) == [("localhost", 4)]


def test_what_the_user_has_set_is_left_as_it_is(any_mpi, monkeypatch):
    for name in ("OMPI_MCA_mpi_yield_when_idle", "HYDRA_LAUNCHER"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("PMI_RANK", "3")
    launcher = mpi.starting(World(any_mpi.runner, 99, 99, 2, ("--flag",)), [(99, ["x"])], "here")
    launcher.remove_files()
    assert launcher.argv[:2] == [any_mpi.runner, "--flag"]
    assert launcher.environment["OMPI_MCA_mpi_yield_when_idle"] == launcher.environment["HYDRA_LAUNCHER"] == "mine"
    assert launcher.environment["OMP_NUM_THREADS"] == "2"
    assert "PMI_RANK" not in launcher.environment


def test_runners_are_known_by_what_they_say(any_mpi):
    runner = mpi.runner_of(any_mpi.runner, "here")
    assert runner.kind is {"openmpi": OpenMPI, "mpich": MPICH}[any_mpi.name]
    assert runner.version > (3,)
    assert mpi.runner_of(any_mpi.runner, "here") is runner


@pytest.mark.parametrize(
    ("said", "kind", "version"),
    [
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/", OpenMPI, (4, 1, 4)),
        ("HYDRA build details:\n    Version:                                 4.0.2", MPICH, (4, 0, 2)),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.18.1 Build 20260626 (id: b4)", IntelMPI, (2021, 18, 1)),
        ("slurm-wlm 22.05.8", Srun, (22, 5, 8)),
    ],
)
def test_runners_that_are_seldom_installed_are_known_too(said, kind, version, tmp_path):
    """What they say was copied from those programs."""
    path = tmp_path / "mpirun"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    path.chmod(0o700)
    runner = mpi.runner_of(str(path), "here")
    assert (runner.kind, runner.version) == (kind, version)


def test_the_kind_of_a_runner_can_be_said(any_mpi, monkeypatch):
    for text, kind in (("impi", IntelMPI), ("ompi", OpenMPI), ("slurm", Srun)):
        monkeypatch.setenv("COMPSS_MPIRUN_TYPE", text)
        assert mpi.runner_of(any_mpi.runner, "here").kind is kind
    monkeypatch.setenv("COMPSS_MPIRUN_TYPE", "pvm")
    with pytest.raises(ProgramError, match="here: COMPSS_MPIRUN_TYPE is 'pvm'; it is one of ompi, openmpi, mpich"):
        mpi.runner_of(any_mpi.runner, "here")
