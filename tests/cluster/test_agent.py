"""Tasks that run through agents on this machine: real processes and connections."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import ssl
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import taskflow
from taskflow import IO, RequirementsError, compss_wait_on, constraint, task
from taskflow.drivers.remote import Nodes
from taskflow.model.cluster import ClusterOptions
from taskflow.model.errors import ExecutorDiedError, NodeLostError, NoNodeError, TimeOutError
from taskflow.node.agent import Relay
from taskflow.wire.agent import CONTROL, DATA
from taskflow.wire.security import Hello, client_context, connect, make_keys, make_token
from tests.cluster.agents import Agents, children, is_alive, nodes, script_path, setup, wait_until

QUICK = ClusterOptions(node_timeout=2.0)


@pytest.fixture
def agents(tmp_path):
    """Starts sessions; at the end nothing may be left of them."""
    it = Agents(tmp_path)
    yield it
    taskflow.stop(cancel=True)
    for process in it.processes.values():
        process.close()
    wait_until(lambda: it.left_behind() == [])  # the zygote of an agent that was killed removes its folders


@task(returns=1)
def add(a, b):
    return a + b


@task(returns=1)
def where():
    time.sleep(0.01)
    return Path(os.environ["TASKFLOW_RUN_DIR"]).name


@task(returns=1)
def executor_pid():
    return os.getpid()


@task(returns=1)
def speak(text):
    print(text)
    return len(text)


@task(returns=1)
def fail(text):
    raise ValueError(text)


@task(returns=1)
def die():
    print("these are my last words", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)


@task(returns=1)
def slow_add(a, b, seconds):
    time.sleep(seconds)
    return a + b


@task(returns=1, time_out=1)
def sleep_too_long():
    time.sleep(30)


@task(returns=1, time_out=1)
def sleep_deaf():
    ctypes.PyDLL(None).sleep(30)  # holds the interpreter's lock


@task(returns=1)
def note_and_sleep_deaf(path):
    Path(path).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(30)


@task(returns=1)
def note_and_sleep(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(30)


@task(returns=1)
def be_deaf(path):
    Path(path).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(3)
    return "heard"


@task(returns=1)
def length(data):
    return len(data)


@task(returns=1)
def fibonacci(n):
    if n < 2:
        return n
    return compss_wait_on(add(fibonacci(n - 1), fibonacci(n - 2)))


@task(returns=1, nested=True)
def double_slowly(n):
    return compss_wait_on(add(compss_wait_on(slow_add(n, 0, 0.03)), compss_wait_on(slow_add(n, 0, 0.03))))


@IO()
@task(returns=1)
def wait_for_nothing():
    time.sleep(0.05)
    return Path(os.environ["TASKFLOW_RUN_DIR"]).name


# ---------------------------------------------------------------------- tasks


def test_tasks_run_on_the_node(agents):
    agents.start()
    assert compss_wait_on([add(i, i) for i in range(500)]) == [2 * i for i in range(500)]
    assert set(compss_wait_on([where() for _ in range(20)])) == {"far-1"}


def test_chains_run_on_the_node(agents):
    agents.start()
    total = 0
    for i in range(200):
        total = add(total, i)
    assert compss_wait_on(total) == sum(range(200))


def test_several_nodes_and_home_share_the_work(agents):
    agents.start(setup("one"), setup("two"), home=2)
    wait_until(lambda: len(nodes()) == 2)
    names = set(compss_wait_on([where() for _ in range(200)]))
    assert {name.rsplit("-", 1)[0] for name in names} == {"one", "two", "run"}


def test_what_tasks_print_is_printed_here_in_order(agents, capfd):
    agents.start(setup("far", units=1))
    compss_wait_on([speak(f"line {i}") for i in range(50)])
    taskflow.stop()
    assert capfd.readouterr().out.splitlines() == [f"line {i}" for i in range(50)]


def test_an_exception_arrives_with_its_traceback(agents):
    agents.start()
    with pytest.raises(ValueError, match="far away") as caught:
        compss_wait_on(fail("far away"))
    assert "raise ValueError(text)" in str(caught.value.__cause__)


def test_nested_tasks_run_on_the_node(agents):
    agents.start(nesting=True)
    assert compss_wait_on(fibonacci(6)) == 8


def test_tasks_without_a_computing_unit_run_on_the_node(agents):
    agents.start()
    assert set(compss_wait_on([wait_for_nothing() for _ in range(8)])) == {"far-1"}
    assert compss_wait_on(add(1, 2)) == 3


def test_times_in_the_journal_are_those_of_the_run(agents, tmp_path):
    session = agents.start(run_dir=tmp_path / "run")
    before = session.engine.now_us()
    compss_wait_on([slow_add(1, 2, 0.1) for _ in range(4)])
    after = session.engine.now_us()
    taskflow.stop()
    lines = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    done = [line for line in lines if line["e"] == "done"]
    assert sum(len(line["ids"]) for line in done) == 4
    slack = 20_000  # half of the first round trip on a busy machine
    assert all(start >= before - slack for line in done for start in line["starts"])
    assert all(end <= after + slack for line in done for end in line["ends"])
    states = [(line["name"], line["state"]) for line in lines if line["e"] == "node"]
    assert states == [("far", "joined"), ("far", "left")]


# ---------------------------------------------------------------------- executors that end


def test_a_killed_executor_has_a_certificate(agents):
    agents.start()
    with pytest.raises(ExecutorDiedError) as caught:
        compss_wait_on(die())
    text = str(caught.value)
    assert "on node far) killed by SIGKILL" in text
    assert "die, called at" in text
    assert "(attempt 2 of 2)" in text
    assert "largest memory use" in text
    assert "these are my last words" in text
    assert "on node far" in text.splitlines()[-1]
    assert compss_wait_on(add(1, 2)) == 3


def test_other_tasks_of_a_dead_executor_run_elsewhere(agents):
    agents.start(setup("far", units=1))
    pid = compss_wait_on(executor_pid())
    results = [slow_add(i, 1, 0.05) for i in range(20)]
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    assert compss_wait_on(results) == [i + 1 for i in range(20)]


def test_executors_are_started_anew_when_what_starts_them_dies(agents):
    agents.start()
    compss_wait_on(add(1, 2))
    results = [slow_add(i, 1, 0.05) for i in range(40)]
    time.sleep(0.2)
    zygote = next(pid for pid in children(agents.pid()) if os.getpgid(pid) == pid and children(pid))
    below = children(zygote)
    os.kill(zygote, signal.SIGKILL)
    assert compss_wait_on(results) == [i + 1 for i in range(40)]
    wait_until(lambda: not any(map(is_alive, below)))
    assert len(nodes()) == 1


@pytest.mark.parametrize("body", [sleep_too_long, sleep_deaf], ids=["python", "native"])
def test_time_out_ends_a_task(agents, body):
    agents.start()
    begin = time.monotonic()
    with pytest.raises(TimeOutError):
        compss_wait_on(body())
    assert time.monotonic() - begin < 12  # two attempts, each with a second of grace
    assert compss_wait_on(add(1, 2)) == 3


@pytest.mark.parametrize("body", [note_and_sleep, note_and_sleep_deaf], ids=["python", "native"])
def test_cancellation_ends_a_running_task(agents, tmp_path, body):
    agents.start()
    path = tmp_path / "begun"
    with taskflow.TaskGroup("group", implicit_barrier=False):
        body(str(path))
    wait_until(lambda: path.exists() and path.read_text())
    begin = time.monotonic()
    taskflow.compss_cancel_group("group")
    if body is note_and_sleep_deaf:
        wait_until(lambda: not is_alive(int(path.read_text())), 5)
    taskflow.compss_barrier_group("group")
    assert time.monotonic() - begin < 5
    assert compss_wait_on([add(i, 2) for i in range(10)]) == list(range(2, 12))


def test_a_slow_executor_holds_up_nobody_else(agents, tmp_path):
    """More than its socket takes is sent to it while it cannot read; the other executor of the node goes on."""
    session = agents.start()
    data = bytes(50_000)
    compss_wait_on([length(data) for _ in range(100)])  # now it is known that they are short
    deaf = be_deaf(str(tmp_path / "pid"))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    results = [length(data) for _ in range(2000)]
    wait_until(lambda: session.engine.kernel.unfinished < 1000, 2.5)
    assert compss_wait_on(results) == [50_000] * 2000
    assert compss_wait_on(deaf) == "heard"


def test_what_a_slow_executor_does_not_take_is_kept_in_order():
    """The same without a session, and with so much that no buffer of the system can hide it."""

    class Handle:
        def __init__(self):
            self.data, self.far = socket.socketpair()
            self.control, self.far_control = socket.socketpair()

    slow, quick = Handle(), Handle()
    relays = [Relay(1, slow), Relay(2, quick)]
    pieces = [os.urandom(100_000) for _ in range(50)]
    begin = time.monotonic()
    for piece in pieces:
        relays[0].give(DATA, piece)
    relays[1].give(DATA, b"for the quick one")
    relays[0].give(CONTROL, b"control is apart")
    assert time.monotonic() - begin < 5
    assert quick.far.recv(100) == b"for the quick one"
    assert slow.far_control.recv(100) == b"control is apart"
    received = b""
    while len(received) < 5_000_000:
        received += slow.far.recv(1 << 20)
        relays[0].give(DATA, relays[0].unsent[DATA])
    assert received == b"".join(pieces)
    for handle in (slow, quick):
        for sock in (handle.data, handle.far, handle.control, handle.far_control):
            sock.close()


def test_executors_that_cannot_be_forked_make_the_node_unfit(agents, tmp_path, capfd):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        textwrap.dedent("""
        import errno, os, sys
        if any("node.zygote" in word for word in sys.orig_argv):
            def fork():
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            os.fork = fork
        """)
    )
    agents.environment = {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    agents.start()
    with pytest.raises(NoNodeError):
        compss_wait_on(add(1, 2))
    told = capfd.readouterr().err
    assert "its executors die as soon as they are started" in told
    assert "fork: Resource temporarily unavailable" in told


def test_a_node_with_more_executors_than_open_files_are_usual(agents):
    """The soft limit of the agent is raised as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = len(os.listdir("/proc/self/fd"))  # the tests before may have left some for later ones
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + 70, hard))
    try:
        agents.start(setup("far", units=40))
        assert compss_wait_on([add(i, 1) for i in range(400)]) == [i + 1 for i in range(400)]
        wait_until(lambda: len(nodes()["far"].links) == 40 and all(link.pid for link in nodes()["far"].links.values()))
        files = len(os.listdir(f"/proc/{agents.pid()}/fd"))
        assert files > 100
        taskflow.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---------------------------------------------------------------------- nodes that are merely named


