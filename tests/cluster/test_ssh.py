"""Connections to nodes over SSH, with real servers: who is let in, what is refused, and what the errors say."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from taskflow.launch import ssh
from taskflow.launch.agents import Failure, on_each
from taskflow.launch.known_hosts import known_keys
from taskflow.launch.ssh import Attempt, Network
from taskflow.launch.ssh_config import Configuration, SshError
from taskflow.model.cluster import NodeSetup
from taskflow.model.requirements import Node, Processor
from tests.cluster.hosts.keys import known_host, make_key, public_key


def setup_of(host, **said):
    return NodeSetup(Node(host, (Processor(2),)), host, **said)


@pytest.fixture
def network(loopback_cluster):
    return Network(str(loopback_cluster.ssh_config))


@pytest.fixture
def connect():
    """Connects, and closes at the end; ``limit`` seconds for each."""
    made = []

    def connect(network, setup, limit=15):
        attempt = Attempt(limit)
        made.append(network.connect(setup, attempt))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def output_of(connection, command):
    channel = connection.run(command, Attempt(10))
    text = b"".join(iter(lambda: channel.recv(65536), b""))
    return text.decode().strip()


def logins(cluster, node):
    """How often somebody was let in."""
    return (cluster.folder / node / "sshd.log").read_text().count("Accepted publickey")


def failure_of(network, setup, limit=15):
    with pytest.raises(SshError) as caught:
        network.connect(setup, Attempt(limit)).close()
    return str(caught.value)


def write_config(cluster, path, *blocks, everywhere=""):
    """The cluster's configuration with more before it."""
    path.write_text("\n".join(blocks) + "\n" + cluster.ssh_config.read_text() + everywhere)
    return Network(str(path))


# ---------------------------------------------------------------------- reaching a node


def test_an_alias_of_the_configuration_is_reached(network, connect):
    connection = connect(network, setup_of("node2"))
    assert output_of(connection, "echo $TASKFLOW_TEST_NODE").endswith("-node2")
    assert connection.home.startswith("127.")


def test_what_the_description_says_wins_over_the_configuration(loopback_cluster, tmp_path, connect):
    other = make_key(tmp_path / "other", "somebody else's")
    network = write_config(
        loopback_cluster, tmp_path / "config",
        f"Host node1\n User nobody-of-that-name\n Port 1\n IdentityFile {tmp_path / 'other'}\n"
        f" UserKnownHostsFile {tmp_path / 'none'}",
    )  # fmt: skip
    setup = setup_of(
        "node1", user=loopback_cluster.user, port=loopback_cluster.port,
        identities=(str(loopback_cluster.identity),), known_hosts=str(loopback_cluster.known_hosts),
    )  # fmt: skip
    assert other
    assert connect(network, setup).is_open


def test_files_that_the_configuration_includes_count(loopback_cluster, tmp_path, connect):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("Host by-another-name\n  HostName 127.0.1.3\n")
    network = write_config(loopback_cluster, tmp_path / "config", f"Include {tmp_path}/more/*.conf")
    assert output_of(connect(network, setup_of("by-another-name")), "echo $TASKFLOW_TEST_NODE").endswith("-node3")


def test_an_include_that_would_change_its_meaning_is_refused(tmp_path):
    (tmp_path / "inner").write_text("Host b\n  Port 3\n")
    (tmp_path / "config").write_text(f"Host a\n  Include {tmp_path}/inner\n")
    with pytest.raises(SshError, match="move the Include line to the top"):
        Configuration(str(tmp_path / "config"))


def test_several_jump_hosts_are_gone_through_one_after_the_other(loopback_cluster, tmp_path, connect):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node3\n ProxyJump node1,node2")
    before = [logins(loopback_cluster, node) for node in loopback_cluster.nodes]
    connection = connect(network, setup_of("node3"))
    assert output_of(connection, "echo $TASKFLOW_TEST_NODE").endswith("-node3")
    assert [logins(loopback_cluster, node) for node in loopback_cluster.nodes] == [each + 1 for each in before]


def test_nodes_share_the_connection_to_their_jump_host(loopback_cluster, tmp_path):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2 node3\n ProxyJump node1")
    connections = on_each([setup_of("node2"), setup_of("node3"), setup_of("node2")], network.connect)
    first = logins(loopback_cluster, "node1")
    for connection in connections:
        connection.close()
    again = network.connect(setup_of("node2"), Attempt(15))
    again.close()
    assert logins(loopback_cluster, "node1") == first + 1  # the first was closed with the last that went through it
    assert not again.is_open


