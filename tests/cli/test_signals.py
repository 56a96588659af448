"""Ctrl-C and SIGTERM: once for an orderly end, twice for an immediate one."""

import os
import signal
import time

import psutil
import pytest

WORKING = """
import os, sys, time
from taskflow import compss_barrier, compss_wait_on, task

@task(returns=1)
def work(seconds, number):
    open(f"started-{number}", "w").close()
    time.sleep(seconds)
    return number

futures = [work(60, number) for number in range(3)]
"""

ENDS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


def begin(runtask, text, name="started-0", **more):
    """Start a program and wait until its first task runs."""
    runtask.write(text)
    process = runtask.start("--workers", "1", "app.py", **more)
    runtask.wait_for(name)
    return process


@pytest.mark.parametrize(("number", "code", "word"), ENDS)
@pytest.mark.parametrize(
    "last", ["compss_wait_on(futures)", "compss_barrier()", "time.sleep(60)", "", "while True: work(0, 0)"]
)
def test_signal_while_main_waits(runtask, last, number, code, word):
    process = begin(runtask, WORKING + last)
    time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert time.monotonic() - began < 8
    assert process.returncode == code
    assert errors.startswith(f"runtask: {word}")
    assert len(errors.splitlines()) == 1
    assert not output
    assert not (runtask.folder / "started-1").exists()


def test_script_may_catch_the_interrupt(runtask):
    process = begin(
        runtask,
        WORKING.replace("60", "0.5")
        + """
try:
    compss_barrier()
except KeyboardInterrupt:
    print("caught", flush=True)
print(compss_wait_on(futures))
""",
    )
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "caught\n[0, 1, 2]\n", "")


def test_script_may_exit_after_the_interrupt(runtask):
    process = begin(
        runtask,
        WORKING.replace("60", "0.3")
        + """
try:
    compss_barrier()
except KeyboardInterrupt:
    sys.exit(4)
""",
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 4


def test_handlers_of_the_script_hold(runtask):
    process = begin(
        runtask,
        WORKING.replace("60", "0.5")
        + """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
open("ready", "w").close()
print(compss_wait_on(futures))
""",
        "ready",
    )
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "asked to end\n[0, 1, 2]\n")


def test_ignored_signal_stays_ignored(runtask):
    process = begin(
        runtask, WORKING.replace("60", "0.3") + "print(compss_wait_on(futures))",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "[0, 1, 2]\n")


@pytest.mark.parametrize(("number", "code", "word"), ENDS)
def test_second_signal_during_the_shutdown_is_immediate(runtask, number, code, word):
    process = begin(runtask, WORKING + "compss_barrier()")
    # The shutdown waits for the process that starts executors; stopped, it takes seconds.
    (zygote,) = psutil.Process(process.pid).children()
    zygote.suspend()
    process.send_signal(number)
    assert word in process.stderr.readline()
    time.sleep(0.1)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == code
    assert time.monotonic() - began < 2.5
    assert not process.stderr.read()


def test_second_signal_in_the_last_lines_of_the_script(runtask):
    process = begin(
        runtask,
        WORKING
        + """
try:
    compss_barrier()
finally:
    open("leaving", "w").close()
    time.sleep(60)
""",
    )
    process.send_signal(signal.SIGINT)
    runtask.wait_for("leaving")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1


#: Is imported by the interpreter before runtask begins: it interrupts the process when a certain module is imported.
INTERRUPTING = """
import os, signal, sys

class Interrupt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(Interrupt)
            os.kill(os.getpid(), signal.SIGINT)

module = os.environ.pop("INTERRUPT_AT", "")  # so that what it starts is spared
if module:
    sys.meta_path.insert(0, Interrupt)
"""


@pytest.mark.parametrize(
    "module",
    [
        "taskflow.cli.runtask", "taskflow.cli.options", "taskflow.model.errors", "taskflow.cli.signals",
        "taskflow.launch.spawn", "subprocess", "taskflow.runtime", "taskflow.data.store", "taskflow.drivers.live",
        "taskflow.launch.leftovers",
    ],
)  # fmt: skip
def test_signal_during_the_start(runtask, module):
    runtask.write("open('begun', 'w').close()")
    runtask.write(INTERRUPTING, "early/sitecustomize.py")
    path = os.pathsep.join([str(runtask.folder / "early"), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path, "INTERRUPT_AT": module}
    ended = runtask.words("--workers", "1", "app.py", env=variables)
    assert ended.returncode == 130, ended
    assert ended.stderr.startswith("runtask: interrupted"), ended
    assert len(ended.stderr.splitlines()) == 1
    assert not (runtask.folder / "begun").exists()


def test_terminal_sends_the_interrupt_to_all_processes(runtask):
    process = begin(runtask, WORKING + "compss_barrier()", start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1


def test_interrupts_under_load(runtask):
    """Interrupts at odd moments, caught by the script, come at once, once each, and do no harm."""
    ended = runtask("""
        import os, signal, threading, time
        from taskflow import compss_barrier, compss_wait_on, task

        @task(returns=1)
        def inc(x):
            return x + 1

        @task(returns=1)
        def length(x):
            return len(x)

        def loop():
            while True:
                inc(inc(1))
                length([1, 2])

        begun = []

        def interrupt():
            begun.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        late = []
        for number in range(20):
            timer = threading.Timer(0.01 + number * 0.0007, interrupt)
            try:
                timer.start()
                loop()
            except KeyboardInterrupt:
                late.append(time.monotonic() - begun[-1])
            timer.join()
            time.sleep(0.005)
        print(len(late), max(late) < 2, late)
        print(compss_wait_on(inc(41)))
    """)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("20 True"), ended.stdout
    assert ended.stdout.endswith("42\n")
    assert not ended.stderr
