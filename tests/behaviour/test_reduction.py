"""S31: reductions of collections as trees of tasks."""

import pytest

from taskflow import COLLECTION_IN, INOUT, TaskGroup, compss_barrier, compss_wait_on, reduction, runtime, task
from taskflow.model.errors import ArgumentError
from tests.behaviour.helpers import touch, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")


@task(returns=1)
def inc(x):
    return x + 1


@reduction(chunk_size=2)
@task(returns=1, values=COLLECTION_IN)
def total(values):
    return sum(values)


@reduction(chunk_size="3")
@task(returns=1, texts=COLLECTION_IN)
def joined(texts, separator=""):
    return separator.join(texts)


@reduction(chunk_size="$TASKFLOW_TEST_CHUNK")
@task(returns=1, values=COLLECTION_IN)
def by_variable(values):
    return [len(values), *values]


@task(values=COLLECTION_IN, returns=1)
def plain_total(values):
    return sum(values)


@task(cell=INOUT)
def append(cell, value):
    cell.append(value)


@reduction(chunk_size=2)
@task(returns=1, lists=COLLECTION_IN)
def concatenated(lists):
    return [item for part in lists for item in part]


def tasks_called(action):
    """How many tasks the action calls."""
    if runtime.session is None:
        action()
        return 0
    before = runtime.session.engine.kernel.submitted
    action()
    return runtime.session.engine.kernel.submitted - before


def test_s31_chunks_of_two_over_five_futures():
    assert compss_wait_on(total([inc(n) for n in range(5)])) == 15


def test_s31_over_plain_values_and_over_futures_and_values_mixed():
    assert compss_wait_on(total([1, 2, 3, 4, 5])) == 15
    assert compss_wait_on(total([inc(0), 2, inc(2), 4, 5])) == 15


def test_s31_after_a_barrier():
    values = [inc(n) for n in range(5)]
    compss_barrier()
    assert compss_wait_on(total(values)) == 15


def test_s31_tasks_that_depend_on_the_result_and_other_arguments():
    assert compss_wait_on(inc(total([inc(n) for n in range(9)]))) == 46
    assert compss_wait_on(joined(list("abcdefgh"), "-")) == "a-b-c-d-e-f-g-h"
    assert compss_wait_on(joined(list("abcdefgh"), separator="+")) == "a+b+c+d+e+f+g+h"


@pytest.mark.parametrize("size", [2, 3, 4, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 16, 31])
def test_neighbours_are_reduced_in_order_whatever_the_sizes(count, size):
    letters = [chr(ord("A") + place) for place in range(count)]
    assert compss_wait_on(joined(letters, chunk_size=size)) == "".join(letters)


def test_the_tree_has_as_many_tasks_as_chunks(engine):
    if engine.parallel:
        assert tasks_called(lambda: total([1] * 8)) == 4 + 2 + 1
        assert tasks_called(lambda: total([1] * 5)) == 3 + 1 + 1
        assert tasks_called(lambda: total([1] * 8, chunk_size=4)) == 2 + 1


def test_a_call_may_switch_it_off_or_say_another_size(engine):
    assert compss_wait_on(total([1] * 9, is_reduce=False)) == 9
    assert compss_wait_on(total([1] * 9, chunk_size=0)) == 9
    if engine.parallel:
        assert tasks_called(lambda: total([1] * 9, is_reduce=False)) == 1


def test_the_size_may_be_an_environment_variable(engine, monkeypatch):
    monkeypatch.setenv("TASKFLOW_TEST_CHUNK", "2")
    found = compss_wait_on(by_variable([5, 6, 7]))
    assert found == ([2, [2, 5, 6], [1, 7]] if engine.parallel else [3, 5, 6, 7])
    monkeypatch.setenv("TASKFLOW_TEST_CHUNK", "many")
    if engine.parallel:
        with pytest.raises(ArgumentError, match=r"by_variable.*'\$TASKFLOW_TEST_CHUNK' \(which is 'many'\)"):
            by_variable([1])


def test_elements_that_tasks_have_written_are_reduced_as_they_are_then():
    cells = [[n] for n in range(5)]
    for place, cell in enumerate(cells):
        append(cell, 10 * place)
    assert compss_wait_on(concatenated(cells)) == [0, 0, 1, 10, 2, 20, 3, 30, 4, 40]


def test_a_future_of_a_whole_list_is_reduced_by_one_task():
    @task(returns=1)
    def numbers():
        return [1, 2, 3]

    assert compss_wait_on(total(numbers())) == 6


def test_it_belongs_to_the_group_it_is_called_in():
    with TaskGroup("reducing"):
        found = total([inc(n) for n in range(4)])
    assert compss_wait_on(found) == 10


@pytest.mark.engines("local")
def test_a_part_is_reduced_while_elements_of_another_are_being_made(engine, tmp_path):  # noqa: ARG001
    marker = str(tmp_path / "reduced")

    @task(returns=1)
    def made_after_the_first_part():
        wait_for_file(marker)
        return 3

    @reduction(chunk_size=2)
    @task(returns=1, values=COLLECTION_IN)
    def marking_total(values):
        touch(marker)
        return sum(values)

    assert compss_wait_on(marking_total([1, 2, made_after_the_first_part()])) == 6


@pytest.mark.engines("local")
def test_a_failure_in_one_part_is_the_failure_of_the_whole(engine):  # noqa: ARG001
    @reduction(chunk_size=2)
    @task(returns=1, values=COLLECTION_IN, on_failure="FAIL")
    def divide(values):
        return 1 / sum(values)

    with pytest.raises(ZeroDivisionError):
        compss_wait_on(divide([1, 1, 1, -1]))


@pytest.mark.engines("sequential")
class TestDecoration:
    @pytest.mark.parametrize("size", [1, -2, "x", 2.5, None])
    def test_a_wrong_size_is_told_where_it_is_written(self, engine, size):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="plain_total: chunk_size is a whole number"):
            reduction(chunk_size=size)(plain_total)

    def test_a_task_needs_exactly_one_collection(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="needs exactly one COLLECTION_IN parameter to reduce, not 0"):
            reduction(chunk_size=2)(inc)
        with pytest.raises(ArgumentError, match="not 2: a, b"):

            @reduction(chunk_size=2)
            @task(returns=1, a=COLLECTION_IN, b=COLLECTION_IN)
            def both(a, b):
                return a + b

    def test_a_plain_function_is_refused(self, engine):  # noqa: ARG002
        with pytest.raises(TypeError, match=r"needs @task .* directly below"):
            reduction(chunk_size=2)(sum)