@constraint(memory_size=1_000_000)
@task(returns=1)
def remember_everything():
    raise NotImplementedError


@constraint(processors=[{"processor_type": "GPU", "computing_units": 1}])
@task(returns=1)
def device():
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_node_that_is_merely_named_has_what_its_agent_finds(agents):
    agents.environment = {"CUDA_VISIBLE_DEVICES": "3,5"}
    agents.start(setup("far", units=0, described=False))
    assert nodes()["far"].facts["cores"] == len(nodes()["far"].links)
    with pytest.raises(RequirementsError) as caught:
        remember_everything()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    (row,) = [line.split() for line in str(caught.value).splitlines() if "memory_size" in line]
    assert row[:3] == ["memory_size", "1e+06", "GB"]
    assert float(row[3]) <= memory * 1.01
    assert set(compss_wait_on([device() for _ in range(6)])) <= {"3", "5"}


def test_a_task_waits_for_nodes_of_which_nobody_knows_yet_what_they_have(agents):
    go = threading.Event()
    launch = agents.launch

    def launch_late(setup, config_of):
        if setup.name == "late":
            assert go.wait(20)
            agents.environment = {"CUDA_VISIBLE_DEVICES": "7"}
        return launch(setup, config_of)

    agents.launch = launch_late
    agents.start(setup("early", described=False), setup("late", described=False))
    number, never = device(), remember_everything()
    go.set()
    assert compss_wait_on(number) == "7"
    with pytest.raises(NoNodeError, match=r"(?s)satisfies its constraints:.*late.*memory_size *1e\+06 GB"):
        compss_wait_on(never)


