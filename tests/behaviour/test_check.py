"""The check of declared directions: what is reported of a run, and what is not."""

import functools
import heapq
import os
import random
import tempfile
import threading
import time

import numpy as np
import pytest

import taskflow
from taskflow import (
    COLLECTION_FILE_IN,
    COLLECTION_IN,
    COLLECTION_INOUT,
    COMMUTATIVE,
    DICTIONARY_IN,
    DIRECTORY_IN,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    IN,
    IN_DELETE,
    INOUT,
    OUT,
    Depth,
    Type,
    compss_barrier,
    compss_wait_on,
    compss_wait_on_file,
    runtime,
    task,
)
from taskflow.drivers.simulated import Faults
from tests.behaviour.helpers import meet, touch, wait_for_file

TABLE = {}
SUMS_CACHE = {}
model = None


@pytest.fixture(params=["local", "simulated"])
def checked(request, tmp_path):
    """Function that ends a checked session and returns its findings as {(function, name): finding}."""
    options = {"engine": request.param, "check": True, "progress": False, "run_dir": tmp_path / "run"}
    if request.param == "simulated":
        # No time passes between calls: tasks called one after the other may run at the same time.
        options |= {"seed": 1, "faults": Faults(steps=0)}
    taskflow.start(workers=2, **options)

    def end():
        taskflow.stop()
        return {(finding.function, finding.name): finding for finding in taskflow.check.findings()}

    yield end
    taskflow.stop(cancel=True)


def fixes(found):
    return {key: finding.fix for key, finding in found.items()}


# ---------------------------------------------------------------------- parameters that are only read


@task(returns=1)
def append(items, value):
    items.append(value)
    return len(items)


@task(returns=1)
def set_first(array):
    array.flat[0] += 1
    return float(array.flat[0])


@task(returns=1)
def grow(*rows, table=None):
    rows[1].append(1)
    if table is not None:
        table["new"] = 1
    return len(rows)


def test_changed_input_is_reported_with_its_place_and_its_callers(checked):
    for value in range(3):
        append([1], value)
    found = checked()
    assert fixes(found) == {("append", "items"): "declare items=INOUT"}
    finding = found["append", "items"]
    line = append.__taskflow_function__.__code__.co_firstlineno
    assert (finding.kind, finding.file, finding.line, finding.count) == ("changed", __file__, line, 3)
    called_from = test_changed_input_is_reported_with_its_place_and_its_callers.__code__.co_firstlineno + 2
    assert finding.calls == (f"{__file__}:{called_from}",)
    assert "changes its parameter items, which is IN" in str(finding)


@pytest.mark.parametrize("size", [3, 100_000])
def test_changed_array_is_reported(checked, size):
    set_first(np.zeros(size))
    assert fixes(checked()) == {("set_first", "array"): "declare array=INOUT"}


def test_changed_result_of_another_task_is_reported(checked):
    @task(returns=1)
    def make():
        return np.zeros(100_000)

    assert compss_wait_on(set_first(make())) == 1
    assert set(checked()) == {("set_first", "array")}


def test_changed_rest_and_keyword_arguments_are_reported(checked):
    grow([], [], table={})
    assert fixes(checked()) == {
        ("grow", "rows"): "declare rows=INOUT",
        ("grow", "table"): "declare table=INOUT",
    }


def test_changed_files_and_folders_are_reported(checked, tmp_path):
    @task(path=FILE_IN, paths=COLLECTION_FILE_IN, folder=DIRECTORY_IN, other=FILE_IN)
    def spoil(path, paths, folder, other):
        for name in (path, paths[1]):
            with open(name, "w") as file:
                file.write("xyz")
        touch(os.path.join(folder, "new"))
        with open(other) as file:
            file.read()

    names = [str(tmp_path / name) for name in ("a", "b", "c", "d")]
    for name in names:
        with open(name, "w") as file:
            file.write("abc")
    (tmp_path / "folder").mkdir()
    spoil(names[0], names[1:3], str(tmp_path / "folder"), names[3])
    name = "test_changed_files_and_folders_are_reported.<locals>.spoil"
    assert fixes(checked()) == {
        (name, "path"): "declare path=FILE_INOUT",
        (name, "paths"): "declare paths=COLLECTION_FILE_INOUT",
        (name, "folder"): "declare folder=DIRECTORY_INOUT",
    }


@task(items=COLLECTION_IN, table=DICTIONARY_IN)
def spoil_parts(items, table):
    items[1]["key"] = 2
    table["b"].append(1)


def test_changed_elements_are_reported(checked):
    spoil_parts([{}, {"key": 1}], {"a": [], "b": []})
    found = checked()
    assert fixes(found) == {
        ("spoil_parts", "items"): "declare items=COLLECTION_INOUT",
        ("spoil_parts", "table"): "declare table=DICTIONARY_INOUT",
    }
    assert "at items[1]['key']" in found["spoil_parts", "items"].what
    assert "at table['b']" in found["spoil_parts", "table"].what


