"""A program runs under runtask as it does under python."""

import os
import subprocess
import sys

import pytest

TASK = """
from taskflow import compss_wait_on, task

@task(returns=1)
def double(x):
    return 2 * x
"""


def both(runtask, text, *words):
    """Run a program under python and under runtask; both must do the same."""
    path = runtask.write(text)
    plain = subprocess.run(
        [sys.executable, path.name, *words], cwd=runtask.folder, capture_output=True, text=True, check=False
    )
    ours = runtask.words("--workers", "1", path.name, *words)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    return plain, ours


def test_globals_of_the_main_module(runtask):
    both(runtask, """
        import sys
        print(__name__, __file__, __package__, __spec__, __doc__)
        print(type(__loader__).__name__, __builtins__, sys.modules["__main__"].__dict__ is globals())
        print(sorted(globals()))
    """)  # fmt: skip


def test_docstring_of_the_script(runtask):
    both(runtask, '"""What it does."""\nprint(__doc__)')


def test_arguments_reach_the_script_untouched(runtask):
    both(runtask, "import sys; print(sys.argv)", "--workers", "x", "-m", "--help", "--", "--graph=1", "")


def test_first_entry_of_the_path_is_the_folder_of_the_script(runtask):
    runtask.write("NAME = 'helper'", "deep/helper.py")
    runtask.write("import helper, sys; print(helper.NAME, sys.path[0], sys.argv[0])", "deep/app.py")
    plain = subprocess.run(
        [sys.executable, "deep/app.py"], cwd=runtask.folder, capture_output=True, text=True, check=True
    )
    assert runtask.words("--workers", "1", "deep/app.py").stdout == plain.stdout


def test_symbolic_link_to_a_script(runtask):
    runtask.write("NAME = 'helper'", "deep/helper.py")
    runtask.write("import helper, sys; print(helper.NAME, sys.path[0], __file__)", "deep/app.py")
    (runtask.folder / "link.py").symlink_to("deep/app.py")
    plain = subprocess.run([sys.executable, "link.py"], cwd=runtask.folder, capture_output=True, text=True, check=True)
    assert runtask.words("--workers", "1", "link.py").stdout == plain.stdout


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit()", "sys.exit(0)", "sys.exit(3)", "sys.exit(True)", "sys.exit(300)", "sys.exit(-1)",
     "sys.exit(10**30)", "raise SystemExit", "raise SystemExit(4)"],
)  # fmt: skip
def test_exit_code(runtask, end):
    _, ours = both(runtask, f"import sys\nprint(1)\n{end}")
    assert not ours.stderr


@pytest.mark.parametrize("value", ["'out of paper'", "('a', 1)", "2.5"])
def test_exit_with_a_text(runtask, value):
    plain, ours = both(runtask, f"import sys; sys.exit({value})")
    assert ours.stderr == plain.stderr
    assert ours.returncode == 1


def test_argparse_in_the_script(runtask):
    text = """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--size", type=int)
        print(parser.parse_args().size)
    """
    both(runtask, text, "--size", "3")
    plain, ours = both(runtask, text, "--size", "x")
    assert ours.returncode == 2
    assert ours.stderr == plain.stderr
    both(runtask, text, "--help")


def test_asserts_stay_on_in_main_and_in_tasks(runtask):
    ended = runtask("""
        from taskflow import compss_wait_on, task

        @task(returns=1)
        def strict(x):
            assert x, "no x"
            return x

        for call in (lambda: compss_wait_on(strict(0)), lambda: exec("assert 0, 'no main'")):
            try:
                call()
            except AssertionError as error:
                print(error)
    """)  # fmt: skip
    assert ended.stdout == "no x\nno main\n"


def test_future_imports_of_runtask_do_not_reach_the_script(runtask):
    both(runtask, "x: (print('evaluated'), int)[1] = 1\nprint(__annotations__)")


def test_everything_defined_in_the_script_travels(runtask):
    both(runtask, """
        import dataclasses, enum, functools, pickle
        from taskflow import INOUT, compss_wait_on, task

        FACTOR = 3

        class Colour(enum.Enum):
            RED = 1

        @dataclasses.dataclass
        class Point:
            x: int
            def scaled(self):
                return Point(self.x * FACTOR)

        class Failure(Exception):
            pass

        @task(returns=1)
        def scale(point, colour):
            return point.scaled(), colour, isinstance(point, Point)

        @task(returns=1)
        def apply(function, value):
            return function(value)

        @task(point=INOUT)
        def move(point):
            point.x += 1

        @task(returns=1)
        def fail():
            raise Failure("on purpose")

        def make(step):
            return lambda value: value + step

        def factory(step):
            @task(returns=1)
            def inner(value):
                return value + step
            return inner

        class Account:
            def __init__(self):
                self.total = 0
            @task()
            def add(self, value):
                self.total += value
            @staticmethod
            @task(returns=1)
            def tax(value):
                return value // 5

        if __name__ == "__main__":
            point, colour, same = compss_wait_on(scale(Point(2), Colour.RED))
            print(point, point == Point(6), colour is Colour.RED, same, type(point) is Point)
            print(compss_wait_on(apply(make(5), 1)), compss_wait_on(apply(lambda v: v * FACTOR, 4)))
            print(compss_wait_on(apply(functools.partial(pow, 2), 5)), compss_wait_on(factory(7)(1)))
            move(point)
            print(compss_wait_on(point))
            try:
                compss_wait_on(fail())
            except Failure as error:
                print("caught", error)
            account = Account()
            account.add(10)
            print(compss_wait_on(account).total, compss_wait_on(Account.tax(10)))
            print(pickle.loads(pickle.dumps(Point(1))))
    """)  # fmt: skip


