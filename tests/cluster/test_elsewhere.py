"""Programs of a task reach the other nodes that it has, and none of them is left when it ends."""

import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import taskflow
from taskflow import (
    ExecutorDiedError,
    TaskflowError,
    TaskGroup,
    TimeOutError,
    compss_barrier,
    compss_cancel_group,
    compss_wait_on,
    runtime,
    task,
)
from taskflow.api.options import task_under
from taskflow.model.cluster import ClusterOptions
from taskflow.node import launcher as script
from taskflow.node import processes
from taskflow.node.span import LAUNCHER_VARIABLE, SPAN_VARIABLE, launcher_of_task
from taskflow.wire.security import Hello, client_context, connect
from tests.cluster.agents import Agents, nodes, setup, wait_until

PATIENCE_S = 20


class Span:
    """A span as a task has it; `launch` is what its programs do."""

    def __init__(self, *names):
        engine = runtime.session.engine
        numbers = {name: node.number for name, node in nodes().items()} | {"home": 0}
        self.key = object()
        with engine.lock:
            self.variables = engine.spans.begin(self.key, [(name, numbers[name]) for name in names])
        self.started = []

    def start(self, *words, env=None, **streams):
        environment = {**os.environ, **self.variables, **(env or {})}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [self.variables[LAUNCHER_VARIABLE], *words], env=environment, text=True, **{**pipes, **streams}
        )
        self.started.append(process)
        return process

    def launch(self, *words, text=None, **options):
        """Run a launcher to its end; (exit code, output, errors)."""
        streams = {} if text is None else {"stdin": subprocess.PIPE}
        process = self.start(*words, **streams, **options)
        out, err = process.communicate(text, timeout=PATIENCE_S)
        return process.returncode, out, err

    def end(self):
        engine = runtime.session.engine
        with engine.lock:
            engine.spans.end(self.key)

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def stop(agents):
    """End the session; nothing may be left of its nodes."""
    taskflow.stop(cancel=True)
    for process in agents.processes.values():
        process.close()
    wait_until(lambda: agents.left_behind() == [], what=str(agents.left_behind()))
    agents.processes.clear()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """A session for many tests."""
    it = Agents(tmp_path_factory.mktemp("agents"))
    yield it
    stop(it)


@pytest.fixture
def agents(lasting):
    """Three nodes that tasks run on, and home."""
    if len(lasting.processes) != 3 or any(process.ended() for process in lasting.processes.values()):
        stop(lasting)
        lasting.refuse.clear()
        lasting.start(setup("near"), setup("far"), setup("other"), home=1)
        wait_until(lambda: len(nodes()) == 3)
    return lasting


@pytest.fixture
def broken(agents):
    """The same, for a test after which there is another session."""
    yield agents
    stop(agents)


@pytest.fixture
def spans(agents):  # noqa: ARG001  their session
    """Makes spans."""
    made = []

    def make(*names):
        made.append(Span(*names))
        return made[-1]

    yield make
    for span in made:
        span.close()
        if runtime.session is not None:
            span.end()


@pytest.fixture
def span(spans):
    """A task on near that has far, too."""
    return spans("near", "far")


