"""S19, S20: what the failure of a task does, by its policy."""

import os
import warnings

import pytest

import taskflow
from taskflow import (
    COLLECTION_OUT,
    COMMUTATIVE,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    INOUT,
    OUT,
    ExecutorDiedError,
    TaskCancelledError,
    TaskflowWarning,
    compss_barrier,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    on_failure,
    task,
)

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


def count_run(folder):
    """Note one execution in the folder; returns how many there were before."""
    number = len(os.listdir(folder))
    with open(os.path.join(folder, f"{number}-{os.urandom(4).hex()}"), "x"):
        return number


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@task(returns=1)
def fail_at_first(folder, times):
    done = count_run(folder)
    if done < times:
        raise LookupError(f"attempt {done + 1}")
    return done


@task(returns=1, on_failure="FAIL")
def fail_once(folder):
    count_run(folder)
    raise LookupError("no second chance")


@task(returns=1)
def plus_one(x):
    return x + 1


def write_and_fail(path, text, fail):
    with open(path, "a") as file:
        file.write(text)
    if fail:
        raise LookupError(text)


append = task(path=FILE_INOUT)(write_and_fail)
append_failing = task(path=FILE_INOUT, on_failure="FAIL")(write_and_fail)
append_ignored = task(path=FILE_INOUT, on_failure="IGNORE")(write_and_fail)
append_cancelling = task(path=FILE_INOUT, on_failure="CANCEL_SUCCESSORS")(write_and_fail)


class Box:
    def __init__(self, items=()):
        self.items = list(items)


@task(box=INOUT, on_failure="IGNORE")
def put_ignored(box, item):
    box.items.append(item)
    raise LookupError(item)


@task(box=INOUT)
def put(box, item):
    box.items.append(item)


# ---------------------------------------------------------------------- RETRY and FAIL


def test_s19_a_task_that_fails_at_first_is_tried_again(runs):
    assert compss_wait_on(fail_at_first(str(runs), 1)) == 1


def test_s19_the_fourth_execution_is_the_last(runs):
    assert compss_wait_on(fail_at_first(str(runs), 3)) == 3
    again = runs / "again"
    again.mkdir()
    with pytest.raises(LookupError, match="attempt 4"):
        compss_wait_on(fail_at_first(str(again), 4))
    assert len(list(again.iterdir())) == 4


def test_s19_fail_means_exactly_one_execution(runs):
    with pytest.raises(LookupError, match="no second chance"):
        compss_wait_on(fail_once(str(runs)))
    assert len(list(runs.iterdir())) == 1


def test_the_policy_may_be_given_at_the_call(runs):
    with pytest.raises(LookupError):
        compss_wait_on(fail_at_first(str(runs), 9, on_failure="FAIL"))
    assert len(list(runs.iterdir())) == 1


def test_what_depends_on_a_failed_task_fails_with_its_exception(runs):
    with pytest.raises(LookupError, match="no second chance"):
        compss_wait_on(plus_one(plus_one(fail_once(str(runs)))))


def test_every_attempt_starts_from_the_original_file(tmp_path, runs):
    @task(path=FILE_INOUT)
    def append_at_last(path, folder):
        with open(path, "a") as file:
            file.write("x")
        if count_run(folder) < 2:
            raise LookupError

    path = tmp_path / "file"
    path.write_text("1")
    append_at_last(str(path), str(runs))
    compss_wait_on_file(str(path))
    assert path.read_text() == "1x"


def test_every_attempt_starts_from_the_original_object(runs):
    @task(box=INOUT)
    def put_at_last(box, folder):
        box.items.append("x")
        if count_run(folder) < 2:
            raise LookupError

    box = Box("a")
    put(box, "b")
    put_at_last(box, str(runs))
    assert compss_wait_on(box).items == ["a", "b", "x"]


@pytest.mark.parametrize("function", [append, append_failing])
def test_s20_under_retry_and_fail_the_users_file_stays_as_it_was(tmp_path, function):
    path = tmp_path / "file"
    path.write_text("1")
    function(str(path), "2", True)
    function(str(path), "3", False)
    with pytest.raises(LookupError, match="2"):
        compss_barrier()
    assert path.read_text() == "1"


# ---------------------------------------------------------------------- IGNORE


