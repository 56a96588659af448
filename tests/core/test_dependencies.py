"""What each access waits for, what it reads and what it makes."""

import pytest

from taskflow.core.graph import DONE, READY, VALUE, WAITING
from taskflow.model.errors import DeletedDataError
from taskflow.model.parameters import Direction
from tests.core.world import LONG, World

IN, OUT, INOUT, IN_DELETE = Direction.IN, Direction.OUT, Direction.INOUT, Direction.IN_DELETE
CONCURRENT, COMMUTATIVE = Direction.CONCURRENT, Direction.COMMUTATIVE


@pytest.fixture
def world():
    """Without executors: a task that waits for nothing is ready, and nothing ever ends."""
    return World()


def makers(task):
    return [version.producer_id for version in task.reads]


@pytest.mark.parametrize("direction", [IN, INOUT, IN_DELETE])
def test_a_reading_access_waits_for_the_last_writer(world, direction):
    datum = world.datum()
    world.call((datum, OUT))
    writer = world.call((datum, INOUT))
    task = world.call((datum, direction))
    assert task.state == WAITING
    assert makers(task) == [writer.id]


def test_out_waits_for_nothing(world):
    datum = world.datum()
    world.call((datum, INOUT))
    world.call((datum, IN))
    task = world.call((datum, OUT))
    assert task.state == READY
    assert not task.reads


def test_readers_do_not_wait_for_each_other(world):
    datum = world.datum()
    assert world.call((datum, IN)).state == READY
    assert world.call((datum, IN)).state == READY


def test_a_write_does_not_wait_for_the_readers_of_the_old_version(world):
    datum = world.datum()
    old = datum.current
    reader = world.call((datum, IN))
    writer = world.call((datum, INOUT))
    assert writer.state == READY
    assert list(reader.reads) == list(writer.reads) == [old]
    assert datum.current is not old
    assert old.readers == 2


def test_every_write_makes_the_next_version(world):
    datum = world.datum()
    labels = [datum.current.label]
    for direction in (OUT, INOUT, IN, OUT):
        world.call((datum, direction))
        labels.append(datum.current.label)
    assert labels == ["d1v1", "d1v2", "d1v3", "d1v3", "d1v4"]


def test_a_result_is_written_before_the_outputs_among_the_arguments(world):
    datum = world.datum()
    task, result = world.call((datum, INOUT), returns=1)
    assert list(task.writes) == [result.current, datum.current]


@pytest.mark.parametrize("direction", [CONCURRENT, COMMUTATIVE])
def test_members_of_a_group_wait_for_the_writer_before_the_group_only(world, direction):
    datum = world.datum()
    writer = world.call((datum, OUT))
    before = datum.current
    members = [world.call((datum, direction)) for _ in range(3)]
    assert [makers(member) for member in members] == [[writer.id]] * 3
    assert all(list(member.reads) == [before] for member in members)


def test_concurrent_members_may_all_run_at_once(world):
    datum = world.datum()
    assert [world.call((datum, CONCURRENT)).state for _ in range(3)] == [READY] * 3


def test_commutative_members_run_one_at_a_time(world):
    datum = world.datum()
    assert [world.call((datum, COMMUTATIVE)).state for _ in range(3)] == [READY, WAITING, WAITING]


@pytest.mark.parametrize("direction", [CONCURRENT, COMMUTATIVE])
@pytest.mark.parametrize("after", [IN, INOUT])
def test_an_access_after_a_group_waits_for_all_members(direction, after):
    world = World(executors=4)
    datum = world.datum()
    members = [world.call((datum, direction), mean_s=LONG, name="member") for _ in range(3)]
    task = world.call((datum, after), name="after")
    for member in members:
        assert task.state == WAITING
        world.done(member, member.id)
    assert task.state != WAITING
    assert task.reads[0].value == members[-1].id


def test_an_out_after_a_group_waits_for_nothing(world):
    datum = world.datum()
    world.call((datum, CONCURRENT))
    assert world.call((datum, OUT)).state == READY


def test_a_reader_between_ends_a_group(world):
    datum = world.datum()
    world.call((datum, CONCURRENT))
    group = datum.current
    world.call((datum, IN))
    late = world.call((datum, CONCURRENT))
    assert late.state == WAITING
    assert list(late.reads) == [group]


def test_concurrent_and_commutative_accesses_are_different_groups(world):
    datum = world.datum()
    world.call((datum, CONCURRENT))
    assert world.call((datum, COMMUTATIVE)).state == WAITING


