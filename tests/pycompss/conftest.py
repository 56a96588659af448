"""Programs for PyCOMPSs run as those of the command line's tests do: nothing may be left behind."""

import sys

import pytest

from tests.cli.conftest import runtask

__all__ = ["program", "runtask"]


@pytest.fixture(params=["runtask", "python"])
def program(request, runtask):
    """Run a program in parallel and, in another test, sequentially. It checks itself, and must end well."""

    def run(text, *words, **files):
        for name, content in files.items():
            runtask.write(content, f"{name}.py")
        runtask.write(text)
        if request.param == "runtask":
            ended = runtask.words("--workers=2", "app.py", *words)
        else:
            ended = runtask.words("app.py", *words, command=(sys.executable,))
        assert ended.returncode == 0, ended.stderr
        return ended

    run.parallel = request.param == "runtask"
    run.folder = runtask.folder
    return run
