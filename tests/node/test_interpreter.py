"""The interpreter is fed literal messages; what it would report is looked at."""

import os
import threading

import numpy as np
import pytest

from taskflow.core.graph import BLOB, FILE, HELD, SEGMENT, VALUE
from taskflow.data.serialization import decode_blob, encode
from taskflow.data.store import Store
from taskflow.model.errors import MissingOutputError, PicklableStandIn, SerializationError, TaskflowError
from taskflow.node import call as module
from taskflow.node.exceptions import encode_error
from taskflow.node.interpreter import Interpreter, load_function
from taskflow.wire.messages import (
    N_BLOB,
    N_DICT,
    N_LIST,
    N_LOCAL,
    N_NEW,
    N_PATH,
    N_SAME,
    N_SEGMENT,
    N_VALUE,
    P_COPY,
    P_DIRECT,
    P_INOUT,
    P_OUT,
    P_SHARED,
)


@pytest.fixture
def executor(tmp_path):
    (tmp_path / "shared").mkdir()
    return Interpreter(Store(tmp_path / "shared", "x0"), str(tmp_path / "scratch"), inline_limit=1000)


def blob(value):
    return encode(value, "value").blob()


def run(executor, function, *params, returns=1, args=None, kwargs=None, task_id=1, durable=False):
    """Run a task with arguments given as nodes; its outputs, or the exception."""
    executor.define([(task_id, function.__name__, ("value", blob(function)), returns, 0.0)])
    places = [place for place, _ in params if isinstance(place, int)]
    args = args if args is not None else tuple([None] * (max(places) + 1 if places else 0))
    executor.run(task_id, task_id, args, kwargs, params, returns, durable)
    report = executor.report
    for failed, (encoded, _) in report.failed:
        if failed == task_id:
            raise decode_blob(encoded)
    if task_id in report.plain:
        return [(VALUE, report.plain[task_id])]
    return report.rich.get(task_id)


def value_of(output):
    state, value = output
    return decode_blob(value) if state == BLOB else value


# ---------------------------------------------------------------------- plain tasks


def test_plain_results_go_the_short_way(executor):
    executor.define([(1, "f", ("value", blob(lambda x: x + 1)), 1, 0.0)])
    executor.run_plain(5, 1, (2,))
    assert executor.report.plain == {5: 3}
    assert executor.report.rich == {}


def test_task_without_result_says_that_it_ended(executor):
    executor.define([(1, "f", ("value", blob(lambda x: [x])), 0, 0.0)])
    executor.run_plain(5, 1, (2,))
    assert executor.report.plain == {5: None}


def test_result_with_content_is_pickled(executor):
    executor.define([(1, "f", ("value", blob(lambda x: [x])), 1, 0.0)])
    executor.run_plain(5, 1, (2,))
    [(state, content)] = executor.report.rich[5]
    assert state == BLOB
    assert decode_blob(content) == [2]


def test_large_result_goes_to_a_segment(executor):
    [(state, descriptor)] = run(executor, lambda: "x" * 5000)
    assert state == SEGMENT
    assert executor.store.read(descriptor) == "x" * 5000


def test_large_array_stays_until_somebody_wants_it(executor):
    [(state, nbytes)] = run(executor, lambda: np.ones(1000))
    assert (state, nbytes) == (HELD, 8000)
    executor.publish([(1, 0)])
    assert executor.store.read(executor.report.published[1, 0]).sum() == 1000


def test_array_that_something_else_refers_to_does_not_stay(executor):
    kept = []

    def remember():
        array = np.ones(1000)
        kept.append(array)
        return array

    [(state, _)] = run(executor, remember)
    assert state == SEGMENT


def test_durable_result_does_not_stay(executor):
    [(state, _)] = run(executor, lambda: np.ones(1000), durable=True)
    assert state == SEGMENT


def test_what_cannot_be_published_is_told(executor):
    executor.publish([(7, 0)])
    assert executor.report.gone == [(7, 0)]


def test_forgotten_results_are_gone(executor):
    run(executor, lambda: np.ones(1000))
    executor.let_go(0, [(1, 0)])
    executor.publish([(1, 0)])
    assert executor.report.gone == [(1, 0)]


