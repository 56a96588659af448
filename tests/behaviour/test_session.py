"""Start, stop, and what a run leaves behind."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import taskflow
from taskflow import NotRunningError, TaskflowError, compss_wait_on, preparation, runtime, task
from taskflow.observe.summary import summarise
from tests.behaviour.dying import pid
from tests.behaviour.helpers import alive, until


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def slow(value):
    time.sleep(30)
    return value


@task(returns=1)
def environment():
    return os.getcwd(), sys.argv, sys.path[:2], os.environ.get("OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def ended():
    yield
    taskflow.stop(cancel=True)


@pytest.fixture
def start(tmp_path):
    return lambda **options: taskflow.start(**{"workers": 2, "run_dir": tmp_path / "run", "progress": False, **options})


def test_start_and_stop(start):
    session = start()
    assert runtime.session is session
    assert "2 executors" in repr(session)
    future = give([1])
    taskflow.stop()
    assert runtime.session is None
    assert future.result() == [1]
    assert "stopped" in repr(session)


def test_session_as_a_block(tmp_path):
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False) as session:
        assert compss_wait_on(give(1)) == 1
        assert session.workers == 1
    assert runtime.session is None
    assert give(1) == 1


def test_exception_in_the_block_cancels_and_comes_through(tmp_path):
    begun = time.monotonic()
    with (
        pytest.raises(KeyError, match="mine"),
        taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False),
    ):
        slow(1)
        raise KeyError("mine")
    assert time.monotonic() - begun < 20
    assert runtime.session is None


def test_starting_twice_is_an_error(start, tmp_path):
    start()
    with pytest.raises(TaskflowError, match=r"running already"):
        taskflow.start(run_dir=tmp_path / "other")
    assert compss_wait_on(give(1)) == 1


def test_stopping_twice_and_without_a_session_is_fine(start):
    taskflow.stop()
    start()
    taskflow.stop()
    taskflow.stop()


def test_stop_waits_for_what_is_unfinished_and_brings_files_back(start, tmp_path):
    start()

    @task(path=taskflow.FILE_OUT)
    def write(path):
        with open(path, "w") as file:
            file.write("done")

    for n in range(5):
        write(str(tmp_path / f"out{n}"))
    taskflow.stop()
    assert [(tmp_path / f"out{n}").read_text() for n in range(5)] == ["done"] * 5


def test_stop_raises_a_failure_that_nobody_was_told_of(start):
    start()

    @task()
    def fail():
        raise LookupError("unseen")

    fail()
    with pytest.raises(LookupError, match="unseen"):
        taskflow.stop()
    assert runtime.session is None


def test_several_sessions_one_after_the_other(tmp_path):
    for n in range(3):
        with taskflow.session(workers=2, run_dir=tmp_path / str(n), progress=False):
            assert compss_wait_on([give([n]) for _ in range(5)]) == [[n]] * 5


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": -1}, {"max_pending": 0}, {"engine": "unknown"}, {"wrokers": 2}]
)
def test_wrong_options_are_refused_and_leave_nothing(options, tmp_path, monkeypatch):
    made = []

    def make(identity):
        folder, claim = make_segment_folder(identity)
        made.append(folder)
        return folder, claim

    make_segment_folder = preparation.make_segment_folder
    monkeypatch.setattr(preparation, "make_segment_folder", make)
    with pytest.raises((ValueError, TypeError)):
        taskflow.start(run_dir=tmp_path / "run", **options)
    assert runtime.session is None
    assert not any(os.path.exists(folder) for folder in made)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("taskflow.start(nodez=['a'])", "TypeError: taskflow.start() has no option 'nodez'; did you mean nodes?"),
        ("taskflow.start(pack=3)", "TypeError: taskflow.start() has no option 'pack'; there are check, "),
        ("taskflow.start(nodes=['a b'])", "ArgumentError: nodes=: 'a b' cannot be the name of a host"),
        ("taskflow.start(nodes=['a'], node_timeout=0)", "node_timeout= is a number of seconds above 0, not 0"),
        ("taskflow.start(project='p.xml')", "project= says which machines of a resources file are used, so it needs "),
        ("taskflow.start(workers=1); grasp(1)", "lower its @constraint; more workers (workers=) are more"),
        ("taskflow.start(workers=5); grasp(1, 2)", "TypeError: grasp() too many positional arguments"),
    ],
)
def test_errors_of_programs_that_start_their_session_speak_of_what_these_wrote(call, wanted, tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        "import taskflow\nfrom taskflow import constraint, task\n"
        f"@constraint(computing_units=5)\n@task()\ndef grasp(x):\n    pass\ndef main():\n    {call}\nmain()\n"
    )
    ended = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert wanted in ended.stderr
    assert "--" not in ended.stderr.replace("--write", "")
    places = [line.split(", ", 1)[1] for line in ended.stderr.splitlines() if line.startswith("  File ")]
    assert places == ["line 9, in <module>", "line 8, in main"]


def test_a_program_that_shows_its_own_errors_goes_on_to_do_so(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        "import sys, taskflow\nsys.excepthook = lambda kind, error, trace: print('mine:', error)\n"
        "with taskflow.session(workers=1, progress=False):\n    raise LookupError('lost')\n"
    )
    ended = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.stdout, ended.stderr) == ("mine: lost\n", "")


@pytest.mark.parametrize("limit", [1, 10])
def test_few_pending_tasks_allowed(start, limit):
    start(max_pending=limit)
    assert compss_wait_on([give(n) for n in range(500)]) == list(range(500))


# ---------------------------------------------------------------------- futures after the end


def test_results_after_the_end(start):
    start()
    number, text = give(5), give(["text"])
    missing = give(bytes(1_000_000))
    taskflow.stop()
    assert number.result() == 5
    assert compss_wait_on(number, [text]) == [5, [["text"]]]
    assert number.done()
    with pytest.raises(NotRunningError, match="before that"):
        missing.result()


def test_future_of_a_task_that_was_cancelled_does_not_hang(start, tmp_path):
    start()
    running, dependant = slow(1), give(slow(2))
    called = threading.Event()
    dependant.add_done_callback(lambda _: called.set())
    taskflow.stop(cancel=True)
    assert called.wait(20)
    for future in (running, dependant):
        with pytest.raises(NotRunningError, match="stopped before"):
            future.result()
    taskflow.start(workers=1, run_dir=tmp_path / "second", progress=False)
    with pytest.raises(NotRunningError, match="stopped before"):
        dependant.result(timeout=20)


def test_large_value_of_an_earlier_session_is_not_mixed_up_with_one_of_this(start, tmp_path):
    start()
    old = give(bytes(200_000))
    taskflow.compss_barrier()
    taskflow.stop()
    taskflow.start(workers=2, run_dir=tmp_path / "second", progress=False)
    new = give(b"x" * 200_000)
    assert new.result() == b"x" * 200_000
    with pytest.raises(NotRunningError):
        old.result()
    assert give(old).exception() is not None


# ---------------------------------------------------------------------- the run folder


def test_run_folder_and_its_files_are_private(start, tmp_path):
    session = start()
    compss_wait_on(give(1))
    assert session.run_dir == tmp_path / "run"
    assert stat.S_IMODE(session.run_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((session.run_dir / "journal.jsonl").stat().st_mode) == 0o600
    for log in session.run_dir.glob("*.log"):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    segments = Path(session._segments)
    assert stat.S_IMODE(segments.stat().st_mode) == 0o700
    taskflow.stop()
    assert sorted(path.name for path in session.run_dir.iterdir()) == ["journal.jsonl"]
    assert not segments.exists()


def test_run_folder_that_holds_a_run_is_not_used_again(start):
    start()
    taskflow.stop()
    with pytest.raises(TaskflowError, match="already holds a run"):
        start()


def test_default_run_folder_is_in_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    session = taskflow.start(workers=1, progress=False)
    assert session.run_dir.parent == tmp_path / ".taskflow"
    assert stat.S_IMODE(session.run_dir.stat().st_mode) == 0o700


def test_where_nothing_can_be_made_the_run_folder_is_elsewhere(monkeypatch, tmp_path):
    blocked = tmp_path / "work"
    blocked.mkdir()
    (blocked / ".taskflow").write_text("a file is in the way")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(blocked)
    session = taskflow.start(workers=1, progress=False)
    assert session.run_dir.parent == tmp_path / "home" / ".taskflow"


def test_nothing_is_left_in_shared_memory(start):
    folder = Path(start()._segments)
    assert folder.parent in (Path("/dev/shm"), Path(tempfile.gettempdir()))  # noqa: S108
    assert folder.name.startswith("taskflow-")
    values = [give(bytes(200_000)) for _ in range(4)]
    compss_wait_on(values)
    assert len(list(folder.glob("[!.]*"))) == 4
    taskflow.stop()
    assert not folder.exists()


# ---------------------------------------------------------------------- processes


def test_no_process_is_left(start):
    start()
    pids = {pid().result() for _ in range(20)}
    with open(f"/proc/{next(iter(pids))}/stat") as file:
        zygote = int(file.read().rsplit(")", 1)[1].split()[1])
    assert alive(zygote)
    taskflow.stop()
    assert not any(alive(process) for process in (*pids, zygote))


def test_cancelling_does_not_wait_for_running_tasks(start, tmp_path):  # noqa: ARG001
    start()
    pids = {pid().result() for _ in range(10)}
    slow(1)
    slow(2)
    begun = time.monotonic()
    taskflow.stop(cancel=True)
    assert time.monotonic() - begun < 10
    assert until(lambda: not any(alive(process) for process in pids))


def test_executors_see_the_directory_and_arguments_of_main(start, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    start(argv=["app.py", "argument"])
    directory, argv, path, threads = compss_wait_on(environment())
    assert directory == str(tmp_path)
    assert argv == ["app.py", "argument"]
    assert path == sys.path[:2]
    assert threads == "1"


def test_start_inside_a_task_is_refused(start):
    start()

    @task(returns=1)
    def nested():
        taskflow.start()

    with pytest.raises(TaskflowError, match="inside a task"):
        compss_wait_on(nested())


def pids_in(text):
    return [int(word) for word in text.split()]


MAIN = """
import os, signal, sys, time
import taskflow
from taskflow import task, compss_wait_on