class Account:
    def __init__(self):
        self.balance = 0

    @task(returns=1, target_direction=IN)
    def look(self):
        self.balance += 1
        return self.balance

    @task(returns=1)
    def read(self):
        return self.balance

    @task()
    def pay(self):
        self.balance += 1


def test_changed_object_of_a_method_is_reported(checked):
    account = Account()
    account.pay()
    account.look()
    assert fixes(checked()) == {("Account.look", "self"): "declare target_direction=INOUT"}


def test_consumed_generator_body_is_watched(checked):
    @task(returns=1)
    def pop_all(items):
        while items:
            yield items.pop()

    assert compss_wait_on(pop_all([1, 2])) == [2, 1]
    assert [name for _, name in checked()] == ["items"]


def test_change_of_a_task_that_fails_is_reported(checked):
    @task(returns=1, other=INOUT)
    def spoil_and_fail(items, other):
        items.append(other)
        raise ValueError("on purpose")

    future = spoil_and_fail([], [])
    assert future.exception() is not None
    assert [name for _, name in checked()] == ["items"]


def test_deleted_input_may_be_changed(checked):
    @task(items=IN_DELETE)
    def consume(items):
        items.clear()

    consume([1, 2])
    assert checked() == {}


def test_input_that_is_only_read_is_not_reported(checked):
    @task(returns=1, items=COLLECTION_IN)
    def read_all(a, b, c, items):
        return min(a) + b.mean() + len(c) + sum(map(len, items))

    assert compss_wait_on(read_all({3, 1, 2}, np.ones(5), {"k": [1]}, [[1], [2, 3]])) == 6
    assert checked() == {}


# ---------------------------------------------------------------------- parameters that are written


@task(items=INOUT)
def add_if(items, wanted):
    if wanted:
        items.append(1)


@task(array=INOUT)
def leave(array):
    array.sum()


@task(result=OUT)
def forget(result):
    del result


@task(path=FILE_INOUT)
def only_read(path):
    with open(path) as file:
        file.read()


def test_parameters_never_written_are_reported(checked, tmp_path):
    (tmp_path / "file").write_text("abc")
    leave(np.zeros(3))
    leave(np.zeros(4))
    forget(Account())
    only_read(str(tmp_path / "file"))
    found = checked()
    assert fixes(found) == {
        ("leave", "array"): "declare array=IN",
        ("forget", "result"): "declare result=IN",
        ("only_read", "path"): "declare path=FILE_IN",
    }
    assert found["leave", "array"].count == 2
    assert "never writes its parameter result, which is OUT" in found["forget", "result"].what


def test_parameter_written_by_one_call_of_several_is_not_reported(checked):
    items = [0]
    add_if(items, False)
    add_if(items, True)
    add_if(items, False)
    assert checked() == {}


def test_outputs_that_are_written_are_not_reported(checked, tmp_path):
    @task(path=FILE_OUT, result=OUT, parts=COLLECTION_INOUT)
    def write(path, result, parts):
        touch(path)
        result.balance = 3
        parts[1].balance = 1

    write(str(tmp_path / "file"), Account(), [Account(), Account()])
    assert checked() == {}


def test_elements_replaced_by_equal_ones_are_written(checked):
    @task(blocks={Type: COLLECTION_INOUT, Depth: 2})
    def sort_blocks(blocks):
        for row in blocks:
            for place, block in enumerate(row):
                row[place] = np.sort(block)

    sort_blocks([[np.arange(3), np.arange(4)], [np.arange(5)]])
    assert checked() == {}


def test_a_collection_that_grows_is_reported(checked):
    @task(parts=COLLECTION_INOUT)
    def extend(parts):
        parts.append(1)

    extend([])
    (finding,) = checked().values()
    assert "which is COLLECTION_INOUT: only elements of it come back" in finding.what
    assert finding.fix == "declare parts=INOUT"


def test_method_that_only_reads_needs_no_declaration(checked):
    Account().read()
    assert checked() == {}


# ---------------------------------------------------------------------- files


@task()
def log(folder, name):
    meet(folder, name, 2)
    with open(os.path.join(folder, "log.txt"), "a") as file:
        file.write(name)


@task(returns=1)
def write_after(path, before):
    with open(path, "a") as file:
        file.write("x")
    return before


@task(returns=1)
def read_path(path, after=None):  # noqa: ARG001  an input that makes it come later
    with open(path) as file:
        return file.read()


@task(path=FILE_OUT)
def make_file(path):
    with open(path, "w") as file:
        file.write("made")


