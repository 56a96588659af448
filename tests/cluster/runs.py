"""Programs run on the hosts in namespaces, by `python -m taskflow` on the host master; and what they leave behind."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from tests.cluster.hosts.namespaces import MASTER, ROOT

PROGRAMS = Path(__file__).parent / "programs"
FOLDER = "/root/program"
PATIENCE_S = 45.0
#: The runtime under test is the one of this tree, and tells where it waits when it is ended by SIGABRT.
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "src"), "PYTHONFAULTHANDLER": "1"}
_answers = {}


def answer(program, *arguments):
    """What a program prints under plain Python: the right answer. It must have nothing to do with the cluster."""
    key = (program, *arguments)
    if key not in _answers:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, str(PROGRAMS / program), *arguments], cwd=folder, capture_output=True, text=True,
                env={**os.environ, **ENVIRONMENT}, timeout=PATIENCE_S, check=True,
            )  # fmt: skip
        _answers[key] = done.stdout
    return _answers[key]


class Run:
    """A run of a program. ``output``, ``errors``: what it has written so far."""

    def __init__(self, process, host_kill):
        self.process = process
        self.output = ""
        self.errors = ""
        self._kill = host_kill
        self._lines = queue.SimpleQueue()
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_output, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read_output(self):
        for line in self.process.stdout:
            self.output += line
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors += line

    def wait_for(self, wanted, patience=PATIENCE_S):
        """Wait until it has written a line that begins so; give the line."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                raise TimeoutError(f"{wanted!r} was not written in {patience:g} s; {self}") from None
            if line is None:
                raise AssertionError(f"it ended without writing {wanted!r}; {self}")
            if line.startswith(wanted):
                return line

    def end(self, patience=PATIENCE_S):
        """Wait for its end; give the exit code."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGABRT)  # it writes where it waits
            time.sleep(0.2)
            self.kill()
            raise TimeoutError(f"it has not ended in {patience:g} s; {self}") from None
        for thread in self._threads:
            thread.join(5)
        return code

    def kill(self, number=signal.SIGKILL):
        """Send a signal to the main program."""
        self._kill(self.process, number)

    def __repr__(self):
        return f"the run wrote:\n{self.output}\n--- errors:\n{self.errors}"


class Runs:
    """Starts programs on a cluster of hosts.

    ``units``: computing units of each node. ``options``: of runtask, for all runs.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.running = []
        cluster.path(MASTER, FOLDER).mkdir()

    def describe(
        self, nodes=None, *, units=2, processors=None, elements=None, settings=None, home="", interpreter=sys.executable
    ):
        """Write resources.xml and project.xml on the master; give the options that name them.

        Of nodes by their names: ``processors``: their Processor elements, in place of ``units`` computing units;
        ``elements``, ``settings``: more XML in resources.xml and project.xml. ``home``: the master's own elements.
        """
        resources, project = "", f"<MasterNode>{home}</MasterNode>"
        for node in self.cluster.nodes if nodes is None else nodes:
            processor = (processors or {}).get(node, _processor(units))
            resources += f'<ComputeNode Name="{node}">{processor}{(elements or {}).get(node, "")}</ComputeNode>'
            python = f"<PythonInterpreter>{interpreter}</PythonInterpreter>" if interpreter else ""
            application = f"<Application>{python}</Application>" if python else ""
            project += f'<ComputeNode Name="{node}">{(settings or {}).get(node, "")}{application}</ComputeNode>'
        for name, root, text in (("resources", "ResourcesList", resources), ("project", "Project", project)):
            self.cluster.path(MASTER, f"{FOLDER}/{name}.xml").write_text(f"<{root}>{text}</{root}>")
        return [f"--resources={FOLDER}/resources.xml", f"--project={FOLDER}/project.xml"]

    def start(self, program, *arguments, options=None, host=MASTER, folder=FOLDER):
        """Start a program of the folder `programs`. Without options: on all nodes, two computing units each."""
        place = self.cluster.path(host, folder)
        place.mkdir(exist_ok=True)
        for name in (program, "helper.py"):
            shutil.copy(PROGRAMS / name, place / name)
        if options is None:
            options = self.describe()
        process = self.cluster.start(
            host, [sys.executable, "-m", "taskflow", *options, program, *map(str, arguments)], cwd=folder,
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        run = Run(process, self.cluster.kill)
        self.running.append(run)
        return run

    def processes(self, name):
        """What runs have started on a host. A session of its SSH server is not ours: it may wait for a dead peer."""
        return [process for process in self.cluster.processes_of(name) if not _is_server(process)]

    def agents(self, node):
        """Processes of the agents on a node: what SSH servers have started."""
        processes = self.cluster.processes_of(node)
        servers = {process.pid for process in processes if _is_server(process)}
        return [process for process in processes if process.pid not in servers and _parent(process) in servers]

    def executors(self, node):
        """Processes that run tasks on a node: forked by the zygotes of the agents."""
        zygotes = [zygote for agent in self.agents(node) for zygote in _children(agent)]
        return [executor for zygote in zygotes for executor in _children(zygote)]

    def left_behind(self, *hosts):
        """What runs of the runtime have left on the hosts (default: all that are up)."""
        names = hosts or [name for name, host in self.cluster.hosts.items() if host.process is not None]
        left = []
        for name in names:
            left += [f"{name}: process {words}" for process in self.processes(name) if (words := _words(process))]
            for folder, pattern in (("/dev/shm", "taskflow-*"), ("/tmp", "taskflow-*/*")):
                root = self.cluster.path(name, folder)
                left += [f"{name}: {folder}/{path.relative_to(root)}" for path in root.glob(pattern)]
        return left

    def assert_clean(self, *hosts, patience=10.0):
        """Nothing is left on the hosts, a moment after the end."""
        deadline = time.monotonic() + patience
        while left := self.left_behind(*hosts):
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(0.02)

    def close(self):
        for run in self.running:
            if run.process.poll() is None:
                run.kill()
                run.end()


def _processor(units):
    return f'<Processor Name="cpu"><ComputingUnits>{units}</ComputingUnits></Processor>'


def _is_server(process):
    """Whether it is a session of an SSH server. It may end at any moment."""
    with contextlib.suppress(psutil.Error):
        return process.name().startswith("sshd")
    return False


def _parent(process):
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return 0


def _children(process):
    with contextlib.suppress(psutil.Error):
        return process.children()
    return []


def _words(process):
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
