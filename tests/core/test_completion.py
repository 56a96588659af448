"""Reports: what they finish, and those that must have no effect."""

from taskflow.core.graph import DONE, FAILED, FAILED_TASK, HELD, VALUE, WAITING, Group, Watch
from taskflow.model.parameters import Direction
from tests.core.world import LONG, World

IN, OUT, INOUT = Direction.IN, Direction.OUT, Direction.INOUT
CONCURRENT, COMMUTATIVE = Direction.CONCURRENT, Direction.COMMUTATIVE


def test_a_finished_task_leaves_nothing_behind():
    world = World(executors=1)
    task, result = world.call((world.datum(), IN), returns=1)
    executor = task.executor
    world.done(task, 5)
    assert (result.current.state, result.current.value, result.current.producer) == (VALUE, 5, None)
    assert (task.state, task.reads, task.writes) == (DONE, (), ())
    assert (executor.inflight, executor.load, world.kernel.unfinished) == ({}, 0.0, 0)


def test_plain_results_come_in_batches():
    world = World(executors=1)
    calls = [world.call(mean_s=0.0001, returns=1) for _ in range(5)]
    reader = world.call(*[(result, IN) for _, result in calls], name="sum")
    (executor,) = world.executors
    world.kernel.completed_plain(executor, {task.id: task.id * 10 for task, _ in calls})
    world.settle(executor)
    assert [version.value for version in reader.reads] == [10, 20, 30, 40, 50]
    assert reader.executor is executor


def test_a_report_entered_twice_counts_once():
    world = World(executors=1)
    task, result = world.call(returns=1)
    executor = task.executor
    world.done(task, 1)
    world.kernel.completed(executor, task.id, [(VALUE, 2)])
    world.kernel.completed_plain(executor, {task.id: 3})
    assert not world.kernel.failed(executor, task.id, ValueError())
    world.settle(executor)
    assert result.current.value == 1
    assert (world.kernel.unfinished, world.kernel.failed_count) == (0, 0)


def test_a_report_of_an_executor_that_does_not_have_the_task_any_more_is_dropped():
    world = World(executors=2)
    task, result = world.call(returns=1, mean_s=LONG)
    dead = task.executor
    world.lose(dead, running=task.id)
    world.kernel.completed_plain(dead, {task.id: "late"})
    world.kernel.completed(dead, task.id, [(VALUE, "late")])
    world.kernel.skipped(dead, task.id, (1, 0))
    world.kernel.given_back(dead, [task.id])
    world.kernel.settled(dead)
    assert task.executor is not dead
    assert not result.current.state
    world.done(task, "good")
    assert result.current.value == "good"


def test_groups_count_their_unfinished_tasks():
    world = World(executors=1)
    outer, inner = Group("outer"), Group("inner")
    first = world.call(groups=(outer,))
    second = world.call(groups=(outer, inner))
    assert (len(outer.members), len(inner.members)) == (2, 1)
    world.done(first)
    assert (len(outer.members), len(inner.members)) == (1, 1)
    world.fail(second)
    assert (len(outer.members), len(inner.members)) == (0, 0)
    assert [failure.task_id for failure in inner.failures] == [second.id]
    assert world.kernel.unseen_failure(inner) is world.kernel.unseen_failure()


def test_a_failure_reaches_everything_that_needs_the_result_and_nothing_else():
    world = World(executors=1)
    datum, other = world.datum(), world.datum()
    first = world.call((datum, INOUT))
    reader, result = world.call((datum, IN), returns=1)
    last = world.call((result, IN), (other, INOUT))
    rescued = world.call((datum, OUT))
    independent = world.call((world.datum(), INOUT))
    world.fail(first, ValueError("reason"))
    # Tasks that were sent ahead are skipped by the executor.
    for task in (reader, last):
        if task.executor is not None:
            world.kernel.skipped(task.executor, task.id, (first.id, 0))
            world.settle(world.executors[0])
    assert [task.state for task in (first, reader, last)] == [FAILED_TASK] * 3
    assert result.current.state == other.current.state == FAILED
    assert str(result.current.value.error) == "reason"
    assert world.kernel.cancelled == [(reader.id, first.id), (last.id, first.id)]
    assert world.kernel.failed_count == 1
    assert world.kernel.unfinished == 2
    world.done(rescued, 1)
    world.done(independent, 1)
    assert datum.current.value == 1