def test_a_jump_host_for_all_is_not_reached_through_itself(loopback_cluster, tmp_path, connect):
    network = write_config(loopback_cluster, tmp_path / "config", "Host *\n ProxyJump node1")
    assert output_of(connect(network, setup_of("node1")), "echo $TASKFLOW_TEST_NODE").endswith("-node1")
    before = logins(loopback_cluster, "node1")
    assert output_of(connect(network, setup_of("node2")), "echo $TASKFLOW_TEST_NODE").endswith("-node2")
    assert logins(loopback_cluster, "node1") == before + 1


def test_a_proxy_command_is_used(loopback_cluster, tmp_path, connect):
    program = tmp_path / "connect.py"
    program.write_text(
        "import os, socket, sys, threading\n"
        "sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def out():\n"
        "    while data := sock.recv(65536): os.write(1, data)\n"
        "threading.Thread(target=out, daemon=True).start()\n"
        "while data := os.read(0, 65536): sock.sendall(data)\n"
    )
    command = f"{sys.executable} {program} %h %p"
    network = write_config(loopback_cluster, tmp_path / "config", f"Host node1\n ProxyCommand {command}")
    assert output_of(connect(network, setup_of("node1")), "echo there") == "there"


def test_a_proxy_command_that_fails_is_quoted(loopback_cluster, tmp_path):
    network = write_config(
        loopback_cluster, tmp_path / "config", "Host node1\n ProxyCommand sh -c 'echo no way >&2; exit 3'"
    )
    assert "wrote: no way" in failure_of(network, setup_of("node1"), limit=8)


def test_hashed_names_in_known_hosts_are_read(loopback_cluster, network, connect):
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", loopback_cluster.known_hosts], check=True, capture_output=True)
    assert "127.0.1.1" not in loopback_cluster.known_hosts.read_text()
    assert connect(network, setup_of("node1")).is_open


