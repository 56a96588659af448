"""Which node will do for a task: every constraint, what is consumed, and what is said when none will do."""

import itertools
import random

import pytest

from taskflow.model.functions import Demand
from taskflow.model.requirements import Node, Processor, demand_on, mismatches, resolve, table

XEON = Processor(
    8, "CPU", "Xeon", "amd64", speed=2.5, properties=frozenset({("vector", "avx2")}), internal_memory_size=0.5
)
GRACE = Processor(4, "CPU", "Grace", "arm64", speed=3.1)
TESLA = Processor(2, "GPU", "Tesla", internal_memory_size=16.0)
HOPPER = Processor(1, "GPU", "Hopper", internal_memory_size=80.0)
STRATIX = Processor(2, "FPGA", "Stratix")
FULL = Node(
    "full",
    (XEON, TESLA, STRATIX, Processor(3, "OTHER", "Sensor")),
    memory_size=64.0, memory_type="Volatile", storage_size=500.0, storage_type="Persistent", storage_bw=300.0,
    operating_system_type="Linux", operating_system_distribution="Debian", operating_system_version="12",
    software=frozenset({"BLAST", "PYTHON"}), queues=frozenset({"DEBUG", "LONG"}),
)  # fmt: skip
BARE = Node("bare", (Processor(4),))


def needs(**constraints):
    return resolve(constraints, {}, "test")


#: Constraint, a value that the full node meets, one that it does not; whether the bare node, which says nothing, does.
ROWS = [
    ("computing_units", 8, 9, False),
    ("processor_name", "Xeon", "xeon", True),
    ("processor_architecture", "amd64", "arm64", True),
    ("processor_architecture", "x86_64", "aarch64", True),
    ("processor_speed", 2.5, 2.6, True),
    ("processor_internal_memory_size", 0.5, 0.6, True),
    ("memory_size", 64, 64.5, True),
    ("memory_type", "Volatile", "Non-volatile", True),
    ("storage_size", 500, 501, True),
    ("storage_type", "Persistent", "Temporary", True),
    ("storage_bw", 300, 301, True),
    ("operating_system_type", "Linux", "Windows", True),
    ("operating_system_distribution", "Debian", "SUSE", True),
    ("operating_system_version", "12", "13", True),
    ("app_software", "blast, Python", "blast, gromacs", False),
    ("host_queues", "debug", "debug, short", False),
]


@pytest.mark.parametrize(("name", "there", "beyond", "unassigned"), ROWS)
def test_each_constraint(name, there, beyond, unassigned):
    assert mismatches(needs(**{name: there}), FULL) == []
    (mismatch,) = mismatches(needs(**{name: beyond}), FULL)
    assert mismatch.constraint == name
    assert (mismatches(needs(**{name: there}), BARE) == []) is unassigned


def test_a_property_of_the_processor():
    def wanted(value):
        return needs(processor_property_name="vector", processor_property_value=value)

    assert mismatches(wanted("avx2"), FULL) == []
    (mismatch,) = mismatches(wanted("avx512"), FULL)
    assert (mismatch.constraint, mismatch.requested, mismatch.available) == (
        "processor_property", "vector=avx512", "vector=avx2",
    )  # fmt: skip
    assert mismatches(wanted("avx512"), BARE) == []


@pytest.mark.parametrize("kind", ["GPU", "FPGA", "OTHER"])
def test_the_type_of_the_processor(kind):
    wanted = needs(processor_type=kind.lower(), computing_units=2)
    assert mismatches(wanted, FULL) == []
    assert wanted.units == 1  # the program that drives the device
    (mismatch,) = mismatches(wanted, BARE)
    assert (mismatch.constraint, mismatch.available) == (f"computing_units of type {kind}", "0")


def test_a_limit_of_the_queue_is_not_matched():
    assert mismatches(needs(wall_clock_limit=10**6), FULL) == []


def test_a_task_that_has_to_run_at_home():
    assert mismatches(needs(is_local=True), FULL, home=True) == []
    (mismatch,) = mismatches(needs(is_local=True), FULL, home=False)
    assert mismatch.constraint == "is_local"
    assert mismatches(needs(is_local=False), FULL, home=False) == []


def test_io_tasks_need_no_cpu():
    assert mismatches(resolve({}, {}, "test", io=True), Node("gpu only", (TESLA,))) == []


def test_entries_of_processors_each_take_a_processor_of_their_own():
    both = Node("both", (XEON, GRACE, TESLA))
    pair = needs(processors=[{"ComputingUnits": 8}, {"ComputingUnits": 4}])
    assert mismatches(pair, both) == []
    (mismatch,) = mismatches(pair, FULL)
    assert mismatch.constraint == "processors"
    assert mismatches(needs(processors=[{"computing_units": 4}, {"computing_units": 8}]), both) == []
    assert mismatches(needs(processors=[{"processorType": "CPU"}, {"processorType": "GPU"}]), both) == []


def test_units_of_one_processor_count_not_those_of_all():
    (mismatch,) = mismatches(needs(computing_units=9), Node("both", (XEON, GRACE)))
    assert (mismatch.requested, mismatch.available) == ("9", "8")


def test_more_units_than_tasks_may_run():
    limited = Node("limited", (XEON,), limit_of_tasks=3)
    assert limited.executors == 3
    assert mismatches(needs(computing_units=3), limited) == []
    (mismatch,) = mismatches(needs(computing_units=4), limited)
    assert (mismatch.constraint, mismatch.available) == ("computing_units", "3 (LimitOfTasks)")


