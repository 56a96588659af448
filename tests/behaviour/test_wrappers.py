"""What decorators above `@task` put round the function runs in the executor."""

import functools
import os

import pytest

from taskflow import compss_wait_on, task

pytestmark = [pytest.mark.engines("local"), pytest.mark.usefixtures("engine")]


class Adding:
    """Wraps a function so that it adds a text and the process to what the function returns."""

    def __init__(self, text):
        self.text = text

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args):
            return [*function(*args), self.text, os.getpid()]

        return wrapped


@task(returns=1)
def importable(items):
    return items


importable.options.wrappers += [Adding("inner"), Adding("outer")]


def test_wrappers_run_in_the_executor_the_last_one_outermost():
    items = compss_wait_on(importable([]))
    assert items[0::2] == ["inner", "outer"]
    assert items[1] == items[3] != os.getpid()


def test_wrappers_of_a_closure():
    here = ["closure"]

    @task(returns=1)
    def function():
        return list(here)

    function.options.wrappers.append(Adding("more"))
    assert compss_wait_on(function())[:2] == ["closure", "more"]


def test_a_wrapper_that_fails_fails_the_task():
    def broken(function):
        raise RuntimeError(f"cannot wrap {function.__name__}")

    @task(returns=1)
    def function():
        return 1

    function.options.wrappers.append(broken)
    with pytest.raises(RuntimeError, match="cannot wrap function"):
        compss_wait_on(function())
