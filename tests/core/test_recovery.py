"""Executors that die, results that die with them, and disagreements about who has what."""

import pytest

from taskflow.core.graph import (
    ASSIGNED,
    DONE,
    FAILED,
    GONE,
    HELD,
    PENDING,
    READY,
    SEGMENT,
    VALUE,
    WAITING,
    Held,
)
from taskflow.core.lineage import MAX_GENERATION
from taskflow.model.parameters import Direction
from tests.core.world import LONG, SHORT, World

IN, OUT, INOUT = Direction.IN, Direction.OUT, Direction.INOUT


@pytest.fixture
def world():
    return World(executors=2)


def made(world, **options):
    """A task and its result, held by the executor that ran it."""
    maker, result = world.call(returns=1, name="make", **options)
    executor = maker.executor
    world.held(maker)
    return maker, result, executor


# ---------------------------------------------------------------- tasks of a dead executor


def test_tasks_of_a_dead_executor_go_to_others(world):
    task = world.call(mean_s=LONG)
    queued = [world.call(mean_s=LONG) for _ in range(2)]
    dead = task.executor
    world.lose(dead, running=task.id)
    (left,) = world.kernel.home.team
    while left.inflight:
        world.done(next(iter(left.inflight.values())))
    assert [known.state for known in (task, *queued)] == [DONE] * 3
    assert task.deaths == 1
    assert task.attempt == 2


def test_the_second_death_of_a_task_is_reported(world):
    task, result = world.call(mean_s=LONG, returns=1)
    world.lose(task.executor, running=task.id)
    world.join()
    world.lose(task.executor, running=task.id)
    assert result.current.state == FAILED
    assert str(result.current.value.error) == "died"


def test_a_task_that_was_only_queued_is_not_blamed(world):
    for _ in range(5):
        world.join()
    task = world.call(mean_s=LONG)
    for _ in range(4):
        world.lose(task.executor, running=0)
    world.done(task)
    assert task.deaths == 0


def test_all_executors_may_die_and_be_replaced(world):
    maker, result = world.call(mean_s=SHORT, returns=1)
    follower = world.call((result, IN))
    for executor in world.executors:
        world.lose(executor)
    assert (maker.state, follower.state) == (READY, WAITING)
    world.join()
    world.done(maker, 1)
    world.done(follower)
    assert world.kernel.unfinished == 0


# ---------------------------------------------------------------- results that were held


def test_a_lost_result_is_made_again_when_a_task_asks_for_it(world):
    maker, result, dead = made(world)
    world.lose(dead)
    assert maker.state == DONE
    reader = world.call((result, IN))
    assert maker.state == ASSIGNED
    world.held(maker)
    assert reader.executor is result.current.value.executor


def test_a_lost_result_is_made_again_when_the_main_program_asks_for_it(world):
    maker, result, dead = made(world)
    world.lose(dead)
    assert not world.kernel.need(result.current)
    assert result.current.state == PENDING
    world.held(maker)
    assert not world.kernel.need(result.current)
    world.publish(result.current.value.executor)
    assert world.kernel.need(result.current)
    assert result.current.state == SEGMENT


def test_nothing_is_made_again_that_nobody_asks_for(world):
    maker, _, dead = made(world)
    world.lose(dead)
    assert maker.state == DONE
    assert world.kernel.unfinished == 0


def test_a_chain_of_lost_results_is_made_again_from_its_last_safe_value(world):
    datum = world.datum("safe")
    chain = []
    for _ in range(3):
        task = world.call((datum, INOUT), mean_s=SHORT)
        consumed = task.reads[0]
        executor = task.executor
        world.held(task)
        if consumed.state == HELD:
            world.kernel.consumed(consumed)
        chain.append(task)
    world.lose(executor)
    reader = world.call((datum, IN))
    for task in chain:
        assert task.executor is not None
        world.held(task)
    world.done(reader)
    assert chain[0].reads[0].value == "safe"


def test_an_input_lost_while_its_reader_waits_for_another_is_made_again(world):
    other, late = world.call(mean_s=LONG, returns=1, name="late")
    maker, result, dead = made(world, mean_s=LONG)
    assert other.executor is not dead
    reader = world.call((result, IN), (late, IN))
    assert reader.state == WAITING
    world.lose(dead)
    world.done(other, 1)
    assert reader.state == WAITING
    assert maker.executor is not None
    world.held(maker)
    world.done(reader)
    assert world.kernel.unfinished == 0