def test_a_task_submitted_after_its_input_failed_fails_at_once():
    world = World(executors=1)
    task, result = world.call(returns=1)
    world.fail(task)
    late, after = world.call((world.call(returns=1)[1], IN), (result, IN), returns=1)
    assert late.state == FAILED_TASK
    assert after.current.state == FAILED


def test_a_failed_member_fails_the_group_once_all_have_ended():
    for direction in (CONCURRENT, COMMUTATIVE):
        world = World(executors=2)
        datum = world.datum()
        bad = world.call((datum, direction), mean_s=LONG)
        good = world.call((datum, direction))
        reader = world.call((datum, IN))
        world.fail(bad)
        assert reader.state == WAITING
        assert not datum.current.state
        world.done(good, 1)
        assert reader.state == FAILED_TASK
        assert datum.current.value.task_id == bad.id


def test_a_failing_commutative_member_lets_the_next_one_run():
    world = World(executors=1)
    datum = world.datum("start")
    bad, good = world.call((datum, COMMUTATIVE), mean_s=LONG), world.call((datum, COMMUTATIVE))
    world.fail(bad)
    assert good.reads[0].value == "start"
    assert good.executor is not None


def test_a_member_whose_other_input_fails_gives_up_its_place():
    world = World(executors=2)
    datum = world.datum()
    source, late = world.call(returns=1, name="source", mean_s=LONG)
    doomed = world.call((datum, COMMUTATIVE), (late, IN))
    good = world.call((datum, COMMUTATIVE))
    world.fail(source)
    assert doomed.state == FAILED_TASK
    world.done(good, 1)
    assert datum.current.state == FAILED


def test_each_failure_is_told_once():
    world = World(executors=1)
    world.fail(world.call())
    failure = world.kernel.unseen_failure()
    failure.seen = True
    assert world.kernel.unseen_failure() is None


def test_failures_are_told_in_the_order_of_the_calls():
    world = World(executors=4)
    group = Group("group")
    tasks = [world.call(groups=(group,)) for _ in range(4)]
    for task in (tasks[2], tasks[0], tasks[3], tasks[1]):
        world.fail(task)
    for task in tasks:
        failure = world.kernel.unseen_failure()
        assert failure is world.kernel.unseen_failure(group)
        assert failure.task_id == task.id
        failure.seen = True
    assert world.kernel.unseen_failure() is world.kernel.unseen_failure(group) is None
    assert world.kernel.failures == group.failures == []


def test_a_watch_is_noticed_when_its_version_is_made_or_failed():
    world = World(executors=1)
    for finish in (lambda task: world.done(task, 1), world.fail):
        task, result = world.call(returns=1)
        watch = Watch(print)
        assert world.kernel.watch(result.current, watch)
        assert world.kernel.notices == []
        finish(task)
        assert world.kernel.notices == [watch]
        assert not world.kernel.watch(result.current, Watch(print))
        world.kernel.notices = []


def test_files_that_a_task_was_to_delete_are_unlinked_after_its_end():
    world = World(executors=1)
    world.done(world.call(deletes=["a"]))
    assert world.kernel.unlink == ["a"]
    world.fail(world.call(deletes=["b"]))
    assert world.kernel.unlink == ["a"]


def test_costs_are_learnt_as_a_moving_mean():
    world = World()
    function = world.function()
    world.kernel.learnt(function, 2, 1.0)
    assert function.mean_s == 0.5
    world.kernel.learnt(function, 1, 1.0)
    assert 0.5 < function.mean_s < 1.0


def test_held_results_that_nobody_can_name_are_dropped_by_their_executor():
    world = World(executors=1)
    task, result = world.call(returns=1)
    world.held(task)
    (executor,) = world.executors
    assert result.current.state == HELD
    assert executor.drops == []
    del result
    task.state = DONE
    assert executor.drops == [(task.id, 0)]
