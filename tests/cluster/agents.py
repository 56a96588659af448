"""Clusters of agents on this machine, for tests: real processes and connections, no SSH."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import taskflow
from taskflow import runtime
from taskflow.launch.process import LocalAgentProcess
from taskflow.model.cluster import Cluster, ClusterOptions, NodeSetup
from taskflow.model.requirements import Node, Processor


def setup(name, units=2, **fields):
    """A node with so many computing units."""
    return NodeSetup(Node(name, (Processor(units),)), "localhost", **fields)


class Agents:
    """Starts agents, and knows their processes by the names of their nodes."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        self.configs = []
        self.refuse = set()  # names of nodes whose agents cannot be started (any more)
        self.environment = {}
        self.interpreter = ""

    def launch(self, setup, config_of):
        """The launcher."""
        if setup.name in self.refuse:
            raise OSError(f"{setup.name} is switched off")
        config = config_of("127.0.0.1", 0)
        if not config.working_dir:
            config = dataclasses.replace(config, working_dir=str(self.folder / setup.name))
        self.configs.append(config)
        process = LocalAgentProcess(config, self.environment, self.interpreter)
        self.processes[setup.name] = process
        return process

    def start(self, *setups, home=0, run_dir=None, options=None, **session):
        """A session with these nodes; ``home``: computing units of this machine that run tasks."""
        here = Node("home", (Processor(home),)) if home else None
        return taskflow.start(
            cluster=Cluster(nodes=setups or (setup("far"),), home=here),
            cluster_options=options or ClusterOptions(),
            launch=self.launch,
            run_dir=run_dir or self.folder / f"run-{len(self.configs)}",
            progress=False,
            **session,
        )

    def pid(self, name="far"):
        """Process of the present agent of a node."""
        return self.processes[name].process.pid

    def left_behind(self):
        """Folders of agents that are there."""
        segments = [str(path) for path in Path("/dev/shm").glob("taskflow-*-n*")]
        mine = {config.run for config in self.configs}
        folders = [path for config in self.configs for path in Path(config.working_dir).glob("*/*")]
        return folders + [path for path in segments if any(run in path for run in mine)]


def nodes():
    """The session's nodes that are ready, by name."""
    return {node.name: node for node in list(runtime.session.engine.nodes.nodes.values()) if node.ready}


def wait_until(condition, seconds=10.0, what=""):
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what or f"not true within {seconds} seconds"
        time.sleep(0.02)


def is_alive(pid):
    """Whether the process exists and is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid):
    """All processes below this one."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found += [int(path.name), *children(int(path.name))]
    return found


def script_path():
    """PYTHONPATH for programs of their own that use this module."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
