"""What is installed beside the package lets every interpreter find our modules, and costs next to nothing."""

import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LINE = ROOT / "src/taskflow/pycompss/_at_start.pth"

PROGRAM = """
import sys
assert "taskflow" not in sys.modules
from pycompss.api.api import compss_wait_on
from pycompss.api.task import task

@task(returns=1)
def double(number):
    return 2 * number

print(compss_wait_on([double(number) for number in range(3)]))
"""


class Environment:
    """A virtual environment with taskflow installed as pip does it, but without pip."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")
        shutil.copy(LINE, self.site / "_taskflow_pycompss.pth")
        others = [path for path in sys.path if path.endswith("site-packages")]
        (self.site / "editable.pth").write_text("\n".join([str(ROOT / "src"), *others]) + "\n")

    def run(self, *words, **options):
        environment = {"PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [str(self.python), *words], capture_output=True, text=True, timeout=30, check=False, env=environment,
            **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("venv"))


def test_a_plain_program_finds_pycompss(environment, tmp_path):
    (tmp_path / "app.py").write_text(PROGRAM)
    ended = environment.run("app.py", cwd=tmp_path)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("[0, 2, 4]\n", "", 0)


@pytest.mark.parametrize("words", [[], ["run"]])
def test_python_m_pycompss_is_runtask(environment, words, tmp_path):
    program = PROGRAM.replace('assert "taskflow" not in sys.modules', "import os; main = os.getpid()").replace(
        "return 2 * number", "return 2 * number if os.getpid() != main else 'not a task'"
    )
    (tmp_path / "app.py").write_text(program)
    ended = environment.run("-m", "pycompss", *words, "--workers=1", "app.py", cwd=tmp_path)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("[0, 2, 4]\n", "", 0)


def test_a_job_cannot_be_submitted_yet(environment):
    ended = environment.run("-m", "pycompss", "enqueue", "app.py")
    assert ended.returncode == 2
    assert "cannot submit jobs" in ended.stderr


def test_an_installed_pycompss_wins(environment, tmp_path):
    (tmp_path / "pycompss.py").write_text("name = 'the real one'\n")
    assert environment.run("-c", "import pycompss; print(pycompss.name)", cwd=tmp_path).stdout == "the real one\n"


def test_the_start_of_an_interpreter_imports_nothing_of_ours(environment):
    ended = environment.run("-c", "import sys; print(sorted(name for name in sys.modules if 'taskflow' in name))")
    assert ended.stdout == "[]\n"


def test_the_line_at_the_start_of_an_interpreter_takes_a_fraction_of_a_millisecond():
    line = LINE.read_text()
    before = list(sys.meta_path)
    times = []
    try:
        for _ in range(20):
            start = time.perf_counter()
            exec(line)  # noqa: S102  as the interpreter does with a line that begins with import
            times.append(time.perf_counter() - start)
    finally:
        sys.meta_path[:] = before
    assert min(times) < 0.3e-3


def test_the_wheel_contains_the_line():
    assert f'"{LINE.relative_to(ROOT)}" = "_taskflow_pycompss.pth"' in (ROOT / "pyproject.toml").read_text()


def test_other_missing_modules_are_missing_as_ever(environment):
    ended = environment.run("-c", "import pycomps")
    assert ended.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'pycomps'"