# ---------------------------------------------------------------------- functions


def test_function_that_cannot_be_loaded_fails_its_tasks_only(executor):
    executor.define([(1, "f", ("ref", "no_such_module", "f"), 1, 0.0), (2, "g", ("value", blob(lambda: 2)), 1, 0.0)])
    executor.run_plain(5, 1, ())
    executor.run(6, 1, (), None, (), 1, False)
    executor.run_plain(7, 2, ())
    assert [task for task, _ in executor.report.failed] == [5, 6]
    assert isinstance(decode_blob(executor.report.failed[0][1][0]), ModuleNotFoundError)
    assert executor.report.plain == {7: 2}


def test_functions_are_found_by_qualified_name():
    assert load_function(("ref", "os.path", "basename")) is os.path.basename
    assert load_function(("ref", "threading", "Thread.start")) is threading.Thread.start


# ---------------------------------------------------------------------- arguments


def test_values_blobs_and_segments(executor):
    segment = executor.store.write(encode({"k": 1}, "value"))
    [output] = run(
        executor,
        lambda a, b, c, d: [a, b, c, d],
        (0, (N_VALUE, 1, False)),
        (1, (N_BLOB, blob([2]), (), False)),
        (2, (N_SEGMENT, segment, (), False)),
        ("d", (N_VALUE, 4, False)),
        args=(None, None, None),
    )
    assert value_of(output) == [1, [2], {"k": 1}, 4]


def test_hidden_values_are_put_into_their_places(executor):
    from taskflow.api.futures import Future
    from taskflow.core.graph import Version

    encoded = encode([Future(Version(1)), "x"], "value")
    [output] = run(executor, lambda a: a, (0, (N_BLOB, encoded.blob(), ((N_BLOB, blob([7]), (), False),), False)))
    assert value_of(output) == [[7], "x"]


def test_collections_and_dictionaries_are_built_from_nodes(executor):
    node = (N_LIST, [(N_VALUE, 1, False), (N_LIST, [(N_BLOB, blob("b"), (), False)])])
    table = (N_DICT, [((N_VALUE, "k", False), (N_VALUE, 2, False))])
    [output] = run(executor, lambda a, b: [a, b], (0, node), (1, table))
    assert value_of(output) == [[1, ["b"]], {"k": 2}]


def test_written_arguments_are_outputs_after_the_results(executor):
    def change(a, b):
        a.append(1)
        b[0] = "new"
        return "result"

    outputs = run(
        executor,
        change,
        (0, (N_BLOB, blob([0]), (), True)),
        (1, (N_LIST, [(N_VALUE, "old", True), (N_VALUE, 5, False)])),
    )
    assert [value_of(output) for output in outputs] == ["result", [0, 1], "new"]


def test_out_object_begins_as_an_empty_instance(executor):
    outputs = run(executor, lambda a: a.update(k=1), (0, (N_NEW, blob(dict), True)), returns=0)
    assert value_of(outputs[0]) == {"k": 1}


def test_class_without_an_empty_constructor_gives_a_placeholder(executor):
    outputs = run(executor, lambda a: type(a[0]).__name__, (0, (N_LIST, [(N_NEW, blob(range), False)])))
    assert outputs == [(VALUE, "object")]


def test_same_object_given_twice_is_one_object(executor):
    outputs = run(executor, lambda a, b: a is b, (0, (N_BLOB, blob([1]), (), True)), (1, (N_SAME, 0, False)))
    assert value_of(outputs[0]) is True
    assert value_of(outputs[1]) == [1]


def test_result_of_an_earlier_task_of_this_executor(executor):
    run(executor, lambda: [1], task_id=1)
    assert value_of(run(executor, lambda a: [*a, 2], (0, (N_LOCAL, (1, 0), False, False)), task_id=2)[0]) == [
        1,
        2,
    ]
    executor.next_report()
    assert value_of(run(executor, lambda a: [*a, 3], (0, (N_LOCAL, (2, 0), False, False)), task_id=3)[0]) == [
        1,
        2,
        3,
    ]


