"""Tasks that have several nodes at once: how they come by them, who goes first, and what happens when one is lost."""

import random

import pytest

from taskflow.core.graph import ASSIGNED, BLOB, DONE, FAILED_TASK, READY, SEGMENT, VALUE, WAITING, Group, Held
from taskflow.core.scheduling import Scheduler
from taskflow.model.errors import NoNodeError
from taskflow.model.functions import Demand
from taskflow.model.parameters import Direction
from taskflow.model.requirements import Node, Processor, ProcessorNeed, Requirements
from tests.core import invariants
from tests.core.test_nodes import Cluster, node_of
from tests.core.world import LONG

IN = Direction.IN


class Several(Cluster):
    """A cluster with functions for several nodes."""

    def spanning(self, hosts, units=1, requirements=None, **amounts):
        name = f"spans {hosts} of {units} {requirements} {amounts}"
        function = self.function(name, LONG)
        function.demand = Demand(units, (), tuple(amounts.items()), hosts=hosts)
        function.requirements = requirements
        return name

    def call(self, *accesses, **attributes):
        called = super().call(*accesses, **attributes)
        self.check()
        return called

    def settle(self, executor):
        super().settle(executor)
        self.check()

    def lose_node(self, number):
        super().lose_node(number)
        self.check()

    def check(self):
        self.kernel.serve()
        invariants.check(self.kernel)

    def nodes_of(self, task):
        """The numbers of the nodes that a running task has, its own first."""
        span = task.executor.claim.share.span
        assert span.task is task
        return span.numbers

    def held(self):
        """How many executors are kept idle on each node."""
        return {
            number: sum(executor.apart and not executor.inflight for executor in crew.members.values())
            for number, crew in self.kernel.crews.items()
            if number
        }


def node(name, units=1, architecture="amd64", memory=8.0):
    return Node(name, (Processor(units, architecture=architecture),), memory_size=memory)


def test_a_task_for_two_nodes_has_its_units_on_both_and_gives_them_back():
    world = Several(2, 2, 2)
    both = world.call(name=world.spanning(2, units=2))
    assert both.state == ASSIGNED
    first, second = world.nodes_of(both)
    assert first == node_of(both)
    assert world.held() == {number: (number == first) + 2 * (number == second) for number in (1, 2, 3)}
    plain = [world.call(mean_s=LONG) for _ in range(3)]
    assert {node_of(task) for task in plain if task.executor} == {1, 2, 3} - {first, second}
    world.done(both)
    assert all(task.state == ASSIGNED for task in plain)
    assert [span.task for span in world.kernel.spans_over] == [both]
    assert not any(crew.claims for crew in world.kernel.crews.values())


def test_it_waits_for_what_was_called_before_and_goes_before_what_was_called_after():
    world = Several(1, 1)
    world.function("f", LONG)
    before = [world.call() for _ in range(4)]
    both = world.call(name=world.spanning(2))
    after = [world.call() for _ in range(2)]
    world.done(before[0])
    assert (before[2].state, both.state) == (ASSIGNED, READY)
    world.done(before[1])
    assert before[3].state == ASSIGNED
    world.done(before[2])  # nothing else was called before it: this node is kept
    assert [task.state for task in after] == [READY, READY]
    world.done(before[3])
    assert both.state == ASSIGNED
    assert [task.state for task in after] == [READY, READY]
    world.done(both)
    assert [task.state for task in after] == [ASSIGNED, ASSIGNED]


def test_small_tasks_and_those_for_several_nodes_take_turns_in_the_order_of_the_calls():
    world = Several(1, 1)
    world.function("f", LONG)
    names = [world.spanning(2), "f", "f", world.spanning(2), "f", world.spanning(2), "f"]
    tasks = [world.call(name=name) for name in names]
    order = []
    while running := world.running():
        order += sorted(task.id for task in running if task.id not in order)
        world.done(min(running, key=lambda task: task.id))
    assert order == [1, 2, 3, 4, 5, 6, 7]
    assert all(task.state == DONE for task in tasks)


