"""S42 Launch, S43 Clean exit."""

import os
import sys
import textwrap

import pytest

ARGPARSE = """
import argparse
from pycompss.api.api import compss_wait_on
from pycompss.api.task import task

@task(returns=str)
def describe(options):
    return f"{options.a} {options.e} {options.d} {options.flag}"

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-a", type=int)
    parser.add_argument("-e", type=float)
    parser.add_argument("-d")
    parser.add_argument("-g", "--flag", action="store_true")
    print(compss_wait_on(describe(parser.parse_args())))
"""

ENVIRONMENT = """
import os
from pycompss.api.api import compss_wait_on
from pycompss.api.task import task

@task(returns=1)
def look():
    import found_by_path
    return os.environ.get("SITE"), os.environ.get("GONE"), found_by_path.name

print((os.environ.get("SITE"), os.environ.get("GONE")), compss_wait_on(look()))
"""

VENV = """
import sys
from pycompss.api.api import compss_wait_on
from pycompss.api.task import task

@task(returns=1)
def prefix():
    return sys.prefix, sys.executable

print(compss_wait_on(prefix()) == (sys.prefix, sys.executable))
"""


COMMANDS = {
    "runtask": ["-m", "taskflow"],
    "python -m pycompss": ["-m", "pycompss"],
    "python -m pycompss run": ["-m", "pycompss", "run"],
    "python": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_s42_argparse_gets_the_arguments_of_the_program(runtask, command):
    runtask.write(ARGPARSE)
    words = [
        *(["--log_level=off"] if command != "python" else []),
        "app.py",
        "-a",
        "6",
        "-e",
        "6.6",
        "-d",
        "z6666",
        "-g",
    ]
    ended = runtask.words(*words, command=(sys.executable, *COMMANDS[command]))
    assert (ended.returncode, ended.stdout) == (0, "6 6.6 z6666 True\n")


def test_s42_variables_of_the_env_script_reach_the_program_and_its_tasks(runtask):
    (runtask.folder / "more modules").mkdir()
    (runtask.folder / "more modules" / "found_by_path.py").write_text("name = 'found'\n")
    runtask.write(
        """
        echo "told by the script"
        export SITE="a 'quoted' $((40 + 2)) \\$HOME
        line 2"
        unset GONE
        export PYTHONPATH="$PWD/more modules:$PYTHONPATH"
        """,
        "site env.sh",
    )
    ended = runtask(ENVIRONMENT, options=["--workers=1", "--env_script=site env.sh"], env={"GONE": "1"})
    assert ended.stderr == "told by the script\n"
    seen = (textwrap.dedent("a 'quoted' 42 $HOME\nline 2"), None)
    assert ended.stdout == f"{seen} {(*seen, 'found')}\n"


@pytest.mark.parametrize("option", ["--pythonpath", "--appdir"])
def test_s42_modules_are_found_in_folders_of_the_command_line(runtask, option):
    (runtask.folder / "lib").mkdir()
    (runtask.folder / "lib" / "found_by_path.py").write_text("name = 'found'\n")
    ended = runtask(ENVIRONMENT, options=["--workers=1", option, "lib"])
    assert ended.stdout == "(None, None) (None, None, 'found')\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo sorry >&2; return 3", "ended with exit code 3"),
        ("exit 0", "calls exit"),
        ("no_such_command_at_all || return 7", "ended with exit code 7"),
    ],
)
def test_s42_a_failing_env_script_ends_the_run_before_it_begins(runtask, text, message):
    runtask.write(text, "env.sh")
    ended = runtask(ENVIRONMENT, options=["--env_script", "env.sh"])
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stdout == ""


def test_s42_a_missing_env_script_is_said(runtask):
    ended = runtask(ENVIRONMENT, options=["--env_script", "missing.sh"])
    assert ended.returncode == 2
    assert "there is no file" in ended.stderr


def test_s42_libraries_are_found_by_programs_that_tasks_start(runtask):
    text = """
        import os
        from pycompss.api.api import compss_wait_on
        from pycompss.api.task import task

        @task(returns=1)
        def look():
            return os.environ["LD_LIBRARY_PATH"].split(":")[0]

        print(compss_wait_on(look()))
        """
    ended = runtask(text, options=["--workers=1", "--library_path=lib"])
    assert ended.stdout == f"{runtask.folder / 'lib'}\n"


def test_s42_executors_use_the_virtual_environment_of_the_program(runtask):
    assert runtask(VENV).stdout == "True\n"


def test_s42_the_log_dir_holds_the_run_folder(runtask):
    ended = runtask("print(1)", options=["--workers=1", "--log_dir=logs"])
    assert ended.returncode == 0
    (folder,) = (runtask.folder / "logs").iterdir()
    assert folder.name.startswith("app-")
    assert (folder / "journal.jsonl").exists()
    assert not (runtask.folder / ".taskflow").exists()


def test_s42_launch_pycompss_application_calls_a_function_of_a_file(runtask):
    runtask.write(
        """
        import os
        from pycompss.api.task import task

        @task(returns=1)
        def process(number):
            return number, os.getpid()

        def main(count, factor=1):
            return [process(number * factor) for number in range(count)]
        """,
        "library.py",
    )
    text = """
        import os
        from taskflow.pycompss import install

        install()
        from pycompss.runtime.launch import launch_pycompss_application

        results = launch_pycompss_application("library.py", "main", 3, factor=2, log_level="off")
        print([number for number, _ in results], os.getpid() in [process for _, process in results])
        """
    runtask.write(text)
    ended = runtask.words("app.py", command=(sys.executable,))
    assert (ended.stdout, ended.stderr) == ("[0, 2, 4] False\n", "")


# --- S43 ----------------------------------------------------------------------------------------------------

TASKS = """
from pycompss.api.api import compss_barrier, compss_wait_on
from pycompss.api.task import task
import time

@task(returns=1)
def inc(x):
    return x + 1

@task()
def long():
    time.sleep(600)
"""

ENDS = {
    "a_missing_module": ("import no_such_module", "No module named 'no_such_module'"),
    "a_syntax_error": ("def f(:\n    pass", "SyntaxError"),
    "before_any_task": ("raise ValueError('no tasks yet')", "ValueError: no tasks yet"),
    "between_tasks": ("long(); long(); raise ValueError('tasks run')", "ValueError: tasks run"),
    "after_tasks": ("print(compss_wait_on(inc(1))); raise ValueError('all is done')", "ValueError: all is done"),
    "in_a_task": ("@task()\ndef bad():\n    import no_such_module\nbad(); compss_barrier()", "no_such_module"),
}


@pytest.mark.parametrize("end", ENDS)
def test_s43_an_exception_ends_the_program_with_its_traceback_and_nothing_is_left(runtask, end):
    program, message = ENDS[end]
    ended = runtask(TASKS + program)  # the fixture fails if a process is left
    assert ended.returncode == 1
    assert message in ended.stderr
    assert os.path.basename("app.py") in ended.stderr


def test_s43_the_exit_code_of_the_program_is_kept_and_its_tasks_finish(runtask):
    ended = runtask(TASKS + "import sys\n@task()\ndef say():\n    print('done')\nsay(); sys.exit(5)")
    assert (ended.returncode, ended.stdout) == (5, "done\n")