# ---------------------------------------------------------------------- nodes that are lost


def test_tasks_of_a_killed_agent_run_elsewhere(agents, capfd):
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    results = [slow_add(i, 1, 0.05) for i in range(100)]
    time.sleep(0.3)
    os.kill(agents.pid("one"), signal.SIGKILL)
    assert compss_wait_on(results) == [i + 1 for i in range(100)]
    assert "node one" in capfd.readouterr().err


def test_a_node_that_is_ready_when_the_run_is_over_is_left_alone():
    nodes = object.__new__(Nodes)
    nodes.engine = SimpleNamespace(closing=True)  # whose lock nobody holds any more
    late = SimpleNamespace(place=SimpleNamespace(), ready=False)
    nodes._ready(late, {"host": "late", "python": "3.11"})
    assert not late.ready


def test_a_node_that_comes_back_is_a_new_one(agents):
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    first = nodes()["one"].number
    os.kill(agents.pid("one"), signal.SIGKILL)
    wait_until(lambda: "one" in nodes() and nodes()["one"].number != first)
    names = set(compss_wait_on([where() for _ in range(100)]))
    assert names == {f"one-{nodes()['one'].number}", "two-2"}


def test_the_only_node_is_started_anew(agents):
    agents.start()
    results = [slow_add(i, 1, 0.05) for i in range(40)]
    time.sleep(0.3)
    os.kill(agents.pid(), signal.SIGKILL)
    assert compss_wait_on(results) == [i + 1 for i in range(40)]


