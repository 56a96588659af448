"""Tasks that need more of the node than one computing unit, or none: what they get, and when."""

import random

import pytest

from taskflow.core.graph import ASSIGNED, READY, WAITING
from taskflow.model.functions import Demand, FunctionRecord
from taskflow.model.parameters import Direction
from taskflow.model.requirements import Node, Processor, ProcessorNeed, Requirements
from tests.core import invariants
from tests.core.world import LONG, SHORT, World

IN, INOUT = Direction.IN, Direction.INOUT


def idle(world):
    return [executor for executor in world.kernel.executors.values() if not executor.inflight]


def test_a_wide_task_keeps_as_many_executors_idle_as_it_has_units_beside_its_own():
    world = World(executors=3)
    wide = world.call(name=world.needing(2))
    plain = [world.call(mean_s=LONG) for _ in range(3)]
    assert wide.state == ASSIGNED
    assert [task.state for task in plain] == [ASSIGNED, READY, READY]
    world.done(wide)
    assert [task.state for task in plain] == [ASSIGNED] * 3


def test_wide_tasks_run_side_by_side_as_far_as_units_go():
    world = World(executors=4)
    tasks = [world.call(name=world.needing(2)) for _ in range(3)]
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED, READY]
    world.done(tasks[1])
    assert tasks[2].state == ASSIGNED


def test_a_wide_task_waits_for_what_runs_and_nothing_new_starts_where_it_will_run():
    world = World(executors=2)
    running = [world.call(mean_s=LONG) for _ in range(2)]
    wide = world.call(name=world.needing(2))
    later = world.call(mean_s=LONG)
    assert (wide.state, later.state) == (READY, READY)
    world.done(running[0])
    assert (wide.state, later.state) == (READY, READY)
    world.done(running[1])
    assert (wide.state, later.state) == (ASSIGNED, READY)
    world.done(wide)
    assert later.state == ASSIGNED


def test_plain_tasks_called_before_a_wide_one_start_before_it():
    world = World(executors=2)
    plain = [world.call(mean_s=LONG) for _ in range(4)]
    wide = world.call(name=world.needing(2))
    world.done(plain[0])
    world.done(plain[1])
    assert [task.state for task in plain[2:]] == [ASSIGNED, ASSIGNED]
    world.done(plain[2])
    assert wide.state == READY
    world.done(plain[3])
    assert wide.state == ASSIGNED


def test_a_wide_task_with_priority_goes_before_plain_ones_that_are_ready():
    world = World(executors=2)
    running = [world.call(mean_s=LONG) for _ in range(2)]
    waiting = world.call(mean_s=LONG)
    wide = world.call(name=world.needing(2), priority=True)
    world.done(running[0])
    world.done(running[1])
    assert (wide.state, waiting.state) == (ASSIGNED, READY)


def test_short_tasks_queued_where_a_wide_one_will_run_go_elsewhere():
    world = World(executors=2)
    runs = world.call(name="long", mean_s=LONG)
    busy = runs.executor
    other = next(executor for executor in world.executors if executor is not busy)
    short = [world.call(mean_s=SHORT) for _ in range(5)]
    assert {task.executor for task in short} == {other}
    world.take(other)
    world.call(name=world.needing(2))
    assert world.kernel.recalls == [(other, 4)]
    world.kernel.given_back(other, [task.id for task in short[:0:-1]])
    world.settle(other)
    assert list(other.inflight) == [short[0].id]
    assert world.kernel.home.team == []


def test_what_was_not_sent_to_a_reserved_executor_is_taken_back_at_once():
    world = World(executors=1)
    short = [world.call(mean_s=SHORT) for _ in range(5)]
    wide = world.call(name=world.needing(1, memory_size=1.0), priority=True)
    assert [task.state for task in short] == [ASSIGNED] + [READY] * 4
    assert world.kernel.recalls == []
    world.done(short[0])
    assert (wide.state, short[1].state) == (ASSIGNED, READY)
    world.done(wide)
    assert [task.state for task in short[1:]] == [ASSIGNED] * 4


def test_memory_limits_how_many_run_at_once():
    world = World(executors=4)
    world.kernel.home.offer({"memory_size": 8.0}, {})
    name = world.needing(memory_size=3.0)
    tasks = [world.call(name=name) for _ in range(4)]
    plain = world.call(mean_s=LONG)
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED, READY, READY]
    assert plain.state == ASSIGNED
    world.fail(tasks[0])
    assert [task.state for task in tasks[2:]] == [ASSIGNED, READY]


