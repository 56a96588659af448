"""Executors that die: the task is tried once elsewhere, then its failure tells what is known. Nothing hangs.

Every test has a session of its own, so that the marks on it are only those it made.
"""

import os
import signal
import sys
import threading

import pytest

import taskflow
from taskflow import ExecutorDiedError, compss_barrier, compss_open, compss_wait_on
from tests.behaviour.dying import (
    append,
    append_commutatively,
    append_to_file,
    array,
    die_once,
    give,
    greedy,
    large_then_dead,
    leave_child,
    pid,
    plus,
    suicide,
    total,
    use,
    wait_here,
)
from tests.behaviour.helpers import alive, touch, until

pytestmark = pytest.mark.usefixtures("fresh")


NAMES = {
    "kill": "SIGKILL",
    "terminate": "SIGTERM",
    "segfault": "SIGSEGV",
    "abort": "SIGABRT",
    "exit": "code 7",
}


@pytest.mark.parametrize("how", NAMES)
def test_task_that_kills_its_executor_is_tried_once_elsewhere_then_reported(how, tmp_path):
    folder = tmp_path / "attempts"
    folder.mkdir()
    future = suicide(how, str(folder))
    with pytest.raises(ExecutorDiedError):
        future.result()
    assert len(os.listdir(folder)) == 2  # two processes
    assert compss_wait_on([give(n) for n in range(20)]) == list(range(20))


@pytest.mark.parametrize("how", NAMES)
def test_certificate_says_what_is_known(how, fresh):
    with pytest.raises(ExecutorDiedError) as caught:
        compss_wait_on(suicide(how))
    text = str(caught.value)
    assert NAMES[how] in text
    assert "suicide" in text
    assert f"{__file__}:" in text
    assert "attempt 2 of 2" in text
    assert "MiB" in text
    log = text.split("full log: ")[1].strip()
    with open(log) as file:
        assert "written below Python" in file.read()
    assert os.path.dirname(log) == str(fresh.run_dir)


def test_certificate_has_the_end_of_what_the_task_wrote_to_standard_error():
    with pytest.raises(ExecutorDiedError, match="last words"):
        compss_wait_on(suicide("kill"))


def test_certificate_of_a_fault_shows_where_in_the_python_code():
    with pytest.raises(ExecutorDiedError) as caught:
        compss_wait_on(suicide("segfault"))
    assert "in die" in str(caught.value)


@pytest.mark.parametrize("how", ["kill", "segfault", "exit"])
def test_second_attempt_succeeds(how, tmp_path):
    assert die_once(how, str(tmp_path / "mark")).result() == "second attempt"
    compss_barrier()


def test_dependants_of_a_task_that_kills_fail_and_others_finish():
    before = [give(n) for n in range(30)]
    bad = suicide("kill")
    dependant = use(give(1), bad)
    after = [use(give(n)) for n in range(30)]
    assert compss_wait_on(before) == list(range(30))
    assert compss_wait_on(after) == [(n,) for n in range(30)]
    with pytest.raises(ExecutorDiedError, match="suicide"):
        compss_wait_on(dependant)
    assert isinstance(bad.exception(), ExecutorDiedError)


def test_every_way_of_waiting_ends():
    futures = [suicide("kill") for _ in range(2)]
    assert isinstance(futures[0].exception(timeout=20), ExecutorDiedError)
    assert {id(future) for future in taskflow.as_completed(futures, timeout=20)} == set(map(id, futures))
    called = threading.Event()
    suicide("exit").add_done_callback(lambda _: called.set())
    assert called.wait(20)
    with pytest.raises(ExecutorDiedError):
        compss_barrier()


def test_tasks_behind_the_one_that_kills_lose_no_attempt(tmp_path):
    """Many short tasks are queued on the executor that dies; none of them is to blame."""
    futures = [die_once("kill", str(tmp_path / "mark")) if n == 50 else give(n) for n in range(200)]
    expected = ["second attempt" if n == 50 else n for n in range(200)]
    assert compss_wait_on(futures) == expected


def test_executor_killed_from_outside_while_it_runs_a_task(tmp_path):
    started, gate = tmp_path / "started", tmp_path / "gate"
    futures = [wait_here(f"{started}{n}", str(gate)) for n in range(2)]
    assert until(lambda: len(list(tmp_path.glob("started*"))) == 2)
    victim = int(next(tmp_path.glob("started0-*")).name.split("-")[1])
    os.kill(victim, signal.SIGKILL)
    touch(gate)
    pids = compss_wait_on(futures)
    assert victim not in pids


def test_executor_killed_while_it_is_idle():
    victims = {pid().result() for _ in range(10)}
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert compss_wait_on([give(n) for n in range(50)]) == list(range(50))
    assert until(lambda: not any(alive(victim) for victim in victims))
    assert pid().result() not in victims


