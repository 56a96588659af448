"""Several nodes: which one a task runs on, how data get there, and what happens when one is lost."""

import random

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
    Datum,
    Held,
    Task,
    Version,
)
from taskflow.core.scheduling import SCHEDULERS, Scheduler, scheduler_named
from taskflow.model.errors import ArgumentError, NodeLostError, NoNodeError, TransferError
from taskflow.model.parameters import Direction
from taskflow.model.requirements import Node, Processor, ProcessorNeed, Requirements
from tests.core.world import LONG, SHORT, World

IN, OUT, INOUT, COMMUTATIVE = Direction.IN, Direction.OUT, Direction.INOUT, Direction.COMMUTATIVE


class Stored:
    """A value that is stored on some nodes."""

    def __init__(self, *places, nbytes=1_000_000):
        self.places = set(places)
        self.nbytes = nbytes

    def at(self, number):
        return number in self.places

    @property
    def lost(self):
        return not self.places


class Cluster(World):
    def __init__(self, *sizes, home=0, scheduler=None, nodes=()):
        super().__init__()
        self.kernel.scatter(scheduler)
        self.kernel.home.size = home
        self.numbers = 0
        self.crews = {}
        for _ in range(home):
            self.add(0)
        for number, size in enumerate(sizes, start=1):
            node = nodes[number - 1] if nodes else None
            self.grow(number, size, node)

    def grow(self, number, size, node=None):
        self.crews[number] = self.kernel.node_joined(number, node, size=size)
        for _ in range(size):
            self.add(number)
        self.kernel.serve()

    def add(self, number):
        self.numbers += 1
        return self.kernel.executor_joined(self.numbers, node=number)

    def call(self, *accesses, name="f", mean_s=None, returns=0, **attributes):
        self.tasks += 1
        task = Task(self.tasks, self.function(name, mean_s), ())
        for attribute, value in attributes.items():
            setattr(task, attribute, value)
        task.returns = returns
        results = []
        for index in range(returns):
            self.data += 1
            results.append(Datum(Version.output(self.data, 1, task, index)))
        task.writes = [datum.current for datum in results]
        self.kernel.submit(task, accesses)
        self.kernel.serve()
        return (task, *results) if returns else task

    def settle(self, executor):
        self.take(executor)
        self.kernel.settled(executor)
        self.kernel.serve()

    def stored(self, task, *places, nbytes=1_000_000):
        value = Stored(*(places or (task.executor.crew.number,)), nbytes=nbytes)
        self.report(task, (SEGMENT, value))
        return value

    def at(self, *places, nbytes=1_000_000):
        """A datum of the main program that is stored somewhere."""
        self.data += 1
        version = Version(self.data)
        version.state, version.value = SEGMENT, Stored(*places, nbytes=nbytes)
        return Datum(version)

    def move(self):
        """Carry out the transfers."""
        transfers, self.kernel.dispatch.transfers[:] = self.kernel.dispatch.transfers[:], []
        for value, target, source in transfers:
            assert source in value.places
            self.kernel.dispatch.arrived(value, target)
        self.kernel.serve()
        return [(target, source) for _, target, source in transfers]

    def lose_node(self, number):
        self.kernel.node_lost(number, NodeLostError(f"node {number} is lost"))
        self.kernel.serve()

    def running(self):
        return [task for executor in self.kernel.executors.values() for task in executor.inflight.values()]


def node_of(task):
    return task.executor.crew.number


def test_tasks_go_to_all_nodes_one_to_each_idle_executor_first():
    world = Cluster(2, 2, 2)
    tasks = [world.call() for _ in range(6)]
    assert sorted(node_of(task) for task in tasks) == [1, 1, 2, 2, 3, 3]
    assert all(len(executor.inflight) == 1 for executor in world.kernel.executors.values())


def test_long_tasks_wait_in_the_kernel_and_not_on_a_node():
    world = Cluster(1, 1)
    world.function("long", LONG)
    tasks = [world.call(name="long") for _ in range(10)]
    assert sum(task.executor is not None for task in tasks) == 2
    world.done(tasks[0])
    assert sum(task.executor is not None for task in tasks) == 3


def test_many_short_tasks_are_fed_ahead_to_all_nodes():
    world = Cluster(2, 2)
    world.function("short", SHORT)
    tasks = [world.call(name="short") for _ in range(400)]
    world.kernel.dispatch.spread()
    counts = [sum(task.executor is not None and node_of(task) == number for task in tasks) for number in (1, 2)]
    assert min(counts) > 50