def test_a_task_that_waits_for_memory_is_not_overtaken_by_smaller_ones():
    world = World(executors=4)
    world.kernel.home.offer({"memory_size": 8.0}, {})
    small = world.needing(memory_size=2.0)
    first = world.call(name=small)
    large = world.call(name=world.needing(memory_size=8.0))
    second = world.call(name=small)
    wide = world.call(name=world.needing(2))
    assert [task.state for task in (first, large, second, wide)] == [ASSIGNED, READY, READY, ASSIGNED]
    world.done(first)
    assert (large.state, second.state) == (ASSIGNED, READY)
    world.done(large)
    assert second.state == ASSIGNED


def test_fractions_add_up():
    world = World(executors=1)
    world.kernel.home.offer({"memory_size": 1.0}, {})
    for amount in (0.1, 0.2, 0.7, 1.0):
        for _ in range(3):
            world.done(world.call(name=world.needing(memory_size=amount)))
    assert world.kernel.home.free == {"memory_size": 1.0}


def test_what_the_node_does_not_know_is_without_limit():
    world = World(executors=2)
    world.kernel.home.offer({}, {})
    tasks = [world.call(name=world.needing(storage_bw=1e6)) for _ in range(2)]
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED]


def test_gpus_belong_to_one_task():
    world = World(executors=4)
    world.kernel.home.offer({}, {"GPU": [0, 1, 2]})
    pair = world.call(name=world.needing(gpus=2))
    other = world.call(name=world.needing(gpus=2))
    assert pair.executor.claim.devices == {"GPU": [0, 1]}
    assert other.state == READY
    world.done(pair)
    assert other.executor.claim.devices == {"GPU": [0, 1]}


def test_devices_of_each_type_are_apart():
    world = World(executors=4)
    world.kernel.home.offer({}, {"GPU": [0], "FPGA": [0, 1]})
    tasks = [world.call(name=world.needing(devices=[("FPGA", 1, ())])) for _ in range(3)]
    on_gpu = world.call(name=world.needing(gpus=1))
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED, READY]
    assert [task.executor.claim.devices for task in tasks[:2]] == [{"FPGA": [0]}, {"FPGA": [1]}]
    assert on_gpu.executor.claim.devices == {"GPU": [0]}


def test_devices_are_chosen_among_those_that_will_do():
    world = World(executors=4)
    world.kernel.home.offer({}, {"GPU": [0, 1, 2, 3]})
    late = world.call(name=world.needing(devices=[("GPU", 1, (2, 3))]))
    both = world.call(name=world.needing(devices=[("GPU", 1, (2, 3)), ("GPU", 2, ())]))
    waiting = world.call(name=world.needing(devices=[("GPU", 1, (2, 3))]))
    assert late.executor.claim.devices == {"GPU": [2]}
    assert both.executor.claim.devices == {"GPU": [3, 0, 1]}
    assert waiting.state == READY
    world.done(both)
    assert waiting.executor.claim.devices == {"GPU": [3]}


def test_a_demand_that_varies_is_that_of_the_node():
    world = World(executors=4)
    node = Node("n", (Processor(3, name="Xeon"), Processor(1, name="Grace")))
    world.kernel.home.node = node
    world.kernel.home.offer(node.amounts, node.devices)
    function = world.function("on grace", LONG)
    function.requirements = Requirements((ProcessorNeed(name="Grace"),))
    function.demand = Demand(varies=True)
    tasks = [world.call(name="on grace") for _ in range(2)]
    plain = [world.call(mean_s=LONG) for _ in range(2)]
    assert [task.state for task in tasks] == [ASSIGNED, READY]
    assert all(task.state == ASSIGNED for task in plain)
    world.done(tasks[0])
    assert tasks[1].state == ASSIGNED


def test_tasks_without_units_run_beside_those_that_compute():
    world = World(executors=1)
    compute = world.call(mean_s=LONG)
    reader = world.call(name=world.needing(0))
    second = world.call(name=world.needing(0))
    assert reader.state == READY
    apart = world.join(io=True)
    assert (reader.executor, second.state) == (apart, READY)
    world.done(reader)
    assert second.executor is apart
    assert compute.state == ASSIGNED


def test_plain_tasks_never_run_on_executors_for_input_and_output():
    world = World(executors=1)
    apart = world.join(io=True)
    tasks = [world.call(mean_s=SHORT) for _ in range(10)]
    reader, result = world.call(name=world.needing(0), returns=1)
    world.held(reader)
    follower = world.call((result, IN), mean_s=SHORT)
    assert not apart.inflight
    assert world.publish(apart) == [(reader.id, 0)]
    assert {task.executor for task in (*tasks, follower)} == {world.executors[0]}