def test_array_that_its_last_reader_may_use_up_is_not_copied(executor):
    run(executor, lambda: np.zeros(1000), task_id=1)
    address = executor.held[1, 0].__array_interface__["data"][0]

    def add(a):
        a += 1

    [(state, _)] = run(executor, add, (0, (N_LOCAL, (1, 0), True, True)), returns=0, task_id=2)
    assert state == HELD
    assert executor.held[2, 0].__array_interface__["data"][0] == address
    assert executor.report.consumed == [(1, 0)]


def test_array_that_others_read_too_is_copied_and_the_second_time_published(executor):
    run(executor, lambda: np.zeros(1000), task_id=1)

    def add(a):
        a += 1
        return float(a.sum())

    assert run(executor, add, (0, (N_LOCAL, (1, 0), False, False)), task_id=2) == [(VALUE, 1000.0)]
    assert executor.held[1, 0].sum() == 0
    assert not executor.report.published
    assert run(executor, add, (0, (N_LOCAL, (1, 0), False, False)), task_id=3) == [(VALUE, 1000.0)]
    assert executor.store.read(executor.report.published[1, 0]).sum() == 0


def test_missing_input_skips_the_task(executor):
    assert run(executor, lambda a: a, (0, (N_LOCAL, (99, 0), False, False))) is None
    assert [entry[0] for entry in executor.report.skipped] == [1]
    assert executor.report.failed == []


# ---------------------------------------------------------------------- results


def test_number_of_results(executor):
    assert [value for _, value in run(executor, lambda: (1, 2, 3), returns=2)] == [1, 2]
    with pytest.raises(MissingOutputError, match=r"returns=3 but returned 1 values"):
        run(executor, lambda: [1], returns=3, task_id=2)
    with pytest.raises(MissingOutputError, match=r"returns=2 but returned 5"):
        run(executor, lambda: 5, returns=2, task_id=3)


def test_generator_becomes_a_list(executor):
    assert value_of(run(executor, lambda: (n for n in range(3)))[0]) == [0, 1, 2]


def test_result_that_cannot_be_pickled(executor):
    with pytest.raises(SerializationError, match=r"^result\[0\] is a _thread.lock"):
        run(executor, lambda: [threading.Lock()])
    with pytest.raises(SerializationError, match=r"^result\[1\]\['k'\] is a"):
        run(executor, lambda: (1, {"k": threading.Lock()}), returns=2, task_id=2)


def test_element_removed_from_a_collection(executor):
    with pytest.raises(MissingOutputError, match=r"removed element \[0\]"):
        run(executor, lambda a: a.clear(), (0, (N_LIST, [(N_VALUE, 1, True)])), returns=0)


# ---------------------------------------------------------------------- files


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("text")
    return str(path)


def read(path):
    with open(path) as file:
        return file.read()


def append(path):
    with open(path, "a") as file:
        file.write("+")
    return os.path.basename(path)


def test_file_read_as_a_private_copy(executor, source):
    [(_, name)] = run(executor, append, (0, (N_PATH, P_COPY, source, "name.txt", False, False)))
    assert name == "name.txt"
    assert read(source) == "text"
    assert not [files for _, _, files in os.walk(executor.scratch) if files]


def test_two_files_of_one_name(executor, source):
    def both(a, b):
        return a != b and os.path.basename(a) == os.path.basename(b)

    node = (N_PATH, P_COPY, source, "same", False, False)
    assert run(executor, both, (0, node), (1, node)) == [(VALUE, True)]


def test_file_read_in_place(executor, source):
    assert run(executor, lambda path: path, (0, (N_PATH, P_DIRECT, source, "x", False, False))) == [(VALUE, source)]


def test_large_file_is_given_in_place_and_watched(executor, source, monkeypatch):
    monkeypatch.setattr(module, "COPY_LIMIT", 2)
    node = (N_PATH, P_COPY, source, "x", False, False)
    assert run(executor, lambda path: path, (0, node)) == [(VALUE, source)]
    with pytest.raises(TaskflowError, match="declare the parameter as FILE_INOUT"):
        run(executor, append, (0, node), task_id=2)