def test_a_task_runs_where_most_of_its_data_are():
    world = Cluster(1, 1, 1)
    data = world.at(2, nbytes=10_000_000)
    other = world.at(3, nbytes=1_000_000)
    task = world.call((data, IN), (other, IN))
    assert task.executor is None
    assert world.move() == [(2, 3)]
    assert node_of(task) == 2


def test_data_are_brought_to_a_node_once():
    world = Cluster(2)
    data = world.at(0)
    tasks = [world.call((data, IN)) for _ in range(4)]
    assert world.move() == [(1, 0)]
    assert world.move() == []
    assert all(task.executor is not None for task in tasks)


def test_data_for_many_nodes_spread_like_a_tree():
    world = Cluster(*[1] * 15)
    world.function("long", LONG)
    data = world.at(0, nbytes=100_000_000)
    for _ in range(15):
        world.call((data, IN), name="long")
    rounds = []
    while moved := world.move():
        rounds.append(len(moved))
    assert rounds[0] == 2
    assert rounds[1] >= 4
    assert sum(rounds) == 15
    assert len(rounds) <= 5


def test_the_main_program_gets_what_it_waits_for():
    world = Cluster(1)
    task, result = world.call(returns=1)
    world.stored(task)
    assert result.current.producer is task
    assert not world.kernel.need(result.current)
    assert world.move() == [(0, 1)]
    assert world.kernel.need(result.current)
    assert result.current.producer is None


def test_what_only_a_lost_node_had_is_made_again():
    world = Cluster(1, 1)
    task, result = world.call(returns=1)
    number = node_of(task)
    world.stored(task)
    world.lose_node(number)
    assert not world.kernel.need(result.current)
    assert task.state != DONE
    assert node_of(task) != number
    world.stored(task)
    world.kernel.need(result.current)
    world.move()
    assert world.kernel.need(result.current)


def test_a_chain_of_lost_results_is_made_again_from_its_beginning():
    world = Cluster(1, 1)
    data = world.at(0)
    first = world.call((data, INOUT))
    world.move()
    number = node_of(first)
    world.stored(first)
    second = world.call((data, INOUT))
    assert node_of(second) == number
    world.stored(second)
    assert first.writes == [None]
    world.lose_node(number)
    assert not world.kernel.need(data.current)
    world.move()
    assert first.executor is not None
    world.stored(first)
    world.stored(second)
    world.kernel.need(data.current)
    world.move()
    assert world.kernel.need(data.current)
    assert world.kernel.unfinished == 0


def test_running_tasks_of_a_lost_node_go_elsewhere():
    world = Cluster(2, 2)
    world.function("long", LONG)
    tasks = [world.call(name="long") for _ in range(4)]
    world.lose_node(1)
    world.function("long")
    for _ in range(4):
        running = [task for task in tasks if task.executor is not None and task.state != DONE]
        for task in running:
            assert node_of(task) == 2
            world.done(task)
    assert all(task.state == DONE for task in tasks)


def test_a_task_that_nodes_die_of_is_not_tried_for_ever():
    world = Cluster(1, 1, 1, 1, 1)
    task, result = world.call(returns=1)
    for _ in range(4):
        world.lose_node(node_of(task))
    assert result.current.state == FAILED
    assert isinstance(result.current.value.error, NodeLostError)


def test_staging_survives_the_loss_of_the_sender():
    world = Cluster(1, 1, 1)
    data = world.at(1, 2)
    task = world.call((data, IN))
    task = world.call((data, IN), name="elsewhere")
    world.kernel.dispatch.stage(task, world.crews[3])
    ((_, target, source),) = world.kernel.dispatch.transfers
    world.kernel.dispatch.transfers.clear()
    world.lose_node(source)
    assert world.move() == [(target, 3 - source)]


def test_staging_survives_the_loss_of_the_target():
    world = Cluster(1, 1)
    data = world.at(0)
    task = world.call((data, IN))
    ((_, target, _),) = world.kernel.dispatch.transfers
    world.kernel.dispatch.transfers.clear()
    world.lose_node(target)
    world.move()
    assert node_of(task) == 3 - target


def test_a_transfer_that_failed_comes_from_elsewhere_or_by_way_of_home():
    world = Cluster(1, 1)
    world.function("long", LONG)
    busy = world.call(name="long")
    data = world.at(node_of(busy))
    task = world.call((data, IN))
    other = 3 - node_of(busy)
    dispatch = world.kernel.dispatch
    if not dispatch.transfers:
        world.kernel.dispatch.stage(task, world.crews[other])
    ((value, target, source),) = dispatch.transfers
    dispatch.transfers.clear()
    dispatch.transfer_failed(value, target, source, "no route to host")
    assert world.move() == [(0, source)]
    assert world.move() == [(target, 0)]
    assert node_of(task) == target


