"""What a person who is new to the runtime stumbled over."""

import subprocess
import sys

import pytest

from taskflow import INOUT, compss_wait_on, task
from taskflow.model.errors import ArgumentWarning


class Account:
    def __init__(this):  # noqa: N805
        this.value = 0

    @task()
    def add(this, amount):  # noqa: N805
        this.value += amount

    @task(target_direction=INOUT)
    def add_more(this, amount):  # noqa: N805
        this.value += amount


@pytest.mark.usefixtures("engine")
def test_object_of_a_method_may_have_any_name():
    account = Account()
    account.add(5)
    account.add_more(7)
    assert compss_wait_on(account).value == 12


def run(folder, text, *, launcher=True):
    """A program of its own, under the launcher or plain."""
    (folder / "app.py").write_text(text)
    words = [sys.executable, *(["-m", "taskflow", "--workers", "2"] if launcher else []), "app.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


GLOBALS = """
from taskflow import compss_wait_on, task
FACTOR = 1
def helper(x):
    return x + 1
@task(returns=int)
def f(x):
    return helper(x) * FACTOR
print(compss_wait_on(f(0)))
FACTOR = 10
print(compss_wait_on(f(0)))
def helper(x):
    return 1000
print(compss_wait_on(f(0)))
"""


def test_rebound_globals_of_the_main_program_are_sent_again(tmp_path):
    assert run(tmp_path, GLOBALS, launcher=False).stdout.split() == ["1", "10", "10000"]
    done = run(tmp_path, GLOBALS)
    assert done.stdout.split() == ["1", "10", "10000"], done.stderr


FINISHED = """
from taskflow import FILE_INOUT, FILE_OUT, compss_barrier, task
@task(path=FILE_OUT)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
@task(path=FILE_INOUT)
def append(path):
    with open(path, "a") as file:
        file.write("+")
append("old.txt")
write("new.txt", "new")
compss_barrier()
raise ValueError("the last line has a mistake")
"""


def test_finished_files_are_kept_when_the_main_program_fails(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    done = run(tmp_path, FINISHED)
    assert done.returncode == 1
    assert "the last line has a mistake" in done.stderr
    assert (tmp_path / "old.txt").read_text() == "old+"
    assert (tmp_path / "new.txt").read_text() == "new"


def test_misspelt_argument_of_the_decorator_is_recognised():
    with pytest.warns(ArgumentWarning, match="did you mean returns"):
        task(retruns=int)(len)


def test_wrong_number_of_arguments_shows_the_definition():
    @task(returns=1)
    def add(x, y):
        return x + y

    with pytest.raises(TypeError, match=r"add\(x, y\)|positional"):
        add(1, 2, 3)