def test_s20_ignored_failure_the_successors_use_what_was_written(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    append_ignored(str(path), "2", True)
    for text in "345":
        append_ignored(str(path), text, False)
    compss_barrier(no_more_tasks=True)
    assert path.read_text() == "12345"


def test_ignored_failure_an_object_stays_what_it_was():
    box = Box("a")
    put_ignored(box, "b")
    put(box, "c")
    assert compss_wait_on(box).items == ["a", "c"]


def test_ignored_failure_an_object_made_by_a_task_stays_what_it_was():
    @task(returns=1)
    def make():
        return Box("a" * 3)

    box = make()
    put(box, "b")
    put_ignored(box, "c")
    put(box, "d")
    assert compss_wait_on(box).items == ["a", "a", "a", "b", "d"]


def test_ignored_failure_a_large_array_stays_what_it_was():
    np = pytest.importorskip("numpy")

    @task(returns=1)
    def make():
        return np.zeros(200_000)

    @task(a=INOUT, on_failure="IGNORE")
    def spoil(a):
        a += 1
        raise LookupError

    @task(a=INOUT)
    def add(a):
        a += 10

    a = make()
    add(a)
    spoil(a)
    add(a)
    assert set(compss_wait_on(a)) == {20.0}


def test_ignored_failure_without_a_default_gives_none_and_a_warning(runs):
    future = fail_at_first(str(runs), 9, on_failure="IGNORE")
    with pytest.warns(TaskflowWarning, match=r"task \d+ was not made and is None.*ignored.*LookupError: attempt 1"):
        assert compss_wait_on(future) is None
    assert future.ignored()
    assert not future.cancelled()
    assert isinstance(future.exception(), LookupError)
    assert future.result() is None


def test_s20_default_of_the_returned_value(runs):
    @on_failure(management="IGNORE", returns=0)
    @task(returns=1)
    def broken(folder):
        count_run(folder)
        raise LookupError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compss_wait_on(plus_one(broken(str(runs)))) == 1
        assert compss_wait_on(broken(str(runs))) == 0
    assert len(list(runs.iterdir())) == 2


def test_defaults_of_several_returned_values():
    @task(returns=2, on_failure="IGNORE", defaults={"returns": [1, [2]]})
    def broken():
        raise LookupError

    first, second = broken()
    assert compss_wait_on(plus_one(first)) == 2
    assert compss_wait_on(second) == [2]


def test_s20_defaults_of_files_are_copied(tmp_path):
    empty = tmp_path / "default"
    empty.write_text("EMPTY FILE")
    path, other = tmp_path / "out", tmp_path / "inout"
    other.write_text("old")

    @on_failure(management="IGNORE", out=str(empty), inout=str(empty))
    @task(out=FILE_OUT, inout=FILE_INOUT)
    def broken(out, inout):  # noqa: ARG001
        with open(inout, "a") as file:
            file.write("partly")
        raise LookupError

    @task(path=FILE_IN, returns=1)
    def read(path):
        with open(path) as file:
            return file.read()

    broken(str(path), str(other))
    assert compss_wait_on(read(str(path))) == "EMPTY FILE"
    compss_wait_on_file(str(path), str(other))
    assert path.read_text() == other.read_text() == "EMPTY FILE"
    assert empty.read_text() == "EMPTY FILE"


def test_defaults_of_objects():
    @on_failure(management="IGNORE", inout=Box("default"), out=Box("d"))
    @task(inout=INOUT, out=OUT)
    def broken(inout, out):  # noqa: ARG001
        inout.items.clear()
        raise LookupError

    inout, out = Box("a"), Box("b")
    broken(inout, out=out)
    put(inout, "x")
    assert compss_wait_on(inout).items == [*"default", "x"]
    assert compss_wait_on(out).items == ["d"]


def test_ignored_failure_elements_of_a_collection_that_were_not_made():
    @task(boxes=COLLECTION_OUT, on_failure="IGNORE")
    def broken(boxes):
        boxes[0] = Box("x")
        raise LookupError

    boxes = [Box("a"), Box("b")]
    broken(boxes)
    compss_barrier()
    with pytest.warns(TaskflowWarning, match="and 1 more"):
        assert compss_wait_on(boxes) == [None, None]


def test_a_file_that_was_not_written_is_empty_for_those_who_read_it(tmp_path):
    @task(path=FILE_OUT, on_failure="IGNORE")
    def broken(path):
        raise LookupError(path)

    @task(path=FILE_IN, returns=1)
    def size(path):
        return os.path.getsize(path)

    path = tmp_path / "file"
    broken(str(path))
    assert compss_wait_on(size(str(path))) == 0


def test_members_of_a_commutative_group_may_be_ignored():
    @task(box=COMMUTATIVE, on_failure="IGNORE")
    def collect(box, item):
        box.items.append(item)
        if item == "b":
            raise LookupError

    box = Box()
    for item in "abc":
        collect(box, item)
    assert sorted(compss_wait_on(box).items) == ["a", "c"]


# ---------------------------------------------------------------------- CANCEL_SUCCESSORS


def test_s20_successors_are_cancelled_and_the_program_goes_on(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("1")
    other.write_text("1")
    append_cancelling(str(path), "2", True)
    for text in "345":
        append_cancelling(str(path), text, False)
    append(str(other), "2", False)
    compss_barrier(no_more_tasks=True)
    assert path.read_text() == "12"
    assert other.read_text() == "12"


def test_s20_waiting_for_a_cancelled_successor_gives_none_and_a_warning(runs):
    failed = fail_at_first(str(runs), 9, on_failure="CANCEL_SUCCESSORS")
    cancelled = plus_one(plus_one(failed))
    with pytest.warns(TaskflowWarning, match=r"cancelled, since task \d+ raised LookupError: attempt 1"):
        assert compss_wait_on(cancelled) is None
    assert cancelled.cancelled()
    assert not cancelled.ignored()
    with pytest.raises(TaskCancelledError, match="attempt 1") as caught:
        cancelled.result()
    assert isinstance(caught.value.__cause__, LookupError)
    assert isinstance(failed.exception(), LookupError)
    assert isinstance(cancelled.exception(), TaskCancelledError)


def test_one_warning_for_all_values_of_one_wait(runs):
    failed = fail_at_first(str(runs), 9, on_failure="CANCEL_SUCCESSORS")
    with pytest.warns(TaskflowWarning, match="and 2 more") as caught:
        assert compss_wait_on([plus_one(failed), [plus_one(failed)]], failed) == [[None, [None]], None]
    assert len(caught) == 1


def test_an_object_that_a_cancelled_task_would_have_changed_stays_what_it_was(runs):
    @task(box=INOUT)
    def put_result(box, item):
        box.items.append(item)

    box = Box("a")
    put(box, "b")
    put_result(box, fail_at_first(str(runs), 9, on_failure="CANCEL_SUCCESSORS"))
    put(box, "never")
    compss_barrier()
    put(box, "c")
    assert compss_wait_on(box).items == ["a", "b", "c"]


# ---------------------------------------------------------------------- bad input, death


def test_an_unknown_policy_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match=r"task .*f: there is no failure policy 'SHRUG'; the policies are RETRY, FAIL"):

        @task(on_failure="SHRUG")
        def f():
            pass

    with pytest.raises(taskflow.TaskflowError, match="@on_failure needs management="):
        on_failure(returns=0)

    with pytest.raises(ValueError, match="no parameter 'y' that could have a default"):

        @on_failure(management="IGNORE", y=3)
        @task()
        def g(x):
            pass

    with pytest.raises(TypeError, match=r"@on_failure of .*h needs @task"):

        @on_failure(management="IGNORE")
        def h(x):
            pass


def test_a_default_file_that_does_not_exist_is_reported_at_the_call(tmp_path):
    @on_failure(management="IGNORE", path=str(tmp_path / "nothing"))
    @task(path=FILE_OUT)
    def broken(path):
        raise LookupError(path)

    with pytest.raises(FileNotFoundError, match=r"the default path='.*nothing' of task .* does not exist"):
        broken(str(tmp_path / "out"))


@pytest.mark.engines("local")
def test_death_of_the_executor_under_ignore_and_fail(runs):
    @task(returns=1)
    def die(folder):
        count_run(folder)
        os._exit(3)

    assert compss_wait_on(plus_one(die(str(runs), on_failure="IGNORE", defaults={"returns": 5}))) == 6
    assert len(list(runs.iterdir())) == 1
    with pytest.raises(ExecutorDiedError, match="exited with code 3"):
        compss_wait_on(die(str(runs), on_failure="FAIL"))
    assert len(list(runs.iterdir())) == 2


def test_main_rewrites_a_file_after_a_failure(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    append_cancelling(str(path), "2", True)
    compss_barrier()
    with compss_open(str(path), "w") as file:
        file.write("new")
    append(str(path), "3", False)
    compss_wait_on_file(str(path))
    assert path.read_text() == "new3"