def test_output_file(executor, tmp_path):
    target = str(tmp_path / "d1v1" / "out")

    def write(path):
        assert not os.path.exists(path)
        append(path)

    assert run(executor, write, (0, (N_PATH, P_OUT, None, target, False, True)), returns=0) == [(FILE, (target, 1))]
    assert read(target) == "+"
    with pytest.raises(MissingOutputError, match="without making the output 'other'"):
        run(
            executor,
            lambda path: None,  # noqa: ARG005
            (0, (N_PATH, P_OUT, None, f"{os.path.dirname(target)}/other", False, True)),
            returns=0,
            task_id=2,
        )


def test_updated_file_begins_as_a_copy(executor, source, tmp_path):
    target = str(tmp_path / "d1v2" / "source")
    for attempt in (1, 2):  # a second attempt begins anew
        outputs = run(executor, append, (0, (N_PATH, P_INOUT, source, target, False, True)), returns=0, task_id=attempt)
        assert outputs == [(FILE, (target, 5))]
        assert read(target) == "text+"
    assert read(source) == "text"


def test_shared_file_is_begun_once(executor, source, tmp_path):
    target = str(tmp_path / "d1v2" / "source")
    for number in (1, 2, 3):
        run(executor, append, (0, (N_PATH, P_SHARED, source, target, False, True)), returns=0, task_id=number)
    assert read(target) == "text+++"
    assert os.listdir(tmp_path / "d1v2") == ["source"]


def test_directories(executor, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "f").write_text("x")
    target = str(tmp_path / "d1v2" / "folder")

    def add(path):
        append(os.path.join(path, "f"))

    run(executor, add, (0, (N_PATH, P_INOUT, str(tmp_path / "folder"), target, True, True)), returns=0)
    assert read(os.path.join(target, "f")) == "x+"
    assert read(tmp_path / "folder" / "f") == "x"


# ---------------------------------------------------------------------- failures


class Awkward(Exception):  # noqa: N818
    def __init__(self, first, second):
        super().__init__(f"{first}/{second}")
        self.second = second


class Misleading(Exception):  # noqa: N818
    def __init__(self, code):
        super().__init__(f"code {code}")


def decoded(error):
    try:
        raise error  # noqa: TRY301
    except BaseException as raised:  # noqa: BLE001
        content, text = encode_error(raised)
    return decode_blob(content), text


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError(1), OSError(2, "No such", "f"), SystemExit(3), Awkward(1, 2), Misleading(7)],
)
def test_exceptions_keep_type_text_and_attributes(error):
    back, text = decoded(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__
    assert type(error).__name__ in text
    assert "in decoded" in text


def test_parts_that_do_not_travel_become_text():
    error = ValueError("x", threading.Lock())
    error.lock = threading.Lock()
    back, _ = decoded(error)
    assert back.args[0] == "x"
    assert "lock" in back.args[1]
    assert "lock" in back.lock


def test_exception_that_resists_everything_has_a_stand_in():
    class Stubborn(Exception):  # noqa: N818
        def __new__(cls, *args):
            if args == ("first",):
                return super().__new__(cls, *args)
            raise RuntimeError("only once")

        def __init__(self, *_):
            super().__init__("later")

    back, text = decoded(Stubborn("first"))
    assert type(back) is PicklableStandIn
    assert "Stubborn: later" in str(back)
    assert "Stubborn" in text


def test_failed_task_leaves_no_result_and_no_private_file(executor, source):
    def fail(path):  # noqa: ARG001
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        run(executor, fail, (0, (N_PATH, P_COPY, source, "name", False, False)))
    assert executor.held == {}
    assert not [files for _, _, files in os.walk(executor.scratch) if files]


# ---------------------------------------------------------------------- reports


def test_reports_are_kept_until_acknowledged(executor):
    run(executor, lambda: [1], task_id=1)
    number = executor.next_report()[0]
    run(executor, lambda: [2], task_id=2)
    executor.next_report()
    executor.let_go(number, [])
    assert run(executor, lambda a: a, (0, (N_LOCAL, (1, 0), False, False)), task_id=3) is None
    assert value_of(run(executor, lambda a: a, (0, (N_LOCAL, (2, 0), False, False)), task_id=4)[0]) == [2]


def test_report_is_empty_until_something_happens(executor):
    assert executor.report.empty
    executor.report.output.append((1, "text"))
    assert not executor.report.empty