def test_tasks_with_a_demand_called_before_it_go_first():
    world = Several(2, 2)
    running = [world.call(name=world.needing(2)) for _ in range(2)]
    wide = world.call(name=world.needing(2))
    both = world.call(name=world.spanning(2))
    later = world.call(name=world.needing(2))
    world.done(running[0])
    assert (wide.state, both.state, later.state) == (ASSIGNED, READY, READY)
    world.done(running[1])
    assert (both.state, later.state) == (READY, READY)
    assert world.held() == {1: 1, 2: 1}  # one parked, and one kept
    world.done(wide)
    assert (both.state, later.state) == (ASSIGNED, READY)
    world.done(both)
    assert later.state == ASSIGNED


def test_two_tasks_for_all_nodes_run_one_after_the_other():
    world = Several(1, 1, 1)
    name = world.spanning(3)
    tasks = [world.call(name=name) for _ in range(5)]
    for task in tasks:
        assert [other.state for other in tasks if other.id > task.id] == [READY] * (5 - task.id)
        world.done(task)
    assert all(task.state == DONE for task in tasks)


def test_tasks_for_some_of_the_nodes_run_side_by_side():
    world = Several(1, 1, 1, 1, 1)
    tasks = [world.call(name=world.spanning(2)) for _ in range(3)]
    assert [task.state for task in tasks] == [ASSIGNED, ASSIGNED, READY]
    taken = [number for task in tasks[:2] for number in world.nodes_of(task)]
    assert len(set(taken)) == 4
    world.done(tasks[1])
    assert tasks[2].state == ASSIGNED


def test_one_with_priority_goes_first():
    world = Several(1, 1)
    running = world.call(name=world.spanning(2))
    usual, urgent = world.call(name=world.spanning(2)), world.call(name=world.spanning(2), priority=True)
    world.done(running)
    assert (usual.state, urgent.state) == (READY, ASSIGNED)
    world.done(urgent)
    assert usual.state == ASSIGNED


def test_it_takes_another_node_if_that_can_serve_it_sooner():
    world = Several(1, 1, 1)
    world.function("f", LONG)
    running = {node_of(task): task for task in [world.call() for _ in range(3)]}
    both = world.call(name=world.spanning(2))
    chosen = set(world.kernel.dispatch.spanning.collecting.shares)
    (other,) = {1, 2, 3} - chosen
    world.done(running[other])
    world.done(running[min(chosen)])
    assert both.state == ASSIGNED
    assert set(world.nodes_of(both)) == {other, min(chosen)}


def test_it_runs_where_most_of_its_data_are():
    world = Several(1, 1, 1, 1)
    small, large = world.at(1, nbytes=1000), world.at(3, nbytes=50_000_000)
    both = world.call((small, IN), (large, IN), name=world.spanning(2))
    assert both.state == READY
    assert world.move() == [(3, 1)]
    assert both.state == ASSIGNED
    assert world.nodes_of(both)[0] == 3
    invariants.check(world.kernel)


def test_data_are_brought_while_the_nodes_are_collected():
    world = Several(1, 1)
    world.function("f", LONG)
    running = [world.call() for _ in range(2)]
    data = [world.at(1, nbytes=50_000_000), world.at(2, nbytes=10_000_000)]
    both = world.call((data[0], IN), (data[1], IN), name=world.spanning(2))
    assert world.move() == [(1, 2)]
    for task in running:
        world.done(task)
    assert both.state == ASSIGNED
    assert node_of(both) == 1


def test_results_in_the_memory_of_executors_are_published_before_anything_is_kept():
    world = Several(1, 1)
    world.function("f", LONG)
    makes, result = world.call(returns=1)
    executor = makes.executor
    world.report(makes, (4, Held(executor, (makes.id, 0), 1000)))
    both = world.call((result, IN), name=world.spanning(2))
    assert both.state == WAITING
    assert world.held() == {1: 0, 2: 0}
    world.kernel.published(world.kernel.publishing[makes.id, 0], world.at(node_of_executor(executor)).current.value)
    world.settle(executor)
    assert both.state == ASSIGNED


