"""What a user sees when a program fails: the own traceback, exit code 1, and nothing left behind."""

import subprocess
import sys

import pytest

RUNTIME_FRAMES = ("/src/taskflow/", "cloudpickle", "runpy", "runtask", "<frozen", "concurrent/futures")


def frames(text):
    """Lines that name the place of a frame."""
    return [line for line in text.splitlines() if line.lstrip().startswith("File ")]


def assert_only_user_frames(errors):
    for line in frames(errors):
        assert not any(part in line for part in RUNTIME_FRAMES), errors


def same_report(runtask, text, *words):
    """The report of a failure is that of python, to the letter."""
    path = runtask.write(text)
    plain = subprocess.run(
        [sys.executable, path.name, *words], cwd=runtask.folder, capture_output=True, text=True, check=False
    )
    ours = runtask.words("--workers", "1", path.name, *words)
    assert ours.stderr == plain.stderr
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert plain.returncode == 1
    return ours


def test_uncaught_exception(runtask):
    same_report(runtask, """
        def inner(x):
            return 1 / x

        print("before")
        inner(0)
    """)  # fmt: skip


def test_chained_exceptions(runtask):
    same_report(runtask, """
        def convert(text):
            try:
                return int(text)
            except ValueError as error:
                raise RuntimeError("not a number") from error

        try:
            convert("x")
        finally:
            {}["missing"]
    """)  # fmt: skip


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_exception_group(runtask):
    same_report(runtask, """
        def fail():
            raise KeyError("a")

        try:
            fail()
        except KeyError as error:
            raise ExceptionGroup("several", [error, ValueError("b")])
    """)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["print(1\n", "x = 1\n  y = 2\n", "import nothing_of_this_name\n", "from os import nothing\n",
     "return 1\n",
     "raise BaseException('odd')\n"],
)  # fmt: skip
def test_broken_script(runtask, text):
    same_report(runtask, text)


def test_endless_recursion(runtask):
    ended = runtask("def f(): f()\nf()\n")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("RecursionError: ")
    assert_only_user_frames(ended.stderr)


def test_unknown_encoding(runtask):
    ended = runtask("# coding: nonsense\n")
    assert ended.returncode == 1
    assert "SyntaxError" in ended.stderr
    assert "nonsense" in ended.stderr


def test_syntax_error_in_an_imported_module(runtask):
    runtask.write("def broken(:\n", "helper.py")
    same_report(runtask, "import helper\n")


def test_syntax_error_in_a_module(runtask):
    runtask.write("def broken(:\n", "job.py")
    ended = runtask.words("--workers", "1", "-m", "job")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f'  File "{runtask.folder}/job.py", line 1\n')
    assert_only_user_frames(ended.stderr)


def test_hook_for_exceptions(runtask):
    same_report(runtask, """
        import sys, traceback

        def hook(kind, error, trace):
            print("hook:", kind.__name__, error, [entry.name for entry in traceback.extract_tb(trace)])
            sys.stderr.write("reported\\n")

        sys.excepthook = hook
        raise ValueError("mine")
    """)  # fmt: skip


def test_broken_hook_for_exceptions(runtask):
    ended = runtask("""
        import sys

        def hook(kind, error, trace):
            raise KeyError("broken hook")

        sys.excepthook = hook
        raise ValueError("mine")
    """)  # fmt: skip
    assert ended.returncode == 1
    assert "Error in sys.excepthook" in ended.stderr
    assert "broken hook" in ended.stderr
    assert "ValueError: mine" in ended.stderr
    assert_only_user_frames(ended.stderr)


FAILING = """
from taskflow import compss_barrier, compss_wait_on, task

class Odd(Exception):
    pass

def helper(x):
    raise Odd(f"value {x}")

@task(returns=1)
def fail(x):
    return helper(x)

def main():
    future = fail(3)  # the call
    END

main()
"""


@pytest.mark.parametrize("end", ["compss_wait_on(future)", "future.result()", "compss_barrier()", "pass"])
def test_failed_task(runtask, end):
    ended = runtask(FAILING.replace("END", end))
    assert ended.returncode == 1
    script = str(runtask.folder / "app.py")
    assert f"fail, called at {script}:15" in ended.stderr
    remote, local = ended.stderr.split("The above exception was the direct cause of the following exception")
    assert f'File "{script}", line 12, in fail' in remote
    assert f'File "{script}", line 8, in helper' in remote
    assert "Odd: value 3" in remote
    assert ended.stderr.splitlines()[-1].endswith("Odd: value 3")
    assert ("in main" in local) == (end != "pass")
    assert_only_user_frames(ended.stderr)


