"""A thread that reads an executor's socket itself, and tasks that the executor gives back meanwhile."""

import time

import pytest

import taskflow
from taskflow import compss_wait_on, task
from tests.behaviour.helpers import touch, until, wait_for_file


@task(returns=1)
def wait_for(path):
    wait_for_file(path)
    return 1


class Never:
    lock = None

    def satisfied(self, _):
        return False


class Once:
    """Receives one message without content; asking for another would be to wait for ever."""

    def __init__(self):
        self.count = 0

    def receive(self):
        self.count += 1
        assert self.count == 1, "the thread waits at a socket from which nothing may come any more"
        return []


@pytest.fixture
def busy(tmp_path):
    """The engine, and its only executor with one task in flight."""
    taskflow.stop()
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False) as session:
        value = wait_for(str(tmp_path / "go"))
        (link,) = session.engine.links.values()
        assert until(lambda: link.handle.running > 0)
        yield session.engine, link
        link.executor.recalling = False
        touch(tmp_path / "go")
        assert compss_wait_on(value) == 1


def test_nobody_waits_directly_for_an_executor_that_may_give_its_task_back(busy):
    engine, link = busy
    with engine.lock:
        assert engine._only_busy() is link
        link.executor.recalling = True
        assert engine._only_busy() is None


def test_who_waits_directly_stops_when_the_task_may_be_given_back(busy):
    engine, link = busy
    link.executor.recalling = True
    receiver, link.receiver = link.receiver, Once()
    link.driven = True
    try:
        assert engine._drive(link, Never()) is False
    finally:
        link.receiver = receiver


@task(returns=1)
def rest(seconds):
    time.sleep(seconds)
    return seconds


def test_nobody_is_asked_why_it_is_silent_while_its_tasks_take_as_long_as_always(tmp_path, monkeypatch):
    taskflow.stop()
    with taskflow.session(workers=1, run_dir=tmp_path / "run", progress=False) as session:
        compss_wait_on([rest(0.015) for _ in range(10)])
        asked = []
        monkeypatch.setattr(session.engine.kernel, "stalled", asked.append)
        compss_wait_on([rest(0.015) for _ in range(60)])
    assert len(asked) < 30
