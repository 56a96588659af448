"""Runs a test session inside a taskflow session: ``pytest -p taskflow.pytest_plugin --taskflow``.

It is loaded by name and not by itself: a plugin that pytest finds by itself would have it rewrite every ``assert`` of
the package, those on the hot path included. Loading it makes ``import pycompss`` give our modules, before any test
module or ``conftest.py`` is imported; ``--taskflow`` starts the session.

A task that fails while nobody looks fails the test that called it: each test ends with a barrier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskflow import finder

if TYPE_CHECKING:
    from collections.abc import Iterator

finder.install()

_LAST_WORDS = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    group = parser.getgroup("taskflow", "task functions under test")
    group.addoption(
        "--taskflow", action="store_true", help="run the tests in a session: calls of task functions are tasks"
    )
    group.addoption(
        "--taskflow-workers", type=int, metavar="N", help="executors of the session (default: the usable cores)"
    )


def _wanted(config: pytest.Config) -> bool:
    """Whether this process runs tests in a session: with xdist its workers do, not the process that hands out tests."""
    hands_out = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    return bool(config.getoption("taskflow")) and not hands_out


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the session before test modules are imported."""
    config = session.config
    if not _wanted(config):
        return
    import sys

    from taskflow import runtime

    if config.getoption("importmode") == "importlib" and str(config.rootpath) not in sys.path:
        sys.path.append(str(config.rootpath))  # executors find test modules by their names, which begin there
    runtime.start(workers=config.getoption("taskflow_workers"), progress=False)


@pytest.fixture(autouse=True)
def _taskflow_barrier(request: pytest.FixtureRequest) -> Iterator[None]:
    """A task that fails unseen is an error of the test that called it."""
    yield
    if _wanted(request.config):
        from taskflow import compss_barrier

        compss_barrier()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """Stop the session; a failure that shows only now fails the run."""
    if not _wanted(session.config):
        return
    from taskflow import runtime

    try:
        runtime.stop(cancel=exitstatus == pytest.ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  whatever a task raised: it is shown with the summary
        session.config.stash[_LAST_WORDS] = f"{type(error).__name__}: {error}"
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show what the end of the session said."""
    words = config.stash.get(_LAST_WORDS, "")
    if words:
        terminalreporter.section("taskflow")
        terminalreporter.write_line(f"at the end of the session: {words}")
