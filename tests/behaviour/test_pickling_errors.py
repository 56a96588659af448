"""What cannot be sent is named by its path: ``args[1].model.lock``."""

import contextlib
import functools
import sys
import threading

import pytest

from taskflow import (
    COLLECTION_IN,
    DICTIONARY_IN,
    INOUT,
    SerializationError,
    compss_barrier,
    compss_wait_on,
    put,
    task,
)

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engines("local", "simulated")]


class Model:
    def __init__(self):
        self.weights = [1, 2]
        self.lock = threading.Lock()


class Trainer:
    def __init__(self):
        self.name = "t"
        self.model = Model()


class Slotted:
    __slots__ = ("lock", "n")

    def __init__(self):
        self.n = 1
        self.lock = threading.Lock()


class Refuses:
    def __reduce__(self):
        raise RuntimeError("this object stays at home")


@task(returns=1)
def train(data, trainer=None, *others, **options):
    return data, trainer, others, options


@task(trainer=INOUT)
def improve(data, trainer):
    pass


@task(parts=COLLECTION_IN, returns=1)
def merge(parts):
    return parts


@task(table=DICTIONARY_IN, returns=1)
def look(table):
    return table


@task(returns=1)
def give_back(kind):
    if kind == "nested":
        return {"models": [1, Model()]}
    return threading.Lock()


@task(returns=2)
def give_two():
    return 1, {"lock": threading.Lock()}


@task(model=INOUT)
def spoil(model):
    model.append({"lock": threading.Lock()})


CALLS = {
    "args[0]": lambda bad: train(bad),  # noqa: PLW0108
    "args[1]": lambda bad: train([1], bad),
    "args[3]": lambda bad: train([1], 2, 3, bad),
    "kwargs['trainer']": lambda bad: train([1], trainer=bad),
    "kwargs['extra']": lambda bad: train([1], extra=bad),
    "args[1][0]['deep'][2]": lambda bad: train([1], [{"deep": (1, 2, bad)}]),
}


@pytest.mark.parametrize("path", CALLS)
def test_argument_is_named_by_its_place_in_the_call(path):
    with pytest.raises(SerializationError) as caught:
        CALLS[path](Trainer())
    assert f"{path}.model.lock is a _thread.lock" in str(caught.value)
    assert "train" in str(caught.value)
    assert caught.value.path == f"{path}.model.lock"
    assert isinstance(caught.value, TypeError)
    assert caught.value.__cause__ is None  # its text says it all; the pickler's frames would not help


def test_parameter_is_named_too():
    with pytest.raises(SerializationError, match="'trainer'") as caught:
        train([1], Trainer())
    assert "cannot pickle '_thread.lock' object" in str(caught.value)
    assert "__getstate__" in str(caught.value)


def test_element_of_a_collection():
    with pytest.raises(SerializationError) as caught:
        merge([1, [2, Trainer()]])
    assert caught.value.path == "args[0][1][1].model.lock"


def test_value_of_a_dictionary():
    with pytest.raises(SerializationError) as caught:
        look({"a": {"b": Trainer()}})
    assert caught.value.path == "args[0]['a']['b'].model.lock"


def test_inout_object():
    with pytest.raises(SerializationError) as caught:
        improve(1, Trainer())
    assert caught.value.path == "args[1].model.lock"


def test_slots_closures_and_partial_functions():
    lock = threading.Lock()
    with pytest.raises(SerializationError) as caught:
        train(Slotted())
    assert caught.value.path == "args[0].lock"
    with pytest.raises(SerializationError) as caught:
        train(lambda: lock)
    assert caught.value.path.startswith("args[0]")
    assert caught.value.path.endswith(".lock")
    with pytest.raises(SerializationError) as caught:
        train(functools.partial(max, lock))
    assert caught.value.path.startswith("args[0]")


def test_object_that_refuses_in_its_own_words():
    with pytest.raises(SerializationError, match="this object stays at home") as caught:
        train([Refuses()])
    assert caught.value.path == "args[0][0]"


def test_frame_and_file_that_is_written(tmp_path):
    with (
        open(tmp_path / "file", "w") as file,
        pytest.raises(SerializationError, match=r"args\[0\].*TextIOWrapper"),
    ):
        train(file)
    with pytest.raises(SerializationError, match=r"args\[1\].*frame"):
        train(1, sys._getframe())


def test_value_that_is_put():
    with pytest.raises(SerializationError, match=r"^value\.model\.lock"):
        put(Trainer())


def test_function_that_refers_to_what_cannot_be_sent():
    lock = threading.Lock()

    @task(returns=1)
    def uses_lock():
        return lock

    with pytest.raises(SerializationError, match=r"code of task .*uses_lock.*lock"):
        uses_lock()


def test_nothing_was_submitted_by_a_call_that_failed(engine):  # noqa: ARG001
    from taskflow import runtime

    before = runtime.session.engine.kernel.submitted
    with pytest.raises(SerializationError):
        train(Trainer())
    assert runtime.session.engine.kernel.submitted == before
    compss_barrier()


def test_call_that_failed_leaves_the_objects_of_other_arguments_as_they_were():
    @task(items=INOUT, returns=1)
    def both(items, bad):  # noqa: ARG001
        items.append(1)

    items = [0]
    with pytest.raises(SerializationError):
        both(items, Trainer())
    assert compss_wait_on(items) == [0]
    both(items, 1)
    assert compss_wait_on(items) == [0, 1]


@pytest.mark.parametrize(("kind", "path"), [("bare", "result"), ("nested", "result['models'][1].lock")])
def test_result_that_cannot_be_sent_is_reported_where_the_program_waits(kind, path):
    with pytest.raises(SerializationError) as caught:
        compss_wait_on(give_back(kind))
    assert str(caught.value).startswith(f"{path} is a _thread.lock")
    assert "give_back" in str(caught.value.__cause__)


def test_one_of_several_results():
    first, second = give_two()
    with pytest.raises(SerializationError, match=r"^result\[1\]\['lock'\] is a"):
        compss_wait_on(second)
    with contextlib.suppress(SerializationError):
        compss_wait_on(first)


def test_inout_argument_that_cannot_be_sent_back():
    items = [1]
    spoil(items)
    with pytest.raises(SerializationError, match=r"^args\[0\]\[1\]\['lock'\] is a"):
        compss_wait_on(items)
