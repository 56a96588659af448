"""Engines of containers for tests; each is started once, when the first test needs it."""

import contextlib
import os

import pytest

import taskflow
from tests.containers import engines
from tests.containers.image import make_root, packed


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """An archive with the files of an image; beside it, the same as the folder `root`."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    return packed(make_root(folder / "root"), folder / "root.tar")


@pytest.fixture(scope="session")
def started(image, tmp_path_factory):
    """Function that gives an engine by its name, and starts it if need be."""
    running = {}
    with contextlib.ExitStack() as stack:

        def get(name):
            if name not in running:
                if missing := engines.missing(name):
                    pytest.skip(f"{', '.join(missing)} missing: scripts/setup-components installs what can be had")
                running[name] = engines.ENGINES[name](image, tmp_path_factory.mktemp(name.lower()))
                stack.callback(running[name].close)
            return running[name]

        yield get


@pytest.fixture(scope="module")
def set_variables():
    """Function that sets environment variables until the module's tests are over."""
    with pytest.MonkeyPatch.context() as patch:

        def set_all(variables):
            patch.setenv("PATH", engines.search_path())
            for name, value in variables.items():
                patch.setenv(name, value)

        yield set_all


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): the engines that the behaviour exists on")


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        names = [name for name in engines.ENGINES if marker is None or name in marker.args]
        metafunc.parametrize("engine", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def engine(request, started, set_variables, tmp_path_factory):
    """An engine, and a session whose executors can use it."""
    chosen = started(request.param)
    set_variables(chosen.variables)
    folder = tmp_path_factory.mktemp("work")
    before = os.getcwd()
    os.chdir(folder)
    taskflow.start(workers=2, run_dir=folder / "run", progress=False)
    yield chosen
    taskflow.stop(cancel=True)
    os.chdir(before)
