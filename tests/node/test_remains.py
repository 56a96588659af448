"""What MPICH leaves when its processes are killed."""

import mmap
import os
import shutil
import subprocess
import sys

import pytest

from taskflow.node import remains


@pytest.fixture
def segment():
    """Function that makes a file like those of MPICH; its path."""
    paths = []

    def make(name):
        path = f"/dev/shm/mpich_shm_{os.getpid()}{name}"  # noqa: S108  MPICH puts them there
        paths.append(path)
        with open(path, "xb") as file:
            file.truncate(1 << 16)
        return path

    yield make
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


def test_what_was_left_since_an_attempt_began_is_removed(segment):
    old = segment("old")
    os.utime(old, (1, 1))
    began = remains.now()
    left = segment("left")
    remains.remove(began)
    assert os.path.exists(old)
    assert not os.path.exists(left)


def test_what_another_process_has_mapped_stays_until_it_ends(segment):
    began = remains.now()
    used = segment("used")
    code = (
        "import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDWR); m = mmap.mmap(f, 0); os.close(f); print(); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code, used], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        remains.remove(began)
        assert os.path.exists(used)
        other.kill()
    remains.remove(began)
    assert not os.path.exists(used)


def test_what_this_process_has_mapped_stays(segment):
    began = remains.now()
    used = segment("own")
    with open(used, "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    remains.remove(began)
    assert os.path.exists(used)
    mapped.close()


def test_the_file_of_a_topology_stays_while_a_launcher_may_have_ranks_that_read_it(tmp_path):
    began = remains.now()
    path = f"/tmp/hydra_hwloc_xmlfile_{os.getpid()}"  # noqa: S108
    proxy = tmp_path / "hydra_pmi_proxy"
    proxy.symlink_to("/bin/sleep")
    with open(path, "xb"), subprocess.Popen([proxy, "60"]) as other:
        remains.remove(began)
        kept = os.path.exists(path)
        other.kill()
    for _ in range(20):  # others may use MPI here, too
        remains.remove(began)
    gone = not os.path.exists(path)
    if not gone:
        os.unlink(path)
    assert (kept, gone) == (True, True)


def test_the_folder_of_a_launcher_stays_while_it_runs():
    began = remains.now()
    with subprocess.Popen(["sleep", "60"]) as launcher:
        folder = f"/tmp/ompi.{launcher.pid}"  # noqa: S108  Open MPI puts them there
        os.makedirs(f"{folder}/1")
        remains.remove(began)
        kept = os.path.exists(folder)
        launcher.kill()
    remains.remove(began)
    gone = not os.path.exists(folder)
    if not gone:
        shutil.rmtree(folder)
    assert (kept, gone) == (True, True)