@pytest.mark.parametrize("lost", [True, False])
def test_a_value_goes_by_way_of_home_if_only_those_are_left_that_have_no_way(lost):
    """The other node that has it is lost, or does not have it after all."""
    world = Cluster(1, 1, 1)
    task = world.call((world.at(1, 2), IN), pin=3)
    dispatch = world.kernel.dispatch
    ((value, target, first),) = dispatch.transfers
    dispatch.transfers.clear()
    dispatch.transfer_failed(value, target, first, "no route to host")
    ((_, _, second),) = dispatch.transfers
    assert {first, second} == {1, 2}
    dispatch.transfers.clear()
    if lost:
        dispatch._note_place(second, value)  # as it is of what has come there, or was made there
        world.lose_node(second)
    else:
        dispatch.transfer_failed(value, target, second, "no such file", at_source=True)
    assert world.move() == [(0, first)]
    assert world.move() == [(target, 0)]
    assert node_of(task) == target


def test_a_transfer_that_never_works_fails_the_task():
    world = Cluster(1)
    data = world.at(0)
    task, result = world.call((data, IN), returns=1)
    dispatch = world.kernel.dispatch
    for _ in range(4):
        ((value, target, source),) = dispatch.transfers
        dispatch.transfers.clear()
        dispatch.transfer_failed(value, target, source, "the disk of node 1 is full")
    assert isinstance(result.current.value.error, TransferError)
    assert task.state > DONE


def test_a_source_that_has_lost_a_value_makes_it_be_made_again():
    world = Cluster(1, 1)
    task, result = world.call(returns=1)
    world.stored(task)
    world.kernel.need(result.current)
    dispatch = world.kernel.dispatch
    ((value, target, source),) = dispatch.transfers
    dispatch.transfers.clear()
    dispatch.transfer_failed(value, target, source, "no such segment", at_source=True)
    assert not world.kernel.need(result.current)
    assert task.state != DONE


def test_members_of_a_group_end_when_what_they_wrote_is_at_home():
    world = Cluster(1, 1)
    data = world.at(0)
    first = world.call((data, COMMUTATIVE))
    second = world.call((data, COMMUTATIVE))
    world.move()
    assert first.executor is not None
    assert second.executor is None
    world.stored(first)
    assert first.state != DONE
    world.move()
    assert first.state == DONE
    world.move()
    assert second.executor is not None


def test_a_member_whose_result_is_lost_on_its_way_home_runs_again():
    world = Cluster(1, 1)
    data = world.at(0)
    first = world.call((data, COMMUTATIVE))
    world.move()
    number = node_of(first)
    world.stored(first)
    world.kernel.dispatch.transfers.clear()
    world.lose_node(number)
    world.move()
    assert node_of(first) == 3 - number
    world.stored(first)
    world.move()
    assert first.state == DONE


SMALL = Node("small", (Processor(2, "CPU", architecture="arm64"),), memory_size=4.0)
LARGE = Node("large", (Processor(4, "CPU", architecture="amd64"),), memory_size=64.0)


def needing(world, name, **needs):
    function = world.function(name, LONG)
    requirements = Requirements(**needs)
    function.requirements = requirements
    demand = requirements.demand
    function.demand = demand
    return name


def test_constraints_decide_on_the_node():
    world = Cluster(2, 4, nodes=(SMALL, LARGE))
    world.crews[1].offer(SMALL.amounts, {})
    world.crews[2].offer(LARGE.amounts, {})
    arm = needing(world, "arm", processors=(ProcessorNeed(architecture="arm64"),))
    much = needing(world, "much", memory_size=32.0)
    tasks = [world.call(name=arm) for _ in range(3)] + [world.call(name=much) for _ in range(3)]
    assert [task.executor and node_of(task) for task in tasks] == [1, 1, None, 2, 2, None]
    world.done(tasks[0])
    world.done(tasks[4])
    assert [task.executor and node_of(task) for task in (tasks[2], tasks[5])] == [1, 2]