def test_tasks_that_wait_for_their_children_survive_the_loss_of_a_node(agents):
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    results = [double_slowly(i) for i in range(30)]
    time.sleep(0.5)
    os.kill(agents.pid("one"), signal.SIGKILL)
    assert compss_wait_on(results) == [2 * i for i in range(30)]


def test_tasks_run_at_home_when_the_node_is_lost(agents):
    agents.start(setup("far"), home=1)
    wait_until(nodes)
    results = [slow_add(i, 1, 0.02) for i in range(60)]
    time.sleep(0.2)
    agents.refuse.add("far")
    os.kill(agents.pid(), signal.SIGKILL)
    assert compss_wait_on(results) == [i + 1 for i in range(60)]


def test_nothing_of_a_killed_agent_is_left(agents):
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    wait_until(lambda: len(children(agents.pid("one"))) >= 3)  # zygote and executors
    below = children(agents.pid("one"))
    folder = nodes()["one"].facts["folder"]
    agents.refuse.add("one")
    os.kill(agents.pid("one"), signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, below)), 10)
    wait_until(lambda: not Path(folder).exists(), 10)


def test_what_a_node_whose_processes_were_all_killed_left_is_removed_by_the_next_agent(agents):
    agents.start(setup("one"), setup("two"))
    wait_until(lambda: len(nodes()) == 2)
    wait_until(lambda: len(children(agents.pid("one"))) >= 3)
    facts, other = nodes()["one"].facts, nodes()["two"].facts
    processes = [agents.pid("one"), *children(agents.pid("one"))]
    for pid in processes:  # stopped first, so that none of them can clean up after another
        os.kill(pid, signal.SIGSTOP)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "one" in nodes() and nodes()["one"].facts["folder"] != facts["folder"])
    wait_until(lambda: not Path(facts["folder"]).exists(), 5)
    wait_until(lambda: not Path(facts["segments"]).exists(), 5)
    for living in (other, nodes()["one"].facts):
        assert Path(living["folder"]).exists()
        assert Path(living["segments"]).exists()


def test_a_silent_agent_is_noticed(agents, capfd):
    agents.start(setup("one"), setup("two"), options=QUICK)
    wait_until(lambda: len(nodes()) == 2)
    results = [slow_add(i, 1, 0.05) for i in range(100)]
    time.sleep(0.3)
    begin = time.monotonic()
    agents.refuse.add("one")
    pid = agents.pid("one")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "one" not in nodes(), 10)
    assert 1.5 < time.monotonic() - begin < 6
    assert compss_wait_on(results) == [i + 1 for i in range(100)]
    assert "nothing has been heard from it for" in capfd.readouterr().err
    wait_until(lambda: not is_alive(pid), 10)  # whoever has started it ends it


def test_a_main_program_that_cannot_answer_for_a_while_keeps_its_nodes(agents):
    agents.start(options=ClusterOptions(node_timeout=1.0))
    number = nodes()["far"].number
    assert compss_wait_on(add(1, 2)) == 3
    ctypes.PyDLL(None).sleep(4)  # holds the interpreter's lock, so no thread of this process runs
    assert compss_wait_on(add(1, 2)) == 3
    time.sleep(1.5)
    assert nodes()["far"].number == number


