"""Random programs on random clusters do the same as plain Python, whatever nodes, transfers and messages do.

Everything follows from one number, the seed: the program, the cluster, its faults and what they hit. A seed that fails
prints the command that replays it. More of them: ``TASKFLOW_SOAK=20000 pytest tests/properties/test_clusters.py``;
others: ``TASKFLOW_SEED=1000000`` begins there.
"""

import contextlib
import dataclasses
import gc
import os
import random
import tempfile
import traceback
import warnings
from pathlib import Path

import pytest

import taskflow
from taskflow import TaskflowWarning, compss_barrier, compss_wait_on, runtime
from taskflow.api import binding
from taskflow.api.task import TaskFunction
from taskflow.core.scheduling import SCHEDULERS
from taskflow.drivers.simulated import Faults
from taskflow.drivers.simulated_nodes import NodeFaults, SimulatedNode
from tests.core import invariants
from tests.properties import (
    functions,
    nested_functions,
    random_programs,
    spanning_functions,
    test_constraints,
    test_policies,
)
from tests.properties.programs import Run

SOAK = int(os.environ.get("TASKFLOW_SOAK", "0"))
FIRST = int(os.environ.get("TASKFLOW_SEED", "0"))


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """Have arguments of some hundred bytes go through segments, as results do with `inline_limit`."""
    monkeypatch.setattr(binding, "INLINE_LIMIT", 200)


def seeds(usual):
    return range(FIRST, FIRST + (SOAK or usual))


def random_cluster(chance, *, rough=True, home=None, least=1):
    """Faults with nodes of all kinds; at least one place outlives everything."""
    count = chance.choice((2, 2, 3, 3, 4, 6, 10, 50 if chance.random() < 0.1 else 8))
    late = chance.random() < 0.3
    nodes = [
        SimulatedNode(
            units=max(least if place == 0 else 1, chance.choice((1, 1, 2, 3, 4) if count < 10 else (1, 1, 2))),
            speed=chance.choice((0.3, 1.0, 1.0, 4.0)),
            memory_size=chance.choice((4.0, 8.0, 64.0)) if place else 64.0,
            architecture=chance.choice(("amd64", "arm64")),
            delay_s=chance.choice((0.0, 1e-4, 1e-3, 2e-2)),
            bytes_per_s=chance.choice((1e4, 1e6, 1e9)),
            joins_s=chance.expovariate(1 / 0.02) if late and place and chance.random() < 0.5 else 0.0,
            dies=place > 0,
        )
        for place in range(count)
    ]
    chance.shuffle(nodes)
    calm = Faults(
        inline_limit=chance.choice((200, 200, 10_000)),
        task_s=chance.choice((1e-5, 1e-3, 0.02)),
        steps=chance.choice((0.0, 0.3, 0.8)),
        nodes=tuple(nodes),
        home=chance.random() < 0.5 if home is None else home,
        scheduler=chance.choice(sorted(SCHEDULERS)),
    )
    if not rough or chance.random() < 0.15:
        return calm
    deadly = chance.random() < 0.5
    return dataclasses.replace(
        calm,
        death=chance.choice((0.0, 0.02, 0.1)) * deadly,
        idle_death=chance.choice((0.0, 0.02)) * deadly,
        max_deaths=40,
        late=chance.choice((0.0, 0.5)),
        lost=chance.choice((0.0, 0.4)),
        duplicate=chance.choice((0.0, 0.4)),
        error=chance.choice((0.0, 0.0, 0.1)),
        restart=chance.choice(((1e-5, 1e-4), (1e-3, 3e-2))),
        node_faults=NodeFaults(
            death=chance.choice((0.0, 0.01, 0.05, 0.2)),
            silent=chance.choice((0.0, 0.5)),
            back=chance.choice((0.0, 0.5, 1.0)),
            known_s=chance.choice(((1e-5, 1e-4), (1e-3, 5e-2))),
            transfer=chance.choice((0.0, 0.05, 0.2)),
            slow=chance.choice((0.0, 0.1)),
            no_way=chance.choice((0.0, 0.0, 0.3, 1.0)),
        ),
    )


def check(engine):
    invariants.check(engine.kernel, vanishing=engine.faults.node_faults.transfer > 0)


def run_on(base, seed, faults, work, *, checked=True, workers=None):
    """Do the work in a session on the simulated cluster; what it returns, and the engine."""
    chance = random.Random(seed)
    with taskflow.session(
        engine="simulated",
        seed=seed,
        workers=workers or chance.randint(1, 3),
        faults=faults,
        run_dir=f"{base}/run",
        progress=False,
    ) as session:
        engine = session.engine
        if checked:
            session.engine.check = check
        result = work()
        compss_barrier()
    assert engine.kernel.unfinished == 0
    return result, engine


def nothing_is_left(engine):
    """Once nobody holds a value any more, no node has anything (what died with an executor aside)."""
    faults = engine.faults
    if engine.deaths or engine.cluster.deaths or faults.duplicate or faults.error or faults.node_faults.transfer:
        return
    gc.collect()
    left = engine.cluster.leftovers()
    assert not left, f"nodes still have {left[:5]} (of {len(left)})"


@contextlib.contextmanager
def several_nodes(chance, module):
    """Have some of the module's task functions run on two nodes at once."""
    functions = [function for function in vars(module).values() if isinstance(function, TaskFunction)]
    for function in functions:
        function.options.hosts = chance.choice((1, 1, 2))
        function.changed()
    try:
        yield
    finally:
        for function in functions:
            function.options.hosts = 1
            function.changed()


