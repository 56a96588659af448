"""A task that raises: the program gets the exception where it waits, and learns where it came from."""

import dataclasses
import inspect
import os
import subprocess
import threading

import pytest

import taskflow
from taskflow import (
    COMMUTATIVE,
    CONCURRENT,
    FILE_OUT,
    INOUT,
    RemoteTraceback,
    TaskflowError,
    TimeOutError,
    compss_barrier,
    compss_wait_on,
    compss_wait_on_file,
    task,
)

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


class OwnError(Exception):
    def __init__(self, message, code=0):
        super().__init__(message)
        self.code = code

    def __reduce__(self):
        return type(self), (self.args[0], self.code)


class TwoArguments(Exception):  # noqa: N818
    """Pickles, but cannot be rebuilt from its args: a common mistake."""

    def __init__(self, name, reason):
        super().__init__(f"{name} because {reason}")
        self.name = name
        self.reason = reason


class HoldsLock(Exception):  # noqa: N818
    def __init__(self, message):
        super().__init__(message, threading.Lock())
        self.lock = threading.Lock()
        self.number = 7


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818
    exceptions: object


class Unspeakable(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("no text")


@task(returns=1)
def fail(kind, *args):
    raise kind(*args)


@task(returns=1)
def deep_failure(n):
    return below(n)


def below(n):
    if n == 0:
        return [][1]  # noqa: PLE0643
    return below(n - 1)


@task(returns=1)
def chained():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("could not look up") from error


@task(returns=1)
def give(value):
    return value


@task(returns=1)
def use(*values):
    return values


@task(box=INOUT)
def put(box, item):
    if item is None:
        raise ValueError("cannot put nothing")
    box.append(item)


@task(box=COMMUTATIVE)
def put_commutatively(box, item):
    if item is None:
        raise ValueError("cannot put nothing")
    box.append(item)


@task(box=CONCURRENT)
def put_concurrently(box, item):
    if item is None:
        raise ValueError("cannot put nothing")
    box.append(item)


@task(path=FILE_OUT)
def write(path, *, broken=False):
    with open(path, "w") as file:
        file.write("text")
    if broken:
        raise OSError(28, "No space left", path)


@pytest.mark.parametrize(
    "kind", [ValueError, KeyError, ZeroDivisionError, OwnError, RuntimeError, AssertionError, StopIteration]
)
def test_type_and_text_are_those_of_the_task(kind):
    with pytest.raises(kind) as caught:
        compss_wait_on(fail(kind, "the text"))
    assert type(caught.value) is kind
    assert caught.value.args[0] == "the text"


def test_attributes_of_the_exception_arrive():
    with pytest.raises(OwnError) as caught:
        fail(OwnError, "text", 42).result()
    assert caught.value.code == 42
    with pytest.raises(FileNotFoundError) as missing:
        fail(OSError, 2, "No such file", "name").result()
    assert missing.value.filename == "name"


def test_remote_traceback_and_line_of_the_call_are_attached():
    line = inspect.currentframe().f_lineno + 1
    future = deep_failure(3)
    with pytest.raises(IndexError) as caught:
        future.result()
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTraceback)
    text = str(cause)
    assert text.count("in below") == 4
    assert "return [][1]" in text
    assert "IndexError: list index out of range" in text
    assert f"{__file__}:{line}" in text
    assert "deep_failure" in text


def test_remote_traceback_has_no_frame_of_the_runtime():
    with pytest.raises(IndexError) as caught:
        deep_failure(0).result()
    assert "interpreter.py" not in str(caught.value.__cause__)
    assert "executor.py" not in str(caught.value.__cause__)


@pytest.mark.parametrize("members", [None, 3, (1, "two")])
def test_an_exception_may_forbid_to_set_attributes_and_have_some_like_a_group(members):
    error = fail(Frozen, members).exception()
    assert "Frozen" in str(error)  # it cannot be unpickled, so something stands for it
    assert "raise kind(*args)" in str(error.__cause__)


@pytest.mark.engines("local")
def test_a_time_out_shows_what_the_task_was_doing_and_no_frame_of_the_runtime():
    @task(returns=1, on_failure="FAIL", time_out=0.3)
    def wait():
        return subprocess.run(["sleep", "30"], check=True)

    with pytest.raises(TimeOutError) as caught:
        wait().result()
    told = str(caught.value.__cause__)
    assert f'File "{__file__}"' in told
    assert "subprocess.py" in told  # that is what the task has called
    assert os.path.dirname(taskflow.__file__) not in told


def test_cause_inside_the_task_is_in_the_text():
    with pytest.raises(ValueError, match="could not look up") as caught:
        chained().result()
    assert "KeyError: 'missing'" in str(caught.value.__cause__)
    assert "direct cause" in str(caught.value.__cause__)


def test_line_of_the_call_in_a_loop_and_over_several_lines():
    lines = []
    futures = []
    for _ in range(2):
        lines.append(inspect.currentframe().f_lineno + 1)
        futures.append(fail(ValueError, "x"))
    for future, line in zip(futures, lines, strict=True):
        assert f"{__file__}:{line}" in str(future.exception().__cause__)


@pytest.mark.parametrize(
    "wait", [compss_wait_on, lambda future: future.result(), lambda future: compss_wait_on([future, 1])]
)
def test_raised_wherever_the_program_waits(wait):
    with pytest.raises(ValueError, match="here"):
        wait(fail(ValueError, "here"))
    compss_barrier()


def test_raised_at_the_barrier_if_nobody_waited():
    future = fail(ValueError, "at the barrier")
    with pytest.raises(ValueError, match="at the barrier"):
        compss_barrier()
    compss_barrier()
    assert isinstance(future.exception(), ValueError)


