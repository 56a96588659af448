"""The test cluster on loopback addresses is what the tests take it for."""

import subprocess
import sys
import textwrap

import psutil
import pytest

from tests.cli.conftest import until
from tests.cluster.hosts import loopback


def ssh(cluster, node, *words):
    return subprocess.run(
        ["ssh", "-F", str(cluster.ssh_config), node, *words], capture_output=True, text=True, timeout=20, check=False
    )


def test_each_node_has_a_home_and_a_temporary_folder_of_its_own(loopback_cluster):
    for node in loopback_cluster.nodes:
        done = ssh(loopback_cluster, node, 'echo "$HOME:$TMPDIR"')
        assert done.stdout.strip() == f"{loopback_cluster.home(node)}:{loopback_cluster.temporary(node)}", done.stderr


def test_a_crash_kills_what_runs_on_the_node_and_nothing_else(loopback_cluster):
    cluster = loopback_cluster
    sessions = {}
    for node in ("node1", "node2"):
        sessions[node] = subprocess.Popen(["ssh", "-F", str(cluster.ssh_config), node, "echo up; exec sleep 60"],
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        assert sessions[node].stdout.readline() == b"up\n"
    cluster.crash("node1")
    assert sessions["node1"].wait(timeout=10) == 255
    assert not cluster.processes_of("node1")
    assert "Connection refused" in ssh(cluster, "node1", "true").stderr
    assert any(process.name() == "sleep" for process in cluster.processes_of("node2"))
    cluster.boot("node1")
    assert ssh(cluster, "node1", "true").returncode == 0
    cluster.reset()
    assert sessions["node2"].wait(timeout=10) == 255
    for session in sessions.values():
        session.stdout.close()


def test_a_changed_host_key_is_refused(loopback_cluster):
    loopback_cluster.change_host_key("node2")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in ssh(loopback_cluster, "node2", "true").stderr
    loopback_cluster.write_known_hosts("node2")
    assert "Host key verification failed" in ssh(loopback_cluster, "node2", "true").stderr
    loopback_cluster.write_known_hosts()
    assert ssh(loopback_cluster, "node2", "true").returncode == 0


@pytest.mark.skipif(bool(loopback.reason_to_skip()), reason=loopback.reason_to_skip())
def test_the_servers_end_with_the_process_that_started_them(tmp_path):
    program = """
        import os, signal, sys
        from tests.cluster.hosts.loopback import LoopbackCluster
        with LoopbackCluster(sys.argv[1], 2) as cluster:
            print(*[server.pid for server in cluster._servers.values()])
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
                          capture_output=True, text=True, timeout=20, check=False, cwd=loopback.ROOT)  # fmt: skip
    servers = [int(word) for word in done.stdout.split()]
    assert len(servers) == 2, done.stderr
    for server in servers:
        until(lambda server=server: has_ended(server))


def has_ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