def test_the_end_of_main_waits_for_tasks_and_brings_files_back(runtask):
    (runtask.folder / "data").mkdir()
    ended = runtask("""
        import time
        from taskflow import FILE_OUT, task

        @task(path=FILE_OUT)
        def write(path):
            time.sleep(0.2)
            with open(path, "w") as file:
                file.write("late")

        write("data/out.txt")
        print("main has ended")
    """)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (runtask.folder / "data/out.txt").read_text() == "late"


def test_relative_data_paths_and_working_directory(runtask):
    (runtask.folder / "data").mkdir()
    both(runtask, """
        import os
        from taskflow import FILE_IN, FILE_INOUT, FILE_OUT, compss_open, compss_wait_on, task

        @task(path=FILE_OUT)
        def write(path, text):
            with open(path, "w") as file:
                file.write(text)

        @task(path=FILE_INOUT)
        def extend(path):
            with open(path, "a") as file:
                file.write("+")

        @task(path=FILE_IN, returns=1)
        def read(path):
            with open(path) as file:
                return file.read()

        @task(returns=1)
        def where():
            return os.getcwd()

        write("data/a.txt", "a")
        extend(os.path.abspath("data/a.txt"))
        print(compss_wait_on(read("./data/../data/a.txt")))
        with compss_open("data/a.txt") as file:
            print(file.read())
        print(compss_wait_on(where()) == os.getcwd())
        write("data/b.txt", "b")
        os.chdir("data")
        extend("b.txt")
        print(compss_wait_on(read("b.txt")))
    """)  # fmt: skip
    assert (runtask.folder / "data/b.txt").read_text() == "b+"
    assert (runtask.folder / "data/a.txt").read_text() == "a+"


def test_sys_exit_lets_tasks_finish(runtask):
    ended = runtask("""
        import sys, time
        from taskflow import FILE_OUT, task

        @task(path=FILE_OUT)
        def write(path):
            time.sleep(0.1)
            with open(path, "w") as file:
                file.write("done")

        write("out.txt")
        write("out2.txt")
        sys.exit(7)
    """)  # fmt: skip
    assert ended.returncode == 7
    assert (runtask.folder / "out.txt").read_text() == "done"
    assert (runtask.folder / "out2.txt").read_text() == "done"


def test_threads_of_the_program_may_still_call_tasks(runtask):
    ended = runtask(
        TASK
        + """
import threading, time
from concurrent.futures import ThreadPoolExecutor

def work():
    time.sleep(0.1)
    print(compss_wait_on(double(4)))

pool = ThreadPoolExecutor(1)
print(pool.submit(lambda: compss_wait_on(double(1))).result())
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=[60], daemon=True).start()
"""
    )
    assert (ended.returncode, ended.stdout) == (0, "2\n8\n"), ended.stderr


def test_exit_functions_run_after_the_tasks(runtask):
    ended = runtask("""
        import atexit
        from taskflow import FILE_OUT, task

        @task(path=FILE_OUT)
        def write(path):
            with open(path, "w") as file:
                file.write("there")

        atexit.register(lambda: print(open("out.txt").read()))
        write("out.txt")
    """)  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "there\n"), ended.stderr


def test_output_of_tasks_and_main(runtask):
    ended = runtask("""
        import sys
        from taskflow import compss_barrier, task

        @task()
        def speak():
            print("from a task")
            print("to the other stream", file=sys.stderr)

        print("before")
        speak()
        compss_barrier()
        print("after")
    """)  # fmt: skip
    assert ended.stdout == "before\nfrom a task\nafter\n"
    assert ended.stderr == "to the other stream\n"


def test_multiprocessing_in_the_script(runtask):
    both(runtask, """
        import multiprocessing

        def square(x):
            return x * x

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, [1, 2]))
            with multiprocessing.get_context("fork").Pool(1) as pool:
                print(pool.map(square, [3]))
    """)  # fmt: skip


def test_installed_command(runtask):
    command = [os.path.join(os.path.dirname(sys.executable), "runtask")]
    if not os.path.exists(command[0]):
        pytest.skip("the package is not installed")
    runtask.write(TASK + "print(compss_wait_on(double(21)))")
    assert runtask.words("--workers", "1", "app.py", command=command).stdout == "42\n"