def test_a_task_does_not_follow_what_it_reads_to_a_node_where_it_may_not_run():
    world = Cluster(1, 1, nodes=(SMALL, LARGE))
    much = needing(world, "much", memory_size=32.0)
    world.functions[much].demand = None  # one computing unit, and nothing that it would use up
    makers = [world.call(returns=1) for _ in range(2)]
    readers = [world.call((made, IN), name=much) for _, made in makers]
    assert [node_of(maker) for maker, _ in makers] == [1, 2]
    assert all(reader.executor is None or node_of(reader) == 2 for reader in readers)
    world.done(makers[0][0], 1)
    world.done(makers[1][0], 1)
    assert [reader.executor and node_of(reader) for reader in readers] == [2, None]
    world.done(readers[0])
    assert node_of(readers[1]) == 2


def test_a_wide_task_gets_its_executors_although_plain_tasks_keep_coming():
    world = Cluster(2, 4, nodes=(SMALL, LARGE))
    world.function("long", LONG)
    plain = [world.call(name="long") for _ in range(12)]
    wide = world.call(name=needing(world, "wide", processors=(ProcessorNeed(units=4),)))
    plain += [world.call(name="long") for _ in range(20)]
    for _ in range(60):
        if wide.executor is not None:
            break
        running = [task for task in plain if task.executor is not None and task.state != DONE]
        world.done(running[0])
    assert node_of(wide) == 2
    assert sum(task.state == DONE for task in plain) < 28


def test_a_task_that_fits_no_node_that_is_left_fails_once_none_will_come():
    world = Cluster(2, 4, nodes=(SMALL, LARGE))
    tasks = [world.call(name=needing(world, "wide", processors=(ProcessorNeed(units=4),)), returns=1) for _ in range(2)]
    world.lose_node(2)
    assert [task.executor for task, _ in tasks] == [None, None]
    world.kernel.dispatch.expecting = False
    world.kernel.dispatch.serve()
    assert all(isinstance(result.current.value.error, NoNodeError) for _, result in tasks)


def test_no_node_left_at_all():
    world = Cluster(1)
    task, result = world.call(returns=1)
    world.kernel.dispatch.expecting = False
    world.lose_node(1)
    world.kernel.dispatch.serve()
    assert isinstance(result.current.value.error, NoNodeError)
    assert task.state > DONE


def test_a_node_that_joins_later_gets_what_waits():
    world = Cluster()
    task = world.call()
    assert task.executor is None
    world.grow(1, 1)
    assert node_of(task) == 1


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_every_scheduler_runs_everything(name):
    world = Cluster(2, 1, 3, scheduler=SCHEDULERS[name])
    chance = random.Random(name)
    data = [world.at(0) for _ in range(5)]
    tasks = []
    for _ in range(100):
        accesses = [(chance.choice(data), chance.choice((IN, INOUT)))]
        tasks.append(world.call(*accesses))
    finish(world, chance)
    assert all(task.state == DONE for task in tasks)


def test_a_plan_says_where_each_task_runs():
    nodes = (Node("a", (Processor(1),)), Node("b", (Processor(1),)))
    world = Cluster(1, 1, nodes=nodes, scheduler=Scheduler("plan", plan={1: "b", 2: "b", 3: "a"}))
    tasks = [world.call() for _ in range(3)]
    assert [node_of(task) for task in tasks] == [2, 2, 1]


def test_tasks_that_a_plan_gives_to_a_busy_node_stay_there_although_others_are_idle():
    world = Cluster(home=1, scheduler=Scheduler("plan", plan=dict.fromkeys(range(1, 13), "a")))
    tasks = [world.call() for _ in range(12)]
    for number, name in enumerate("ab", start=1):
        world.grow(number, 2, Node(name, (Processor(2),)))
    while world.kernel.unfinished:
        handed_out = [task for task in tasks if task.state == ASSIGNED]
        assert {node_of(task) for task in handed_out} == {1}
        world.done(handed_out[0])
        world.kernel.serve()


def test_a_task_whose_planned_node_is_not_there_fails_when_no_more_come():
    nodes = (Node("a", (Processor(1),)), Node("b", (Processor(1),)))
    world = Cluster(1, 1, nodes=nodes, scheduler=Scheduler("plan", plan={1: "c", 2: "b"}))
    _, result = world.call(returns=1)
    other = world.call()
    world.kernel.dispatch.expecting = False
    world.kernel.dispatch.serve()
    world.kernel.serve()
    assert isinstance(result.current.value.error, NoNodeError)
    assert "the plan says on c" in str(result.current.value.error)
    assert node_of(other) == 2


