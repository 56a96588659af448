"""What an executor reports, and entering it: in the right order, once."""

import pickle

import numpy as np
import pytest

from taskflow.core.graph import GONE, HELD, SEGMENT, VALUE, Datum, Task, Version
from taskflow.data.serialization import encode
from taskflow.data.store import Store
from taskflow.drivers.engine import Engine, Link
from taskflow.model.functions import FunctionRecord
from taskflow.model.parameters import Direction
from taskflow.node.interpreter import Interpreter
from taskflow.wire.messages import N_LOCAL
from tests.core import invariants


class NoJournal:
    def write(self, record):
        pass

    write_raw = write

    def submitted(self, *_):
        pass


def array():
    return np.arange(100)


def total(a, b):
    return int(a.sum() + b)


def bump(a):
    a += 1


FUNCTIONS = [(1, "array", ("ref", __name__, "array"), 1), (2, "total", ("ref", __name__, "total"), 1),
             (3, "bump", ("ref", __name__, "bump"), 0)]  # fmt: skip


@pytest.fixture
def interpreter(tmp_path):
    (tmp_path / "segments").mkdir()
    made = Interpreter(Store(tmp_path / "segments", "x0"), str(tmp_path), inline_limit=100)
    for number, name, _, returns in FUNCTIONS:
        made.names[number] = name
        made.returns[number] = returns
        made.functions[number] = globals()[name]
    return made


def report(interpreter):
    return pickle.loads(pickle.dumps(interpreter.next_report()))


PLAIN, RICH, SKIPPED, PUBLISHED, GONE_KEYS, CONSUMED = 1, 2, 4, 5, 6, 7


def test_a_task_that_misses_an_input_says_which_and_what_it_has_used_up(interpreter):
    interpreter.run_plain(1, 1, ())
    inputs = ((0, (N_LOCAL, (1, 0), True, False)), (1, (N_LOCAL, (9, 0), False, False)))
    interpreter.run(2, 2, (None, None), None, inputs, 1, False)
    message = report(interpreter)
    assert message[RICH] == {1: [(HELD, 800)]}
    assert message[SKIPPED] == [(2, (9, 0))]
    assert message[CONSUMED] == [(1, 0)]


def test_a_snapshot_tells_only_what_may_be_told_twice(interpreter):
    interpreter.run_plain(1, 1, ())
    interpreter.run(2, 2, (None, 1), None, ((0, (N_LOCAL, (1, 0), True, False)),), 1, False)
    interpreter.run(3, 2, (None, 1), None, ((0, (N_LOCAL, (1, 0), True, False)),), 1, False)
    interpreter.publish([(1, 0)])
    snapshot = interpreter.report.snapshot()
    assert snapshot[PLAIN] == {2: 4951}
    assert snapshot[RICH] == {1: [(HELD, 800)]}
    assert not any(snapshot[part] for part in (0, SKIPPED, PUBLISHED, GONE_KEYS, CONSUMED))
    assert report(interpreter)[SKIPPED] == [(3, (1, 0))]


def test_a_value_that_others_read_too_is_published_and_not_changed(interpreter):
    interpreter.run_plain(1, 1, ())
    interpreter.run(2, 3, (None,), None, ((0, (N_LOCAL, (1, 0), False, True)),), 0, False)
    interpreter.run(3, 2, (None, 0), None, ((0, (N_LOCAL, (1, 0), False, False)),), 1, False)
    message = report(interpreter)
    assert message[PLAIN] == {3: 4950}
    assert list(message[PUBLISHED]) == [(1, 0)]


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "segments").mkdir(exist_ok=True)
    made = Engine(str(tmp_path), str(tmp_path / "segments"), NoJournal())
    for number, name, definition, returns in FUNCTIONS:
        made.functions[number] = FunctionRecord(number, name, "m", "f", 1, returns, definition)
    made.link = Link(made.kernel.executor_joined(0))
    return made


def send(engine):
    """The executor gets what there is for it."""
    invariants.check(engine.kernel)
    engine.link.executor.outbox.clear()


def call(engine, number, function, *accesses, returns=1):
    task = Task(number, engine.functions[function], ())
    task.returns = returns
    task.writes = [Version.output(number, 1, task, index) for index in range(returns)]
    results = [Datum(version) for version in task.writes]
    engine.kernel.submit(task, accesses)
    engine.kernel.home.spread()
    send(engine)
    return (task, *results)


def enter(engine, report):
    engine.enter(engine.link, report)
    engine.kernel.settled(engine.link.executor)
    send(engine)


def message(number, **parts):
    empty = {
        "plain": {},
        "rich": {},
        "failed": [],
        "skipped": [],
        "published": {},
        "gone": [],
        "consumed": [],
    }
    return (number, *{**empty, **parts}.values(), {}, b"", [])


def test_a_result_made_and_consumed_within_one_report_is_known_to_be_gone(engine):
    maker, result = call(engine, 1, 1)
    version = result.current
    call(engine, 2, 3, (result, Direction.INOUT), returns=0)
    enter(engine, message(1, rich={1: [(HELD, 800)]}, consumed=[(1, 0)]))
    assert version.state == GONE
    assert version.producer is maker


def test_a_result_made_and_published_within_one_report_is_safe(engine):
    _, result = call(engine, 1, 1)
    descriptor = engine.store.write(encode([1], "x"))
    enter(engine, message(1, rich={1: [(HELD, 800)]}, published={(1, 0): descriptor}))
    assert result.current.state == SEGMENT
    assert result.current.producer is None


def test_a_report_that_arrives_twice_is_entered_once(engine):
    task, _ = call(engine, 1, 1)
    skip = message(1, skipped=[(1, (7, 0))])
    enter(engine, skip)
    assert task.executor is not None  # handed out again
    engine.enter(engine.link, skip)
    engine.kernel.settled(engine.link.executor)
    assert engine.link.executor.outbox == []  # and not a third time


def test_a_report_of_a_dead_executor_changes_nothing(engine):
    task, result = call(engine, 1, 1)
    engine.kernel.executor_lost(engine.link.executor, 0, RuntimeError("died"))
    engine.kernel.executor_joined(1)
    late = message(1, plain={1: "late"}, rich={1: [(VALUE, "late")]}, consumed=[(1, 0)], gone=[(1, 0)])
    enter(engine, late)
    assert not result.current.state
    assert task.executor.id == 1


def test_a_result_made_again_by_the_way_is_dropped_only_if_nobody_relies_on_it(engine):
    """Both results of a task are held; one is lost, and making it again makes the other a second time."""
    task, one, two = call(engine, 1, 1, returns=2)
    executor = engine.link.executor
    enter(engine, message(1, rich={1: [(HELD, 800), (HELD, 800)]}))
    engine.kernel.consumed(one.current)
    engine.kernel.need(one.current)
    send(engine)
    executor.drops.clear()
    assert task.executor is executor
    enter(engine, message(2, rich={1: [(HELD, 800), (HELD, 800)]}))
    assert one.current.state == two.current.state == HELD
    assert executor.drops == []