# --- modules ------------------------------------------------------------------------------------------------


def package(runtask):
    runtask.write("NAME = 'pkg'", "pkg/__init__.py")
    tools = "from taskflow import task\n@task(returns=1)\ndef triple(x):\n    return 3 * x"
    runtask.write(tools, "pkg/tools.py")
    runtask.write(
        """
        import sys
        from taskflow import compss_wait_on, task
        from . import NAME
        from .tools import triple

        @task(returns=1)
        def own(x):
            from . import tools
            return tools.triple(x) + 1

        if __name__ == "__main__":
            print(NAME, compss_wait_on(triple(2)), compss_wait_on(own(3)))
            print(__name__, __package__, __spec__.name, sys.argv, sys.path[0])
        """,
        "pkg/__main__.py",
    )
    (runtask.folder / "pkg/job.py").write_bytes((runtask.folder / "pkg/__main__.py").read_bytes())


@pytest.mark.parametrize("name", ["pkg", "pkg.job", "pkg.__main__"])
def test_module_with_relative_imports(runtask, name):
    package(runtask)
    command = [sys.executable, "-m", name, "--x", "y"]
    plain = subprocess.run(command, cwd=runtask.folder, capture_output=True, text=True, check=True)
    ended = runtask.words("--workers", "1", "-m", name, "--x", "y")
    assert (ended.returncode, ended.stdout) == (0, plain.stdout), ended.stderr


def test_module_name_may_follow_at_once(runtask):
    runtask.write("print(__name__)", "job.py")
    assert runtask.words("-mjob").stdout == "__main__\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "there is no module named nothing"),
        ("nothing.at.all", "there is no module named nothing.at.all"),
        ("lost.py", "there is no module named lost.py"),
        ("empty", "empty is a package without __main__"),
        (".app", "absolute name"),
    ],
)
def test_module_that_cannot_be_run(runtask, name, message):
    runtask.write("", "empty/__init__.py")
    runtask.write("", "app.py")
    ended = runtask.words("--workers", "1", "-m", name)
    assert ended.returncode == 1
    assert ended.stderr.startswith("runtask: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_module_whose_package_fails(runtask):
    runtask.write("import not_installed_anywhere", "pkg/__init__.py")
    runtask.write("", "pkg/job.py")
    ended = runtask.words("--workers", "1", "-m", "pkg.job")
    assert ended.returncode == 1
    assert "No module named 'not_installed_anywhere'" in ended.stderr
    assert ended.stderr.startswith('Traceback (most recent call last):\n  File "' + str(runtask.folder))


def test_folder_and_archive_with_a_main_module(runtask):
    import zipfile

    runtask.write("import helper, sys; print(__name__, helper.NAME, sys.argv)", "tool/__main__.py")
    runtask.write("NAME = 'helper'", "tool/helper.py")
    with zipfile.ZipFile(runtask.folder / "tool.pyz", "w") as archive:
        for name in ("__main__.py", "helper.py"):
            archive.write(runtask.folder / "tool" / name, name)
    assert runtask.words("--workers", "1", "tool", "x").stdout == "__main__ helper ['tool', 'x']\n"
    assert runtask.words("--workers", "1", "tool.pyz").stdout == "__main__ helper ['tool.pyz']\n"


# --- sessions in the script ---------------------------------------------------------------------------------


def test_script_with_its_own_session_runs_under_runtask(runtask):
    both(runtask, """
        import taskflow
        from taskflow import FILE_OUT, compss_wait_on, task

        @task(path=FILE_OUT)
        def write(path, text):
            with open(path, "w") as file:
                file.write(text)

        @task(returns=1)
        def double(x):
            return 2 * x

        for text in ("one", "two"):
            with taskflow.session(workers=1):
                write("out.txt", text)
                print(compss_wait_on(double(4)))
            print(open("out.txt").read())
        session = taskflow.start(workers=1, progress=False)
        write("out.txt", "three")
        taskflow.stop()
        print(open("out.txt").read())
        session = taskflow.start(workers=1)
        write("out.txt", "four")
        session.stop()
        print(open("out.txt").read())
    """)  # fmt: skip


def test_second_start_is_refused_as_under_python(runtask):
    both(runtask, """
        import taskflow
        taskflow.start(workers=1)
        try:
            taskflow.start(workers=1)
        except taskflow.TaskflowError as error:
            print("a session is running already" in str(error), "taskflow.stop()" in str(error))
    """)  # fmt: skip


def test_failure_leaves_the_block_of_the_session(runtask):
    both(runtask, """
        import taskflow
        from taskflow import task

        @task()
        def fail():
            raise KeyError("on purpose")

        try:
            with taskflow.session(workers=1):
                fail()
        except KeyError as error:
            print("caught", error)
        try:
            with taskflow.session(workers=1):
                raise ValueError("mine")
        except ValueError as error:
            print("caught", error)
    """)  # fmt: skip
