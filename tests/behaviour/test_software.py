"""S35: functions whose way of running is written in a JSON file."""

import json

import pytest

from taskflow import (
    COLLECTION_IN,
    Future,
    ProgramError,
    UnavailableError,
    compss_wait_on,
    compss_wait_on_file,
    on_failure,
    software,
    task,
)
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """Write a configuration file; give its path. The folder is in the variable CONFIGURED."""
    monkeypatch.setenv("CONFIGURED", str(tmp_path))

    def write(content, name="config.json"):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@software(config_file="$CONFIGURED/config.json")
def append(values, item):
    values.append(item)


def made(path, function):
    """A new function of the same code, run as a file says."""
    return software(config_file=path)(function)


def add(a, b=1):
    return a + b


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return len(text)


def test_s35_a_plain_function_becomes_a_task_and_five_calls_accumulate(engine, config):
    config({"execution": {"type": "task"}, "parameters": {"values": "INOUT"}})
    values = []
    for item in range(5):
        append(values, item)
    if engine.parallel:
        assert values == []
    assert compss_wait_on(values) == [0, 1, 2, 3, 4]


def test_s35_returns_by_number_by_type_and_by_themselves(engine, config):
    for returns in (1, "int", "1", None):
        parameters = {} if returns is None else {"parameters": {"returns": returns}}
        found = made(config({"execution": {"type": "task"}, **parameters}), add)(2)
        assert isinstance(found, Future) is engine.parallel
        assert compss_wait_on(found) == 3


def test_s35_files_and_dictionaries_of_directions(config, tmp_path):
    path = config({
        "execution": {"type": "task", "priority": True},
        "parameters": {"path": "file_out", "text": {"Type": "IN"}, "returns": 1},
    })  # fmt: skip
    out = str(tmp_path / "out")
    assert compss_wait_on(made(path, write)(out, "four")) == 4
    compss_wait_on_file(out)
    with open(out) as file:
        assert file.read() == "four"


def test_s35_above_a_task_the_file_adds_to_it(config):
    @software(config_file=config({"execution": {"type": "task"}, "parameters": {"values": "INOUT"}}))
    @task(parts=COLLECTION_IN)
    def extend(values, parts):
        values.extend(parts)

    @task(returns=1)
    def inc(x):
        return x + 1

    values = []
    extend(values, [inc(1), inc(2)])
    assert compss_wait_on(values) == [2, 3]


def test_s35_a_workflow_is_called_as_it_is_and_calls_tasks(engine, config):
    path = config({"execution": {"type": "workflow"}})

    @task(returns=1)
    def inc(x):
        return x + 1

    @software(config_file=path)
    def three_times(x):
        return [inc(x) for _ in range(3)]

    found = three_times(1)
    assert isinstance(found, list)
    assert all(isinstance(item, Future) for item in found) is engine.parallel
    assert compss_wait_on(found) == [2, 2, 2]


def test_s35_prolog_and_epilog(config, tmp_path, engine):
    path = config({
        "execution": {"type": "task"},
        "parameters": {"returns": "int", "path": "FILE_OUT"},
        "prolog": {"binary": "false", "fail_by_exit_value": False},
        "epilog": {"binary": "cp", "args": f"{{{{path}}}} {tmp_path}/copy"},
    })  # fmt: skip
    assert compss_wait_on(made(path, write)(str(tmp_path / "out"), "four")) == 4
    if engine.parallel:
        assert (tmp_path / "copy").read_text() == "four"
        path = config({"execution": {"type": "task", "on_failure": "FAIL"}, "prolog": {"binary": "false"}}, "failing")
        with pytest.raises(ProgramError, match=r"@prolog of task add .*: false ended with exit value 1"):
            compss_wait_on(made(path, add)(1))


def test_constraints_and_decorators_above(config):
    path = config({"execution": {"type": "task"}, "constraints": {"computing_units": 1}, "parameters": {"returns": 1}})
    assert compss_wait_on(on_failure(management="FAIL")(made(path, add))(1)) == 2


def test_methods(config):
    path = config({"execution": {"type": "task"}, "parameters": {"returns": 1}})

    class Holder:
        value = 5

        @software(config_file=path)
        def plus(self, other):
            return self.value + other

    assert compss_wait_on(Holder().plus(1)) == 6


def test_the_file_is_read_when_the_function_is_called(engine, config, tmp_path):
    function = made(str(tmp_path / "later.json"), add)
    if engine.parallel:
        with pytest.raises(ArgumentError, match=r"later.json: there is no such file"):
            function(1)
    config({"execution": {"type": "task"}}, "later.json")
    assert compss_wait_on(function(1)) == 2


@pytest.mark.engines("local")
class TestMistakes:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "config.json: it is not valid JSON: "),
            ([1], "it holds a list in place of an object"),
            ({}, "key execution: it is missing"),
            ({"execution": "task"}, "key execution: it is an object, not a text"),
            ({"execution": {}}, r"key execution.type: it is missing; it is one of task, workflow, mpi"),
            ({"execution": {"type": "tusk"}}, "execution.type: it is one of .*, not 'tusk'"),
            ({"execution": {"type": "task"}, "parameters": {"a": "INN"}}, r"parameters.a: it is the name of a direct"),
            ({"execution": {"type": "task"}, "parameters": {"z": "IN"}}, r"parameters.z: add.* has no such parameter"),
            ({"execution": {"type": "task"}, "prolog": {"args": "x"}}, "key prolog: @prolog needs the argument 'b"),
            ({"execution": {"type": "task"}, "constraints": {"computing_unitz": 1}}, "json, key constraints: .*unitz"),
            ({"execution": {"type": "task", "on_failure": "MAYBE"}}, "config.json, key execution or parameters: "),
        ],
    )
    def test_the_file_and_the_key_are_named(self, engine, config, content, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            made(config(content), add)(1)

    @pytest.mark.parametrize("kind", ["mpi", "binary", "mpmd_mpi", "multinode", "http", "compss"])
    def test_other_types_are_told_to_be_missing(self, engine, config, kind):  # noqa: ARG002
        with pytest.raises(UnavailableError, match=f"add is to be run as '{kind}'"):
            made(config({"execution": {"type": kind}}), add)(1)

    def test_containers_are_told_to_be_missing(self, engine, config):  # noqa: ARG002
        with pytest.raises(UnavailableError, match="in a container"):
            made(config({"execution": {"type": "task"}, "container": {"engine": "docker"}}), add)(1)

    def test_the_decorator_needs_a_file(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="@software needs the argument 'config_file'"):
            software()
        with pytest.raises(ArgumentError, match="config_file is a path, not 5"):
            software(config_file=5)
