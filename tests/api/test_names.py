"""The public names, and what importing them costs."""

import subprocess
import sys

import taskflow
from taskflow.api import parameter

NAMES = """
IN OUT INOUT CONCURRENT COMMUTATIVE IN_DELETE
FILE FILE_IN FILE_OUT FILE_INOUT FILE_CONCURRENT FILE_COMMUTATIVE
FILE_STDIN FILE_STDOUT FILE_STDERR FILE_IN_STDIN FILE_IN_STDOUT FILE_IN_STDERR
FILE_OUT_STDIN FILE_OUT_STDOUT FILE_OUT_STDERR FILE_INOUT_STDIN FILE_INOUT_STDOUT FILE_INOUT_STDERR
FILE_CONCURRENT_STDIN FILE_CONCURRENT_STDOUT FILE_CONCURRENT_STDERR
FILE_COMMUTATIVE_STDIN FILE_COMMUTATIVE_STDOUT FILE_COMMUTATIVE_STDERR
DIRECTORY DIRECTORY_IN DIRECTORY_OUT DIRECTORY_INOUT
COLLECTION COLLECTION_IN COLLECTION_INOUT COLLECTION_OUT COLLECTION_IN_DELETE
COLLECTION_FILE COLLECTION_FILE_IN COLLECTION_FILE_INOUT COLLECTION_FILE_OUT
DICTIONARY DICTIONARY_IN DICTIONARY_INOUT DICTIONARY_OUT DICTIONARY_IN_DELETE
STREAM_IN STREAM_OUT STDIN STDOUT STDERR
Type Direction StdIOStream Prefix Depth Weight Keep_rename Cache DIRECTION IOSTREAM
""".split()  # noqa: SIM905  a table reads better than a column

FUNCTIONS = """
task TaskGroup Future as_completed future_of put start stop session
compss_wait_on compss_barrier compss_barrier_group compss_open compss_wait_on_file compss_wait_on_directory
compss_delete_file compss_delete_object compss_file_exists compss_get_number_of_resources
TaskflowError ExecutorDiedError FutureUsedAsValueError MissingOutputError NotRunningError RemoteTraceback
SerializationError DeletedDataError RequirementsError __version__
constraint implement IO
reduction dt dto data_transformation DTObject local prolog epilog software ProgramError UnavailableError
http ServiceError
""".split()  # noqa: SIM905  a table reads better than a column

# Heavy, or not needed before something is run, or not installed everywhere.
NOT_IMPORTED = """
numpy asyncio networkx lxml paramiko psutil cloudpickle concurrent.futures.process multiprocessing subprocess
""".split()  # noqa: SIM905  a table reads better than a column


def test_every_public_name_exists_and_is_listed_once():
    assert len(taskflow.__all__) == len(set(taskflow.__all__))
    for name in taskflow.__all__:
        assert getattr(taskflow, name) is not None, name


def test_the_names_of_the_model_are_there():
    assert set(NAMES) <= set(parameter.__all__)
    assert set(NAMES + FUNCTIONS) <= set(taskflow.__all__)


def test_star_import_brings_the_names_and_no_module():
    scope = {}
    exec("from taskflow import *", scope)  # noqa: S102  the only way to test it
    scope.pop("__builtins__")
    assert set(scope) == set(taskflow.__all__)
    assert not [name for name, value in scope.items() if type(value) is type(sys)]


def test_directions_have_the_numbers_that_programs_may_know():
    names = ("IN", "OUT", "INOUT", "CONCURRENT", "COMMUTATIVE", "IN_DELETE")
    assert [int(parameter.DIRECTION[name]) for name in names] == [0, 1, 2, 3, 4, 5]
    assert [int(stream) for stream in (parameter.STDIN, parameter.STDOUT, parameter.STDERR)] == [0, 1, 2]


def test_names_without_a_direction_mean_input():
    for name in ("FILE", "DIRECTORY", "COLLECTION", "COLLECTION_FILE", "DICTIONARY", "FILE_STDOUT"):
        assert getattr(parameter, name).direction is parameter.DIRECTION.IN


def test_defaults_of_kinds():
    assert parameter.IN.keep_rename
    assert parameter.COLLECTION_INOUT.keep_rename
    assert not parameter.FILE_IN.keep_rename
    assert not parameter.COLLECTION_FILE_OUT.keep_rename
    assert parameter.INOUT.depth is None
    assert parameter.INOUT.weight == 1.0
    assert parameter.INOUT.prefix == "null"


def test_import_loads_nothing_that_is_not_needed():
    code = "import sys, taskflow; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, *NOT_IMPORTED], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == []


def test_sequential_program_needs_no_process_and_no_folder(tmp_path):
    code = """
import os
from taskflow import *
@task(returns=1)
def f(x): return x + 1
assert compss_wait_on(f(1)) == 2
compss_barrier()
assert os.listdir() == []
import threading
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=30)
