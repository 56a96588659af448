"""Every name that programs import from PyCOMPSs is there, under its own name."""

import importlib
import os
import pickle
import pkgutil
import subprocess
import sys

import pytest

import taskflow
from taskflow import finder
from taskflow.pycompss import install

#: Module -> its public names.
NAMES = {
    "pycompss.api.task": "task Task",
    "pycompss.api.api": """compss_barrier compss_barrier_group compss_delete_file compss_delete_object
        compss_file_exists compss_get_number_of_resources compss_open compss_wait_on compss_wait_on_directory
        compss_wait_on_file compss_cancel_group compss_snapshot compss_start compss_stop compss_add_logger
        compss_request_resources compss_free_resources compss_set_wall_clock TaskGroup barrier""",
    "pycompss.api.exceptions": "COMPSsException",
    "pycompss.api.constraint": "constraint Constraint",
    "pycompss.api.implement": "implement Implement",
    "pycompss.api.multinode": "multinode MultiNode",
    "pycompss.api.mpi": "mpi Mpi",
    "pycompss.api.mpmd_mpi": "mpmd_mpi MPMDMPI",
    "pycompss.api.binary": "binary Binary",
    "pycompss.api.ompss": "ompss OmpSs",
    "pycompss.api.opencl": "opencl OpenCL",
    "pycompss.api.decaf": "decaf Decaf",
    "pycompss.api.compss": "compss COMPSs",
    "pycompss.api.julia": "julia Julia",
    "pycompss.api.http": "http HTTP",
    "pycompss.api.container": "container Container",
    "pycompss.api.software": "software Software",
    "pycompss.api.data_transformation": """dt data_transformation DataTransformation dto DTObject OBJECT_TO_FILE
        FILE_TO_OBJECT FILE_TO_COLLECTION COLLECTION_TO_OBJECT COLLECTION_TO_FILE OBJECT_TO_DIRECTORY
        DIRECTORY_TO_OBJECT COLLECTION_TO_DIRECTORY""",
    "pycompss.api.prolog": "prolog Prolog",
    "pycompss.api.epilog": "epilog Epilog",
    "pycompss.api.IO": "IO io",
    "pycompss.api.on_failure": "on_failure onFailure OnFailure",
    "pycompss.api.reduction": "reduction Reduction",
    "pycompss.api.local": "local Local",
    "pycompss.api.dummy.api": "compss_wait_on compss_start compss_open TaskGroup",
    "pycompss.api.dummy.task": "task Task",
    "pycompss.api.dummy.constraint": "constraint Constraint",
    "pycompss.api.dummy.container": "container Container",
    "pycompss.api.dummy.on_failure": "on_failure OnFailure",
    "pycompss.api.dummy.reduction": "reduction Reduction",
    "pycompss.api.dummy._decorator": "_Dummy",
    "pycompss.api.commons.constants": "LABELS",
    "pycompss.api.commons.implementation_types": "IMPLEMENTATION_TYPES",
    "pycompss.api.commons.private_tasks": "transform object_to_file file_to_object",
    "pycompss.api.commons.error_msgs": "not_in_pycompss",
    "pycompss.functions.reduce": "merge_reduce merge_n_reduce mergeReduce mergeNReduce",
    "pycompss.functions.map": "map",
    "pycompss.functions.data": "generator chunks",
    "pycompss.functions.elapsed_time": "TimeIt timeit TimeIT TIMEIT",
    "pycompss.functions.profile": "Profile profile PROFILE",
    "pycompss.dds": "DDS",
    "pycompss.streams.distro_stream": """FileDistroStream ObjectDistroStream PscoDistroStream RegistrationException
        BackendException AT_MOST_ONCE AT_LEAST_ONCE DistroStream""",
    "pycompss.streams.environment": "init_streaming stop_streaming",
    "pycompss.interactive": """start stop current_task_graph complete_task_graph tasks_info tasks_status statistics
        resources_status monitoring_information""",
    "pycompss.runtime.binding": "Future",
    "pycompss.util.serializer": "serialize_to_file deserialize_from_file SerializerException",
    "pycompss.runtime.launch": "launch_pycompss_application compss_main",
    "pycompss.runtime.management.classes": "Future EmptyReturn FunctionType",
    "pycompss.util.exceptions": """PyCOMPSsException NotInPyCOMPSsException NotImplementedException
        MissingImplementedException SerializerException DDSException TimeOutError CancelError""",
    "pycompss.util.serialization.serializer": """serialize_to_file deserialize_from_file serialize_to_bytes
        deserialize_from_bytes serialize_to_handler deserialize_from_handler serialize_objects FORCED_SERIALIZER
        DISABLE_GC""",
    "pycompss.util.mpi.helper": "rank_distributor",
    "pycompss.util.context": "CONTEXT loading_context",
    "pycompss.util.tracing.helpers": "EventMaster EventWorker EventInsideWorker emit_manual_event",
    "pycompss.util.supercomputer.scs": """get_master_node get_master_port get_worker_nodes get_xmls get_uuid
        get_log_dir get_master_working_dir get_log_level get_tracing get_storage_conf""",
}


