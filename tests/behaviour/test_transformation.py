"""S33: arguments of tasks that are transformed by tasks of their own."""

import os

import pytest

from taskflow import (
    COLLECTION_IN,
    COLLECTION_TO_DIRECTORY,
    COLLECTION_TO_FILE,
    COLLECTION_TO_OBJECT,
    DIRECTORY_IN,
    DIRECTORY_TO_OBJECT,
    FILE_IN,
    FILE_TO_COLLECTION,
    FILE_TO_OBJECT,
    OBJECT_TO_DIRECTORY,
    OBJECT_TO_FILE,
    MissingOutputError,
    compss_barrier,
    compss_wait_on,
    data_transformation,
    dt,
    dto,
    task,
)
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Destinations without a folder are in the folder of the program."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path):
    with open(path) as file:
        return file.read()


def save(value, path):
    with open(path, "w") as file:
        file.write(f"{value} serialized")


def save_all(values, path):
    with open(path, "w") as file:
        file.write("".join(map(str, values)) + " serialized")


def save_in_folder(value, path):
    os.makedirs(path, exist_ok=True)
    save(value, os.path.join(path, "value"))


def load_folder(path):
    return {name: load(os.path.join(path, name)) for name in sorted(os.listdir(path))}


def words(values):
    return " ".join(map(str, values))


def split(path):
    return load(path).split()


def scale(value, by):
    return value * by


@task(returns=1)
def double(x):
    return 2 * x


@task(returns=1)
def same(p):
    return p


@task(returns=1, p=FILE_IN)
def content(p):
    return load(p)


@task(returns=1, p=DIRECTORY_IN)
def contents(p):
    return load_folder(p)


@task(returns=1, p=COLLECTION_IN)
def listed(p):
    return list(p)


def decorated(function, /, *arguments, **options):
    """A task function of the same code as another, with a transformation."""
    return dt(*arguments, **options)(function.redeclared({}))


def test_s33_a_file_becomes_an_object(folder):
    (folder / "in").write_text("hello dt")
    assert compss_wait_on(decorated(same, "p", load, type=FILE_TO_OBJECT)("in")) == "hello dt"


def test_s33_a_collection_becomes_an_object():
    task_ = decorated(same, "p", words, type=COLLECTION_TO_OBJECT)
    assert compss_wait_on(task_([1, 2, 3, 4, 5])) == "1 2 3 4 5"
    assert compss_wait_on(task_([double(1), 3])) == "2 3"


@pytest.mark.parametrize("count", [1, 3])
def test_s33_a_file_becomes_a_collection(folder, count):
    (folder / "in").write_text("one two three"[: 3 if count == 1 else None])
    task_ = decorated(listed, "p", split, type=FILE_TO_COLLECTION, size=count)
    assert compss_wait_on(task_("in")) == ["one", "two", "three"][:count]


def test_s33_an_object_becomes_a_file(folder):
    task_ = decorated(content, target="p", function=save, type=OBJECT_TO_FILE, destination="out")
    assert compss_wait_on(task_("a_string")) == "a_string serialized"
    assert compss_wait_on(task_(double(4))) == "8 serialized"
    compss_barrier(no_more_tasks=True)
    assert (folder / "out").read_text() == "8 serialized"


def test_s33_a_collection_becomes_a_file_of_the_default_name(folder):
    task_ = decorated(content, "p", save_all, type=COLLECTION_TO_FILE)
    assert compss_wait_on(task_([1, 2, double(1.5), 4, 5])) == "123.045 serialized"
    compss_barrier(no_more_tasks=True)
    assert (folder / "dt_file_out").exists()


def test_s33_directories():
    to_folder = decorated(contents, "p", save_in_folder, type=OBJECT_TO_DIRECTORY, destination="made")
    assert compss_wait_on(to_folder(5)) == {"value": "5 serialized"}
    from_many = decorated(contents, "p", save_in_folder, type=COLLECTION_TO_DIRECTORY, destination="made2")
    assert compss_wait_on(from_many([1, double(1)])) == {"value": "[1, 2] serialized"}
    os.mkdir("given")
    save("x", "given/a")
    to_object = decorated(same, "p", load_folder, type=DIRECTORY_TO_OBJECT)
    assert compss_wait_on(to_object("given")) == {"a": "x serialized"}


def test_s33_two_parameters_with_two_transformations_each_in_the_declared_order():
    @dt("a", lambda a: a + "1")
    @dt("a", lambda a: a + "2")
    @data_transformation("b", lambda b: b + "3")
    @dt("b", lambda b, also: b + also, also="{{a}}")
    @task(returns=2)
    def both(a, b):
        return a, b

    assert list(compss_wait_on(*both("a", b="b"))) == ["a12", "b3a12"]


