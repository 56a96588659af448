"""Held arrays are lent to the tasks that only read them; a task that does more with one sees no difference."""

import ctypes
import sys
import types

import numpy as np
import pytest

from taskflow.core.graph import HELD, SEGMENT, VALUE
from taskflow.data.store import Store
from taskflow.model.errors import CancelError
from taskflow.node import interpreter as module
from taskflow.node import loans
from taskflow.node.check import CheckedInterpreter
from taskflow.node.interpreter import Interpreter
from taskflow.wire.messages import N_BLOB, N_LIST, N_LOCAL, N_PATH, N_VALUE, P_OUT
from tests.data.test_watching import available
from tests.node.test_interpreter import blob, run, value_of

SIZE = 10_000

pytestmark = pytest.mark.skipif(not available(), reason="no asynchronous userfaultfd: Linux before 6.7, or a container")


@pytest.fixture
def executor(tmp_path, monkeypatch):
    """An interpreter that holds an array, and lends it whatever its size."""
    return holding(Interpreter, tmp_path, monkeypatch)


def holding(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(loans, "SMALLEST", 0)
    for name in loans.HEEDLESS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    folder = tmp_path / "run" / "shared"
    folder.mkdir(parents=True)
    executor = kind(Store(folder, "x0"), str(tmp_path / "run" / "scratch" / "x0"), inline_limit=1000)
    assert run(executor, lambda: np.arange(float(SIZE)))[0][0] == HELD
    return executor


HERE = (0, (N_LOCAL, (1, 0), False, False))
TOTAL = float(np.arange(float(SIZE)).sum())


def call(executor, function, *params, task_id=2, function_id=None, returns=1):
    """Run a task; its outputs. ``function_id``: that of an earlier task with the same function."""
    if function_id is None:
        return run(executor, function, *(params or [HERE]), task_id=task_id, returns=returns)
    executor.run(task_id, function_id, (None,), None, params or (HERE,), returns, False)
    return executor.report.rich.get(task_id) or [(VALUE, executor.report.plain[task_id])]


def address(array):
    return array.__array_interface__["data"][0]


def held_as_made(executor):
    array = executor.held[1, 0]
    return array.flags.writeable and array.sum() == TOTAL


def place(a):
    return a.__array_interface__["data"][0]


def spoil(a):
    a += 1
    return float(a.sum())


# ---------------------------------------------------------------------- readers


def test_readers_in_a_row_get_the_array_itself(executor):
    here = address(executor.held[1, 0])
    for task_id in (2, 3, 4):
        assert call(executor, place, task_id=task_id) == [(VALUE, here)]
    assert not executor.report.published
    assert held_as_made(executor)


def test_array_that_was_lent_is_still_updated_in_place(executor):
    here = address(executor.held[1, 0])
    call(executor, lambda a: float(a.sum()))
    call(executor, spoil, (0, (N_LOCAL, (1, 0), True, True)), task_id=3)
    assert address(executor.held[3, 1]) == here
    assert executor.report.consumed == [(1, 0)]


def test_one_array_for_several_parameters(executor):
    def together(a, b, c):
        return float(a.sum() + b.sum() + c[0].sum())

    hidden = (2, (N_LIST, [HERE[1]]))
    assert call(executor, together, HERE, (1, HERE[1]), hidden) == [(VALUE, 3 * TOTAL)]
    assert held_as_made(executor)


def test_array_made_by_another_view_is_lent_and_not_writable_by_its_base(executor):
    run(executor, lambda: np.arange(float(SIZE)).reshape(100, 100)[:50], task_id=2)
    assert (2, 0) in executor.held

    def switch(a):
        try:
            a.flags.writeable = True
        except ValueError:
            return place(a)
        return 0

    here = address(executor.held[2, 0])
    assert call(executor, switch, (0, (N_LOCAL, (2, 0), False, False)), task_id=3) == [(VALUE, here)]


# ---------------------------------------------------------------------- writers


def by_element(a):
    a[5] = -1


def by_output(a):
    np.add(a, 1, out=a)


def by_method(a):
    a[::-1].sort()


def by_part(a):
    a.reshape(100, 100)[3:5] += 1


def by_buffer(a):
    memoryview(a)[3] = 7.0


def by_file(a):
    with open("/dev/zero", "rb", buffering=0) as file:
        file.readinto(a)


def by_product(a):
    square = a.reshape(100, 100)
    np.dot(square.copy(), square.copy(), out=square)


def by_pointer(a):
    (ctypes.c_double * 3).from_buffer(a)[0] = 5.0


def by_flag(a):
    a.flags.writeable = True
    a[3] = -1


@pytest.mark.parametrize(
    "write", [by_element, by_output, by_method, by_part, by_buffer, by_file, by_product, by_pointer, by_flag]
)
def test_task_that_writes_to_its_input_does_so_in_a_copy(executor, write):
    def body(a):
        write(a)
        return float(a.sum())

    expected = np.arange(float(SIZE))
    write(expected)
    assert call(executor, body) == [(VALUE, expected.sum())]
    assert held_as_made(executor)
    assert not executor.report.failed


def test_function_that_has_written_once_is_given_copies_from_then_on(executor):
    tries = []
    executor.define([(9, "f", ("value", blob(0)), 1, 0.0)])

    def body(a):
        tries.append(a.flags.writeable)
        a += 1
        return float(a.sum())

    executor.functions[9] = body
    for task_id in (2, 3):
        assert call(executor, None, task_id=task_id, function_id=9) == [(VALUE, TOTAL + SIZE)]
    assert tries == [False, True, True]


def test_what_the_first_try_printed_is_printed_once(executor):
    executor.report.output.append((1, "before"))

    def body(a):
        executor.report.output.append((1, "hello"))
        a += 1

    executor.define([(9, "f", ("value", blob(0)), 1, 0.0)])
    executor.functions[9] = body
    call(executor, None, function_id=9, returns=0)
    assert executor.report.output == [(1, "before"), (1, "hello")]


def test_refusal_that_led_to_another_error(executor):
    def body(a):
        try:
            a[0] = 1
        except ValueError as error:
            raise RuntimeError("step 3") from error
        return float(a[0])

    assert call(executor, body) == [(VALUE, 1.0)]


def test_error_of_the_task_itself_is_reported(executor):
    def body(a):
        raise ValueError(f"no {a[3]}")

    with pytest.raises(ValueError, match=r"^no 3.0$"):
        call(executor, body)
    assert held_as_made(executor)
    assert [task for task, _ in executor.report.failed] == [2]


def test_interrupted_body_is_not_run_again():
    error = CancelError("")
    error.__context__ = ValueError("read-only")
    assert loans.may_be_for_want_of_a_copy(error) is False


def test_error_that_no_flag_can_cause_is_reported_at_once(executor):
    tries = []

    def body(a):
        tries.append(a)
        raise KeyError(a.size)

    executor.define([(9, "f", ("value", blob(0)), 1, 0.0)])
    executor.functions[9] = body
    executor.run(2, 9, (None,), None, (HERE,), 1, False)
    assert len(tries) == 1
    assert [task for task, _ in executor.report.failed] == [2]


def test_other_arguments_are_as_they_were_when_a_body_runs_again(executor):
    def body(a, items):
        items.append(1)
        a += 1

    [output] = call(executor, body, HERE, (1, (N_BLOB, blob([0]), (), True)), returns=0)
    assert value_of(output) == [0, 1]


def test_native_code_that_ignores_the_flag_does_not_change_what_others_read(executor, capfd):
    def body(a):
        ctypes.memset(a.ctypes.data, 0, a.nbytes)
        return float(a.sum())

    assert call(executor, body) == [(VALUE, 0.0)]
    assert (1, 0) not in executor.held
    assert "wrote to an array that it was given to read" in capfd.readouterr().err
    executor.run(3, 2, (None,), None, (HERE,), 1, False)
    assert executor.report.skipped == [(3, (1, 0))]  # the master has it made again


# ---------------------------------------------------------------------- what outlives the task


def test_task_that_keeps_its_input_keeps_a_copy(executor):
    kept = []
    executor.define([(9, "f", ("value", blob(0)), 1, 0.0)])
    executor.functions[9] = kept.append
    call(executor, None, function_id=9, returns=0)
    kept[0] += 1
    assert held_as_made(executor)
    call(executor, None, function_id=9, task_id=3, returns=0)
    assert not np.shares_memory(kept[0], kept[1])
    kept[1] += 1
    assert held_as_made(executor)


def test_part_that_is_kept_is_not_changed_by_later_updates(executor):
    kept = []

    def body(a):
        kept.append(a[3:6])

    executor.define([(9, "f", ("value", blob(0)), 1, 0.0)])
    executor.functions[9] = body
    call(executor, None, function_id=9, returns=0)
    call(executor, spoil, (0, (N_LOCAL, (1, 0), True, True)), task_id=3)
    assert kept[0].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda a: a, lambda result: result),
        (lambda a: a[10:], lambda result: result),
        (lambda a: [a[10:], a.reshape(100, 100).T], lambda result: result[1]),
        (lambda a: {"k": (a,)}, lambda result: result["k"][0]),
    ],
)
def test_results_that_are_parts_of_an_input_can_be_written(executor, make, part):
    [(state, output)] = call(executor, make)
    assert state == SEGMENT
    array = part(executor.store.read(output))
    array += 1
    assert held_as_made(executor)


