"""What it costs the kernel to decide about one task, for clusters and programs of many sizes: nothing runs.

::

    python -m benchmarks.scale --save cells.jsonl
    python -m benchmarks.scale --save cells.jsonl --nodes 1000 --tasks 10000 100000 1000000 --schedulers locality
    python -m benchmarks.scale --write cells.jsonl docs           # the tables and the plot of docs/performance.md
    python -m benchmarks.scale --nodes 1000 --workloads data --schedulers locality --profile

The kernel is that of real runs. Around it is a loop with virtual time: executors take a task after the other, nodes
send data to each other. Only the time in the kernel is counted: submitting a task, handing it out, entering its end.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import heapq
import itertools
import json
import pstats
import random
import resource
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from taskflow.core.graph import SEGMENT, Datum, Task, Version
from taskflow.core.master import Master
from taskflow.core.placement import Executor
from taskflow.core.scheduling import SCHEDULERS, Scheduler
from taskflow.model.functions import FunctionRecord
from taskflow.model.parameters import Direction
from taskflow.model.requirements import Node, Processor, ProcessorNeed, Requirements

UNITS = 48  #: of each node
TASK_S = 0.05  #: how long tasks take, on average
DELAY_S = 2e-4  #: of messages
BYTES_PER_S = 1e9
NODES = [10, 100, 1000]
COUNTS = [10_000, 100_000, 1_000_000]
WINDOW = 4  #: tasks for each computing unit that the program is ahead
IN, INOUT = Direction.IN, Direction.INOUT
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"


class Stored:
    """A value on some nodes."""

    __slots__ = ("__weakref__", "nbytes", "places")

    def __init__(self, place: int, nbytes: int) -> None:
        self.places = {place}
        self.nbytes = nbytes

    def at(self, number: int) -> bool:
        """Whether the node has it."""
        return number in self.places

    @property
    def lost(self) -> bool:
        """Whether none has."""
        return not self.places


class World:
    """A kernel with a cluster around it. ``spent``: seconds in the kernel."""

    def __init__(self, nodes: int, scheduler: Scheduler, seed: int = 1) -> None:
        self.chance = random.Random(seed)
        self.kernel = Master()
        self.kernel.scatter(scheduler)
        self.now = 0.0
        self.spent = 0.0
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.order = itertools.count()
        self.queues: dict[int, deque[Task]] = {}
        self.running: set[int] = set()
        self.task_ids = itertools.count(1)
        self.datum_ids = itertools.count(1)
        self.functions = 0
        self.window = WINDOW * nodes * UNITS
        self.moved = 0
        executors = itertools.count(1)
        for number in range(1, nodes + 1):
            # Three kinds of nodes.
            memory, speed = ((64.0, 2.0), (128.0, 2.5), (512.0, 3.0))[number % 3]
            node = Node(f"n{number}", (Processor(UNITS, "CPU", speed=speed),), memory_size=memory)
            crew = self.kernel.node_joined(number, node, size=UNITS)
            crew.is_far(DELAY_S)
            for _ in range(UNITS):
                executor = self.kernel.executor_joined(next(executors), node=number)
                self.queues[executor.id] = deque()

    def function(self, **needs: Any) -> FunctionRecord:
        """A new task function."""
        self.functions += 1
        record = FunctionRecord(self.functions, f"f{self.functions}", "app", "app.py", 1, 1, ("ref", "app", "f"))
        if needs:
            requirements = Requirements(**needs)
            record.requirements = requirements
            record.demand = requirements.demand
        return record

    # ------------------------------------------------------------------ the program

    def call(
        self, function: FunctionRecord, reads: Sequence[Datum] = (), *, nbytes: int = -1, inout: Datum | None = None
    ) -> Datum | None:
        """Call a task. ``nbytes``: of its result, -1 for none, 0 for a plain value."""
        task = Task(next(self.task_ids), function, (nbytes,))
        result = None
        if nbytes >= 0:
            result = Datum(Version.output(next(self.datum_ids), 1, task, 0))
            task.writes = [result.current]
        accesses = [(datum, IN) for datum in reads]
        if inout is not None:
            accesses.append((inout, INOUT))
        began = thread_time()
        if accesses or nbytes >= 0 or function.demand is not None:
            self.kernel.submit(task, accesses)
        else:
            self.kernel.submit_plain(task)
        self.spent += thread_time() - began
        self.send()
        if self.kernel.unfinished >= self.window:
            while self.kernel.unfinished > self.window * 0.9:
                self.step()
        return result

    def release(self, datum: Datum) -> None:
        """The program has no name for it any more."""
        self.kernel.released(datum.current)

    # ------------------------------------------------------------------ the cluster

    def at(self, time: float, event: Callable[..., None], *args: Any) -> None:
        """Have something happen then."""
        heapq.heappush(self.events, (time, next(self.order), event, args))

    def step(self) -> None:
        """Let the next thing happen."""
        if not self.events:
            raise RuntimeError(f"{self.kernel.unfinished} tasks do not end")
        self.now, _, event, args = heapq.heappop(self.events)
        event(*args)
        self.send()

    def send(self) -> None:
        """What a driver does with the kernel's commands."""
        kernel = self.kernel
        dirty = kernel.dirty
        while dirty:
            executor = dirty.popitem()[1]
            if executor.outbox:
                tasks, executor.outbox = executor.outbox, []
                self.at(self.now + DELAY_S, self.deliver, executor, tasks)
        if kernel.recalls:
            recalls, kernel.recalls[:] = kernel.recalls[:], []
            for executor, count in recalls:
                self.at(self.now + DELAY_S, self.recall, executor, count)
        assert kernel.dispatch is not None
        transfers = kernel.dispatch.transfers
        while transfers:
            value, target, _ = transfers.pop()
            self.moved += 1
            self.at(self.now + DELAY_S + value.nbytes / BYTES_PER_S, self.arrive, value, target)

    def deliver(self, executor: Executor, tasks: list[Task]) -> None:
        """Tasks reach an executor."""
        self.queues[executor.id].extend(tasks)
        if executor.id not in self.running:
            self.begin(executor)

    def begin(self, executor: Executor) -> None:
        """The executor begins its next task, if there is one."""
        queue = self.queues[executor.id]
        if queue:
            self.running.add(executor.id)
            self.at(self.now + self.chance.uniform(0.5, 1.5) * TASK_S, self.ended, executor, queue.popleft())
        else:
            self.running.discard(executor.id)

    def ended(self, executor: Executor, task: Task) -> None:
        """A task has ended."""
        kernel = self.kernel
        nbytes = task.args[0]
        value = Stored(executor.crew.number, nbytes) if nbytes > 0 else None
        began = thread_time()
        kernel.learnt(task.function, 1, TASK_S, executor.crew)
        if value is None:
            kernel.completed_plain(executor, {task.id: None})
        else:
            kernel.completed(executor, task.id, [(SEGMENT, value)])
        kernel.settled(executor)
        kernel.serve()
        self.spent += thread_time() - began
        self.begin(executor)

    def recall(self, executor: Executor, count: int) -> None:
        """The executor gives back tasks it has not begun."""
        queue = self.queues[executor.id]
        given = [queue.pop().id for _ in range(min(count, len(queue)))]
        began = thread_time()
        self.kernel.given_back(executor, given)
        self.kernel.settled(executor)
        self.kernel.serve()
        self.spent += thread_time() - began

    def arrive(self, value: Stored, target: int) -> None:
        """Data have come to a node."""
        assert self.kernel.dispatch is not None
        began = thread_time()
        self.kernel.dispatch.arrived(value, target)
        self.kernel.serve()
        self.spent += thread_time() - began

    def finish(self) -> None:
        """Until all tasks have ended."""
        while self.kernel.unfinished:
            self.step()