def test_s33_transformations_given_with_the_call_replace_those_of_the_decorators():
    @dt("p", scale, by=10)
    @task(returns=1)
    def scaled(p, q=5):
        return p, q

    assert compss_wait_on(scaled(1)) == (10, 5)
    assert compss_wait_on(scaled(1, dt=dto("p", scale, by=3))) == (3, 5)
    assert compss_wait_on(scaled(1, q=2, dt=[dto("p", scale, by="{{q}}"), dto("q", scale, by="{{p}}")])) == (2, 4)
    assert compss_wait_on(scaled(1, dt=[])) == (1, 5)


def test_s33_a_workflow_calls_tasks_itself():
    def workflow(p, times):
        for _ in range(times):
            p = double(p)
        return p

    assert compss_wait_on(decorated(same, "p", workflow, is_workflow=True, times=3)(1)) == 8


def test_a_workflow_may_write_the_file():
    task_ = decorated(content, "p", save, type=OBJECT_TO_FILE, destination="by-workflow", is_workflow=True)
    assert compss_wait_on(task_(7)) == "7 serialized"


def test_a_default_argument_is_transformed_too():
    @dt("p", scale, by=2)
    @task(returns=1)
    def defaulted(p=21):
        return p

    assert compss_wait_on(defaulted()) == 42


def test_an_argument_among_any_keywords_is_transformed():
    @dt("extra", scale, by=2)
    @task(returns=1)
    def any_keywords(**options):
        return options

    assert compss_wait_on(any_keywords(extra=2, other=1)) == {"extra": 4, "other": 1}
    with pytest.raises(ArgumentError, match="gives no argument 'extra'"):
        any_keywords(other=1)


def test_methods_have_arguments_that_are_transformed():
    assert compss_wait_on(Holder(5).plus(1)) == 15


class Holder:
    def __init__(self, value):
        self.value = value

    @dt("other", scale, by=10)
    @task(returns=1)
    def plus(self, other):
        return self.value + other


def test_keywords_for_the_runtime_go_on_to_the_task(engine):
    @dt("p", words)
    @task()
    def parts(p):
        return p.split(" ")

    found = parts([1, 2], returns=2)
    if engine.parallel:
        assert compss_wait_on(found) == ["1", "2"]


def test_a_wrong_call_is_refused_as_any_other():
    with pytest.raises(TypeError, match="missing a required argument: 'p'"):
        decorated(same, "p", words)()


@pytest.mark.engines("local")
def test_a_collection_of_another_size_is_told(engine, folder):  # noqa: ARG001
    (folder / "in").write_text("one two")
    task_ = decorated(listed, "p", split, type=FILE_TO_COLLECTION, size=3)
    with pytest.raises(MissingOutputError, match="split of a file was to give size=3 elements but gave 2"):
        compss_wait_on(task_("in"))


@pytest.mark.engines("sequential")
class TestDecoration:
    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            (("q", words), {}, r"task same: the task has no parameter 'q'; it is defined as same\(p\)"),
            (("p", words), {"k": "{{q}}"}, "no parameter 'q'"),
            (("p", words), {"type": FILE_TO_COLLECTION}, "needs its number of elements: size="),
            (("p", words), {"type": 8}, "type is one of OBJECT_TO_FILE"),
            (("p", "words"), {}, "needs a function, not 'words'"),
            ((words,), {}, r'it is written @dt\("parameter", function'),
            ((words, "p"), {}, "the target is the name of a parameter"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is_written(self, engine, arguments, options, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            decorated(same, *arguments, **options)

    def test_two_parameters_cannot_become_one_file(self, engine):  # noqa: ARG002
        @dt("b", save, type=OBJECT_TO_FILE)
        @task(a=FILE_IN, b=FILE_IN)
        def both(a, b):
            pass

        with pytest.raises(ArgumentError, match="'a' and 'b' would both become the path 'dt_file_out'"):
            dt("a", save, type=OBJECT_TO_FILE)(both)
        with pytest.raises(ArgumentError, match="would both become the path 'x'"):
            both(1, 2, dt=[dto(name, save, type=OBJECT_TO_FILE, destination="x") for name in "ab"])

    def test_a_call_is_told_of_wrong_transformations(self, engine):  # noqa: ARG002
        task_ = decorated(same, "p", words)
        with pytest.raises(ArgumentError, match="no parameter 'q'"):
            task_([1], dt=dto("q", words))
        with pytest.raises(ArgumentError, match=r"is a dto\(...\) or a list of them, not 5"):
            task_([1], dt=5)
