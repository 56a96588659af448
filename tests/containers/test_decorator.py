"""What @container says when it is written, and when there is no session."""

import pytest

import taskflow
from taskflow import (
    COLLECTION_INOUT,
    IN,
    INOUT,
    STREAM_IN,
    NoSessionError,
    RequirementsError,
    TaskflowWarning,
    binary,
    container,
    task,
)
from taskflow.model.errors import ArgumentError

GIVEN = {"engine": "docker", "image": "python:3"}


def body(x):
    return x


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"engine": "DOKKER", "image": "i"}, "engine is one of DOCKER, PODMAN, SINGULARITY, APPTAINER, UDOCKER, not"),
        ({"engine": "docker", "image": " "}, "image is the name or the path"),
        ({"engine": "docker", "image": 7}, "image is the name or the path"),
        ({"image": "i"}, "needs the argument 'engine'"),
        ({**GIVEN, "options": "--env 'A=b"}, "cannot be split into flags: No closing quotation"),
        ({**GIVEN, "options": [1]}, "options is a text or a list of texts"),
        ({**GIVEN, "network": "host"}, "network is True or False"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(given, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        container(**given)(task(returns=1)(body))


@pytest.mark.parametrize("name", ["docker", "Docker", " DOCKER "])
def test_the_name_of_the_engine_may_be_written_in_any_case(name):
    assert container(engine=name, image="i")(task()(body)).options.container.engine == "DOCKER"


def test_options_are_split_as_a_shell_does_but_never_given_to_one():
    made = container(**GIVEN, options="--env 'A=b c' --volume /a:/b;ls")(task()(body))
    assert made.options.container.options == ("--env", "A=b c", "--volume", "/a:/b;ls")


@pytest.mark.parametrize("direction", [INOUT, COLLECTION_INOUT, STREAM_IN])
def test_parameters_that_cannot_come_back_are_refused(direction):
    with pytest.raises(ArgumentError, match=r"@container of task body \(.*parameter 'x' is"):
        container(**GIVEN)(task(x=direction)(body))


@pytest.mark.parametrize(("given", "wanted"), [({"nested": True}, "cannot submit tasks"), ({"numba": True}, "numba")])
def test_functions_that_need_the_runtime_inside_are_refused(given, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        container(**GIVEN)(task(returns=1, **given)(body))


def test_a_method_must_not_change_its_object():
    with pytest.raises(ArgumentError, match=r"the object of a method.*use target_direction=IN"):

        class Machine:
            @container(**GIVEN)
            @task()
            def run(self):
                pass

    class Still:
        @container(**GIVEN)
        @task(target_direction=IN)
        def run(self):
            pass

    assert Still.run.options.container is not None


def test_a_program_may_have_any_parameters():
    made = container(**GIVEN)(binary(binary="cat")(task(x=INOUT)(body)))
    assert made.options.wrapping()[0].container.image == "python:3"


def test_one_container_is_enough():
    with pytest.raises(ArgumentError, match="has a container already"):
        container(**GIVEN)(container(**GIVEN)(task()(body)))


def test_what_belongs_to_the_decorator_below_has_no_effect():
    with pytest.warns(TaskflowWarning, match="'working_dir' has no effect; it belongs to the decorator below"):
        container(**GIVEN, working_dir="work")


@pytest.mark.parametrize("below", [lambda made: made, binary(binary="date")])
def test_without_a_session_there_is_no_container(below):
    from pycompss.util.exceptions import NotInPyCOMPSsException

    made = container(**GIVEN)(below(task(returns=1)(body)))
    for kind in (NoSessionError, NotInPyCOMPSsException):
        with pytest.raises(kind, match=r"task body is to be run in a container.*runtask"):
            made(1)


def test_the_stand_in_of_sequential_programs_leaves_functions_as_they_are():
    from pycompss.api.dummy.container import container as stand_in

    assert stand_in(engine="DOCKER", image="ubuntu")(body)(7) == 7


def test_an_engine_that_no_node_has_is_told_when_the_task_is_called(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    taskflow.start(workers=1, run_dir=tmp_path / "run", progress=False)
    try:
        for engine, program in (("docker", "docker"), ("singularity", "apptainer or singularity")):
            with pytest.raises(RequirementsError, match=rf"(?s)installed program  {program}.*install {program} there"):
                container(engine=engine, image="i")(task(returns=1)(body))(1)
    finally:
        taskflow.stop()