def node_of_executor(executor):
    return executor.crew.number


def test_no_executor_is_kept_idle_while_something_else_is_lacking():
    """What it waits for might be what a task has that waits for one it has called, and that one for the executor."""
    world = Several(2, 2, nodes=(node("a", 2), node("b", 2)))
    hungry = world.call(name=world.needing(1, memory_size=6.0))
    both = world.call(name=world.spanning(2, memory_size=4.0))
    assert both.state == READY
    assert world.held() == {1: 0, 2: 0}
    plain = [world.call(mean_s=LONG) for _ in range(3)]
    assert all(task.state == ASSIGNED for task in plain)
    greedy = world.call(name=world.needing(1, memory_size=5.0))
    assert greedy.state == READY  # what comes later gets none of the memory that it waits for
    world.done(hungry)
    for task in plain[:2]:
        world.done(task)
    if both.state == READY:
        world.done(plain[2])
    assert (both.state, greedy.state) == (ASSIGNED, READY)
    world.done(both)
    assert greedy.state == ASSIGNED


def test_a_task_that_was_called_by_another_may_take_what_is_kept_for_one_that_lacks_more():
    world = Several(2, 2, nodes=(node("a", 2), node("b", 2)))
    parent = world.call(name=world.needing(1, memory_size=6.0))
    world.kernel.lend(parent.executor)
    both = world.call(name=world.spanning(2, memory_size=6.0))
    child = world.call(name=world.needing(1, memory_size=6.0), parent=parent.id)
    assert (both.state, child.state) == (READY, ASSIGNED)
    world.done(child)
    world.kernel.regain(parent.executor)
    world.done(parent)
    assert both.state == ASSIGNED


def test_a_task_that_waits_for_those_it_has_called_lends_the_units_of_all_its_nodes():
    world = Several(1, 1)
    both = world.call(name=world.spanning(2))
    children = [world.call(mean_s=LONG, parent=both.id) for _ in range(2)]
    assert [child.state for child in children] == [READY, READY]
    world.kernel.lend(both.executor)
    world.check()
    other = next(number for number in (1, 2) if number != node_of(both))
    crew = world.kernel.crews[node_of(both)]
    assert crew.wanted == 1
    assert [node_of(child) for child in children if child.executor] == [other]
    world.add(crew.number)
    world.check()
    assert [child.state for child in children] == [ASSIGNED, ASSIGNED]
    for child in children:
        world.take(child.executor)
    world.kernel.regain(both.executor)
    world.check()
    for child in children:
        world.done(child)
    last = world.call(mean_s=LONG)
    assert last.state == READY
    world.done(both)
    assert last.state == ASSIGNED
    assert world.call(name=world.spanning(2)).state == READY


def test_a_task_for_several_nodes_may_call_one_like_it():
    world = Several(1, 1)
    both = world.call(name=world.spanning(2))
    inner = world.call(name=world.spanning(2), parent=both.id)
    world.kernel.lend(both.executor)
    world.add(node_of(both))
    world.check()
    assert inner.state == ASSIGNED
    world.done(inner)
    world.kernel.regain(both.executor)
    world.done(both)
    world.check()
    assert not any(crew.claims or crew.set_aside for crew in world.kernel.crews.values())


# ---------------------------------------------------------------------- losses


def test_the_loss_of_another_of_its_nodes_ends_the_attempt_which_does_not_count():
    world = Several(1, 1, 1)
    both = world.call(name=world.spanning(2))
    executor = both.executor
    main, other = world.nodes_of(both)
    world.take(executor)
    world.lose_node(other)
    assert world.kernel.cancels == [(executor, both.id)]
    assert (both.state, both.severed) == (ASSIGNED, True)
    world.fail_once(both, RuntimeError("interrupted"))
    assert both.state == ASSIGNED
    assert (both.failed_attempts, both.deaths, both.severed) == (0, 0, False)
    assert set(world.nodes_of(both)) == {1, 2, 3} - {other}
    world.done(both)
    assert both.state == DONE
    assert main in world.kernel.crews