def test_failed_task_that_was_caught_is_not_told_again(runtask):
    end = """try:
        compss_wait_on(future)
    except Odd as error:
        print('caught', error)
"""
    ended = runtask(FAILING.replace("END", end))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "caught value 3\n", "")


def test_failed_task_and_exit_code_of_the_script(runtask):
    ended = runtask(FAILING.replace("END", "raise SystemExit(5)"))
    assert ended.returncode == 5
    assert "Odd: value 3" in ended.stderr


def test_wrong_call_is_shown_at_the_line_of_the_user(runtask):
    ended = runtask("""
        import threading
        from taskflow import task

        @task(returns=1)
        def use(x):
            return x

        def main():
            use({"lock": threading.Lock()})

        main()
    """)  # fmt: skip
    assert ended.returncode == 1
    assert "['lock']" in ended.stderr
    lines = frames(ended.stderr)
    assert lines[-1].endswith("line 10, in main")
    assert_only_user_frames(ended.stderr)


def test_log_level_debug_shows_the_frames_of_the_runtime(runtask):
    options = ["--workers", "1", "--log-level", "debug"]
    ended = runtask(FAILING.replace("END", "future.result()"), options=options)
    assert ended.returncode == 1
    assert any("taskflow/" in line for line in frames(ended.stderr))


def test_uncaught_exception_cancels_what_is_pending(runtask):
    ended = runtask("""
        import os, time
        from taskflow import task

        @task()
        def work(number):
            open(f"started-{number}", "w").close()
            time.sleep(60)

        for number in range(4):
            work(number)
        while not os.path.exists("started-0"):
            time.sleep(0.01)
        raise ValueError("enough")
    """)  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "ValueError: enough"
    assert not (runtask.folder / "started-1").exists()


def test_program_that_leaves_without_a_word(runtask):
    ended = runtask("""
        import os, time
        from taskflow import task

        @task()
        def work():
            open("started", "w").close()
            time.sleep(60)

        work()
        while not os.path.exists("started"):
            time.sleep(0.01)
        os._exit(9)
    """)  # fmt: skip
    assert ended.returncode == 9


def test_killed_program(runtask):
    runtask.write("""
        import time
        from taskflow import task

        @task()
        def work():
            open("started", "w").close()
            time.sleep(60)

        work()
        time.sleep(60)
    """)  # fmt: skip
    process = runtask.start("--workers", "1", "app.py")
    runtask.wait_for("started")
    process.kill()
    assert process.wait(10) == -9


def test_forked_child_that_outlives_the_program_keeps_no_executor(runtask):
    runtask.write("""
        import os, sys, time
        from taskflow import compss_wait_on, task

        @task(returns=1)
        def where():
            return os.getpid()

        print(compss_wait_on(where()), flush=True)
        if os.fork() == 0:
            for stream in (0, 1, 2):
                os.close(stream)
            time.sleep(3)
            os._exit(0)
    """)  # fmt: skip
    ended = runtask.words("--workers", "1", "app.py")
    assert ended.returncode == 0, ended.stderr
    executor = int(ended.stdout)
    assert executor not in [process.pid for process in runtask.left_processes()]


def test_what_a_task_started_goes_too(runtask):
    ended = runtask("""
        import subprocess
        from taskflow import compss_wait_on, task

        @task(returns=1)
        def spawn():
            return subprocess.Popen(["sleep", "60"]).pid

        compss_wait_on(spawn())
        raise ValueError("enough")
    """)  # fmt: skip
    assert ended.returncode == 1


CHAIN = """
    from taskflow import COMPSsException, TaskGroup, compss_wait_on, task

    @task(returns=1)
    def f(i):
        if i == 1:
            raise COMPSsException("second one")
        return i + 1

    i = 0
    {block}
        i = f(i)
        i = f(i)
        i = f(i)
    print(compss_wait_on(i))
"""


@pytest.mark.parametrize("block", ["if True:", "with TaskGroup('g'):"])
def test_s21_uncaught_compss_exception_is_told_and_is_no_failure(runtask, block):
    done = runtask.words(runtask.write(CHAIN.format(block=block)).name)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "runtask: a task ended the run with COMPSsException: second one\n"


def test_s19_uncaught_failure_after_all_attempts(runtask):
    done = runtask.words("--summary", runtask.write("""
        from taskflow import compss_wait_on, task

        @task(returns=1)
        def f(i):
            return 1 // i

        if __name__ == "__main__":
            result = f(0)
            print(compss_wait_on(result))
    """).name)  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError" in done.stderr
    assert "app.py:9" in done.stderr  # where the task was called
    assert "1 failed · 0 cancelled · 3 retried" in done.stderr