def test_a_plan_holds_for_tasks_that_read_what_is_being_made_elsewhere():
    nodes = (Node("a", (Processor(1),)), Node("b", (Processor(1),)))
    world = Cluster(1, 1, nodes=nodes, scheduler=Scheduler("plan", plan={1: "a", 2: "b"}))
    maker, made = world.call(returns=1)
    reader = world.call((made, IN))
    assert reader.executor is None
    world.done(maker, 1)
    assert node_of(reader) == 2


def finish(world, chance):
    for _ in range(10_000):
        world.move()
        busy = [executor for executor in world.kernel.executors.values() if executor.inflight]
        publishing = any(executor.publish for executor in world.kernel.executors.values())
        if not (busy or world.kernel.dispatch.transfers or world.kernel.unfinished or publishing):
            return
        for executor in list(world.kernel.executors.values()):
            if executor.publish:
                keys, executor.publish = executor.publish, []
                for key in keys:
                    world.kernel.published(world.kernel.publishing[key], Stored(executor.crew.number))
                world.settle(executor)
        for recalled, count in world.kernel.recalls[:]:
            given = list(recalled.inflight)[1:][-count:] if count else []
            world.kernel.given_back(recalled, given)
            world.settle(recalled)
        world.kernel.recalls.clear()
        if busy:
            executor = chance.choice(busy)
            if executor.inflight:
                task = next(iter(executor.inflight.values()))
                kinds = []
                for index in range(len(task.writes)):
                    if chance.random() < 0.3 and not task.durable:
                        kinds.append((HELD, Held(executor, (task.id, index), 1000)))
                    elif chance.random() < 0.5:
                        kinds.append((SEGMENT, Stored(executor.crew.number)))
                    else:
                        kinds.append((VALUE, 1))
                world.report(task, *kinds)
    raise AssertionError(f"{world.kernel.unfinished} tasks do not end: {world.kernel.waiting_tasks()}")


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_end_although_nodes_are_lost(seed):
    chance = random.Random(seed)
    world = Cluster(*[chance.randint(1, 3) for _ in range(chance.randint(2, 6))], home=chance.choice((0, 1)))
    data = [world.at(0) for _ in range(4)]
    numbers = list(world.crews)
    for step in range(150):
        accesses = {chance.choice(data): chance.choice((IN, INOUT, OUT, COMMUTATIVE)) for _ in range(2)}
        world.call(*accesses.items())
        if step % 30 == 29 and len(numbers) > 1:
            world.lose_node(numbers.pop(chance.randrange(len(numbers))))
        if step % 50 == 49:
            world.grow(100 + step, 2)
        if chance.random() < 0.5:
            world.move()
        for executor in list(world.kernel.executors.values())[:2]:
            if executor.inflight:
                task = next(iter(executor.inflight.values()))
                world.report(task, *[(SEGMENT, Stored(executor.crew.number)) for _ in task.writes])
    finish(world, chance)
    for datum in data:
        while not world.kernel.need(datum.current):
            finish(world, chance)
        assert datum.current.state in (SEGMENT, VALUE, HELD)
    assert PENDING not in [datum.current.state for datum in data]
    assert GONE not in [datum.current.state for datum in data]


def test_distributed_tasks_take_turns_on_the_nodes():
    world = Cluster(2, 2, 2)
    world.function("spread").spread = "distributed"
    tasks = [world.call(name="spread") for _ in range(6)]
    assert [node_of(task) for task in tasks] == [1, 2, 3, 1, 2, 3]


def test_a_replicated_task_runs_on_every_node_once():
    world = Cluster(1, 2, 1)
    world.function("everywhere").spread = "replicated"
    copies = [Task(100 + index, world.function("everywhere"), ()) for index in range(4)]
    task, result = world.call(name="everywhere", returns=1, copies=copies)
    assert len(task.copies) == 2
    assert sorted(node_of(run) for run in (task, *task.copies)) == [1, 2, 3]
    assert world.kernel.unfinished == 3
    world.done(task, 5)
    assert result.current.value == 5
    for copy in task.copies:
        world.done(copy, 6)
    assert (world.kernel.unfinished, result.current.value) == (0, 5)