def test_an_attempt_that_ends_well_although_another_node_is_lost_counts():
    world = Several(1, 1, 1)
    both = world.call(name=world.spanning(2))
    world.take(both.executor)
    world.lose_node(world.nodes_of(both)[1])
    world.done(both)
    assert both.state == DONE
    assert world.held() == dict.fromkeys(world.held(), 0)


def test_an_attempt_that_is_not_sent_yet_is_taken_back():
    world = Several(1, 1, 1)
    both = world.call(name=world.spanning(2))
    world.lose_node(world.nodes_of(both)[1])
    assert not world.kernel.cancels
    assert both.state == ASSIGNED
    assert len(world.nodes_of(both)) == 2


def test_an_executor_that_is_ended_with_such_an_attempt_does_not_count_against_the_task():
    world = Several(1, 1, 1)
    both = world.call(name=world.spanning(2))
    executor = both.executor
    world.take(executor)
    world.lose_node(world.nodes_of(both)[1])
    world.kernel.executor_lost(executor, both.id, RuntimeError("killed"))
    world.add(node_of_executor(executor))
    world.check()
    assert both.state == ASSIGNED
    assert both.deaths == 0


def test_the_loss_of_its_own_node_has_the_task_run_again_on_others():
    world = Several(1, 1, 1)
    both = world.call(name=world.spanning(2))
    main = node_of(both)
    world.lose_node(main)
    assert both.state == ASSIGNED
    assert set(world.nodes_of(both)) == {1, 2, 3} - {main}
    assert both.losses == 1


def test_a_task_whose_nodes_are_lost_again_and_again_is_blamed():
    world = Several(*[1] * 8)
    both = world.call(name=world.spanning(2))
    for _ in range(4):
        executor = both.executor
        world.take(executor)
        world.lose_node(world.nodes_of(both)[1])
        if both.state == ASSIGNED:
            world.fail_once(both)
        else:
            world.kernel.dropped(executor, [both.id])
            world.settle(executor)
    assert both.state == FAILED_TASK
    assert not any(crew.claims for crew in world.kernel.crews.values())


def test_a_node_that_is_lost_while_it_is_collected_is_replaced():
    world = Several(1, 1, 1)
    world.function("f", LONG)
    running = {node_of(task): task for task in [world.call() for _ in range(3)]}
    both = world.call(name=world.spanning(2))
    gone, kept = sorted(world.kernel.dispatch.spanning.collecting.shares)
    world.done(running[gone])
    assert world.held()[gone] == 1
    world.lose_node(gone)
    (other,) = {1, 2, 3} - {gone, kept}
    world.done(running[kept])
    world.done(running[other])
    assert both.state == ASSIGNED
    assert set(world.nodes_of(both)) == {kept, other}


def test_too_few_nodes_are_waited_for_as_long_as_some_may_come():
    world = Several(1, 1)
    name = world.spanning(2)
    world.lose_node(2)
    both = world.call(name=name)
    plain = world.call(mean_s=LONG)
    assert (both.state, plain.state) == (READY, ASSIGNED)  # nothing is kept meanwhile
    world.grow(3, 1)
    world.done(plain)
    assert both.state == ASSIGNED


