"""Functions of ``pycompss.api.api`` and helpers that only programs written for PyCOMPSs use."""

import io
import logging
import os
import threading

import pytest

import taskflow
from taskflow import Future, runtime, task
from taskflow.model.errors import TaskflowWarning
from taskflow.pycompss import install

install()

from pycompss.api import api  # noqa: E402  after install
from pycompss.api.dummy import api as dummy  # noqa: E402
from pycompss.util.context import CONTEXT, loading_context  # noqa: E402
from pycompss.util.exceptions import NotInPyCOMPSsException, PyCOMPSsException, SerializerException  # noqa: E402
from pycompss.util.serialization import serializer  # noqa: E402


@pytest.fixture
def session(tmp_path):
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False) as made:
        yield made


@task(returns=1)
def where():
    return CONTEXT.in_pycompss(), CONTEXT.in_master(), CONTEXT.in_worker()


# --- the run ------------------------------------------------------------------------------------------------


def test_without_a_session_functions_about_the_run_do_nothing():
    assert api.compss_start() is None
    assert api.compss_stop() is None
    assert api.compss_stop(1) is None
    assert api.compss_snapshot() is None
    assert api.compss_request_resources(1, None) is None
    assert api.compss_free_resources(1, None) is None
    assert api.compss_set_wall_clock(1) is None
    assert api.compss_get_number_of_resources() == 1
    with pytest.raises(NotInPyCOMPSsException):
        api.compss_add_logger("mine")


@pytest.mark.usefixtures("session")
def test_nodes_cannot_be_had_or_given_back_which_is_said():
    with pytest.warns(TaskflowWarning, match="cannot ask for nodes"):
        api.compss_request_resources(1, None)
    with pytest.warns(TaskflowWarning, match="cannot be given back"):
        api.compss_free_resources(1, "no such group")


@pytest.mark.usefixtures("session")
def test_a_logger_gets_the_level_and_handlers_of_the_runtime():
    ours = logging.getLogger("taskflow")
    handler = logging.StreamHandler(io.StringIO())
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel("INFO")
    try:
        for _ in range(2):
            api.compss_add_logger("mine")
        logging.getLogger("mine").info("told")
        logging.getLogger("mine").debug("not told")
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
        logging.getLogger("mine").handlers.clear()
    assert handler.stream.getvalue() == "told\n"


def test_a_stop_waits_for_the_tasks(tmp_path):
    taskflow.start(workers=1, run_dir=tmp_path / "run", progress=False)
    results = [where() for _ in range(3)]
    api.compss_stop()
    assert runtime.session is None
    assert [future.result() for future in results] == [(True, False, True)] * 3


def test_a_stop_with_a_code_cancels_and_the_program_ends_with_it(runtask):
    text = """
        import time
        from pycompss.api.api import compss_stop
        from pycompss.api.task import task

        @task()
        def long(number):
            time.sleep(600)

        for number in range(50):
            long(number)
        compss_stop(3)
        print("the program goes on")
        """
    ended = runtask(text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "the program goes on\n", "")
    assert '"tasks":0' in runtask.journal().replace(" ", "").splitlines()[-1]


def test_the_wall_clock_limit_of_the_command_line_ends_the_program(runtask):
    text = """
        import time
        from pycompss.api.api import compss_barrier
        from pycompss.api.task import task

        @task()
        def long(number):
            time.sleep(600)

        for number in range(50):
            long(number)
        compss_barrier()
        """
    ended = runtask(text, options=["--workers=1", "--wall_clock_limit=1"])
    assert ended.returncode == 1
    assert "the wall clock limit of 1 seconds was reached" in ended.stderr


# --- contexts -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("session")
def test_the_context_tells_where_the_code_runs():
    assert (CONTEXT.in_pycompss(), CONTEXT.in_master(), CONTEXT.in_worker()) == (True, True, False)
    assert api.compss_wait_on(where()) == (True, False, True)


def test_the_context_of_a_plain_program():
    assert (CONTEXT.in_pycompss(), CONTEXT.in_master(), CONTEXT.in_worker()) == (False, False, False)
    assert not CONTEXT.is_nesting_enabled()
    with loading_context():
        assert CONTEXT.is_loading()
    assert not CONTEXT.is_loading()