def test_commutative_accesses_of_another_function_are_another_group(world):
    datum = world.datum()
    world.call((datum, COMMUTATIVE), name="add")
    first = datum.current
    task = world.call((datum, COMMUTATIVE), name="multiply")
    assert list(task.reads) == [first]


def test_concurrent_accesses_of_other_functions_are_the_same_group(world):
    datum = world.datum()
    world.call((datum, CONCURRENT), name="add")
    assert world.call((datum, CONCURRENT), name="log").state == READY


def test_each_commutative_member_starts_from_the_one_that_ran_before():
    world = World(executors=2)
    datum = world.datum("start")
    members = [world.call((datum, COMMUTATIVE), mean_s=LONG) for _ in range(3)]
    running = next(member for member in members if member.executor)
    seen = []
    while running is not None:
        seen.append(running.reads[0].value)
        world.done(running, f"after {running.id}")
        running = next((member for member in members if member.executor and member.state != DONE), None)
    assert seen == ["start", "after 1", "after 2"]
    assert (datum.current.state, datum.current.value) == (VALUE, "after 3")


def test_commutative_members_run_in_the_order_in_which_they_can():
    world = World(executors=2)
    datum = world.datum("start")
    slow, late = world.call(name="slow", mean_s=LONG, returns=1)
    first = world.call((datum, COMMUTATIVE), (late, IN), name="add", mean_s=LONG)
    second = world.call((datum, COMMUTATIVE), (world.datum(), IN), name="add")
    assert first.state == WAITING
    world.done(second, "second")
    world.done(slow, 0)
    assert first.reads[0].value == "second"
    world.done(first, "first")
    assert datum.current.value == "first"


def test_tasks_that_commute_on_two_data_in_opposite_order_do_not_block_each_other():
    world = World(executors=3)
    a, b = world.datum(), world.datum()
    tasks = [
        world.call((a, COMMUTATIVE), (b, COMMUTATIVE), mean_s=LONG),
        world.call((b, COMMUTATIVE), (a, COMMUTATIVE)),
        world.call((a, COMMUTATIVE)),
        world.call((b, COMMUTATIVE)),
    ]
    for _ in tasks:
        running = [task for task in tasks if task.executor is not None and task.state != DONE]
        for task in running:
            mine = {id(group) for group, _ in task.exclusive}
            others = {id(group) for other in running if other is not task for group, _ in other.exclusive}
            assert not mine & others
        world.done(running[0], *[running[0].id for _ in running[0].writes])
    assert world.kernel.unfinished == 0


def test_a_group_that_all_members_left_can_be_joined_until_somebody_reads_it():
    world = World(executors=1)
    datum = world.datum(0)
    world.done(world.call((datum, COMMUTATIVE)), 1)
    assert datum.current.value == 1
    late = world.call((datum, COMMUTATIVE))
    assert late.reads[0].value == 1
    reader = world.call((datum, IN))
    world.done(late, 2)
    assert reader.reads[0].value == 2


@pytest.mark.parametrize("direction", [IN, OUT, INOUT, CONCURRENT, COMMUTATIVE, IN_DELETE])
def test_a_deleted_datum_cannot_be_used_and_the_attempt_changes_nothing(world, direction):
    datum, other = world.datum(), world.datum()
    world.call((datum, IN_DELETE))
    version = other.current
    with pytest.raises(DeletedDataError, match="IN_DELETE"):
        world.call((other, INOUT), (datum, direction))
    assert other.current is version
    assert (world.kernel.submitted, world.kernel.unfinished, version.readers) == (1, 1, 0)


@pytest.mark.parametrize("first", [IN, OUT, INOUT, CONCURRENT, COMMUTATIVE])
@pytest.mark.parametrize("second", [IN, OUT, INOUT, CONCURRENT, COMMUTATIVE])
@pytest.mark.parametrize("before", [None, CONCURRENT, COMMUTATIVE])
def test_a_task_given_a_datum_twice_does_not_wait_for_itself(first, second, before):
    world = World(executors=1)
    datum = world.datum()
    earlier = [world.call((datum, before))] if before else []
    task = world.call((datum, first), (datum, second))
    after = world.call((datum, IN))
    for ending in (*earlier, task, after):
        world.done(ending, *["value" for _ in ending.writes])
    assert world.kernel.unfinished == 0


def test_a_task_given_a_datum_to_read_and_to_write_reads_what_was_before():
    world = World()
    datum = world.datum("old")
    old = datum.current
    task = world.call((datum, INOUT), (datum, IN))
    assert list(task.reads) == [old, old]
    assert old.readers == 2