@pytest.mark.parametrize("checked", ["local"], indirect=True)
def test_file_written_by_two_tasks_is_reported(checked, tmp_path):
    log(str(tmp_path), "a")
    log(str(tmp_path), "b")
    path = str(tmp_path / "log.txt")
    found = checked()
    assert set(found) == {("log", path)}
    assert found["log", path].count == 2
    assert f"writes the file {path} without declaring it" in found["log", path].what
    assert found["log", path].fix == "give it the path as a parameter, and declare path=FILE_INOUT"


def test_file_that_is_renamed_over_by_two_tasks_is_reported(checked, tmp_path):
    @task()
    def replace(folder, number):
        touch(f"{folder}/new-{number}")
        os.replace(f"{folder}/new-{number}", f"{folder}/target")

    replace(str(tmp_path), 1)
    replace(str(tmp_path), 2)
    assert [name for _, name in checked()] == [str(tmp_path / "target")]


def test_files_written_one_after_the_other_are_not_reported(checked, tmp_path):
    path = str(tmp_path / "log.txt")
    token = write_after(path, 0)
    for _ in range(3):
        token = write_after(path, token)
    assert compss_wait_on(read_path(path, token)) == "xxxx"
    assert checked() == {}


def test_files_written_before_and_after_a_barrier_are_not_reported(checked, tmp_path):
    path = str(tmp_path / "log.txt")
    write_after(path, 0)
    compss_barrier()
    write_after(path, 0)
    compss_barrier()
    assert read_path(path).result() == "xx"
    assert checked() == {}


def test_files_of_commutative_tasks_are_not_reported(checked, tmp_path):
    @task(total=COMMUTATIVE)
    def count(total, path):
        total.append(1)
        with open(path, "a") as file:
            file.write("x")

    total = []
    for _ in range(4):
        count(total, str(tmp_path / "log.txt"))
    assert len(compss_wait_on(total)) == 4
    assert checked() == {}


def test_private_files_are_not_reported(checked, tmp_path):
    @task(returns=1)
    def use_scratch(folder, number):
        import sys

        with tempfile.NamedTemporaryFile("w", dir=folder) as file:
            file.write("x")
        with open(f"{folder}/scratch-{os.getpid()}", "w") as file:
            file.write("x")
        with open("/dev/null", "w") as file:
            file.write("x")
        with open(f"{folder}/result-{number}", "w") as file:
            file.write("x")
        return len(sys.path)

    for number in range(4):
        use_scratch(str(tmp_path), number)
    assert checked() == {}


def test_declared_files_are_not_reported(checked, tmp_path):
    path = str(tmp_path / "file")

    @task(path=FILE_INOUT)
    def extend(path):
        with open(path, "a") as file:
            file.write("+")

    @task(returns=1, path=FILE_IN)
    def read_declared(path):
        with open(path) as file:
            return file.read()

    make_file(path)
    extend(path)
    assert compss_wait_on(read_declared(path)) == "made+"
    extend(path)
    assert checked() == {}


def test_undeclared_reader_of_a_declared_file_is_reported(checked, tmp_path):
    path = str(tmp_path / "file")
    (tmp_path / "file").write_text("old")
    make_file(path)
    read_path(path)
    found = checked()
    assert fixes(found) == {("read_path", path): "give it the path as a parameter, and declare path=FILE_IN"}
    assert found["read_path", path].what.endswith("make_file writes it (declared there)")


def test_undeclared_reader_after_a_wait_is_not_reported(checked, tmp_path):
    path = str(tmp_path / "file")
    make_file(path)
    compss_wait_on_file(path)
    assert compss_wait_on(read_path(path)) == "made"
    assert checked() == {}


@pytest.mark.parametrize("checked", ["local"], indirect=True)
def test_undeclared_reader_of_an_undeclared_file_is_reported(checked, tmp_path):
    @task()
    def make(folder):
        touch(f"{folder}/made")

    @task()
    def use(folder):
        wait_for_file(f"{folder}/made")
        with open(f"{folder}/made") as file:
            file.read()

    use(str(tmp_path))
    make(str(tmp_path))
    (finding,) = checked().values()
    assert finding.kind == "file"
    assert "reads the file" in finding.what
    assert finding.function.endswith("use")


# ---------------------------------------------------------------------- global variables


@task()
def register(name):
    TABLE[name] = 1


@task(returns=1)
def lookup(name):
    return TABLE.get(name)


@task(returns=1)
def remember(x):
    global model  # noqa: PLW0603  what the check is about
    if model is None:
        model = [0]
    SUMS_CACHE[x] = x
    return x


@pytest.fixture
def clean_globals():
    yield
    TABLE.clear()
    SUMS_CACHE.clear()
    globals()["model"] = None