def test_units_that_nobody_knows_yet_fit_any_need():
    assert mismatches(needs(computing_units=64), Node("asked later", (Processor(0),))) == []


# --- what a task takes ---------------------------------------------------------------------------------------


def test_what_is_taken_from_nodes_whose_processors_are_alike():
    wanted = needs(processors=[{"computing_units": 2}, {"type": "GPU", "computing_units": 1}], memory_size=4)
    assert wanted.demand == Demand(2, (("GPU", 1, ()),), (("memory_size", 4.0),))
    assert demand_on(wanted, FULL) == wanted.demand


def test_devices_of_one_model():
    mixed = Node("mixed", (XEON, TESLA, STRATIX, HOPPER))
    wanted = needs(processors=[{"type": "GPU", "computing_units": 1, "internal_memory_size": 40}])
    assert demand_on(wanted, mixed).devices == (("GPU", 1, (2,)),)
    wanted = needs(processors=[{"type": "GPU", "name": "Tesla", "computing_units": 2}, {"type": "FPGA"}])
    assert demand_on(wanted, mixed).devices == (("GPU", 2, (0, 1)), ("FPGA", 1, ()))
    assert [mixed.processor_of("GPU", index).name for index in range(3)] == ["Tesla", "Tesla", "Hopper"]


def test_who_can_choose_among_devices_goes_last():
    mixed = Node("mixed", (XEON, TESLA, HOPPER))
    wanted = needs(processors=[{"type": "GPU"}, {"type": "GPU", "name": "Tesla"}, {"type": "GPU", "name": "Hopper"}])
    devices = demand_on(wanted, Node("many", (XEON, TESLA, HOPPER, Processor(1, "GPU", "Other")))).devices
    assert [choice for _, _, choice in devices] == [(2,), (0, 1), ()]
    assert mismatches(wanted, mixed) != []


def test_units_of_one_of_several_cpus():
    node = Node("both", (XEON, GRACE))
    assert node.amounts == {"units of processors 0": 8.0, "units of processors 1": 4.0}
    assert demand_on(needs(processor_name="Grace", computing_units=3), node).amounts == (
        ("units of processors 1", 3.0),
    )
    assert demand_on(needs(computing_units=3), node).amounts == ()


@pytest.mark.parametrize("seed", range(30))
def test_tasks_that_fit_into_the_amounts_can_be_divided_among_the_processors(seed):
    """Each takes one unit; whoever fits by the amounts is counted as running."""
    chance = random.Random(seed)
    names = "abc"
    node = Node("n", tuple(Processor(chance.randint(1, 3), name=name, speed=chance.randint(1, 3)) for name in names))
    free = {**node.amounts, "all": node.units}
    running = []
    for _ in range(12):
        wanted = needs(processor_speed=chance.randint(1, 3))
        if mismatches(wanted, node):
            continue
        takes = {**dict(demand_on(wanted, node).amounts), "all": 1}
        fits = all(free[name] >= amount for name, amount in takes.items())
        if fits:
            running.append(wanted)
            for name, amount in takes.items():
                free[name] -= amount
        assert can_be_divided([*running, *([] if fits else [wanted])], node) == fits


def can_be_divided(wanted, node):
    """By trying everything."""
    suitable = [
        [place for place, each in enumerate(node.processors) if each.speed >= need.processors[0].speed]
        for need in wanted
    ]
    left = {tuple(each.units for each in node.processors)}
    for places in suitable:
        left = {
            tuple(units - (place == chosen) for place, units in enumerate(state))
            for state, chosen in itertools.product(left, places)
            if state[chosen]
        }
    return bool(left)


def test_a_node_with_very_many_cpus_costs_no_more_than_their_number():
    node = Node("many", tuple(Processor(1, name=str(i)) for i in range(40)))
    assert len(node.amounts) == 40
    assert demand_on(needs(processor_name="7"), node).amounts == (("units of processors 7", 1.0),)


# --- when none will do --------------------------------------------------------------------------------------


def test_the_table_of_one_node():
    found = [("node1", mismatches(needs(computing_units=16, memory_size=512), FULL))]
    assert table(found).splitlines() == [
        "  constraint       requested  available",
        "  computing_units  16         8",
        "  memory_size      512 GB     64 GB",
    ]


def test_the_table_of_several_nodes_names_them():
    wanted = needs(computing_units=6, memory_size=512, app_software="gromacs")
    found = [(node.name, mismatches(wanted, node)) for node in (FULL, BARE)]
    assert table(found).splitlines() == [
        "  node  constraint       requested  available",
        "  full  memory_size      512 GB     64 GB",
        "        app_software     GROMACS    BLAST, PYTHON",
        "  bare  computing_units  6          4",
        "        app_software     GROMACS    none is declared",
    ]


def test_nodes_with_the_same_reasons_share_them():
    found = [(f"node{i}", mismatches(needs(computing_units=16), BARE)) for i in range(1000)]
    assert table(found).splitlines() == [
        "  node                              constraint       requested  available",
        "  node0, node1, node2 and 997 more  computing_units  16         4",
    ]


def test_of_very_many_different_nodes_some_are_shown():
    found = [(f"node{i}", mismatches(needs(computing_units=100), Node("", (Processor(i + 1),)))) for i in range(20)]
    lines = table(found).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "  and 12 more nodes"