def test_object_that_is_given_an_input_can_write_it_afterwards(executor):
    def body(a, box):
        box.append(a)

    [(_, output)] = call(executor, body, HERE, (1, (N_BLOB, blob([]), (), True)), returns=0)
    [array] = executor.store.read(output)
    array += 1
    assert held_as_made(executor)


def test_user_s_own_read_only_array_stays_read_only(executor):
    def body(a):
        result = a + 1
        result.flags.writeable = False
        return [result, 1]

    [(_, output)] = call(executor, body)
    assert not executor.store.read(output)[0].flags.writeable


# ---------------------------------------------------------------------- when nothing is lent


def copied(executor, *params, function_id=None):
    here = address(executor.held[1, 0])
    outputs = call(executor, lambda a, *_: place(a), *params, function_id=function_id)
    return outputs[0][1] != here and outputs[0][0] == VALUE


def test_array_beside_one_that_is_updated_in_place_is_copied(executor):
    run(executor, lambda: np.zeros(SIZE), task_id=5)
    before = address(executor.held[5, 0])
    assert copied(executor, HERE, (1, (N_LOCAL, (5, 0), True, True)))
    assert address(executor.held[2, 1]) == before


def test_array_beside_one_that_was_used_up_is_copied(executor):
    run(executor, lambda: np.zeros(SIZE), task_id=5)
    executor.movable.add((5, 0))

    def body(a, b):
        a += 1
        b += 1
        return float(a[0] + b[0])

    assert call(executor, body, (0, (N_LOCAL, (5, 0), False, False)), (1, HERE[1])) == [(VALUE, 2.0)]
    assert executor.report.consumed == [(5, 0)]
    assert held_as_made(executor)