def of_mark(command):
    """The processes that run the command, and not those that have it started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == command.split() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def sleeper(number):
    """A command whose processes can be told from all others."""
    return f"sleep 98{number}.{os.getpid()}"


def gone(command, seconds=10.0):
    wait_until(lambda: not of_mark(command), seconds, f"{command} is still there")


# --- what it is used for -----------------------------------------------------------------------------------


def test_a_command_runs_on_the_other_node_with_its_streams_and_its_exit_code(span):
    words = 'read line; echo "out $line"; echo err >&2; exit 7'
    assert span.launch("far", words, text="of input\n") == (7, "out of input\n", "err\n")


def test_words_are_joined_as_ssh_does_it(span):
    assert span.launch("far", "echo", "'a  b'", "c;", "echo", "d") == (0, "a  b c\nd\n", "")


def test_options_of_ssh_are_taken(span):
    options = ["-x", "-oBatchMode=yes", "-o", "ConnectTimeout=3", "-p", "22", "-q"]
    assert span.launch(*options, "me@far", "-n", "cat; echo done", text="input") == (0, "done\n", "")
    code, _, errors = span.launch("-Z", "far", "true")
    assert code == 255
    assert "there is no option -Z" in errors


def test_a_signal_that_ends_the_command_is_in_its_exit_code(span):
    assert span.launch("far", "kill -9 $$")[0] == 128 + 9


def test_much_goes_both_ways_unchanged(span):
    data = "".join(f"{number:9}\n" for number in range(600_000))
    code, out, errors = span.launch("far", "cat", text=data)
    assert (code, errors) == (0, "")
    assert hashlib.sha256(out.encode()).digest() == hashlib.sha256(data.encode()).digest()


def test_a_reader_that_stops_reading_ends_the_writer(span):
    code = subprocess.run(
        ["sh", "-c", f"{shlex.quote(span.variables[LAUNCHER_VARIABLE])} far yes | head -n 1"],
        env={**os.environ, **span.variables}, timeout=PATIENCE_S, capture_output=True, check=False,
    )  # fmt: skip
    assert code.stdout == b"y\n"


def test_the_environment_is_that_of_tasks_there(span):
    env = {"COMPSS_NUM_THREADS": "3", "COMPSS_BINDED_CPUS": "0", "OMP_NUM_THREADS": "3", "SECRET": "x"}
    code, out, _ = span.launch("far", "env", env=env)
    assert code == 0
    found = dict(line.partition("=")[::2] for line in out.splitlines())
    assert found["COMPSS_NUM_THREADS"] == found["OMP_NUM_THREADS"] == "3"
    assert found[SPAN_VARIABLE] == span.variables[SPAN_VARIABLE]
    folder = nodes()["far"].facts["folder"]
    assert found["TASKFLOW_RUN_DIR"] == folder
    assert found[LAUNCHER_VARIABLE] == f"{folder}/launcher"
    assert "SECRET" not in found
    assert "COMPSS_BINDED_CPUS" not in found


def test_modules_of_the_program_and_the_runtime_are_found_there(span):
    code = "import taskflow, tests.cluster.agents; print(taskflow.__version__)"
    assert span.launch("far", f"$TASKFLOW_PYTHON -c {shlex.quote(code)}") == (0, f"{taskflow.__version__}\n", "")


def test_the_folder_is_the_same_if_it_is_there(span, tmp_path):
    def launch(folder):
        return subprocess.run(
            [span.variables[LAUNCHER_VARIABLE], "far", "pwd"], env={**os.environ, **span.variables}, cwd=folder,
            timeout=PATIENCE_S, capture_output=True, text=True, check=False,
        ).stdout.strip()  # fmt: skip

    assert launch(tmp_path) == str(tmp_path)


def test_nodes_reach_home_and_home_reaches_nodes(spans):
    there = spans("near", "home")
    code, out, errors = there.launch("home", "echo $TASKFLOW_RUN_DIR")
    assert (code, out) == (0, f"{runtime.session.run_dir}\n"), errors
    back = spans("home", "far")
    code, out, errors = back.launch("far", "echo $TASKFLOW_RUN_DIR")
    assert (code, out) == (0, f"{nodes()['far'].facts['folder']}\n"), errors


def test_a_program_elsewhere_starts_others_in_turn(span):
    code, out, errors = span.launch("far", "$TASKFLOW_LAUNCH_AGENT near 'echo $TASKFLOW_RUN_DIR'")
    assert (code, out) == (0, f"{nodes()['near'].facts['folder']}\n"), errors


def test_many_launchers_at_once(span):
    started = [span.start("far", f"echo {number}") for number in range(40)]
    assert [process.communicate(timeout=PATIENCE_S) for process in started] == [
        (f"{number}\n", "") for number in range(40)
    ]


def test_the_launcher_imports_next_to_nothing():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import launcher; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(Path(script.__file__).parent)], capture_output=True, text=True,
        timeout=PATIENCE_S, check=True,
    ).stdout.split()  # fmt: skip
    assert "launcher" in found
    assert not {"socket", "json", "re", "subprocess", "taskflow", "selectors", "enum"} & set(found)


# --- who may use it ----------------------------------------------------------------------------------------


def test_other_nodes_of_the_run_are_out_of_reach(span):
    code, _, errors = span.launch("other", "true")
    assert code == 255
    assert "other is none of the nodes of this task, which are near, far" in errors


def test_without_a_task_nothing_is_started(span):
    code, _, errors = span.launch("far", "true", env={SPAN_VARIABLE: ""})
    assert code == 255
    assert "this is no program of a task that has several nodes" in errors


def test_a_node_that_has_no_part_in_the_task_is_refused(span, agents):
    """Although it has the key of the run."""
    config = agents.configs[0]
    far = nodes()["far"]
    context = client_context(runtime.session.engine.nodes.keys)
    from taskflow.wire.secure import SecureStream

    hello = Hello(config.run, "program", nodes()["other"].number, f"for node {far.number}")
    stream = SecureStream(connect(("127.0.0.1", far.facts["data_port"]), context, hello))
    stream.note("start", span=span.variables[SPAN_VARIABLE], command="true", cwd="/", environment={})
    said = []
    wait_until(lambda: said.extend(bytes(data) for *_, data in stream.receive()) or said or stream.ended)
    stream.close()
    assert b"has no part in that task" in b"".join(said)


def test_the_socket_and_the_launcher_are_the_users_own(agents):  # noqa: ARG001  their session
    folder = Path(nodes()["near"].facts["folder"])
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "launcher").stat().st_mode & 0o077 == 0


def test_a_task_that_is_over_starts_nothing(span):
    span.end()
    code, _, errors = span.launch("far", "true")
    assert code == 255
    assert "is over on node near" in errors


def test_through_a_tunnel_nodes_reach_each_other_but_not_home(broken, monkeypatch):
    stop(broken)
    broken.start(setup("near"), setup("far"), home=1, options=ClusterOptions(tunnel=True))
    wait_until(lambda: len(nodes()) == 2)
    span = Span("near", "far", "home")
    assert span.launch("far", "echo there") == (0, "there\n", "")
    code, _, errors = span.launch("home", "true")
    assert code == 255
    assert "through a tunnel nothing leads to the machine of the main program" in errors
    monkeypatch.setenv(LAUNCHER_VARIABLE, Span("home", "far").variables[LAUNCHER_VARIABLE])
    with pytest.raises(TaskflowError, match="if there is a tunnel"):
        launcher_of_task()


# --- what ends what ----------------------------------------------------------------------------------------


def test_a_launcher_that_is_killed_ends_its_command(span):
    command = sleeper(1)
    process = span.start("far", f"setsid {command} & {command}; true")
    wait_until(lambda: len(of_mark(command)) >= 2)
    process.kill()
    gone(command)


def daemon(command):
    """A command that leaves another behind, as daemons of MPI do."""
    return f"setsid {command} </dev/null >/dev/null 2>&1 &"


def test_what_a_command_leaves_behind_lives_as_long_as_the_task(span):
    command = sleeper(2)
    assert span.launch("far", daemon(command)) == (0, "", "")
    assert of_mark(command)
    span.end()
    gone(command)


def test_what_has_cleared_its_environment_ends_too(span):
    command = sleeper(3)
    process = span.start("far", f"env -i setsid {command} & wait")
    wait_until(lambda: of_mark(command))
    span.end()
    gone(command)
    assert process.wait(PATIENCE_S) == 255


def test_two_tasks_on_the_same_nodes_do_not_end_each_other(spans):
    one, two = spans("near", "far"), spans("near", "far")
    first, second = sleeper(4), sleeper(5)
    for span, command in ((one, first), (two, second)):
        assert span.launch("far", daemon(command))[0] == 0
    one.end()
    gone(first)
    assert of_mark(second)
    two.end()
    gone(second)


def test_everything_ends_with_the_run(broken, span):  # noqa: ARG001  it is ended here
    left, running = sleeper(6), sleeper(7)
    assert span.launch("far", daemon(left))[0] == 0
    span.start("far", running)
    wait_until(lambda: of_mark(running))
    taskflow.stop(cancel=True)
    gone(left)
    gone(running)


def test_an_agent_that_is_killed_takes_everything_with_it(broken, span):
    left, running = sleeper(8), sleeper(9)
    assert span.launch("far", daemon(left))[0] == 0
    process = span.start("far", running)
    wait_until(lambda: of_mark(running))
    os.kill(broken.pid("far"), signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 255
    assert "the connection to node far was lost" in errors
    gone(left)
    gone(running)


def test_who_waits_for_what_is_lost_is_ended_and_told(broken, span, tmp_path):
    """A launcher whose command left a daemon behind is long gone when that is lost: mpirun would wait for ever."""
    mark, command = processes.new_mark(), shlex.quote(daemon(sleeper(10)))
    with open(tmp_path / "errors", "w") as errors:
        program = subprocess.Popen(
            ["sh", "-c", f"{span.variables[LAUNCHER_VARIABLE]} far {command}; touch {tmp_path}/started; sleep 60"],
            env=processes.marked({**os.environ, **span.variables}, mark), stderr=errors,
        )  # fmt: skip
    wait_until((tmp_path / "started").exists)
    assert of_mark(sleeper(10))
    os.kill(broken.pid("far"), signal.SIGKILL)
    assert program.wait(PATIENCE_S) in (-signal.SIGTERM, 128 + signal.SIGTERM)  # the shell, or first its child
    said = (tmp_path / "errors").read_text()
    assert "the connection to node far was lost" in said
    assert "and what was left behind there; what waits for it here is ended" in said


def test_a_task_whose_node_is_lost_can_go_on_elsewhere(broken, span):
    """The master ends the span when it loses a node: then nothing is left on the others."""
    command = sleeper(11)
    assert span.launch("far", daemon(command))[0] == 0
    os.kill(broken.pid("near"), signal.SIGKILL)
    span.end()
    gone(command)


def test_a_host_that_cannot_be_reached_is_told_with_its_address(broken, span):
    broken.refuse.add("far")
    os.kill(broken.pid("far"), signal.SIGKILL)
    wait_until(lambda: "far" not in nodes())
    code, _, errors = span.launch("far", "true")
    assert code == 255
    assert "nothing can be started on far: its agent cannot be reached from node near at 127.0.0.1 port" in errors
    assert "<MinPort>" in errors


# --- tasks with several nodes ------------------------------------------------------------------------------


def on_two(target):
    """A decorator above ``@task``: it has two nodes."""
    function = task_under(target, "on_two")
    function.options.hosts = 2
    function.changed()
    return function


def start_on_all(command):
    """The names of all nodes, and what the command prints on each."""
    hosts = os.environ["COMPSS_HOSTNAMES"].split(",")
    launchers = [[os.environ[LAUNCHER_VARIABLE], host, command] for host in hosts]
    return hosts, [subprocess.run(words, capture_output=True, text=True, check=True).stdout for words in launchers]


@on_two
@task(returns=2)
def everywhere(command):
    return start_on_all(command)


@on_two
@task(returns=2, on_failure="FAIL")
def failing(command):
    start_on_all(command)
    raise ValueError("after the start")


@on_two
@task(returns=2, on_failure="FAIL", time_out=1.5)
def limited(command, last):
    start_on_all(command)
    return start_on_all(last)


def test_a_task_with_two_nodes_reaches_both(agents):  # noqa: ARG001  their session
    hosts, outputs = compss_wait_on(*everywhere("echo $TASKFLOW_RUN_DIR"))
    assert len(set(hosts)) == 2
    folders = {node.facts["folder"] for node in nodes().values()} | {str(runtime.session.run_dir)}
    found = {output.strip() for output in outputs}
    assert len(found) == 2
    assert found <= folders


def test_what_it_leaves_anywhere_is_gone_when_it_ends(agents):  # noqa: ARG001  their session
    ended, failed = sleeper(20), sleeper(21)
    compss_wait_on(*everywhere(daemon(ended)))
    gone(ended)
    with pytest.raises(ValueError, match="after the start"):
        compss_wait_on(*failing(daemon(failed)))
    gone(failed)


def test_nothing_of_it_is_left_when_its_time_is_over(agents):  # noqa: ARG001  their session
    left, running = sleeper(22), sleeper(23)
    with pytest.raises(TimeOutError):
        compss_wait_on(*limited(daemon(left), running))
    gone(left)
    gone(running)


def test_nothing_of_it_is_left_when_it_is_cancelled(agents):  # noqa: ARG001  their session
    command = sleeper(24)
    with TaskGroup("cancelled", implicit_barrier=False):
        everywhere(command)
    wait_until(lambda: of_mark(command))
    compss_cancel_group("cancelled")
    compss_barrier()
    gone(command)


def test_nothing_of_it_is_left_when_its_executor_dies(agents):  # noqa: ARG001  their session
    command = sleeper(25)
    both = everywhere(command)
    wait_until(lambda: of_mark(command))
    engine = runtime.session.engine
    for _ in range(2):  # it is tried once more
        wait_until(lambda: of_mark(command))
        (running,) = of_mark(command)
        link = next(link for link in list(engine.links.values()) if link.executor.inflight)
        os.kill(link.pid, signal.SIGKILL)
        running.wait(PATIENCE_S)
    with pytest.raises(ExecutorDiedError):
        compss_wait_on(*both)
    gone(command)


def test_a_task_that_loses_one_of_its_nodes_runs_again_on_others(broken):
    command = sleeper(26)
    hosts, outputs = everywhere(f"[ -e {broken.folder}/enough ] || {command}; echo $TASKFLOW_RUN_DIR")
    wait_until(lambda: of_mark(command))
    (running,) = of_mark(command)
    folder = running.environ()["TASKFLOW_RUN_DIR"]
    name = next((name for name, node in nodes().items() if node.facts["folder"] == folder), "")
    Path(broken.folder, "enough").touch()
    if name:
        os.kill(broken.pid(name), signal.SIGKILL)
    else:
        running.kill()
    assert len(compss_wait_on(outputs)) == 2
    assert len(set(compss_wait_on(hosts))) == 2
    gone(command)