# --- arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compss_file_exists", "compss_delete_file", "compss_wait_on_file", "compss_open"])
def test_a_file_function_refuses_what_is_no_path(name):
    for kind in (PyCOMPSsException, TypeError):
        with pytest.raises(kind):
            getattr(api, name)(3)


# --- the sequential stand-ins -------------------------------------------------------------------------------


@pytest.mark.usefixtures("session")
def test_stand_ins_are_sequential_whatever_the_session(tmp_path):
    path = str(tmp_path / "file")
    future = where()
    assert isinstance(future, Future)
    assert dummy.compss_wait_on(future) is future
    assert dummy.compss_wait_on(1, 2) == [1, 2]
    with dummy.compss_open(path, "w") as file:
        file.write("text")
    assert dummy.compss_file_exists(path, [path + "x", (path,)]) == [True, [False, (True,)]]
    assert dummy.compss_wait_on_file([path]) == [path]
    assert dummy.compss_delete_file(path) is True
    assert not os.path.exists(path)
    with dummy.TaskGroup("group"):
        assert dummy.compss_get_number_of_resources() == 1


def test_stand_ins_of_decorators_leave_functions_alone():
    from pycompss.api.dummy._decorator import _Dummy
    from pycompss.api.dummy.task import task as plain

    def function():
        return 1

    assert plain(returns=1)(function) is function
    assert plain(function) is function
    assert _Dummy(anything=1)(function) is function


# --- helpers ------------------------------------------------------------------------------------------------


def test_values_travel_through_files_handlers_and_bytes(tmp_path):
    value = {"a": [1, 2**70], "f": lambda x: x + 1}
    path = str(tmp_path / "value")
    serializer.serialize_to_file(value, path)
    assert serializer.deserialize_from_file(path)["f"](1) == 2
    assert serializer.deserialize_from_bytes(serializer.serialize_to_bytes(value))["a"] == [1, 2**70]
    with open(path, "w+b") as handler:
        serializer.serialize_to_handler("one", handler)
        serializer.serialize_to_handler("two", handler)
        handler.seek(0)
        assert [serializer.deserialize_from_handler(handler) for _ in range(2)] == ["one", "two"]
    serializer.serialize_objects([(1, path), (2, path + "2")])
    assert serializer.deserialize_from_file(path + "2") == 2


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(SerializerException, match="object"):
        serializer.serialize_to_bytes([threading.Lock()])


@pytest.mark.usefixtures("session")
def test_a_future_is_no_value_to_be_written():
    with pytest.raises(SerializerException, match="wait for it first"):
        serializer.serialize_to_bytes([where()])


def test_elements_of_a_rank(monkeypatch):
    import sys
    import types

    from pycompss.util.mpi.helper import rank_distributor

    world = types.SimpleNamespace(size=4, rank=1)
    module = types.SimpleNamespace(MPI=types.SimpleNamespace(COMM_WORLD=world))
    monkeypatch.setitem(sys.modules, "mpi4py", module)
    assert rank_distributor((4, 1, 1)) == [1]
    assert rank_distributor((8, 1, 1)) == [1, 5]
    assert rank_distributor((4, 2, 2)) == [2, 3]
    assert rank_distributor((-1, 1, 1)) == [1]
    assert rank_distributor((1, 1, 1)) == []


def test_what_the_batch_system_says(monkeypatch):
    from pycompss.util.supercomputer import scs

    assert scs.get_master_node() == ""
    monkeypatch.setenv("COMPSS_MASTER_NODE", "node1")
    monkeypatch.setenv("COMPSS_TRACING", "true")
    assert scs.get_master_node() == "node1"
    assert scs.get_tracing() is True


def test_events_of_a_trace_are_accepted():
    from pycompss.util.tracing.helpers import EventInsideWorker, EventMaster, EventWorker

    for kind in (EventMaster, EventWorker, EventInsideWorker):
        with kind(1):
            pass


def test_streams_say_that_there_are_none():
    from pycompss.streams.distro_stream import FileDistroStream
    from pycompss.streams.environment import init_streaming

    assert init_streaming("FILES", "node", "49049") is False
    with pytest.raises(PyCOMPSsException, match="has no streams"):
        FileDistroStream(base_dir=".")