def test_an_input_lost_while_it_was_being_published_is_made_again(world):
    maker, result, dead = made(world, mean_s=LONG)
    assert not world.kernel.need(result.current)
    assert dead.publish == [(maker.id, 0)]
    world.lose(dead)
    assert world.kernel.publishing == {}
    world.held(maker)
    assert not world.kernel.need(result.current)
    world.publish(maker.executor)
    assert world.kernel.need(result.current)


def test_a_published_result_survives_its_executor(world):
    _, result, dead = made(world)
    world.kernel.need(result.current)
    world.publish(dead)
    world.lose(dead)
    assert world.kernel.need(result.current)
    assert result.current.producer is None


def test_a_result_consumed_by_a_task_that_did_not_end_is_made_again(world):
    maker, result, dead = made(world, mean_s=SHORT)
    version = result.current
    consumer = world.call((result, INOUT), mean_s=SHORT)
    assert consumer.executor is dead
    world.kernel.consumed(version)
    world.lose(dead, running=consumer.id)
    assert maker.executor is not None
    world.held(maker)
    world.done(consumer, 1)
    assert result.current.value == 1


def test_a_failed_attempt_to_make_a_result_again_fails_those_who_ask_for_it(world):
    maker, result, dead = made(world)
    world.lose(dead)
    reader, after = world.call((result, IN), returns=1)
    world.fail(maker)
    if reader.state == ASSIGNED:
        world.kernel.skipped(reader.executor, reader.id, result.current.key)
    assert result.current.state == after.current.state == FAILED
    assert world.kernel.need(result.current)


def test_a_result_whose_input_cannot_be_made_again_fails_for_those_who_wait(world):
    first, one, dead = made(world, mean_s=SHORT)
    second, two = world.call((one, IN), mean_s=SHORT, returns=1)
    assert second.executor is dead
    world.held(second)
    world.lose(dead)
    assert not world.kernel.need(one.current)
    world.fail(first)
    assert one.current.state == FAILED
    assert world.kernel.need(two.current), "the main program would wait for ever"
    assert two.current.state == FAILED
    reader = world.call((two, IN))
    assert reader.state not in (WAITING, READY)
    assert world.kernel.unfinished == 0


def test_one_of_two_results_made_again_leaves_the_other_as_it_was(world):
    maker, one, two = world.call(returns=2, mean_s=SHORT)
    executor = maker.executor
    world.held(maker, count=2)
    world.kernel.consumed(one.current)
    reader = world.call((one, IN), name="read", mean_s=LONG)
    assert maker.state == ASSIGNED
    world.report(maker, (VALUE, "again"), (HELD, "not looked at"))
    assert one.current.value == "again"
    assert two.current.state == HELD
    world.done(reader)
    # The other result can be made again, too.
    world.lose(executor)
    world.call((two, IN))
    assert maker.state == ASSIGNED
    world.report(maker, (VALUE, "not looked at"), (VALUE, "other"))
    assert (one.current.value, two.current.value) == ("again", "other")


def test_a_reader_of_two_results_may_find_the_second_lost_when_the_first_comes_back(world):
    maker, one, two = world.call(returns=2, mean_s=LONG)
    dead = maker.executor
    world.held(maker, count=2)
    world.kernel.consumed(one.current)
    reader = world.call((one, IN), (two, IN), name="read", mean_s=LONG)
    assert reader.state == WAITING
    world.lose(dead)  # and with it the second result, for which the reader does not wait
    world.held(maker, count=2)
    world.held(maker, count=2)
    world.done(reader)
    assert world.kernel.unfinished == 0


def test_the_other_result_of_a_task_that_failed_when_it_ran_again_cannot_be_made_again(world):
    maker, one, two = world.call(returns=2, mean_s=SHORT)
    executor = maker.executor
    world.held(maker, count=2)
    world.kernel.consumed(one.current)
    world.kernel.need(one.current)
    world.fail(maker)
    assert one.current.state == FAILED
    assert two.current.state == HELD
    if executor.alive:
        world.lose(executor)
    assert world.kernel.need(two.current)
    assert two.current.state == FAILED


def test_a_dropped_result_and_all_it_stood_on_are_forgotten():
    world = World(executors=1)
    datum = world.datum()
    versions = []
    for _ in range(3):
        task = world.call((datum, INOUT), mean_s=SHORT)
        versions.append(task.reads[0])
        world.held(task)
    assert versions[0].readers == 0
    assert task.reads == [versions[2]]
    done = world.call((datum, INOUT))
    world.done(done, 1)
    assert done.reads == ()