def test_array_that_might_be_used_up_beside_one_that_is_lent_is_not(executor, monkeypatch):
    monkeypatch.setattr(module, "_WORTH_WAITING", 0)
    run(executor, lambda: np.zeros(SIZE), task_id=5)
    news = iter([[], [(5, 0)]])
    executor.await_news = lambda _: executor.movable.update(next(news, []))

    def body(a, b):
        b += 1
        a += 1
        return float(a[0] + b[0])

    assert call(executor, body, HERE, (1, (N_LOCAL, (5, 0), False, False))) == [(VALUE, 2.0)]
    assert held_as_made(executor)
    assert not executor.report.skipped


def test_array_for_a_task_that_writes_a_file_is_copied(executor, tmp_path):
    target = tmp_path / "target"
    target.write_text("")
    assert copied(executor, HERE, (1, (N_PATH, P_OUT, None, str(target), False, True)))


def test_array_for_a_task_that_calls_tasks_is_copied(executor):
    executor.define([(7, "nested", ("through", "builtins", "max", ("value", blob(0)), (0,)), 1, 0.0)])
    executor.functions[7] = place
    assert copied(executor, HERE, function_id=7)


def test_array_is_copied_where_heedless_libraries_are_loaded(executor, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    assert copied(executor, HERE)


def test_small_array_is_copied(executor, monkeypatch):
    monkeypatch.setattr(loans, "SMALLEST", SIZE * 8 + 1)
    assert copied(executor, HERE)


def test_array_is_copied_where_memory_cannot_be_watched(executor, monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(loans, "WriteWatch", refuse)
    assert copied(executor, HERE, (1, (N_VALUE, 1, False)))


def test_array_that_is_written_is_copied(executor):
    [(state, _)] = call(executor, spoil, (0, (N_LOCAL, (1, 0), False, True)), returns=0)
    assert state == HELD
    assert held_as_made(executor)


def test_checked_run_sees_writes(tmp_path, monkeypatch):
    executor = holding(CheckedInterpreter, tmp_path, monkeypatch)
    assert call(executor, spoil) == [(VALUE, TOTAL + SIZE)]
    executor.tidy()
    assert any(b'"changed"' in line for line in executor.journal_lines)