def test_results_held_by_a_dead_executor_are_made_again(tmp_path):
    """Arrays stay in the memory of the executor that made them; with it they go, and are computed anew."""
    folder = tmp_path / "made"
    folder.mkdir()
    arrays = [array(n, str(folder)) for n in range(8)]
    arrays = [plus(values, 1.0) for values in arrays]
    compss_barrier()
    made = len(os.listdir(folder))
    assert made == 8
    for process in {int(name.split("-")[1]) for name in os.listdir(folder)}:
        os.kill(process, signal.SIGKILL)
    assert compss_wait_on([total(values) for values in arrays]) == [100_000.0 * (n + 1) for n in range(8)]
    assert len(os.listdir(folder)) > made
    assert [values[0] for values in compss_wait_on(arrays)] == [n + 1.0 for n in range(8)]


def test_death_in_a_chain_of_writes(tmp_path):
    items = []
    for n in range(10):
        append(items, n, str(tmp_path / "mark") if n == 5 else None)
    assert compss_wait_on(items) == list(range(10))


def test_death_in_a_commutative_group(tmp_path):
    items = []
    for n in range(6):
        append_commutatively(items, n, str(tmp_path / "mark") if n == 2 else None)
    assert sorted(compss_wait_on(items)) == list(range(6))


def test_every_attempt_at_a_file_starts_from_the_original(tmp_path):
    path = str(tmp_path / "file")
    with open(path, "w") as file:
        file.write("0")
    append_to_file(path, "1", str(tmp_path / "mark"))
    append_to_file(path, "2", None)
    with compss_open(path) as file:
        assert file.read() == "012"


def test_memory_limit_in_a_task_is_a_memory_error():
    with pytest.raises(MemoryError):
        compss_wait_on(greedy())
    assert compss_wait_on(give(1)) == 1


def test_memory_figure_of_the_certificate_is_that_of_the_executor():
    with pytest.raises(ExecutorDiedError) as caught:
        compss_wait_on(large_then_dead())
    figure = float(str(caught.value).split("largest memory use was ")[1].split(" MiB")[0].replace(",", ""))
    assert 100 <= figure < 3000


def test_processes_that_a_dead_task_started_are_gone(tmp_path):
    path = tmp_path / "children"
    with pytest.raises(ExecutorDiedError):
        compss_wait_on(leave_child(str(path)))
    children = [int(line) for line in path.read_text().split()]
    assert len(children) == 2
    assert until(lambda: not any(alive(child) for child in children))


def test_stop_after_deaths_leaves_no_process(tmp_path):
    pids = {pid().result() for _ in range(10)}
    with pytest.raises(ExecutorDiedError):
        compss_wait_on(suicide("kill", str(tmp_path)))
    pids |= {pid().result() for _ in range(10)}
    taskflow.stop()
    assert until(lambda: not any(alive(process) for process in pids))


def test_death_at_import_of_the_function_is_reported(tmp_path, monkeypatch):
    """A module that kills whoever imports it."""
    (tmp_path / "deadly_module.py").write_text(
        "import os\n"
        "from taskflow import task\n"
        "if os.environ.get('TASKFLOW_TEST_MAIN') != str(os.getpid()):\n"
        "    os._exit(9)\n"
        "@task(returns=1)\n"
        "def harmless():\n"
        "    return 1\n"
    )
    taskflow.stop()
    monkeypatch.setenv("TASKFLOW_TEST_MAIN", str(os.getpid()))
    monkeypatch.syspath_prepend(str(tmp_path))
    import deadly_module

    try:
        taskflow.start(workers=2, progress=False, run_dir=tmp_path / "second")
        with pytest.raises(ExecutorDiedError, match=r"(?s)code 9.*task 1 harmless.*attempt 2 of 2"):
            compss_wait_on(deadly_module.harmless())
        assert compss_wait_on([give(n) for n in range(20)]) == list(range(20))
    finally:
        sys.modules.pop("deadly_module", None)


def test_process_that_starts_executors_dies():
    """Executors go on without it; those that die later are replaced by a new one."""
    executors = {pid().result() for _ in range(10)}
    with open(f"/proc/{next(iter(executors))}/stat") as file:
        zygote = int(file.read().rsplit(")", 1)[1].split()[1])
    os.kill(zygote, signal.SIGKILL)
    assert compss_wait_on([give(n) for n in range(20)]) == list(range(20))
    with pytest.raises(ExecutorDiedError):
        compss_wait_on(suicide("kill"))
    assert compss_wait_on([give(n) for n in range(20)]) == list(range(20))
    taskflow.stop()
    assert until(lambda: not any(alive(process) for process in executors))