# ---------------------------------------------------------------------- workloads


def independent(world: World, tasks: int) -> None:
    """Tasks that need nothing."""
    function = world.function()
    for _ in range(tasks):
        world.call(function)


def chains(world: World, tasks: int) -> None:
    """As many chains as there are computing units, each task changing what the one before it left."""
    function = world.function()
    count = min(tasks // 10, world.window // WINDOW)
    data = [world.call(function, nbytes=0) for _ in range(count)]
    for number in range(tasks - count):
        world.call(function, inout=data[number % count])


def fans(world: World, tasks: int) -> None:
    """Again and again: one task, 100 that read its result, one that reads theirs."""
    function = world.function()
    for _ in range(tasks // 102):
        source = world.call(function, nbytes=0)
        assert source is not None
        leaves = [leaf for _ in range(100) if (leaf := world.call(function, [source], nbytes=0)) is not None]
        world.call(function, leaves, nbytes=0)


def data(world: World, tasks: int) -> None:
    """Tasks that make 1 MB, and tasks that read the results of three others, one of which many read."""
    function = world.function()
    recent: deque[Datum] = deque(maxlen=world.window)
    common = world.call(function, nbytes=1 << 20)
    assert common is not None
    for number in range(tasks - 1):
        if number % 2000 == 1999:
            fresh = world.call(function, nbytes=1 << 20)
            assert fresh is not None
            common = fresh
            continue
        reads = [world.chance.choice(recent) for _ in range(2)] if len(recent) > 10 else []
        made = world.call(function, [common, *reads], nbytes=1 << 20)
        assert made is not None
        if len(recent) == recent.maxlen:
            world.release(recent[0])
        recent.append(made)


def constraints(world: World, tasks: int) -> None:
    """Tasks of ten functions with needs of all kinds: 1 to 4 units, memory, speed."""
    functions = [
        world.function(
            processors=(ProcessorNeed(units=1 + number % 4, speed=(0.0, 2.2, 2.7)[number % 3]),),
            memory_size=(0.0, 4.0, 16.0)[number % 3],
        )
        for number in range(10)
    ]
    for number in range(tasks):
        world.call(functions[number % 10])


WORKLOADS = {function.__name__: function for function in (independent, chains, fans, data, constraints)}


# ---------------------------------------------------------------------- measuring


def measure(workload: str, nodes: int, tasks: int, scheduler: str) -> tuple[float, float]:
    """Microseconds in the kernel for each task, and what the computing units were busy, in percent."""
    world = World(nodes, SCHEDULERS[scheduler])
    gc.collect()
    gc.freeze()
    WORKLOADS[workload](world, tasks)
    world.finish()
    gc.unfreeze()
    submitted = world.kernel.submitted
    units = 2.5 if workload == "constraints" else 1.0
    ideal = submitted * units * TASK_S / (nodes * UNITS)
    return world.spent / submitted * 1e6, 100 * ideal / world.now


class Report:
    """The measured tables."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, int, int], tuple[float, float]] = {}

    def run(self, workload: str, scheduler: str, nodes: int, tasks: int) -> None:
        """Measure one cell, unless that has been done."""
        key = (workload, scheduler, nodes, tasks)
        if key not in self.cells:
            began = perf_counter()
            self.cells[key] = measure(workload, nodes, tasks, scheduler)
            cost, busy = self.cells[key]
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{workload:12} {scheduler:11} {nodes:5} nodes {tasks:9,} tasks: {cost:6.1f} us a task, units busy "
                f"{busy:3.0f} % ({perf_counter() - began:.0f} s, {memory:,.0f} MB)",
                flush=True,
            )  # fmt: skip

    def save(self, path: Path, key: tuple[str, str, int, int]) -> None:
        """Add a cell to the file."""
        with path.open("a") as file:
            file.write(json.dumps([*key, *self.cells[key]]) + "\n")

    def load(self, path: Path) -> None:
        """Take the cells from the file; of several of one kind the cheapest, for others had to share the processor."""
        for line in path.read_text().splitlines():
            *key, cost, busy = json.loads(line)
            known = self.cells.get(tuple(key))
            if known is None or cost < known[0]:
                self.cells[tuple(key)] = (cost, busy)

    def table(self, rows: Sequence[tuple[str, str]], nodes: Sequence[int], tasks: int) -> list[str]:
        """Rows of workloads and schedulers, columns of numbers of nodes."""
        lines = [
            f"| workload | scheduler | {' | '.join(f'{count:,} nodes' for count in nodes)} |",
            f"| --- | --- |{' --- |' * len(nodes)}",
        ]
        for workload, scheduler in rows:
            costs = [f"{self.cells[workload, scheduler, count, tasks][0]:.1f}" for count in nodes]
            lines.append(f"| {workload} | {scheduler} | {' | '.join(costs)} |")
        return lines

    def by_tasks(self, workloads: Sequence[str], nodes: int, counts: Sequence[int]) -> list[str]:
        """Rows of workloads, columns of numbers of tasks."""
        lines = [
            f"| workload | {' | '.join(f'{count:,} tasks' for count in counts)} | units busy |",
            f"| --- |{' --- |' * (len(counts) + 1)}",
        ]
        for workload in workloads:
            cells = [self.cells[workload, "locality", nodes, count] for count in counts]
            costs = [f"{cost:.1f}" for cost, _ in cells]
            lines.append(f"| {workload} | {' | '.join(costs)} | {cells[-1][1]:.0f} % |")
        return lines


COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b")


def plot(title: str, lines: dict[str, list[tuple[int, float]]], unit: str) -> str:
    """A drawing of costs over sizes, the latter to scale of their logarithms, as SVG."""
    from math import log10

    width, height, left, bottom = 640, 320, 60, 50
    sizes = [size for points in lines.values() for size, _ in points]
    low, high = log10(min(sizes)), log10(max(sizes))
    top = max(30.0, *[cost * 1.15 for points in lines.values() for _, cost in points])

    def x(size: float) -> float:
        return left + (width - left - 130) * (log10(size) - low) / (high - low)

    def y(cost: float) -> float:
        return height - bottom - (height - bottom - 40) * cost / top

    frame = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>'
    parts = [
        head,
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="14">{title}</text>',
    ]
    parts += [
        f'<line x1="{left}" y1="{y(step):.1f}" x2="{width - 130}" y2="{y(step):.1f}" stroke="#ddd"/>'
        f'<text x="{left - 8}" y="{y(step) + 4:.1f}" text-anchor="end">{step}</text>'
        for step in range(0, int(top) + 1, 10 if top < 100 else 50)
    ]
    parts += [
        f'<text x="{x(size):.1f}" y="{height - bottom + 18}" text-anchor="middle">{size:,}</text>'
        for size in sorted(set(sizes))
    ]
    parts.append(
        f'<text x="{(left + width - 130) / 2}" y="{height - 10}" text-anchor="middle">{unit}</text>'
        f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">us a task</text>'
    )
    ends: list[float] = []
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        path = " ".join(f"{x(size):.1f},{y(cost):.1f}" for size, cost in points)
        place = y(points[-1][1]) + 4
        while any(abs(place - other) < 14 for other in ends):
            place -= 14
        ends.append(place)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{width - 122}" y="{place:.1f}" fill="{colour}">{name}</text>'
        )
        parts += [f'<circle cx="{x(size):.1f}" cy="{y(cost):.1f}" r="3" fill="{colour}"/>' for size, cost in points]
    return "\n".join([*parts, "</svg>\n"])


def write(report: Report, folder: Path) -> None:
    """Put the tables into docs/performance.md, and the plot beside it."""
    usual = min(tasks for _, scheduler, _, tasks in report.cells if scheduler != "locality")
    every = [
        (workload, scheduler)
        for workload in WORKLOADS
        for scheduler in SCHEDULERS
        if all((workload, scheduler, count, usual) in report.cells for count in NODES)
    ]
    lines = {
        workload: [(count, report.cells[workload, "locality", count, usual][0]) for count in NODES]
        for workload in WORKLOADS
        if (workload, "locality") in every
    }
    (folder / "scale.svg").write_text(plot("What the kernel takes to decide about a task", lines, "nodes"))
    long = [workload for workload in WORKLOADS if (workload, "locality", NODES[-1], COUNTS[-1]) in report.cells]
    text = [
        BEGIN, "",
        f"Microseconds of the main program's processor for each task: {usual:,} tasks of {TASK_S * 1000:.0f} ms,",
        f"nodes of {UNITS} computing units. Measured with `python -m benchmarks.scale`.", "",
        "![What the kernel takes to decide about a task, by number of nodes](scale.svg)", "",
        *report.table(every, NODES, usual), "",
        f"With {NODES[-1]:,} nodes ({NODES[-1] * UNITS:,} computing units), scheduler `locality`:", "",
        *report.by_tasks(long, NODES[-1], COUNTS), "", END,
    ]  # fmt: skip
    path = folder / "performance.md"
    page = path.read_text()
    start, rest = page.split(BEGIN)
    path.write_text(start + "\n".join(text) + rest.split(END)[1])


def main() -> None:
    """Measure what the options say; without options, all that the documentation shows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Cost of the kernel's decisions.")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--tasks", type=int, nargs="+", default=[20_000])
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--schedulers", nargs="+", choices=list(SCHEDULERS), default=list(SCHEDULERS))
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--save", type=Path, metavar="FILE", help="add what is measured to a file")
    parser.add_argument(
        "--write",
        type=Path,
        nargs=2,
        metavar=("FILE", "FOLDER"),
        help="write what is in FILE into FOLDER/performance.md",
    )
    options = parser.parse_args()
    report = Report()
    if options.write:
        report.load(options.write[0])
        write(report, options.write[1])
        return
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    for workload in options.workloads:
        for scheduler in options.schedulers:
            for nodes in options.nodes:
                for count in options.tasks:
                    report.run(workload, scheduler, nodes, count)
                    if options.save:
                        report.save(options.save, (workload, scheduler, nodes, count))
    if options.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