def test_weights_say_which_data_draw_a_task():
    world = Cluster(1, 1)
    heavy, one, other = world.at(1), world.at(2), world.at(2)
    task = world.call((heavy, IN), (one, IN), (other, IN), weights={0: 3.0})
    world.move()
    assert node_of(task) == 1


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("es.bsc.compss.scheduler.lookahead.locality.LocalityTS", "locality"),
        ("es.bsc.compss.scheduler.orderstrict.fifo.FifoTS", "fifo"),
        ("es.bsc.compss.scheduler.lookahead.lifo.LifoTS", "lifo"),
        ("es.bsc.compss.scheduler.lookahead.mt.successors.fifo.FifoTS", "successors.fifo"),
        ("es.bsc.compss.scheduler.lookahead.successors.constraintsfifo.ConstraintsFifoTS", "successors.fifo"),
        ("es.bsc.compss.scheduler.fullgraph.multiobjective.MOScheduler", "lookahead"),
        ("es.bsc.compss.scheduler.predefined.PredefinedTS", "predefined"),
        ("lifo", "lifo"),
    ],
)
def test_schedulers_have_the_names_of_pycompss_too(name, policy):
    assert scheduler_named(name).name == policy


def test_a_scheduler_that_does_not_exist_is_refused():
    with pytest.raises(ArgumentError, match="no scheduler 'locallity'; did you mean locality"):
        scheduler_named("locallity")


def test_a_chain_stays_on_its_node():
    world = Cluster(1, 1, 1)
    task, result = world.call(returns=1)
    chain = [task]
    for _ in range(20):
        task, result = world.call((result, IN), returns=1)
        chain.append(task)
    for task in chain:
        assert node_of(task) == node_of(chain[0])
        world.done(task, 1)


def test_lookahead_weighs_the_time_a_transfer_takes_against_the_time_until_there_is_room():
    world = Cluster(1, 1, scheduler=SCHEDULERS["lookahead"])
    world.function("long", LONG)
    busy = world.call(name="long")
    data = world.at(node_of(busy), nbytes=100_000_000)
    other = 3 - node_of(busy)
    world.kernel.dispatch.measured(1_000_000_000, 1.0)
    near = world.call((data, IN), name="long")
    assert world.move() == [(other, 3 - other)]
    assert node_of(near) == other
    for _ in range(20):
        world.kernel.dispatch.measured(2_000_000, 2.0)
    huge = world.at(node_of(busy), nbytes=100_000_000)
    world.done(near)
    world.call((huge, IN), name="long")
    assert world.move() == []


def test_a_node_whose_data_cannot_come_loses_the_task_to_another():
    world = Cluster(1, 1)
    data = world.at(0)
    task = world.call((data, IN))
    dispatch = world.kernel.dispatch
    ((_, bad, _),) = dispatch.transfers
    for _ in range(4):
        ((value, target, source),) = dispatch.transfers
        assert target == bad
        dispatch.transfers.clear()
        dispatch.transfer_failed(value, target, source, "the disk is full")
    world.kernel.serve()
    assert world.move() == [(3 - bad, 0)]
    assert node_of(task) == 3 - bad


def test_a_value_lost_while_it_waits_for_a_sender_is_made_again():
    world = Cluster(1, *[1] * 8)
    task, result = world.call(returns=1)
    place = node_of(task)
    world.stored(task, nbytes=100_000_000)
    world.function("long", LONG)
    readers = [world.call((result, IN), name="long") for _ in range(9)]
    for crew in list(world.kernel.crews.values()):
        if crew.number != place and crew.number and not crew.coming:
            world.kernel.dispatch.stage(readers[crew.number - 1], crew)
    moving = world.kernel.dispatch.transfers[:]
    assert len(moving) == 2, "a node sends to two at a time"
    world.kernel.dispatch.transfers.clear()
    for value, target, source in moving:
        world.kernel.dispatch.transfer_failed(value, target, source, "no such segment", at_source=True)
    world.kernel.serve()
    assert not world.kernel.dispatch._unserved.targets
    assert not result.current.state
    assert node_of(task)


def test_a_task_called_by_one_that_keeps_memory_is_given_to_a_node_where_another_waits_for_that():
    world = Cluster(3, nodes=(Node("only", (Processor(3, "CPU"),), memory_size=8.0),))
    parent = world.call(name=world.needing(memory_size=4.0))
    large = world.call(name=world.needing(memory_size=8.0))
    world.done(world.call(mean_s=LONG))
    assert world.crews[1].constrained_tasks() == [large]
    world.kernel.lend(parent.executor)
    world.kernel.serve()
    child = world.call(name=world.needing(memory_size=1.0), parent=parent.id)
    assert (large.state, child.state) == (READY, ASSIGNED)
    world.done(child)
    world.kernel.regain(parent.executor)
    world.done(parent)
    assert large.state == ASSIGNED
