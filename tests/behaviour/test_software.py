"""S35: functions whose way of running is written in a JSON file."""

import json
import os

import pytest

from taskflow import (
    COLLECTION_IN,
    Future,
    ProgramError,
    binary,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    on_failure,
    runtime,
    software,
    task,
)
from taskflow.api.software import Document
from taskflow.model.errors import ArgumentError
from tests.behaviour.services import Server
from tests.mpis import found

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


PARALLEL = pytest.mark.engines("local", "simulated", "cluster")


@PARALLEL
def test_s35_a_binary(engine, config, tmp_path):  # noqa: ARG001
    path = config({
        "execution": {"type": "binary", "binary": "sh", "args": "-c {{command}}", "fail_by_exit_value": False},
        "parameters": {"out": {"Type": "FILE_OUT", "StdIOStream": "STDOUT"}, "returns": "int"},
        "prolog": {"binary": "touch", "args": "made"},
        "epilog": {"binary": "cp", "args": f"made {tmp_path}/copy"},
    })  # fmt: skip
    assert compss_wait_on(made(path, command_to)("ls; exit 4", str(tmp_path / "out"))) == 4
    with compss_open(str(tmp_path / "out")) as file:
        assert file.read() == "made\n"
    assert (tmp_path / "copy").exists()


@pytest.mark.engines("local")
def test_s35_a_container(engine, config):  # noqa: ARG001
    document = Document(config({
        "execution": {"type": "binary", "binary": "true"}, "parameters": {"returns": 1},
        "container": {"engine": "podman", "image": "here"},
    }))  # fmt: skip
    assert document.prepared(task()(add)).options.container.image == "here"


def command_to(command, out):  # noqa: ARG001
    raise AssertionError("the body is not executed")


@PARALLEL
def test_s35_above_a_task_and_its_binary(engine, config):  # noqa: ARG001
    path = config({"execution": {"type": "task", "priority": True}, "parameters": {"returns": 1}})
    decorated = binary(binary="sh", args="-c {{a}}", fail_by_exit_value=False)(task(returns=1)(add))
    assert compss_wait_on(made(path, decorated)("exit 9")) == 9


@pytest.mark.engines("local", "cluster")
def test_s35_several_nodes(engine, config):  # noqa: ARG001
    path = config({"execution": {"type": "multinode", "computing_nodes": 1}, "parameters": {"returns": 1}})
    assert compss_wait_on(made(path, nodes_of)()) == "1"


def nodes_of():
    return os.environ["COMPSS_NUM_NODES"]


@pytest.mark.engines("local")
def test_s35_a_program_of_tasks(engine, config, tmp_path):  # noqa: ARG001
    (tmp_path / "inner.py").write_text("import sys; sys.exit(int(sys.argv[1]) + 1)")
    path = config({
        "execution": {"type": "compss", "app_name": f"{tmp_path}/inner.py", "fail_by_exit_value": False},
        "parameters": {"returns": "int"},
    })  # fmt: skip
    assert compss_wait_on(made(path, program_with)(5)) == 6


def program_with(code):
    pass


@pytest.mark.engines("local")
def test_s35_mpi_programs(engine, config, tmp_path):  # noqa: ARG001
    mpich = found("mpich", tmp_path)
    out = str(tmp_path / "out")
    one = config({
        "execution": {
            "type": "mpi", "runner": mpich.runner, "binary": mpich.program, "args": "one",
            "processes": 2, "processes_per_node": 2,
        },
        "parameters": {"out": "FILE_OUT_STDOUT", "returns": 1},
    })  # fmt: skip
    assert compss_wait_on(made(one, into)(out)) == 0
    with compss_open(out) as file:
        assert sorted(file.read().splitlines()) == ["one 0 of 2 1", "one 1 of 2 1"]
    programs = [{"binary": mpich.program, "args": name} for name in ("first", "second")]
    two = config({
        "execution": {"type": "mpmd_mpi", "runner": mpich.runner, "programs": programs, "processes_per_node": 2},
        "parameters": {"out": "FILE_OUT_STDOUT", "returns": 1},
    }, "two.json")  # fmt: skip
    assert compss_wait_on(made(two, into)(out)) == 0
    with compss_open(out) as file:
        assert sorted(file.read().splitlines())[-2:] == ["first 0 of 2 1", "second 1 of 2 1"]


def into(out):
    pass


@pytest.mark.engines("local")
def test_s35_a_service(engine, config):  # noqa: ARG001
    server = Server()
    try:
        runtime.session.add_services({"software": server.url})
        path = config({
            "execution": {
                "type": "http", "service_name": "software", "resource": "length/{{message}}", "request": "GET",
                "produces": "{'length': '{{return_0}}'}",
            },
            "parameters": {"returns": "int"},
        })  # fmt: skip
        assert compss_wait_on(made(path, length)("four")) == 4
    finally:
        server.stop()


def length(message):
    pass


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
            (
                {"execution": {"type": "task"}, "prolog": {"args": "x"}},
                "key prolog.binary: it is missing; @prolog",
            ),
            ({"execution": {"type": "binary"}}, "key execution.binary: it is missing; @binary needs it"),
            ({"execution": {"type": "compss"}}, "key execution.app_name: it is missing; @compss needs it"),
            ({"execution": {"type": "mpi", "binary": "x"}}, "key execution.runner: it is missing; @mpi needs it"),
            ({"execution": {"type": "mpmd_mpi", "runner": "x"}}, "key execution.programs: it is missing"),
            (
                {"execution": {"type": "http", "service_name": "x", "request": "GET"}},
                "key execution.resource: it is",
            ),
            ({"execution": {"type": "task"}, "container": {"engine": "docker"}}, "key container.image: it is missing"),
            (
                {"execution": {"type": "binary", "binary": "x", "args": "{{z}}"}},
                r"key execution: .* {{z}}, but the",
            ),
            (
                {
                    "execution": {"type": "binary", "binary": "x"},
                    "parameters": {"a": {"Type": "FILE_IN", "Stream": "OUT"}},
                },
                r"parameters.a.Stream: it is STDIN, STDOUT or STDERR, not 'OUT'",
            ),
            ({"execution": {"type": "task"}, "constraints": {"computing_unitz": 1}}, "json, key constraints: .*unitz"),
            ({"execution": {"type": "task", "on_failure": "MAYBE"}}, "config.json, key execution or parameters: "),
        ],
    )
    def test_the_file_and_the_key_are_named(self, engine, config, content, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            made(config(content), add)(1)

    def test_the_decorator_needs_a_file(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="@software needs the argument 'config_file'"):
            software()
        with pytest.raises(ArgumentError, match="config_file is a path, not 5"):
            software(config_file=5)
