"""Who gets which task, and when."""

from taskflow.core.graph import ASSIGNED, READY, WAITING
from taskflow.core.master import is_movable
from taskflow.core.placement import AHEAD_S
from taskflow.model.parameters import Direction
from tests.core.world import LONG, SHORT, World

IN, INOUT = Direction.IN, Direction.INOUT


def test_long_tasks_are_queued_nowhere_but_where_they_run():
    world = World(executors=2)
    tasks = [world.call(mean_s=LONG) for _ in range(4)]
    assert [len(executor.inflight) for executor in world.executors] == [1, 1]
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED, READY, READY]
    world.done(tasks[0])
    assert tasks[2].state == ASSIGNED


def test_short_tasks_are_fed_ahead_up_to_a_time():
    world = World(executors=1)
    for _ in range(1000):
        world.call(mean_s=SHORT)
    (executor,) = world.executors
    assert abs(executor.load - AHEAD_S) <= SHORT
    assert len(world.kernel.home.ready) == 1000 - len(executor.inflight)


def test_of_an_unknown_function_one_task_is_queued_behind_another():
    world = World(executors=1)
    for _ in range(5):
        world.call()
    assert len(world.executors[0].inflight) == 2


def test_tasks_wait_for_the_first_executor_to_join():
    world = World()
    tasks = [world.call(), world.call(priority=True)]
    executor = world.join()
    assert world.take(executor) == [tasks[1].id, tasks[0].id]


def test_priority_tasks_go_first():
    world = World(executors=1)
    first = world.call(mean_s=LONG)
    world.call(name="plain", mean_s=LONG)
    urgent = world.call(name="urgent", mean_s=LONG, priority=True)
    world.done(first)
    assert urgent.state == ASSIGNED


def test_a_task_follows_its_only_maker_before_that_has_ended():
    world = World(executors=2)
    maker, result = world.call(mean_s=SHORT, returns=1)
    follower = world.call((result, IN))
    assert follower.executor is maker.executor
    assert world.take(maker.executor) == [maker.id, follower.id]
    assert follower.missing == 1
    world.done(maker, 1)
    assert follower.missing == 0
    world.done(follower)


def test_a_whole_chain_is_sent_to_one_executor():
    world = World(executors=2)
    datum = world.datum()
    chain = [world.call((datum, INOUT), mean_s=SHORT) for _ in range(10)]
    assert {task.executor for task in chain} == {chain[0].executor}


def test_a_task_does_not_follow_two_makers_on_different_executors():
    world = World(executors=2)
    _, one = world.call(mean_s=LONG, returns=1)
    _, two = world.call(returns=1)
    assert world.call((one, IN), (two, IN)).state == WAITING


def test_a_task_does_not_follow_where_its_maker_is_long():
    world = World(executors=2)
    maker, result = world.call(mean_s=LONG, returns=1)
    follower = world.call((result, IN))
    assert follower.state == WAITING
    world.done(maker, 1)
    assert follower.state == ASSIGNED


def test_a_task_goes_where_most_of_its_input_is_held():
    world = World(executors=2)
    small, a = world.call(mean_s=LONG, returns=1)
    large, b = world.call(returns=1)
    home = large.executor
    assert small.executor is not home
    world.held(small, nbytes=1000)
    world.held(large, nbytes=5000)
    task = world.call((a, IN), (b, IN), name="join")
    assert task.state == WAITING  # the smaller one has to be published first
    assert world.publish(world.executors[0]) == [(small.id, 0)]
    assert task.executor is home


def test_an_idle_executor_takes_over_what_waits_for_the_holder_of_its_data():
    world = World(executors=2)
    maker, result = world.call(mean_s=LONG, returns=1)
    home = maker.executor
    world.held(maker)
    readers = [world.call((result, IN), name="read", mean_s=LONG) for _ in range(2)]
    assert readers[0].executor is home
    assert readers[1].state == WAITING  # its input is being published for the other executor
    world.publish(home)
    assert readers[1].executor not in (None, home)


def queued(world, count):
    """So many short tasks, all sent to the one executor there is."""
    tasks = [world.call(mean_s=SHORT * 10) for _ in range(count)]
    assert world.take(world.executors[0]) == [task.id for task in tasks]
    return tasks