def test_barrier_tells_of_a_task_without_result():
    @task()
    def quiet():
        raise KeyError("quiet")

    quiet()
    with pytest.raises(KeyError, match="quiet"):
        compss_barrier()


def test_dependants_fail_with_the_same_exception_and_do_not_run(tmp_path):  # noqa: ARG001
    bad = fail(ValueError, "root")
    direct = use(bad)
    indirect = use(1, use(direct), give(2))
    with pytest.raises(ValueError, match="root") as caught:
        indirect.result()
    assert "fail" in str(caught.value.__cause__)
    assert direct.exception() is bad.exception()


def test_other_tasks_finish():
    bad = fail(ValueError, "one of many")
    others = [use(give(n), n) for n in range(50)]
    assert compss_wait_on(others) == [(n, n) for n in range(50)]
    with pytest.raises(ValueError, match="one of many"):
        compss_wait_on(bad)


def test_failure_in_a_chain_of_writes():
    box = []
    put(box, 1)
    good = use(box)
    put(box, None)
    put(box, 2)
    assert compss_wait_on(good) == ([1],)
    with pytest.raises(ValueError, match="nothing"):
        compss_wait_on(box)
    with pytest.raises(ValueError, match="nothing"):
        compss_wait_on(use(box))


def test_failure_in_a_commutative_group():
    box = []
    for item in (1, None, 2):
        put_commutatively(box, item)
    with pytest.raises(ValueError, match="nothing"):
        compss_wait_on(use(box))


def test_failure_in_a_concurrent_group():
    box = []
    for item in (1, None, 2):
        put_concurrently(box, item)
    with pytest.raises(ValueError, match="nothing"):
        compss_wait_on(box)


def test_program_goes_on_after_a_failure():
    for n in range(5):
        with pytest.raises(ValueError, match=str(n)):
            compss_wait_on(fail(ValueError, str(n)))
        assert compss_wait_on(give(n)) == n


def test_failed_writer_of_a_file(tmp_path):
    path = str(tmp_path / "file")
    write(path, broken=True)
    with pytest.raises(OSError, match="No space left") as caught:
        compss_wait_on_file(path)
    assert caught.value.errno == 28
    assert not (tmp_path / "file").exists()
    write(path)
    assert (tmp_path / "file").exists() or compss_wait_on_file(path) == path
    assert (tmp_path / "file").read_text() == "text"


def test_several_results_of_a_failed_task():
    @task(returns=3)
    def three():
        raise LookupError("all three")

    for future in three():
        assert isinstance(future.exception(), LookupError)


# ---------------------------------------------------------------------- exceptions that are hard to send


def test_exception_that_cannot_be_rebuilt_keeps_its_type_and_attributes():
    with pytest.raises(TwoArguments, match="it because of that") as caught:
        compss_wait_on(fail(TwoArguments, "it", "of that"))
    assert caught.value.reason == "of that"
    assert "TwoArguments" in str(caught.value.__cause__)


def test_exception_that_does_not_pickle_keeps_its_type():
    with pytest.raises(HoldsLock) as caught:
        compss_wait_on(fail(HoldsLock, "with a lock"))
    assert caught.value.args[0] == "with a lock"
    assert caught.value.number == 7
    assert "lock" in str(caught.value.args[1])


def test_exception_without_a_text():
    with pytest.raises(Unspeakable):
        compss_wait_on(fail(Unspeakable))


def test_exception_of_a_class_that_main_does_not_know():
    @task(returns=1)
    def strange():
        class Inside(Exception):  # noqa: N818
            pass

        raise Inside("made there")

    with pytest.raises(Exception, match="made there") as caught:
        compss_wait_on(strange())
    assert type(caught.value).__name__ == "Inside"


def test_exception_that_holds_a_large_value():
    @task(returns=1)
    def heavy():
        raise ValueError(bytes(1_000_000))

    with pytest.raises(ValueError, match="x00") as caught:
        compss_wait_on(heavy())
    assert len(caught.value.args[0]) == 1_000_000


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exception_that_would_end_a_process_ends_neither_the_executor_nor_main(kind):
    with pytest.raises(TaskflowError, match=kind.__name__) as caught:
        compss_wait_on(fail(kind, 3))
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert compss_wait_on(give(1)) == 1


def test_warning_raised_as_an_error_in_a_task():
    with pytest.raises(UserWarning, match="beware"):
        compss_wait_on(fail(UserWarning, "beware"))


def test_recursion_without_end_is_an_exception():
    @task(returns=1)
    def endless(n):
        def inner(n):
            return inner(n + 1)

        return inner(n)

    with pytest.raises(RecursionError):
        compss_wait_on(endless(0))
    assert compss_wait_on(give(1)) == 1


def test_module_that_is_missing_in_the_task():
    @task(returns=1)
    def needs():
        import a_module_that_does_not_exist

        return a_module_that_does_not_exist

    with pytest.raises(ModuleNotFoundError) as caught:
        compss_wait_on(needs())
    assert caught.value.name == "a_module_that_does_not_exist"


def test_same_exception_raised_twice_is_not_confused():
    future = fail(ValueError, "twice")
    for _ in range(2):
        with pytest.raises(ValueError, match="twice") as caught:
            future.result()
        assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert taskflow.compss_wait_on(give(2)) == 2


@pytest.mark.engines("local", "simulated")
def test_failures_of_one_wait_are_all_known_to_the_program():
    @task(returns=1, on_failure="FAIL")
    def fail(n):
        raise LookupError(n)

    with pytest.raises(LookupError, match="1"):
        compss_wait_on([fail(1), [fail(2)], fail(3)])
    compss_barrier()