@task(returns=1)
def pid():
    return os.getpid()

@task(returns=1)
def give(value):
    return value

@task(returns=1)
def slow():
    time.sleep(60)
"""


def test_main_killed_leaves_no_process(script):
    done = script(
        MAIN
        + """
taskflow.start(workers=2, progress=False)
print(*{pid().result() for _ in range(20)}, flush=True)
slow(); slow()
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert done.returncode == -9
    pids = pids_in(done.stdout)
    assert pids
    assert until(lambda: not any(alive(process) for process in pids))


def test_main_that_forgets_to_stop_ends_cleanly(script):
    done = script(
        MAIN
        + """
session = taskflow.start(workers=2, progress=False)
print(session._segments)
print(*{pid().result() for _ in range(20)})
future = give(bytes(200_000))
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    folder, pids = done.stdout.splitlines()
    assert until(lambda: not any(alive(process) for process in pids_in(pids)))
    assert not os.path.exists(folder)


def test_failure_that_main_never_looked_at_ends_it_with_code_one(script):
    done = script(
        MAIN
        + """
@task()
def fail():
    raise LookupError("nobody looked")
taskflow.start(workers=2, progress=False)
fail()
"""
    )
    assert done.returncode == 1
    assert "LookupError: nobody looked" in done.stderr


def test_forked_child_is_not_part_of_the_session(script):
    """It may drop what it inherited, end, or outlive its parent: the run neither suffers nor stays alive."""
    done = script(
        MAIN
        + """
taskflow.start(workers=2, progress=False)
future = give(b"x" * 200_000)
future.result()
values = [give(b"y" * 200_000) for _ in range(3)]
taskflow.compss_barrier()
child = os.fork()
if child == 0:
    assert give(3) == 3  # a plain call
    del future, values
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert future.result() == b"x" * 200_000
future.__dict__.clear()
assert future.result() == b"x" * 200_000
assert compss_wait_on(values) == [b"y" * 200_000] * 3
other = os.fork()
if other == 0:
    os.close(1); os.close(2)
    time.sleep(30)
    os._exit(0)
executors = {pid().result() for _ in range(10)}
begun = time.monotonic()
taskflow.stop()
print(time.monotonic() - begun < 4, *executors)
os.kill(other, signal.SIGKILL)
"""
    )
    assert done.returncode == 0, done.stderr
    quick, *pids = done.stdout.split()
    assert quick == "True"
    assert until(lambda: not any(alive(int(process)) for process in pids))


def test_two_programs_at_once_do_not_meet(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        MAIN + "taskflow.start(workers=2, progress=False)\nprint(sum(compss_wait_on([give(n) for n in range(500)])))\n"
    )
    runs = [
        subprocess.Popen([sys.executable, program], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [run.communicate(timeout=30)[0] for run in runs] == [f"{sum(range(500))}\n"] * 2
    assert len(list((tmp_path / ".taskflow").iterdir())) == 2


def test_a_run_that_is_stopped_tells_what_it_cancelled(start, tmp_path):
    session = start()
    futures = [slow(n) for n in range(5)]
    session.stop(cancel=True, code=1)
    found = summarise(tmp_path / "run" / "journal.jsonl")
    assert (found.tasks, found.done, found.cancelled) == (5, 0, 5)
    assert all(future.cancelled() for future in futures)
