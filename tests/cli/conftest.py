"""Runs real programs under ``python -m taskflow``, and looks for what they leave behind."""

import contextlib
import glob
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

PATIENCE = 20.0


def until(condition):
    """Wait for a condition that another process brings about; give the value that made it true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise TimeoutError


class Runner:
    """Runs programs in a folder of their own. Everything a run leaves behind is an error of the test."""

    def __init__(self, folder):
        self.folder = folder
        self.launched = []

    def write(self, text, name="app.py"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, *words, command=(sys.executable, "-m", "taskflow"), env=None, **options):
        environment = {**os.environ, "TASKFLOW_TEST": str(self.folder), **(env or {})}
        process = subprocess.Popen(
            [*command, *map(str, words)], cwd=self.folder, text=True, env=environment,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options},
        )  # fmt: skip
        self.launched.append(process)
        return process

    def __call__(self, text, *words, options=("--workers", "1"), **more):
        """Run a program text; give the ended process with its output."""
        return self.words(*options, self.write(text).name, *words, **more)

    def words(self, *words, **more):
        """Run a command line."""
        process = self.start(*words, **more)
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def left_processes(self):
        """Processes of the test's runs that still live, known by a variable of their environment."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process):
        with contextlib.suppress(psutil.Error, OSError):
            return (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("TASKFLOW_TEST") == str(self.folder)
            )
        return False

    def wait_for(self, name):
        """Wait until the program has made a file."""
        until((self.folder / name).exists)

    def journal(self):
        """Text of the journal of the only run."""
        (path,) = (self.folder / ".taskflow").glob("*/journal.jsonl")
        return path.read_text()


@pytest.fixture
def runtask(tmp_path):
    before = set(glob.glob("/dev/shm/taskflow-*"))  # noqa: S108  where the runtime puts its segments
    runner = Runner(tmp_path)
    yield runner
    for process in runner.launched:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    try:
        until(lambda: not runner.left_processes())
    except TimeoutError:
        left = runner.left_processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        raise AssertionError(f"processes left behind: {left}") from None
    made = {str(path).rsplit("-", 3)[-1] for path in (tmp_path / ".taskflow").glob("*")}
    left = {path for path in set(glob.glob("/dev/shm/taskflow-*")) - before if path.split("-")[-2] in made}  # noqa: S108
    assert not left