def test_too_few_nodes_fail_the_task_with_the_reasons_when_no_more_will_come():
    arm = Requirements((ProcessorNeed(architecture="arm64"),))
    world = Several(1, 1, 1, nodes=(node("a", architecture="arm64"), node("b", architecture="arm64"), node("c")))
    both = world.call(name=world.spanning(2, requirements=arm))
    waits = world.call(name=world.spanning(2, requirements=arm))
    possible = world.call(name=world.spanning(2))
    world.take(both.executor)
    world.kernel.dispatch.expecting = False
    world.lose_node(world.nodes_of(both)[1])
    assert waits.state == FAILED_TASK
    world.fail_once(both)
    assert both.state == FAILED_TASK
    assert possible.state == ASSIGNED
    error = world.kernel.failures[0].error
    assert isinstance(error, NoNodeError)
    for part in ("it needs 2 nodes at once, and of the 2 that are left 1 satisfies", "nodes at once", "amd64"):
        assert part in str(error)


def test_a_parked_executor_that_dies_is_replaced():
    world = Several(2, 2)
    both = world.call(name=world.spanning(2, units=2))
    other = world.kernel.crews[world.nodes_of(both)[1]]
    victim = other.claims[0].parked[0]
    world.kernel.executor_lost(victim, 0, RuntimeError("died"))
    world.check()
    assert other.claims[0].missing == 1
    world.add(other.number)
    world.check()
    assert (other.claims[0].missing, other.team) == (0, [])
    world.done(both)
    assert len(other.team) == 2


def test_all_executors_that_are_kept_die_before_the_task_begins():
    world = Several(1, 1)
    world.function("f", LONG)
    running = [world.call() for _ in range(2)]
    both = world.call(name=world.spanning(2))
    kept = running[0].executor
    world.done(running[0])
    world.kernel.executor_lost(kept, 0, RuntimeError("died"))
    world.check()
    world.done(running[1])
    world.add(kept.crew.number)
    world.check()
    assert both.state == ASSIGNED
    world.done(both)


# ---------------------------------------------------------------------- cancellation and others


def test_a_task_that_is_cancelled_while_it_collects_gives_back_what_it_has():
    world = Several(1, 1)
    world.function("f", LONG)
    running = [world.call() for _ in range(2)]
    group = Group("g")
    both = world.call(name=world.spanning(2), groups=(group,))
    later = [world.call() for _ in range(2)]
    world.done(running[0])
    assert later[0].state == READY
    world.kernel.cancel_group(group, RuntimeError("cancelled"))
    world.check()
    assert both.state == FAILED_TASK
    assert later[0].state == ASSIGNED


def test_a_running_task_that_is_cancelled_keeps_its_nodes_until_it_has_ended():
    world = Several(1, 1)
    group = Group("g")
    both = world.call(name=world.spanning(2), groups=(group,))
    executor = both.executor
    world.take(executor)
    later = world.call(mean_s=LONG)
    world.kernel.cancel_group(group, RuntimeError("cancelled"))
    world.check()
    assert (later.state, list(group.members)) == (READY, [both.id])
    world.kernel.dropped(executor, [both.id])
    world.settle(executor)
    assert later.state == ASSIGNED
    assert not group.members


def test_a_failed_attempt_is_followed_by_another_on_all_nodes():
    world = Several(1, 1)
    both, result = world.call(name=world.spanning(2), returns=1)
    world.fail_once(both)
    assert both.state == ASSIGNED
    assert sorted(world.nodes_of(both)) == [1, 2]
    world.done(both, 7)
    assert (result.current.state, result.current.value) == (VALUE, 7)


def test_a_task_that_is_pinned_to_a_node_has_others_beside_it():
    world = Several(1, 1, 1)
    for number in (1, 2, 3):
        both = world.call(name=world.spanning(2), pin=number)
        assert node_of(both) == number
        world.done(both)


def test_a_plan_says_on_which_node_it_runs():
    nodes = (node("a"), node("b"), node("c"))
    world = Several(1, 1, 1, nodes=nodes, scheduler=Scheduler("predefined", plan={1: "c", 2: "b", 3: "d"}))
    for number in (3, 2):
        both = world.call(name=world.spanning(2))
        assert node_of(both) == number
        world.done(both)
    world.kernel.dispatch.expecting = False
    lost = world.call(name=world.spanning(2))
    assert lost.state == FAILED_TASK
    assert "the plan says on d" in str(world.kernel.failures[0].error)


