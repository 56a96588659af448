"""What tasks print appears in the main program, in order."""

import os
import subprocess
import sys

import pytest

import taskflow
from taskflow import INOUT, compss_barrier, compss_wait_on, task

pytestmark = pytest.mark.usefixtures("engine")


@task(returns=1)
def say(*words, **options):
    print(*words, **options)
    return 1


@task(box=INOUT)
def say_next(box, text):
    box.append(text)
    print(text)


@task()
def complain(text):
    print(text, file=sys.stderr)


@task(returns=1)
def say_slowly(folder):
    from tests.behaviour.helpers import touch, wait_for_file

    print("before")
    touch(os.path.join(folder, "said"))
    wait_for_file(os.path.join(folder, "gate"))
    print("after")
    return 1


def test_output_of_a_task_is_there_when_its_result_is(capsys):
    assert compss_wait_on(say("hello", 3)) == 1
    assert capsys.readouterr().out == "hello 3\n"


def test_output_of_a_chain_is_in_the_order_of_the_chain(capsys):
    box = []
    for n in range(50):
        say_next(box, f"line {n}")
    compss_wait_on(box)
    assert capsys.readouterr().out.splitlines() == [f"line {n}" for n in range(50)]


def test_every_line_of_many_tasks_arrives_whole(capsys):
    compss_wait_on([say(f"task {n}") for n in range(200)])
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"task {n}" for n in range(200))


def test_standard_error_goes_to_standard_error(capsys):
    complain("beware")
    compss_barrier()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "beware\n")


def test_output_of_a_task_that_fails(capsys):
    @task(returns=1, on_failure="FAIL")
    def fail():
        print("last words")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        compss_wait_on(fail())
    assert capsys.readouterr().out == "last words\n"


def test_odd_text(capsys):
    compss_wait_on(say("no end", end=""))
    compss_wait_on(say("ñ日🎉", "\r\t", sep="|"))
    compss_wait_on(say("x" * 100_000))
    assert capsys.readouterr().out == "no endñ日🎉|\r\t\n" + "x" * 100_000 + "\n"


def test_flush_and_isatty_and_writelines():
    @task(returns=1)
    def use_stream():
        sys.stdout.writelines(["a", "b\n"])
        sys.stdout.flush()
        return sys.stdout.isatty(), sys.stdout.writable(), sys.stdout.encoding.lower()

    assert compss_wait_on(use_stream())[1] is True


@pytest.mark.engines("local")
def test_bytes_join_the_text_in_order(capsys):
    @task(returns=1)
    def mixed():
        print("text")
        sys.stdout.buffer.write("bytes ñ\n".encode())
        print("more", flush=True)
        return 1

    assert compss_wait_on(mixed()) == 1
    assert capsys.readouterr().out == "text\nbytes ñ\nmore\n"


@pytest.mark.engines("local")
def test_output_below_python_is_in_the_log_of_the_executor():
    @task(returns=1)
    def low():
        os.write(1, b"written by C\n")
        subprocess.run(["echo", "written by a child"], check=True)
        return 1

    assert compss_wait_on(low()) == 1
    logs = taskflow.runtime.session.run_dir.glob("executor-*.log")
    text = "".join(path.read_text() for path in logs)
    assert "written by C\n" in text
    assert "written by a child\n" in text