@pytest.mark.parametrize("ahead", [True, False])
def test_the_results_that_stand_on_each_other_are_bounded(ahead):
    world = World(executors=1)
    datum = world.datum()
    world.function("f", mean_s=SHORT / 100).returns_held = True
    chain = []
    for _ in range(3 * MAX_GENERATION):
        task = world.call((datum, INOUT))
        chain.append(task)
        if not ahead:
            (world.done if task.durable else world.held)(task, 1)
    durable = [place + 1 for place, task in enumerate(chain) if task.durable]
    assert durable == [MAX_GENERATION, 2 * MAX_GENERATION, 3 * MAX_GENERATION]


# ---------------------------------------------------------------- disagreements


def test_an_executor_that_does_not_have_what_it_should_is_believed(world):
    maker, result, executor = made(world, mean_s=SHORT)
    reader = world.call((result, IN), mean_s=SHORT)
    assert reader.executor is executor
    world.kernel.skipped(executor, reader.id, result.current.key)
    world.settle(executor)
    assert maker.state == ASSIGNED
    world.held(maker)
    world.done(reader)
    assert world.kernel.unfinished == 0


def test_a_task_skipped_because_its_maker_failed_fails(world):
    maker, result = world.call(returns=1, mean_s=SHORT)
    follower, after = world.call((result, IN), returns=1)
    executor = maker.executor
    assert follower.executor is executor
    maker.failed_attempts = 3
    world.kernel.failed(executor, maker.id, ValueError("reason"))
    world.kernel.skipped(executor, follower.id, (maker.id, 0))
    world.settle(executor)
    assert after.current.state == FAILED
    assert world.kernel.cancelled == [(follower.id, maker.id)]


def test_what_cannot_be_published_is_made_again(world):
    maker, result, executor = made(world)
    world.kernel.need(result.current)
    world.take(executor)
    world.kernel.unpublishable(executor, (maker.id, 0))
    world.settle(executor)
    assert maker.state == ASSIGNED
    assert result.current.state == PENDING


def test_what_was_consumed_before_it_could_be_published_is_made_again(world):
    maker, result, executor = made(world)
    world.kernel.need(result.current)
    world.take(executor)
    world.kernel.consumed(result.current)
    assert result.current.state == GONE
    world.kernel.unpublishable(executor, (maker.id, 0))
    world.settle(executor)
    assert maker.state == ASSIGNED


def test_an_answer_about_what_is_now_held_elsewhere_is_stale(world):
    maker, result, first = made(world)
    world.kernel.need(result.current)
    world.lose(first)
    world.held(maker)
    second = result.current.value.executor
    world.kernel.need(result.current)
    world.kernel.unpublishable(first, (maker.id, 0))
    assert result.current.state == HELD
    assert world.publish(second) == [(maker.id, 0)]
    assert result.current.state == SEGMENT


def test_a_held_value_tells_its_executor_when_it_is_not_needed_any_more(world):
    executor = world.executors[0]
    value = Held(executor, (7, 0), 100)
    del value
    assert executor.drops == [(7, 0)]


# ---------------------------------------------------------------- groups


def test_the_base_of_a_commutative_group_is_made_again_for_its_members():
    world = World(executors=2)
    maker, result, dead = made(world, mean_s=LONG)
    busy = world.call(name="busy", mean_s=LONG)
    members = [world.call((result, Direction.COMMUTATIVE), name="add", mean_s=LONG) for _ in range(2)]
    world.lose(dead, running=0)
    world.join()
    for _ in range(20):
        for task in (maker, busy, *members):
            if task.executor is not None and task.state == ASSIGNED:
                if task is maker:
                    world.held(maker)
                else:
                    world.done(task, *["x" for _ in task.writes])
        for executor in world.kernel.home.team:
            world.publish(executor)
    assert world.kernel.unfinished == 0
    assert result.current.value == "x"


def test_a_commutative_member_that_dies_leaves_its_place_to_be_taken_again():
    world = World(executors=2)
    datum = world.datum("start")
    first = world.call((datum, Direction.COMMUTATIVE), mean_s=LONG)
    second = world.call((datum, Direction.COMMUTATIVE))
    world.lose(first.executor, running=first.id)
    for _ in range(2):
        running = [task for task in (first, second) if task.state == ASSIGNED]
        assert len(running) == 1
        world.done(running[0], running[0].id)
    assert world.kernel.unfinished == 0