def test_a_wide_task_runs_where_its_data_are():
    world = World(executors=3)
    makers = [world.call(mean_s=LONG, returns=1) for _ in range(3)]
    for maker, _ in makers:
        world.held(maker)
    maker, result = makers[2]
    wide = world.call((result, IN), name=world.needing(2))
    assert wide.executor is not None
    assert wide.executor is result.current.value.executor


def test_data_of_a_wide_task_come_from_elsewhere_first():
    world = World(executors=2)
    (first, a), (second, b) = (world.call(mean_s=LONG, returns=1) for _ in range(2))
    world.held(first)
    world.held(second)
    wide = world.call((a, IN), (b, IN), name=world.needing(2))
    assert wide.state == WAITING
    for executor in world.executors:
        world.publish(executor)
    assert wide.state == ASSIGNED


def test_a_task_that_needs_what_a_wide_one_made_runs_where_it_was_made():
    world = World(executors=2)
    wide, result = world.call(name=world.needing(2), returns=1)
    home = wide.executor
    reader = world.call((result, IN), mean_s=LONG)
    assert reader.state == WAITING
    world.held(wide)
    assert reader.executor is home


def test_data_of_a_parked_executor_are_had_from_it():
    world = World(executors=3)
    (maker, result), (other, _) = (world.call(mean_s=LONG, returns=1) for _ in range(2))
    world.held(maker)
    world.done(other, 1)
    wide = world.call(name=world.needing(2))
    home = result.current.value.executor
    reader = world.call((result, IN), mean_s=LONG)
    assert wide.state == ASSIGNED
    assert home.claim is not None or reader.executor is home
    for executor in list(world.executors):
        world.publish(executor)
    assert reader.state == ASSIGNED


def test_a_dead_executor_gives_back_what_its_task_had():
    world = World(executors=2)
    world.kernel.home.offer({"memory_size": 4.0}, {})
    wide = world.call(name=world.needing(2, memory_size=4.0))
    plain = world.call(mean_s=LONG)
    world.join()  # the driver starts another before it buries the dead
    world.lose(wide.executor, running=wide.id)
    assert plain.state == ASSIGNED
    assert world.kernel.home.free == {"memory_size": 4.0}
    world.done(plain)
    assert wide.state == ASSIGNED
    world.done(wide)
    assert world.kernel.unfinished == 0


@pytest.mark.parametrize("early", [True, False])
def test_the_place_of_a_dead_parked_executor_is_taken_by_the_next(early):
    world = World(executors=3)
    wide = world.call(name=world.needing(2))
    running = world.call(mean_s=LONG)
    waiting = world.call(mean_s=LONG)
    (parked,) = wide.executor.claim.parked
    world.take(running.executor)
    if early:
        world.join()
    world.lose(parked)
    if not early:
        world.join()
    assert (running.state, waiting.state) == (ASSIGNED, READY)
    world.done(wide)
    assert waiting.state == ASSIGNED


def test_a_reserved_executor_that_dies_does_not_block_its_task():
    world = World(executors=2)
    running = [world.call(mean_s=LONG) for _ in range(2)]
    wide = world.call(name=world.needing(2))
    world.done(running[0])
    world.lose(world.executors[0])
    world.join()
    world.done(running[1])
    assert wide.state == ASSIGNED


def test_cancelled_tasks_are_not_served():
    world = World(executors=2)
    wide = [world.call(name=world.needing(2)) for _ in range(3)]
    plain = world.call(mean_s=LONG)
    world.kernel.cancel(wide[1:], failure=_cancelled())
    invariants.check(world.kernel)
    world.done(wide[0])
    assert plain.state == ASSIGNED
    assert world.kernel.home.constrained == {}


def test_reserved_executors_are_let_go_when_their_task_is_cancelled():
    world = World(executors=2)
    running = world.call(mean_s=LONG)
    wide = world.call(name=world.needing(2))
    plain = world.call(mean_s=LONG)
    assert plain.state == READY
    world.kernel.cancel([wide], failure=_cancelled())
    invariants.check(world.kernel)
    assert plain.state == ASSIGNED
    assert running.state == ASSIGNED


def _cancelled():
    from taskflow.core.graph import Failure

    return Failure(ValueError("enough"), 0, cancelled=True)


# ---------------------------------------------------------------- implementations


def implementations(world, **demands):
    """Names of functions, and that of the choice between them."""
    records = []
    for name, demand in demands.items():
        record = world.function(name)
        record.demand = demand
        records.append(record)
    choice = world.function("choice")
    choice.demand = Demand()
    choice.implementations = tuple(records)
    return "choice"


def run(world, task, seconds):
    function = task.function
    world.kernel.learnt(function, 1, seconds)
    world.done(task)
    return function.name