@pytest.fixture(autouse=True)
def installed():
    install()


@pytest.mark.parametrize("name", NAMES)
def test_a_module_has_its_names(name):
    module = importlib.import_module(name)
    assert module.__name__ == name
    missing = [word for word in NAMES[name].split() if not hasattr(module, word)]
    assert missing == []


def test_names_that_are_ours_are_the_same_objects():
    from pycompss.api.api import barrier, compss_barrier, compss_wait_on
    from pycompss.api.task import Task, task
    from pycompss.runtime.management.classes import Future
    from pycompss.util.exceptions import PyCOMPSsException

    assert task is Task is taskflow.task
    assert compss_wait_on is taskflow.compss_wait_on
    assert barrier is compss_barrier is taskflow.compss_barrier
    assert Future is taskflow.Future
    assert PyCOMPSsException is taskflow.TaskflowError


def test_submodules_are_attributes_and_packages_can_be_walked():
    import pycompss
    import pycompss.api.api as functions

    assert pycompss.api.api is functions
    walked = {module.name for module in pkgutil.walk_packages(pycompss.__path__, "pycompss.")}
    assert set(NAMES) <= walked


def test_the_star_import_of_parameters_brings_all_of_them():
    scope = {}
    exec("from pycompss.api.parameter import *", scope)  # noqa: S102  the only way to test it
    from taskflow.api import parameter

    assert {*parameter.__all__, "TYPE", "PREFIX", "block_count", "block_length", "stride"} <= set(scope)


def test_what_the_modules_define_can_be_pickled_under_its_name():
    from pycompss.api.parameter import TYPE
    from pycompss.runtime.management.classes import FunctionType

    for value in (TYPE.FILE, FunctionType.CLASS_METHOD, FunctionType):
        assert pickle.loads(pickle.dumps(value)) is value


def python(*words, **environment):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def other(tmp_path):
    """A folder with another package of the name pycompss."""
    (tmp_path / "pycompss").mkdir()
    (tmp_path / "pycompss" / "__init__.py").write_text("other = True\n")
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.path.dirname(os.path.dirname(taskflow.__file__))])}


def test_a_finder_in_front_wins_over_another_pycompss(other):
    program = "import taskflow.pycompss as ours; ours.install(); import pycompss; print(pycompss.__file__)"
    assert python("-c", program, **other).stdout.strip() == os.path.join(finder.FOLDER, "__init__.py")


def test_a_finder_at_the_end_leaves_another_pycompss_alone(other):
    program = "import taskflow.finder as finder; finder.install_last(); import pycompss; print(pycompss.other)"
    assert python("-c", program, **other).stdout == "True\n"


def test_installing_after_the_import_of_another_pycompss_is_refused(other):
    program = "import pycompss, taskflow.pycompss as ours; ours.install()"
    ended = python("-c", program, **other)
    assert ended.returncode == 1
    assert "another pycompss is imported already" in ended.stderr