def test_an_implementation_for_several_nodes_is_tried_like_others():
    world = Several(1, 1)
    choice = world.function("choice", LONG)
    one, two = world.function("one", LONG), world.function(world.spanning(2))
    choice.demand = Demand(hosts=2)
    choice.implementations = (one, two)
    one.mean_s = two.mean_s = None
    tasks = []
    for mean in (1.0, 0.1, 0.1):
        task = world.call(name="choice")
        tasks.append(task.function)
        world.kernel.learnt(task.function, 1, mean)
        world.done(task)
    assert tasks == [one, two, two]


def test_home_is_one_of_the_nodes_if_it_runs_tasks():
    world = Several(1, home=1)
    both = world.call(name=world.spanning(2))
    assert sorted(world.nodes_of(both)) == [0, 1]
    world.done(both)
    assert Several(1, home=0).call(name=world.spanning(2)) is not None


@pytest.mark.parametrize("state", [VALUE, BLOB, SEGMENT])
def test_a_lost_input_is_made_again_before_it_begins(state):
    world = Several(1, 1, 1)
    world.function("f", LONG)
    makes, result = world.call(returns=1)
    place = node_of(makes)
    value = world.at(place).current.value if state == SEGMENT else 5
    world.report(makes, (state, value))
    busy = [world.call() for _ in range(3)]
    both = world.call((result, IN), name=world.spanning(2))
    world.lose_node(place)
    for _ in range(20):
        running = [task for task in world.running() if task is not both]
        if not running:
            break
        for task in running:
            if task is makes:
                world.report(makes, (VALUE, 6))
            else:
                world.done(task)
    assert both.state == ASSIGNED
    assert all(task.state == DONE for task in busy)


# ---------------------------------------------------------------------- nobody starves


class Stream:
    """A program that is always ahead of a full cluster, and tasks that end in any order."""

    def __init__(self, seed, calls):
        self.chance = random.Random(seed)
        self.world = world = Several(*[self.chance.randint(1, 3) for _ in range(self.chance.randint(3, 6))])
        self.names = {name: (call, share) for name, call, share in calls(world)}
        self.begun = []

    def run(self, count):
        """Make so many calls, and end tasks; the order in which they began."""
        world, chance = self.world, self.chance
        ahead = 3 * sum(crew.size for crew in world.kernel.crews.values())
        names, weights = zip(*self.names.values(), strict=True)
        while world.tasks < count or world.kernel.unfinished:
            while world.tasks < count and world.kernel.unfinished < ahead:
                (name,) = chance.choices(names, weights)
                Cluster.call(world, name=name)
            world.kernel.serve()
            running = sorted(world.running(), key=lambda task: task.id)
            self.begun += [task.id for task in running if task.id not in self.begun]
            # No task runs for ever: the oldest ends after a while, whoever else does.
            Cluster.done(world, running[0] if chance.random() < 0.4 else chance.choice(running))
            invariants.check(world.kernel)
        return self.begun


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [1, 20])
def test_however_many_of_one_kind_there_are_the_others_get_their_turn(seed, share):
    """No task is overtaken by more than a few times what the cluster runs at once."""

    def calls(world):
        world.function("f", LONG)
        return [
            ("small", "f", share),
            ("wide", world.needing(1, memory_size=0.0), 1),
            ("two", world.spanning(2), 21 - share),
            ("three", world.spanning(3), 1),
        ]

    stream = Stream(seed, calls)
    begun = stream.run(150)
    units = sum(crew.size for crew in stream.world.kernel.crews.values())
    assert sorted(begun) == list(range(1, 151))
    for place, number in enumerate(begun):
        overtaken = sum(1 for other in begun[:place] if other > number)
        assert overtaken <= 3 * units, f"task {number} began after {overtaken} later ones, on {units} units"