@pytest.mark.usefixtures("clean_globals")
def test_changed_global_variable_that_others_read_is_reported(checked):
    register("a")
    lookup("a")
    found = checked()
    assert set(found) == {("register", "TABLE")}
    assert "lookup may read it" in found["register", "TABLE"].what


@pytest.mark.usefixtures("clean_globals")
def test_caches_and_lazy_globals_are_not_reported(checked):
    for x in range(4):
        remember(x)
    assert checked() == {}


# ---------------------------------------------------------------------- the session


def test_what_cannot_be_compared_is_told(checked):
    class Resource:
        """Travels, but cannot be taken apart a second time."""

        pickled = 0

        def __reduce__(self):
            if Resource.pickled:
                raise TypeError("once only")
            return Resource, ()

    @task(returns=1)
    def use(resource):
        return type(resource).__name__

    class Lock:
        def __init__(self):
            self.lock = threading.Lock()

        def __reduce__(self):
            return make_lock, ()

    def make_lock():
        lock = Lock()
        lock.__class__ = Bare
        return lock

    class Bare(Lock):
        __reduce__ = object.__reduce__

    assert compss_wait_on(use(Resource())) == "Resource"
    assert compss_wait_on(use(Lock())) == "Bare"
    assert checked() == {}
    ((function, name, reason),) = runtime.last_check.checked.unchecked
    assert (function.rpartition(".")[2], name) == ("use", "resource")
    assert "lock" in reason


def test_findings_while_the_session_runs_and_of_its_folder(checked, tmp_path):
    append([], 1)
    compss_barrier()
    assert set(fixes({(f.function, f.name): f for f in taskflow.check.findings()})) <= {("append", "items")}
    found = checked()
    assert tuple(found.values()) == taskflow.check.findings(tmp_path / "run")


def test_findings_without_a_checked_session(monkeypatch):
    monkeypatch.setattr(runtime, "last_check", None)
    with pytest.raises(taskflow.NotRunningError, match=r"runtask --check, or call taskflow.start\(check=True\)"):
        taskflow.check.findings()


def test_findings_can_be_an_error(tmp_path, capsys):
    taskflow.start(workers=1, check="error", run_dir=tmp_path / "run", progress=False)
    append([], 1)
    with pytest.raises(taskflow.FindingsError, match="found 1 problem, listed above"):
        taskflow.stop()
    shown = capsys.readouterr().err
    assert "The check of 1 task found 1 problem:" in shown
    assert "declare items=INOUT" in shown


def spoil_and_stumble(run_dir):
    with taskflow.session(workers=1, check="error", run_dir=run_dir, progress=False):
        compss_wait_on(append([], 1))
        raise ZeroDivisionError


def test_an_exception_of_the_program_is_not_replaced_by_findings(tmp_path):
    with pytest.raises(ZeroDivisionError):
        spoil_and_stumble(tmp_path / "run")


def test_unknown_kind_of_check_is_refused(tmp_path):
    with pytest.raises(ValueError, match="check must be True, False or 'error', not 'warn'"):
        taskflow.start(check="warn", run_dir=tmp_path / "run")
    assert runtime.session is None


@task(returns=1)
def interpreter_kind():
    import sys

    return "taskflow.node.check" in sys.modules


@pytest.mark.engines("local")
def test_nothing_of_the_check_is_there_when_it_is_off(tmp_path):
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False) as session:
        assert compss_wait_on(interpreter_kind()) is False
        assert session.check is None
        assert "submit" not in vars(session.engine)
    assert '"calls"' not in (tmp_path / "run" / "journal.jsonl").read_text()


@pytest.mark.parametrize("checked", ["local"], indirect=True)
def test_functions_with_a_time_out_are_watched_and_stopped(checked):
    @task(returns=1, time_out=0.2)
    def dawdle(items, seconds):
        items.append(1)
        time.sleep(seconds)

    assert dawdle([], 0.0).exception() is None
    assert "TimeOutError" in type(dawdle([], 60.0).exception()).__name__
    assert [(name, finding.count) for (_, name), finding in checked().items()] == [("items", 5)]  # four attempts


def test_wrapped_and_native_functions_are_watched(checked):
    @task(returns=1)
    @functools.wraps(append.__taskflow_function__)
    def wrapper(*args):
        return append.__taskflow_function__(*args)

    heapify = task(returns=0)(heapq.heapify)
    assert compss_wait_on(wrapper([], 1)) == 1
    heapify([3, 2, 1])
    assert sorted(name for _, name in checked()) == ["heap", "items"]


def test_random_generators_are_inputs_that_change(checked):
    @task(returns=1)
    def draw(generator):
        return generator.random()

    generator = random.Random(3)
    assert compss_wait_on(draw(generator)) == compss_wait_on(draw(generator))
    assert [name for _, name in checked()] == ["generator"]
