"""What killed processes have left is removed, and nothing else."""

import os
import shutil
import subprocess
import sys

import pytest

from taskflow import runtime
from taskflow.launch.leftovers import OWNER, claim, sweep, sweep_below

RUN = "20260102-030405-a1b2c3"


@pytest.fixture
def claimed():
    """Claims folders; they are ours until the end of the test, or `os.close`."""
    files = []

    def take(folder):
        folder.mkdir(parents=True)
        files.append(claim(str(folder)))
        assert files[-1] != -1
        (folder / "value").write_text("data")
        return files[-1]

    yield take
    for file in files:
        os.close(file)


def die_with(folder):
    """Another process claims a folder and is killed."""
    folder.mkdir(parents=True)
    code = f"import os; from taskflow.launch.leftovers import claim; claim({str(folder)!r}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert (folder / OWNER).exists()


def test_folders_of_dead_owners_are_removed_and_those_of_the_living_stay(tmp_path, claimed):
    dead, living = tmp_path / f"taskflow-{RUN}-n1", tmp_path / f"taskflow-{RUN}-n2"
    die_with(dead)
    claimed(living)
    sweep(str(tmp_path))
    assert not dead.exists()
    assert (living / "value").exists()


def test_an_empty_folder_of_a_run_goes_with_the_last_of_its_nodes(tmp_path, claimed):
    die_with(tmp_path / RUN / "one-1")
    die_with(tmp_path / RUN.replace("a1", "b2") / "one-1")
    claimed(tmp_path / RUN / "two-2")
    sweep_below(str(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == [f"{RUN}/two-2"]
    assert [path.name for path in tmp_path.iterdir()] == [RUN]


def test_what_nobody_has_claimed_stays(tmp_path):
    """A user may name his home folder with <WorkingDir>."""
    for name in (f"taskflow-{RUN}-n1", RUN, "documents"):
        (tmp_path / name / "something").mkdir(parents=True)
    copied = tmp_path / f"taskflow-{RUN}-n2"
    die_with(tmp_path / "elsewhere" / copied.name)
    shutil.copytree(tmp_path / "elsewhere" / copied.name, copied)
    just_made = tmp_path / f"taskflow-{RUN}-n3"
    just_made.mkdir()
    (just_made / OWNER).touch()
    die_with(tmp_path / "documents" / "report")
    before = sorted(tmp_path.rglob("*"))
    sweep(str(tmp_path))
    sweep_below(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_segments_of_a_main_program_that_was_killed_are_removed_by_the_next(tmp_path):
    code = (
        "import os, signal, taskflow\n"
        "session = taskflow.start(workers=1, progress=False)\n"
        "print(session._segments)\n"
        "os.kill(session.engine.node.process.pid, signal.SIGSTOP)\n"
        "os.kill(session.engine.node.process.pid, signal.SIGKILL)\n"
        "os._exit(9)"
    )
    ended = subprocess.run(
        [sys.executable, "-uc", code], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    folder = ended.stdout.strip()
    assert os.path.isdir(folder), ended
    with runtime.running(workers=1, run_dir=tmp_path / "run", progress=False):
        assert not os.path.exists(folder)
        assert os.path.isdir(runtime.session._segments)