def plain_program(seed, base, alter=lambda faults: faults):
    chance = random.Random(seed)
    program = random_programs.program(chance, chance.choice((8, 20, 40)))
    faults = alter(random_cluster(chance))
    os.mkdir(f"{base}/plain")
    os.mkdir(f"{base}/session")
    wanted = Run(f"{base}/plain", wild=False).execute(program)

    def work():
        return Run(f"{base}/session", wild=True).execute(program)

    seen, engine = run_on(base, seed, faults, work)
    assert seen == wanted
    assert not list(Path(base, "run").glob("files/*"))
    nothing_is_left(engine)
    return engine


def constrained_program(seed, base):
    chance = random.Random(seed)
    program = random_programs.constrained(chance, 40)
    faults = random_cluster(chance, least=test_constraints.WIDEST)
    wanted = test_constraints.run(program)

    def work():
        test_constraints.MEMORY = 4.0
        return compss_wait_on(test_constraints.run(program))

    seen, engine = run_on(base, seed, faults, work, workers=test_constraints.WIDEST)
    assert seen == wanted
    for crew in engine.kernel.crews.values():
        assert (crew.claims, crew.constrained) == ([], {})
    return engine


def lasting(chance, nodes, count):
    """Of the nodes so many that are good for everything and outlive it."""
    nodes = [*nodes, *[SimulatedNode() for _ in range(count - len(nodes))]]
    for place in chance.sample(range(len(nodes)), count):
        nodes[place] = dataclasses.replace(
            nodes[place], units=max(2, nodes[place].units), memory_size=8.0, gpus=2, joins_s=0.0, dies=False
        )
    return tuple(nodes)


def spanning_program(seed, base):
    chance = random.Random(seed)
    faults = random_cluster(chance)
    # Home has no GPU, and of it the simulated kernel knows only what it offers.
    program = random_programs.spanning(chance, 40, len(spanning_functions.FUNCTIONS) - faults.home)
    if chance.random() < 0.5:  # more nodes die than elsewhere, and come back
        deadly = dataclasses.replace(faults.node_faults, death=chance.choice((0.1, 0.3)), back=0.9)
        faults = dataclasses.replace(faults, node_faults=deadly)
    faults = dataclasses.replace(faults, nodes=lasting(chance, faults.nodes, spanning_functions.MOST_NODES))
    wanted = spanning_functions.run(program)
    seen, engine = run_on(base, seed, faults, lambda: compss_wait_on(spanning_functions.run(program)))
    assert seen == wanted
    for crew in engine.kernel.crews.values():
        assert (crew.claims, crew.constrained, crew.share, crew.reserved) == ([], {}, None, [])
        assert crew.free == crew.whole
    return engine


def policy_program(seed, base):
    chance = random.Random(seed)
    program = random_programs.policies(chance, 25)
    faults = dataclasses.replace(random_cluster(chance), death=0.0, idle_death=0.0, error=0.0)
    wanted = test_policies.read(program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TaskflowWarning)
        seen, engine = run_on(base, seed, faults, lambda: test_policies.execute(program))
    assert seen == wanted
    return engine


def nested_outcome(program):
    items, cells = [0], [5, 6, 7]
    result = nested_functions.body_anywhere(program, items, cells)
    result, items, cells = compss_wait_on(result, items, cells)
    compss_barrier()
    return result, items, cells


def nested_program(seed, base, alter=lambda faults: faults):
    chance = random.Random(seed)
    program = random_programs.nested(chance, 5, 2)
    faults = alter(random_cluster(chance))
    wanted = nested_outcome(program)
    seen, engine = run_on(base, seed, faults, lambda: nested_outcome(program))
    assert seen == wanted
    return engine


def on_several_nodes(program, module):
    """The kind of program, some of its tasks having two nodes."""

    def run(seed, base):
        chance = random.Random(-seed - 1)

        def alter(faults):
            return dataclasses.replace(faults, nodes=lasting(chance, faults.nodes, 2))

        with several_nodes(chance, module):
            return program(seed, base, alter)

    return run


KINDS = {
    "plain_on_several_nodes": on_several_nodes(plain_program, functions),
    "nested_on_several_nodes": on_several_nodes(nested_program, nested_functions),
    "plain": plain_program,
    "constrained": constrained_program,
    "policies": policy_program,
    "nested": nested_program,
    "spanning": spanning_program,
}


def replay(kind, seed):
    """Run one seed; returns the engine for a look at what happened."""
    assert runtime.session is None
    with tempfile.TemporaryDirectory() as base:
        try:
            return KINDS[kind](seed, base)
        except Exception as error:  # noqa: BLE001  whatever it is, it is told with the command
            if runtime.session is not None:
                runtime.session.stop(cancel=True)
            command = f"TASKFLOW_SEED={seed} TASKFLOW_SOAK=1 python -m pytest {os.path.relpath(__file__)} -k {kind}"
            raise AssertionError(
                f"{kind} seed {seed} fails ({type(error).__name__}: {error}); replay it with\n    {command}\n"
                f"{traceback.format_exc()}"
            ) from None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_programs_on_clusters_give_the_values_of_plain_python(kind):
    for seed in seeds(40):
        replay(kind, seed)