def test_a_run_without_nodes_ends_with_an_error_soon(agents):
    agents.start()
    results = [slow_add(i, 1, 0.1) for i in range(100)]
    time.sleep(0.2)
    agents.refuse.add("far")
    os.kill(agents.pid(), signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(NoNodeError, match="no node is left"):
        compss_wait_on(results)
    assert time.monotonic() - begin < 5.5  # about two, where nobody else uses the machine
    with pytest.raises(NoNodeError, match="no node is left"):
        compss_wait_on(add(1, 2))


def test_the_loss_of_a_node_may_be_made_to_end_the_run(agents):
    agents.start(setup("one"), setup("two"), options=ClusterOptions(shutdown_in_node_failure=True))
    wait_until(lambda: len(nodes()) == 2)
    results = [slow_add(i, 1, 0.1) for i in range(100)]
    os.kill(agents.pid("one"), signal.SIGKILL)
    with pytest.raises(NodeLostError, match=r"node one .*is lost") as caught:
        compss_wait_on(results)
    assert caught.value.__cause__ is None  # it would say the same again
    taskflow.stop(cancel=True)


# ---------------------------------------------------------------------- agents that cannot start


def test_no_node_at_all_is_an_error_with_every_reason(agents):
    agents.refuse.update(["one", "two"])
    with pytest.raises(NodeLostError) as caught:
        agents.start(setup("one"), setup("two"))
    assert "one: one is switched off" in str(caught.value)
    assert "two: two is switched off" in str(caught.value)
    assert taskflow.runtime.session is None


def test_a_node_that_does_not_start_is_told_of(agents, capfd):
    agents.refuse.add("one")
    agents.start(setup("one"), setup("two"))
    assert compss_wait_on(add(1, 2)) == 3
    wait_until(lambda: "node one could not be started: one is switched off" in capfd.readouterr().err, 5)
    taskflow.stop()
    assert capfd.readouterr().err == "taskflow: 1 of the 2 nodes could not be used: one\n"


@pytest.mark.parametrize(("error", "tries"), [(ConnectionRefusedError("refused"), 3), (OSError("no such user"), 1)])
def test_a_start_that_failed_for_what_may_pass_is_tried_again(agents, capfd, error, tries):
    launch = agents.launch
    tried = []

    def launch_late(setup, config_of):
        if setup.name == "late":
            tried.append(time.monotonic())
            if len(tried) < 3:
                raise error
        return launch(setup, config_of)

    agents.launch = launch_late
    agents.start(setup("one"), setup("late"))
    assert compss_wait_on(add(1, 2)) == 3
    if tries == 1:
        time.sleep(2)
    wait_until(lambda: ("late" in nodes()) == (tries == 3))
    assert len(tried) == tries
    taskflow.stop()
    said = capfd.readouterr().err
    assert said.count(f"could not be started: {error}") == 1
    assert ("tried again" in said) == (tries == 3)
    assert ("1 of the 2 nodes could not be used" in said) == (tries == 1)


def test_an_agent_that_ends_at_once_is_told_of_with_what_it_said(agents):
    agents.interpreter = "/bin/false"
    with pytest.raises(NodeLostError, match="the agent exited with code 1"):
        agents.start()


def test_a_folder_that_cannot_be_made_is_told_of(agents, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NodeLostError, match=r"its folder cannot be made: .*Not a directory"):
        agents.start(setup("far", working_dir=str(tmp_path / "file" / "below")))


def test_a_full_disk_is_told_of(agents, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=4", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        with pytest.raises(NodeLostError, match="No space left on device"):
            agents.start(setup("far", working_dir=str(disk)))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_an_agent_that_cannot_reach_the_master_says_so(agents):
    launch = agents.launch
    agents.launch = lambda setup, config_of: launch(setup, lambda host, _: config_of(host, 1))
    with pytest.raises(NodeLostError, match=r"cannot reach the main program at 127.0.0.1 port 1: .*tunnel=True"):
        agents.start()


# ---------------------------------------------------------------------- folders and ends


def test_folders_are_private_and_go_with_the_run(agents):
    agents.start()
    facts = nodes()["far"].facts
    for name in ("folder", "files", "segments"):
        mode = stat.S_IMODE(os.stat(facts[name]).st_mode)
        assert mode == 0o700, name
    below = children(agents.pid())
    taskflow.stop()
    assert not any(map(is_alive, [agents.pid(), *below]))
    assert not Path(facts["folder"]).exists()
    assert not Path(facts["segments"]).exists()


def test_folders_may_be_kept(agents):
    agents.start(options=ClusterOptions(keep_working_dir=True))
    compss_wait_on(speak("something"))
    facts = nodes()["far"].facts
    taskflow.stop()
    assert (Path(facts["folder"]) / "agent.log").read_text()
    assert not Path(facts["segments"]).exists()
    for config in agents.configs:
        subprocess.run(["rm", "-r", config.working_dir], check=True)


MASTER = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from tests.cluster.agents import Agents, nodes, setup
import taskflow

@taskflow.task(returns=1)
def work(i):
    time.sleep(float(sys.argv[2]))
    return i

if __name__ == "__main__":
    agents = Agents(Path(sys.argv[1]))
    session = agents.start(setup("far"), setup("near"))
    results = [work(i) for i in range(int(sys.argv[3]))]
    while len(nodes()) < 2:
        time.sleep(0.01)
    print(*(node.facts["pid"] for node in nodes().values()), flush=True)
    print(*(node.facts["folder"] for node in nodes().values()), flush=True)
    if "fork" in sys.argv and not os.fork():
        time.sleep(20)
        os._exit(0)
    print("begun", flush=True)
    assert taskflow.compss_wait_on(results) == list(range(int(sys.argv[3])))
    taskflow.stop()
    print("all is well", flush=True)
"""


@contextlib.contextmanager
def master(tmp_path, name, seconds, count, *more):
    """A main program with two agents, in a process of its own; killed at the end of the block."""
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "master.py"
    path.write_text(MASTER)
    with subprocess.Popen(
        [sys.executable, str(path), str(folder), str(seconds), str(count), *more],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": script_path()},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "more"), [(signal.SIGKILL, ()), (signal.SIGKILL, ("fork",)), (signal.SIGTERM, ())])
def test_nothing_outlives_a_killed_master(tmp_path, number, more):
    """Not even if a child of it, which knows nothing of the run, lives on."""
    with master(tmp_path, "run", 60, 10, *more) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        folders = process.stdout.readline().split()
        wait_until(lambda: sum(len(children(pid)) for pid in pids) >= 6)  # a zygote and two executors each
        below = [child for pid in pids for child in children(pid)]
        assert all(Path(folder).exists() for folder in folders)
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        wait_until(lambda: not any(map(is_alive, [*pids, *below])), 10)
        wait_until(lambda: not any(Path(folder).exists() for folder in folders), 10)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    with master(tmp_path, "one", 0.01, 300) as one, master(tmp_path, "two", 0.01, 300) as two:
        outputs = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert all(output.endswith("all is well\n") for output in outputs)


def test_the_end_of_one_run_leaves_the_other_alone(tmp_path):
    with master(tmp_path, "one", 60, 10) as one, master(tmp_path, "two", 0.02, 300) as two:
        one.stdout.readline()
        two.stdout.readline()
        one.kill()
        assert two.communicate(timeout=60)[0].endswith("all is well\n")


# ---------------------------------------------------------------------- strangers


def is_shut_out(sock):
    try:
        return sock.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def test_strangers_at_the_port_do_nothing(agents):
    session = agents.start()
    door = session.engine.nodes.door
    address = ("127.0.0.1", door.port)
    results = [slow_add(i, 1, 0.01) for i in range(200)]
    config = agents.configs[0]
    strangers = []
    for garbage in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(3000), b""):
        stranger = socket.create_connection(address)
        stranger.sendall(garbage)
        strangers.append(stranger)
    hello = Hello(config.run, "control", config.node, config.token)
    with pytest.raises(taskflow.TaskflowError):
        connect(address, client_context(make_keys()), hello)
    keys = session.engine.nodes.keys
    for wrong in (
        hello,  # its token has been used
        hello._replace(token=make_token()),
        hello._replace(node=77),
        hello._replace(run="another"),
        hello._replace(kind="data"),
    ):
        with connect(address, client_context(keys), wrong) as sock:
            sock.settimeout(10)
            assert is_shut_out(sock)
    assert compss_wait_on(results) == [i + 1 for i in range(200)]
    assert list(nodes()) == ["far"]
    for stranger in strangers:
        stranger.close()
    assert session.engine.nodes.refusals >= 7
    taskflow.stop()
    journal = (Path(session.run_dir) / "journal.jsonl").read_text()
    assert '"e":"refused"' in journal