def test_a_forked_child_lets_go_of_a_connection_and_the_parent_keeps_it(loopback_cluster, tmp_path, connect):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2\n ProxyJump node1")
    connection = connect(network, setup_of("node2"))
    jump = connection._via.transport.sock
    child = os.fork()
    if child == 0:
        connection.leave_to_parent()
        os._exit(0 if jump.fileno() == -1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert output_of(connection, "echo still there") == "still there"


# ---------------------------------------------------------------------- host keys


def test_an_unknown_host_key_is_refused_and_the_command_of_the_message_accepts_it(loopback_cluster, network, connect):
    loopback_cluster.write_known_hosts("node2")
    message = failure_of(network, setup_of("node2"))
    assert "the host key of node2" in message
    shown = subprocess.run(
        ["ssh-keygen", "-lf", loopback_cluster.folder / "node2" / "host_key.pub"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[1]  # fmt: skip
    assert shown in message
    run_advice(re.search("accept it with: (.*)", message)[1])
    assert connect(network, setup_of("node2")).is_open


def test_a_changed_host_key_is_refused_and_the_command_of_the_message_mends_it(loopback_cluster, network, connect):
    loopback_cluster.change_host_key("node2")
    message = failure_of(network, setup_of("node2"))
    assert f"is not the one in {loopback_cluster.known_hosts} line 2" in message
    run_advice(re.search("replace the old key with: (.*)", message)[1])
    assert connect(network, setup_of("node2")).is_open


def test_behind_a_jump_host_the_command_needs_no_way_there(loopback_cluster, tmp_path, connect):
    loopback_cluster.write_known_hosts("node2")
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2\n ProxyJump node1")
    advice = re.search("accept it with: (.*)", failure_of(network, setup_of("node2")))[1]
    assert "keyscan" not in advice
    run_advice(advice)
    assert connect(network, setup_of("node2")).is_open


def run_advice(command):
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=20)


def test_a_revoked_host_key_is_refused_though_it_is_also_known(loopback_cluster, network):
    line = loopback_cluster.known_hosts.read_text().splitlines()[0]
    with open(loopback_cluster.known_hosts, "a") as stream:
        stream.write(f"@revoked {line}\n")
    assert "marked as revoked" in failure_of(network, setup_of("node1"))


def test_a_configuration_cannot_switch_the_check_off(loopback_cluster, tmp_path):
    loopback_cluster.write_known_hosts("node1")
    network = write_config(loopback_cluster, tmp_path / "config", "Host *\n StrictHostKeyChecking no")
    assert "is not known" in failure_of(network, setup_of("node1"))
    assert "127.0.1.1" not in loopback_cluster.known_hosts.read_text()


def test_the_kind_of_key_that_is_known_is_asked_for(loopback_cluster, network, connect, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa"], check=True)
    ed25519 = loopback_cluster.folder / "node1" / "host_key"
    loopback_cluster.serve_otherwise("node1", HostKey=f"{ed25519}\nHostKey {tmp_path / 'ecdsa'}")
    loopback_cluster.write_known_hosts("node1")
    with open(loopback_cluster.known_hosts, "a") as stream:
        stream.write(known_host(("127.0.1.1",), loopback_cluster.port, public_key(tmp_path / "ecdsa")))
    assert connect(network, setup_of("node1")).is_open


def test_a_known_key_of_a_kind_that_cannot_be_asked_for_raises_no_alarm(loopback_cluster, network):
    loopback_cluster.write_known_hosts("node1")
    with open(loopback_cluster.known_hosts, "a") as stream:
        stream.write(known_host(("127.0.1.1",), loopback_cluster.port, "ssh-dss AAAAB3NzaC1kc3M="))
    message = failure_of(network, setup_of("node1"))
    assert "is not known" in message
    assert "pretends" not in message


def test_patterns_and_exceptions_of_known_hosts_are_heeded(tmp_path):
    key = make_key(tmp_path / "key", "some host")
    known = tmp_path / "known_hosts"
    known.write_text(
        f"# a comment\n\nnot a line\n*.example.org,!bad.example.org {key}\n[10.0.0.?]:2222 {key} comment\n"
    )
    found = {name: len(known_keys((str(known), str(tmp_path / "none")), name)) for name in (
        "a.example.org", "bad.example.org", "example.org", "[10.0.0.7]:2222", "10.0.0.7",
    )}  # fmt: skip
    assert found == {
        "a.example.org": 1, "bad.example.org": 0, "example.org": 0, "[10.0.0.7]:2222": 1, "10.0.0.7": 0
    }  # fmt: skip


# ---------------------------------------------------------------------- who we are


def test_a_wrong_key_is_refused_and_the_message_names_it(loopback_cluster, network, tmp_path):
    make_key(tmp_path / "wrong", "nobody's")
    message = failure_of(network, setup_of("node1", identities=(str(tmp_path / "wrong"),)))
    assert f"does not let {loopback_cluster.user} in with any of these keys: {tmp_path / 'wrong'}." in message
    assert "ssh-copy-id" in message


def test_keys_that_cannot_be_used_are_named_with_the_reason(network, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked"], check=True)
    make_key(tmp_path / "open", "everybody's")
    os.chmod(tmp_path / "open", 0o644)
    (tmp_path / "damaged").write_text("this is no key\n")
    os.chmod(tmp_path / "damaged", 0o600)
    names = [str(tmp_path / name) for name in ("locked", "open", "damaged", "missing")]
    message = failure_of(network, setup_of("node1", identities=tuple(names)))
    assert "there is no key to prove" in message
    assert f"{names[0]}: is locked with a pass phrase; `ssh-add {names[0]}`" in message
    assert f"{names[1]}: others can read it, so it is not used; `chmod 600 {names[1]}`" in message
    assert f"{names[2]}: is no private key" in message
    assert f"{names[3]}: there is no such file" in message


def test_a_key_that_the_agent_holds_is_used(loopback_cluster, network, connect, tmp_path, monkeypatch):
    started = subprocess.run(["ssh-agent", "-a", tmp_path / "agent"], capture_output=True, text=True, check=True).stdout
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", loopback_cluster.identity], check=True, capture_output=True)
        public = tmp_path / "known.pub"
        public.write_text(loopback_cluster.identity.with_suffix(".pub").read_text())
        # The private half is held by the agent only.
        assert connect(network, setup_of("node1", identities=(str(tmp_path / "known"),))).is_open
    finally:
        os.kill(int(re.search(r"SSH_AGENT_PID=(\d+)", started)[1]), 15)


def test_a_server_that_wants_passwords_is_told_of(loopback_cluster, network):
    loopback_cluster.serve_otherwise("node1", PubkeyAuthentication="no", PasswordAuthentication="yes")
    assert "does not accept keys from" in failure_of(network, setup_of("node1"))


# ---------------------------------------------------------------------- what does not answer


def test_a_name_that_means_nothing(network):
    assert "the name 'no-such-host.invalid' cannot be resolved" in failure_of(network, setup_of("no-such-host.invalid"))


def test_a_port_where_nobody_listens(loopback_cluster, network):
    loopback_cluster.crash("node1")
    assert "refuses the connection: the machine is there, but no SSH server" in failure_of(network, setup_of("node1"))


@pytest.fixture
def listener():
    """A socket that listens on 127.0.1.9; the test says what it answers."""
    with socket.create_server(("127.0.1.9", 0)) as sock:
        yield sock


def test_a_server_that_accepts_and_says_nothing_costs_no_more_than_the_limit(network, listener):
    began = time.monotonic()
    (failure,) = on_each([setup_of("127.0.1.9", port=listener.getsockname()[1])], network.connect, limit=1.0)
    assert time.monotonic() - began < 4
    assert isinstance(failure, Failure)
    assert "accepts connections, but its SSH server says nothing" in failure.why


def test_something_that_is_no_ssh_server(network, listener):
    def answer():
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 200)
            sock.recv(4096)

    threading.Thread(target=answer, daemon=True).start()
    assert "is no SSH server" in failure_of(network, setup_of("127.0.1.9", port=listener.getsockname()[1]))


def test_a_server_that_hangs_up_at_first_is_tried_again(network, connect, listener, monkeypatch):
    real = ssh._connect_to
    calls = []

    def busy(route, attempt):
        calls.append(route)
        if len(calls) > 2:
            return real(route, attempt)
        sock = socket.create_connection(listener.getsockname())
        listener.accept()[0].close()
        return sock

    monkeypatch.setattr(ssh, "_connect_to", busy)
    assert connect(network, setup_of("node1")).is_open
    assert len(calls) == 3


def test_a_host_that_never_answers_holds_up_no_other(loopback_cluster, network, monkeypatch):
    real = ssh._connect_to
    released = threading.Event()

    def connect_to(route, attempt):
        if route.host == "192.0.2.1":
            released.wait(20)  # as a name server, or a cable, that swallows what is sent
        return real(route, attempt)

    monkeypatch.setattr(ssh, "_connect_to", connect_to)
    began = time.monotonic()
    setups = [setup_of("192.0.2.1"), *[setup_of(f"node{number}") for number in (1, 2, 3)]]
    dead, *others = on_each(setups, network.connect, limit=3)
    took = time.monotonic() - began
    released.set()
    for connection in others:
        assert connection.is_open
        connection.close()
    assert dead.why == "it took longer than 3 seconds; the last was connecting to 192.0.2.1 port " + str(
        loopback_cluster.port
    )
    assert took < 15  # not the 20 that it would have waited


def test_a_jump_host_that_refuses_to_go_on(loopback_cluster, tmp_path):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2\n ProxyJump node1")
    loopback_cluster.serve_otherwise("node1", AllowTcpForwarding="no")
    assert "its SSH server forbids forwarding" in failure_of(network, setup_of("node2"))


def test_a_jump_host_that_cannot_be_reached_is_told_of(loopback_cluster, tmp_path):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2\n ProxyJump node1")
    loopback_cluster.crash("node1")
    message = failure_of(network, setup_of("node2"))
    assert message.startswith("the jump host on the way to it cannot be used: node1, which is 127.0.1.1 port")


def test_a_node_behind_a_jump_host_that_is_not_there(loopback_cluster, tmp_path):
    network = write_config(loopback_cluster, tmp_path / "config", "Host node2\n ProxyJump node1")
    loopback_cluster.crash("node2")
    assert "cannot connect to 127.0.1.2 port" in failure_of(network, setup_of("node2"))


# ---------------------------------------------------------------------- configuration files


def test_a_configuration_that_is_not_there(tmp_path):
    with pytest.raises(SshError, match="does not exist; --ssh-config names it"):
        Configuration(str(tmp_path / "none"))


def test_a_configuration_that_makes_no_sense(tmp_path):
    (tmp_path / "config").write_text("Host a\n  Port many\n")
    with pytest.raises(SshError, match="port is 'many', which is no number"):
        Configuration(str(tmp_path / "config")).route(setup_of("a"))


def test_known_hosts_that_may_not_be_read_are_told_of(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SshError, match=r"known hosts .*folder cannot be read: Is a directory"):
        known_keys((str(tmp_path / "folder"),), "a")


# ---------------------------------------------------------------------- forwarding


@pytest.fixture
def echo():
    """A port here that answers with what it gets, in capital letters."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    def talk(sock):
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data.upper())

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_forwarded_port_leads_here_for_several_at_once(network, connect, echo):
    connection = connect(network, setup_of("node1"))
    port = connection.forward(echo)
    with contextlib.ExitStack() as made:
        sockets = [made.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(3)]
        for number, sock in enumerate(sockets):
            sock.sendall(b"word%d" % number * 20_000)
        for number, sock in enumerate(sockets):
            sock.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda sock=sock: sock.recv(65536), b""))
            assert said == b"WORD%d" % number * 20_000


def test_a_forwarded_port_with_nobody_behind_it_closes(network, connect):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        free = unused.getsockname()[1]
    port = connect(network, setup_of("node1")).forward(free)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        assert sock.recv(1) == b""


def test_a_server_that_forbids_forwarding_is_told_of(loopback_cluster, network, connect):
    loopback_cluster.serve_otherwise("node1", AllowTcpForwarding="no")
    with pytest.raises(SshError, match="--tunnel needs AllowTcpForwarding yes"):
        connect(network, setup_of("node1")).forward(1)
