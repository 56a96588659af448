"""The hosts in namespaces are what the tests take them for."""

import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import until
from tests.cluster.hosts import namespaces

ECHO = """
    import socket, sys
    with socket.create_server(("", 7777)) as server:
        print("up", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1 << 20):
                    connection.sendall(data)
"""
ASK = """
    import socket, sys, time
    count, size = map(int, sys.argv[2:])
    with socket.create_connection((sys.argv[1], 7777), timeout=10) as peer:
        begin = time.monotonic()
        for _ in range(count):
            peer.sendall(bytes(size))
            left = size
            while left:
                left -= len(peer.recv(left))
        print((time.monotonic() - begin) / count)
"""


@pytest.fixture
def echo(namespace_cluster):
    """A server on node1."""
    program = textwrap.dedent(ECHO)
    server = namespace_cluster.start("node1", [namespace_cluster.python, "-c", program], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"up\n"
    yield server
    server.kill()
    server.wait()
    server.stdout.close()


def ask(cluster, source, count=1, size=100):
    """Seconds that a message takes there and back."""
    done = cluster.run(source, [cluster.python, "-c", textwrap.dedent(ASK), "node1", count, size])
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_each_host_has_a_name_an_address_and_files_of_its_own(namespace_cluster):
    cluster = namespace_cluster
    for name, host in cluster.hosts.items():
        cluster.path(name, "/root/here").write_text(name)
        cluster.path(name, "/tmp/here").write_text(name)
        done = cluster.run(
            "master", ["ssh", name, "hostname; hostname -I; cat here; echo; cat /tmp/here; echo; ls /dev/shm"]
        )
        assert done.stdout.split() == [name, host.address, name, name], done.stderr
    assert socket.gethostname() not in cluster.hosts


def test_ordinary_users_can_be_reached_and_run_the_python_of_the_tests(namespace_cluster):
    done = namespace_cluster.run(
        "master", ["ssh", "alice@node2", "id -un; pwd; python3 -c 'import sys; print(sys.version)'"]
    )
    assert done.stdout.split("\n", 2)[:2] == ["alice", "/home/alice"], done.stderr
    assert sys.version in done.stdout
    done = namespace_cluster.run("node2", ["touch", "/root/a"], user="alice")
    assert "Permission denied" in done.stderr


def test_the_shared_folder_is_the_same_everywhere(namespace_cluster):
    namespace_cluster.path("node1", "/shared/file").write_text("shared")
    assert namespace_cluster.run("node3", ["cat", "/shared/file"]).stdout == "shared"


def test_a_crash_resets_connections_and_kills_everything(namespace_cluster):
    cluster = namespace_cluster
    session = cluster.start("master", ["ssh", "node1", "sleep 60"], stderr=subprocess.DEVNULL)
    until(lambda: any(process.name() == "sleep" for process in cluster.processes_of("node1")))
    cluster.crash("node1")
    assert session.wait(timeout=10) == 255
    assert cluster.processes_of("node1") == []
    assert "Connection refused" in cluster.run("master", ["ssh", "node1", "true"]).stderr
    cluster.boot("node1")
    assert cluster.run("master", ["ssh", "node1", "true"]).returncode == 0


def test_a_host_without_power_is_silent(namespace_cluster):
    cluster = namespace_cluster
    session = cluster.start("master", ["ssh", "node1", "sleep 60"], stderr=subprocess.DEVNULL)
    until(lambda: any(process.name() == "sleep" for process in cluster.processes_of("node1")))
    cluster.poweroff("node1")
    time.sleep(0.3)
    assert session.poll() is None
    cluster.kill(session)
    session.wait()
    assert "timed out" in cluster.run("master", ["ssh", "-o", "ConnectTimeout=1", "node1", "true"]).stderr
    cluster.plug("node1")
    cluster.boot("node1")
    assert cluster.run("master", ["ssh", "node1", "true"]).returncode == 0


@pytest.mark.usefixtures("echo")
def test_connections_outlive_a_cable_that_is_pulled_for_a_moment(namespace_cluster):
    cluster = namespace_cluster
    client = cluster.start("master", [cluster.python, "-c", textwrap.dedent(ASK), "node1", "200", "100000"],
                           stdout=subprocess.PIPE)  # fmt: skip
    cluster.unplug("node1")
    time.sleep(0.3)
    cluster.plug("node1")
    assert client.wait(timeout=20) == 0
    client.stdout.close()


@pytest.mark.usefixtures("echo")
def test_latency_loss_and_rate_are_those_of_a_bad_cable(namespace_cluster):
    cluster = namespace_cluster
    good = ask(cluster, "master", 20)
    assert good < 0.005
    cluster.latency("node1", 10)
    assert 0.02 <= ask(cluster, "master", 10) < 0.03
    assert ask(cluster, "node1", 10) < 0.005  # to itself
    cluster.shape("node1", delay_ms=0, mbit=80)
    assert ask(cluster, "master", 1, 1_000_000) > 0.1  # both ways: at the least 0.1 s
    cluster.shape("node1", mbit=0, loss=15)
    lost = cluster.run("master", [cluster.python, "-c", textwrap.dedent(ASK), "node1", "25", "100"]).stdout
    assert float(lost) > 10 * good  # what was lost is sent again, after a while
    cluster.reset()


@pytest.mark.usefixtures("echo")
def test_one_direction_can_be_blocked(namespace_cluster):
    cluster = namespace_cluster
    cluster.block("node1", "node2")
    connect = "import socket; socket.create_connection(('node1', 7777), timeout=0.5)"
    assert "timed out" in cluster.run("node2", [cluster.python, "-c", connect]).stderr
    assert ask(cluster, "node3") < 1
    cluster.unblock("node1", "node2")
    assert ask(cluster, "node2") < 1


def test_a_full_disk_is_full(namespace_cluster):
    filler = namespace_cluster.fill("node1", "/tmp", leave=100_000)
    done = namespace_cluster.run("node1", ["dd", "if=/dev/zero", "of=/tmp/more", "bs=1M", "count=1"])
    assert "No space left on device" in done.stderr
    filler.unlink()
    assert namespace_cluster.run("node1", ["dd", "if=/dev/zero", "of=/tmp/more", "bs=1M", "count=1"]).returncode == 0


def test_a_reset_leaves_nothing(namespace_cluster):
    cluster = namespace_cluster
    cluster.start("node1", ["sleep", "60"])
    for path in ("/tmp/left", "/dev/shm/left", "/root/left", "/home/alice/left"):
        cluster.path("node1", path).write_text("left")
    cluster.poweroff("node2")
    cluster.latency("node3", 5)
    cluster.reset()
    for path in ("/tmp/left", "/dev/shm/left", "/root/left", "/home/alice/left"):
        assert not cluster.path("node1", path).exists()
    for node in cluster.nodes:
        until(lambda node=node: cluster.processes_of(node) == [])  # its SSH server has just been asked whether it is up
        assert cluster.run("master", ["ssh", node, "true"]).returncode == 0


@pytest.mark.skipif(bool(namespaces.reason_to_skip()), reason=namespaces.reason_to_skip())
def test_nothing_outlives_the_process_that_made_the_hosts():
    program = """
        import os, signal
        from tests.cluster.hosts.namespaces import NamespaceCluster
        with NamespaceCluster(1) as cluster:
            cluster.latency("node1", 1)
            cluster.start("node1", ["sleep", "60"])
            print(cluster._keeper.pid, cluster._keeper_pid, cluster.hosts["node1"].cable.pid,
                  *[host.init for host in cluster.hosts.values()], *cluster.hosts["node1"].own_processes, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    mounts = Path("/proc/self/mounts").read_text()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)],
                          capture_output=True, text=True, timeout=20, check=False, cwd=namespaces.ROOT)  # fmt: skip
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) >= 6, done.stderr
    until(lambda: all(has_ended(pid) for pid in pids))
    assert Path("/proc/self/mounts").read_text() == mounts


def has_ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
