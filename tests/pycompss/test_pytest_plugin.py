"""Test-suites of programs written for PyCOMPSs run in a session, under ``runtask -m pytest`` and with the plugin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import taskflow

SUITE = {
    "tests/conftest.py": """
        from pycompss.api.task import task
    """,
    "tests/helpers.py": """
        import os
        from pycompss.api.task import task

        @task(returns=1)
        def process():
            return os.getpid()
    """,
    "tests/test_values.py": """
        import os
        from helpers import process
        from pycompss.api.api import compss_wait_on
        from pycompss.api.task import task

        class Point:
            def __init__(self, x):
                self.x = x

        @task(returns=1)
        def move(point):
            return Point(point.x + 1)

        def test_a_class_of_the_test_module_travels():
            assert compss_wait_on(move(Point(1))).x == 2

        def test_tasks_run_in_executors():
            assert (compss_wait_on(process()) != os.getpid()) is (os.environ["SESSION"] == "yes")
    """,
}

FAILING = """
    from pycompss.api.task import task

    @task()
    def fail():
        raise ValueError("nobody looks")

    def test_that_does_not_look():
        fail()

    def test_of_something_else():
        pass
"""


@pytest.fixture
def suite(tmp_path):
    import textwrap

    for name, text in SUITE.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def run(*words, session="yes", **files):
        for name, text in files.items():
            (tmp_path / "tests" / f"{name}.py").write_text(textwrap.dedent(text))
        environment = {
            **os.environ, "SESSION": session, "PYTEST_ADDOPTS": "",
            "PYTHONPATH": str(Path(taskflow.__file__).parents[1]),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False,
            env=environment,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_runtask_runs_pytest(suite, mode):
    options = ["-q", f"--import-mode={mode}"] + (["-o", "pythonpath=tests"] if mode == "importlib" else [])
    ended = suite("taskflow", "--workers=1", "-m", "pytest", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_the_plugin_runs_tests_in_a_session(suite, mode):
    options = ["-q", f"--import-mode={mode}"] + (["-o", "pythonpath=tests"] if mode == "importlib" else [])
    ended = suite("pytest", "-p", "taskflow.pytest_plugin", "--taskflow", "--taskflow-workers=1", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout


def test_without_its_option_the_plugin_only_makes_pycompss_known(suite):
    ended = suite("pytest", "-q", "-p", "taskflow.pytest_plugin", session="no")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_task_that_fails_unseen_is_an_error_of_its_test(suite):
    ended = suite(
        "pytest", "-p", "taskflow.pytest_plugin", "--taskflow", "--taskflow-workers=1", "-k", "look or else",
        test_failing=FAILING,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "2 passed, 2 deselected, 1 error" in ended.stdout.replace(", 1 warning", "")
    assert "ERROR tests/test_failing.py::test_that_does_not_look - ValueError: nobody looks" in ended.stdout