def test_each_implementation_is_tried_and_then_the_quickest_is_taken():
    world = World(executors=1)
    name = implementations(world, slow=None, quick=None)
    took = {"slow": 1.0, "quick": 0.1}
    seen = []
    for _ in range(5):
        task = world.call(name=name)
        seen.append(run(world, task, took[task.function.name]))
    assert seen == ["slow", "quick", "quick", "quick", "quick"]


def test_an_implementation_gets_what_it_needs():
    world = World(executors=2)
    name = implementations(world, one=None, two=Demand(2))
    first = world.call(name=name)
    second = world.call(name=name)
    assert (first.function.name, second.state) == ("one", READY)
    world.done(first)
    assert second.function.name == "two"
    assert len(second.executor.claim.parked) == 1


# ---------------------------------------------------------------- all of it at once


@pytest.mark.parametrize("seed", range(60))
def test_random_mixes_never_take_more_than_there_is_and_all_end(seed):
    chance = random.Random(seed)
    world = World()
    size = chance.randint(1, 5)
    world.kernel.home.offer({"memory_size": 4.0}, {"GPU": [0, 1], "FPGA": [0, 1, 2]})
    for _ in range(size):
        world.kernel.executor_joined(len(world.kernel.executors))
    world.kernel.executor_joined(90, io=True)
    number = 100
    results = []
    tasks = 0
    while tasks < 60 or world.kernel.unfinished:
        busy = [executor for executor in world.kernel.executors.values() if executor.inflight]
        what = chance.random()
        if tasks < 60 and (what < 0.5 or not busy):
            tasks += 1
            name = chance.choice(
                [
                    "plain",
                    "short",
                    world.needing(chance.randint(0, size)),
                    world.needing(1, memory_size=chance.choice([0.5, 2.0, 4.0])),
                    world.needing(chance.randint(1, size), gpus=chance.randint(0, 2), memory_size=1.5),
                    world.needing(1, devices=[("GPU", 1, (1,)), ("FPGA", chance.randint(1, 3), ())]),
                ]
            )
            mean = {"plain": LONG, "short": SHORT}.get(name)
            reads = [(chance.choice(results), IN) for _ in range(chance.randint(0, 2)) if results]
            _, result = world.call(*reads, name=name, mean_s=mean, returns=1, priority=chance.random() < 0.2)
            results.append(result)
        elif what < 0.9 or number > 110:
            _end_one(world, chance, chance.choice(busy))
        else:
            executor = chance.choice(list(world.kernel.executors.values()))
            running = next(iter(executor.inflight), 0) if chance.random() < 0.1 else 0
            number += 1
            world.kernel.executor_joined(number, io=executor.io)
            world.lose(executor, running)
        for executor in list(world.kernel.executors.values()):
            if executor.publish:
                world.publish(executor)
        for executor, count in world.kernel.recalls:
            if executor.alive:
                given = [task.id for task in list(executor.inflight.values())[1:]][::-1][:count]
                world.kernel.given_back(executor, given)
                world.settle(executor)
        world.kernel.recalls.clear()
        world.kernel.serve()
        invariants.check(world.kernel)
        units = sum(1 for executor in world.kernel.executors.values() if executor.inflight and not executor.io)
        units += sum(len(claim.parked) for claim in world.kernel.home.claims)
        assert units <= size
    assert world.kernel.home.claims == []
    assert len(world.kernel.home.team) == size


def _end_one(world, chance, executor):
    world.take(executor)
    task = next(iter(executor.inflight.values()))
    if chance.random() < 0.3:
        world.held(task)
    else:
        world.done(task, 1)


def test_a_record_has_no_demand_unless_it_is_given_one():
    record = FunctionRecord(1, "f", "app", "app.py", 1, 1, ("ref", "app", "f"))
    assert record.demand is None


def test_a_task_called_by_one_that_keeps_memory_goes_before_one_that_waits_for_that_memory():
    """Else they would wait for each other for ever."""
    world = World(executors=3)
    world.kernel.home.size = 3
    world.kernel.home.offer({"memory_size": 8.0}, {})
    parent = world.call(name=world.needing(memory_size=4.0))
    world.kernel.lend(parent.executor)
    large = world.call(name=world.needing(memory_size=8.0))
    child = world.call(name=world.needing(memory_size=1.0), parent=parent.id)
    later = world.call(name=world.needing(memory_size=1.0))
    assert (large.state, child.state, later.state) == (READY, ASSIGNED, READY)
    world.done(child)
    world.kernel.regain(parent.executor)
    world.done(parent)
    assert (large.state, later.state) == (ASSIGNED, READY)
