"""dislib, unmodified, on both ways to run a program: as a plain program, and in a session with two executors.

A test that uses the fixture ``engine`` runs once on each. Executors import scikit-learn once, so all tests of the
folder share one session; it is made anew when a failure ended it.
"""

import os
import sys
import warnings
from pathlib import Path

import pytest

import taskflow
import taskflow.pycompss
from taskflow import runtime

HERE = Path(__file__).parent

for variable in ("ComputingUnits", "ComputingUnitsTree"):
    os.environ.setdefault(variable, "1")  # what dislib's tasks need is taken from these

taskflow.pycompss.install()  # before dislib is imported
if sys.version_info < (3, 14):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks setuptools for its own version number
        import dislib  # noqa: F401
else:
    # dislib 1.0.0 uses a part of NumPy that the first release for Python 3.14 no longer has.
    collect_ignore_glob = ["test_*.py"]

#: What dislib and what it calls warn of in this process. (In executors, warnings are not errors.)
WARNINGS = [
    "ignore:the matrix subclass is not the recommended way:PendingDeprecationWarning",
    "ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning",
    "ignore:A column-vector y was passed:sklearn.exceptions.DataConversionWarning",
    "ignore:Solution may be inaccurate:UserWarning",
    "ignore:invalid value encountered in scalar divide:RuntimeWarning",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE:
            for warning in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ["sequential", "local"], indirect=True, scope="package")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem):
    """End the shared session with the last test of the folder: to pytest, a folder that is no package never ends."""
    if nextitem is None or nextitem.path.parent != HERE:
        taskflow.stop()


@pytest.fixture(scope="package")
def shared_session(tmp_path_factory):
    """Function that starts the session that all tests share, if it is not running."""

    def get():
        if runtime.session is None:
            taskflow.start(workers=2, run_dir=tmp_path_factory.mktemp("session") / "run", progress=False)

    yield get
    taskflow.stop()


@pytest.fixture
def engine(request, shared_session):
    """Where the test runs. A failure that it leaves behind unseen is an error of the test."""
    if request.param == "sequential":
        assert runtime.session is None, "sequential tests come first"
        yield request.param
        return
    shared_session()
    yield request.param
    try:
        taskflow.compss_barrier()
    except BaseException:
        taskflow.stop(cancel=True)  # the next test begins with a new one
        raise