def test_an_idle_executor_has_tasks_recalled_from_a_busy_one():
    world = World(executors=1)
    busy = world.executors[0]
    tasks = queued(world, 4)
    idle = world.join()
    assert world.kernel.recalls == [(busy, 2)]
    world.kernel.given_back(busy, [tasks[3].id, tasks[2].id])
    world.kernel.settled(busy)
    world.kernel.settled(idle)
    assert {task.executor for task in tasks[:2]} == {busy}
    assert idle in {task.executor for task in tasks[2:]}
    assert not busy.recalling


def test_an_executor_is_asked_once_at_a_time():
    world = World(executors=1)
    busy = world.executors[0]
    queued(world, 4)
    world.join()
    world.join()
    world.kernel.stalled(busy)
    assert world.kernel.recalls == [(busy, 2)]
    world.kernel.given_back(busy, [])
    world.kernel.stalled(busy)
    assert world.kernel.recalls == [(busy, 2), (busy, 2)]


def test_tasks_that_were_not_sent_are_taken_back_without_asking():
    world = World(executors=1)
    busy = world.executors[0]
    tasks = [world.call(mean_s=SHORT * 10) for _ in range(4)]
    idle = world.join()
    assert world.kernel.recalls == []
    assert idle.inflight
    world.kernel.home.spread()
    sent = world.take(busy) + world.take(idle)
    assert sorted(sent) == [task.id for task in tasks]


def test_a_task_ended_before_the_recall_came_is_not_given_back():
    world = World(executors=1)
    busy = world.executors[0]
    tasks = queued(world, 4)
    world.join()
    for task in tasks:
        world.kernel.completed_plain(busy, {task.id: None})
    world.kernel.given_back(busy, [])
    world.settle(busy)
    assert world.kernel.unfinished == 0


def test_a_task_given_back_without_its_maker_waits_for_it():
    world = World(executors=1)
    busy = world.executors[0]
    maker, result = world.call(mean_s=SHORT, returns=1)
    follower = world.call((result, IN))
    world.take(busy)
    world.kernel.given_back(busy, [follower.id])
    assert follower.state == WAITING or follower.executor is busy
    world.settle(busy)
    world.done(maker, 1)
    world.done(follower)
    assert world.kernel.unfinished == 0


def test_a_stalled_executor_keeps_its_tasks_while_nobody_is_idle():
    world = World(executors=1)
    queued(world, 4)
    world.kernel.stalled(world.executors[0])
    assert world.kernel.recalls == [(world.executors[0], 0)]  # only its results are asked for


# ---------------------------------------------------------------- who may consume its input in place


def held(world):
    maker, result = world.call(mean_s=SHORT, returns=1, name="make")
    world.held(maker)
    return result


def test_the_last_reader_of_a_value_that_nobody_can_name_consumes_it():
    world = World(executors=1)
    result = held(world)
    version = result.current
    world.call((result, INOUT))
    assert is_movable(version)


def test_a_value_that_can_still_be_named_is_not_consumed():
    world = World(executors=1)
    result = held(world)
    world.call((result, IN))
    assert not is_movable(result.current)


def test_a_value_with_another_reader_is_not_consumed():
    world = World(executors=1)
    result = held(world)
    version = result.current
    reader = world.call((result, IN), mean_s=LONG)
    world.call((result, INOUT))
    assert not is_movable(version)
    world.done(reader)
    assert is_movable(version)


def test_a_task_given_a_value_twice_does_not_consume_it():
    world = World(executors=1)
    result = held(world)
    version = result.current
    world.call((result, IN), (result, INOUT))
    assert not is_movable(version)


def test_the_base_of_a_group_is_kept_for_members_that_join_later():
    for direction in (Direction.CONCURRENT, Direction.COMMUTATIVE):
        world = World(executors=1)
        result = held(world)
        base = result.current
        world.call((result, direction))
        assert not is_movable(base)


def test_an_executor_learns_that_the_program_has_dropped_what_one_task_still_reads():
    world = World(executors=1)
    result = held(world)
    world.call((result, IN), mean_s=LONG)
    world.kernel.released(result.current)
    (executor,) = world.executors
    assert executor.movable == [result.current.key]
    assert executor.id in world.kernel.dirty
