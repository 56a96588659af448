"""What a program has started is found and ended, wherever it has gone."""

import os
import subprocess
import sys

from taskflow.node import processes
from tests.behaviour.helpers import alive, until


def start(mark, text):
    """Run a shell with a mark; the process, and the numbers that it prints until it says "done"."""
    process = subprocess.Popen(
        ["sh", "-c", text], env=processes.marked(dict(os.environ), mark), stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    numbers = [int(line) for line in iter(process.stdout.readline, "done\n")]
    return process, numbers


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_orphans_and_sessions_are_found_by_the_mark():
    mark = processes.new_mark()
    process, numbers = start(mark, "setsid sleep 60 & echo $!; (sleep 60 & echo $!); echo done; wait")
    try:
        assert {each.pid for each in processes.find(mark)} >= {process.pid, *numbers}
    finally:
        processes.end(mark, grace_s=0)
        end(process)
    assert until(lambda: not any(map(alive, numbers)))


def test_descendants_without_the_mark_are_found_by_their_ancestors():
    mark = processes.new_mark()
    process, (number,) = start(mark, "env -i sleep 60 & echo $!; echo done; wait")
    try:
        assert number in {each.pid for each in processes.find(mark)}
    finally:
        processes.end(mark, grace_s=0)
        end(process)
    assert until(lambda: not alive(number))


def test_others_are_left_alone():
    mine, other = processes.new_mark(), processes.new_mark()
    process, numbers = start(other, "sleep 60 & echo $!; echo done; wait")
    try:
        processes.end(mine, grace_s=0)
        assert all(map(alive, numbers))
        assert processes.find(mine) == set()
    finally:
        processes.end(other, grace_s=0)
        end(process)


def test_who_heeds_the_first_signal_has_time_for_it(tmp_path):
    mark = processes.new_mark()
    process, _ = start(mark, f"trap 'echo ended > {tmp_path}/said; exit' TERM; echo done; while :; do sleep 0.01; done")
    processes.end(mark, process.pid)
    end(process)
    assert (tmp_path / "said").read_text() == "ended\n"


def test_marks_within_marks_are_found_by_each():
    outer = processes.new_mark()
    inner = processes.new_mark()
    environment = processes.marked(processes.marked(dict(os.environ), outer), inner)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment) as process:
        assert until(lambda: process.pid in {each.pid for each in processes.find(outer)})
        assert process.pid in {each.pid for each in processes.find(inner)}
        processes.end(outer, grace_s=0)


def test_marks_begin_with_the_owner(monkeypatch):
    monkeypatch.setenv("TASKFLOW_RUN_DIR", "/run/folder")
    assert processes.new_mark().startswith(processes.mark_of_owner("/run/folder", os.getpid()))


def test_a_program_that_is_just_being_put_in_anothers_place_is_found(tmp_path):
    again = tmp_path / "again"
    again.write_text('#!/bin/sh\nexec "$0"\n')  # there is always one being put in place
    again.chmod(0o700)
    mark = processes.new_mark()
    process = subprocess.Popen([str(again)], env=processes.marked(dict(os.environ), mark))
    try:
        missed = sum(process.pid not in {each.pid for each in processes.find(mark)} for _ in range(300))
    finally:
        processes.end(mark, grace_s=0)
        process.wait()
    assert missed == 0
