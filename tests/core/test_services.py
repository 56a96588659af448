"""Tasks that are requests to services: how many at a time, in which order, and with what data."""

import pytest

from taskflow.core.graph import FAILED, READY
from taskflow.model.functions import Demand
from taskflow.model.parameters import Direction
from tests.core.world import World


@pytest.fixture
def world():
    return World(executors=1)


def test_requests_are_made_without_executors():
    world = World(executors=0)
    tasks = [world.call(name=world.asking()) for _ in range(5)]
    assert world.outgoing() == [task.id for task in tasks]


def test_plain_tasks_and_requests_do_not_take_from_each_other(world):
    requests = [world.call(name=world.asking()) for _ in range(3)]
    plain = world.call()
    assert world.take(world.executors[0]) == [plain.id]
    assert world.outgoing() == [task.id for task in requests]


def test_a_service_has_no_more_at_a_time_than_its_limit(world):
    name = world.asking(limit=2)
    tasks = [world.call(name=name) for _ in range(4)]
    assert world.outgoing() == [1, 2]
    world.done(tasks[1])
    assert world.outgoing() == [3]
    assert tasks[3].state == READY


def test_all_services_have_no_more_at_a_time_than_the_capacity(world):
    one, other = world.asking("one", capacity=2), world.asking("other")
    tasks = [world.call(name=name) for name in (one, other, other, one)]
    assert (world.outgoing("one"), world.outgoing("other")) == ([1], [2])
    world.done(tasks[0])
    assert (world.outgoing("one"), world.outgoing("other")) == ([], [3])


def test_a_service_that_is_full_is_overtaken(world):
    full, free = world.asking("full", limit=1), world.asking("free")
    for name in (full, full, free):
        world.call(name=name)
    assert (world.outgoing("full"), world.outgoing("free")) == ([1], [3])


def test_those_with_priority_are_first(world):
    name = world.asking(limit=1)
    first = world.call(name=name)
    world.outgoing()
    world.call(name=name)
    world.call(name=name, priority=True)
    world.done(first)
    assert world.outgoing() == [3]


def test_what_is_held_by_an_executor_is_published_first(world):
    maker, made = world.call(returns=1)
    world.take(world.executors[0])
    world.held(maker)
    request = world.call((made, Direction.IN), name=world.asking())
    assert world.outgoing() == []
    world.publish(world.executors[0])
    assert world.outgoing() == [request.id]


def test_a_result_goes_on_to_an_executor(world):
    request, made = world.call(name=world.asking(), returns=1)
    follower = world.call((made, Direction.IN))
    world.outgoing()
    world.done(request, 5)
    assert world.take(world.executors[0]) == [follower.id]


def test_a_failed_request_is_tried_again_behind_nothing_that_was_called_later(world):
    name = world.asking(limit=1)
    first = world.call(name=name)
    world.outgoing()
    world.call(name=name)
    world.fail_once(first)
    assert world.outgoing() == [first.id]


def test_cancelled_requests_make_room_when_they_have_ended(world):
    name = world.asking(limit=2)
    tasks = [world.call(name=name, returns=1) for _ in range(3)]
    world.outgoing()
    world.call(name=world.asking("other"))
    world.kernel.cancel_all(RuntimeError("enough"))
    executor = world.kernel.services.by_name["s"].executor
    assert sorted(task_id for _, task_id in world.kernel.cancels) == [1, 2]
    assert all(made.current.state == FAILED for _, made in tasks)
    later = world.call(name=name)
    assert world.outgoing() == []
    world.kernel.dropped(executor, [1])
    world.settle(executor)
    assert world.outgoing() == [later.id]


def test_requests_are_never_given_to_other_nodes():
    world = World()
    for number in (1, 2):
        world.kernel.node_joined(number, size=1)
        world.kernel.executor_joined(number, node=number)
    tasks = [world.call(name=world.asking()) for _ in range(4)]
    assert world.outgoing() == [task.id for task in tasks]
    world.function("needs").demand = Demand(units=1)
    elsewhere = world.call(name="needs")
    world.kernel.serve()
    assert elsewhere.executor.crew.number in (1, 2)
