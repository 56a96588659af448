"""Molecular dynamics of protein variants: each is an MPI run over several nodes, and may fail on its own.

    runtask examples/molecular_dynamics/workflow.py
    MD_RANKS=64 MD_RANKS_PER_NODE=32 runtask --nodes node[01-08] examples/molecular_dynamics/workflow.py

For each variant of ubiquitin, a task makes a model of it, an MPI program simulates it, and a task analyses the
trajectory. A simulation that blows up is ignored by the runtime; the workflow starts it again with a shorter time step,
and gives up on a variant that cannot be helped.

The defaults suit one machine. On a cluster say with MD_RANKS how many ranks a simulation has, and with
MD_RANKS_PER_NODE how many of them are on one node: that many nodes are reserved at once.
"""

import argparse
import itertools
import math
import os
import shutil
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from taskflow import (
    FILE_IN,
    FILE_OUT,
    binary,
    compss_wait_on,
    mpi,
    on_failure,
    task,
)

HERE = Path(__file__).resolve().parent
STRUCTURE = str(HERE / "data" / "ubiquitin.txt")
VARIANTS = HERE / "data" / "variants.txt"
NO_TRAJECTORY = str(HERE / "data" / "no_trajectory.txt")

RANKS = int(os.environ.get("MD_RANKS", "2"))
RANKS_PER_NODE = int(os.environ.get("MD_RANKS_PER_NODE", str(RANKS)))
TIME_STEP = 0.01
SHORTEST = TIME_STEP / 4
TEMPERATURE = 0.8
CONTACT = 8.0
"""Residues closer than this many angstroms are in contact."""
FAILED = -1
"""What a simulation returns that has failed; one that has not returns 0."""

NO_MPI = """\
There is no mpirun, or no mpicc, in the folders of PATH. Install an MPI and a C compiler:
  Debian, Ubuntu:      apt-get install gcc openmpi-bin libopenmpi-dev
  on a cluster:        module load an MPI
  without being root:  pip install mpich"""


class Variant(NamedTuple):
    """A variant of the protein.

    ``change``: "weaken" (``value``: what is left of the contacts of the residues), "link" (a bond of strength ``value``
    between two residues), "clash" (the first residue is put upon the second, ``value`` angstroms away), or "none".
    """

    name: str
    change: str
    residues: tuple[int, ...]
    value: float

    @classmethod
    def read(cls, line: str) -> "Variant":
        """A variant from a line of the table."""
        name, change, residues, value = line.split()
        return cls(name, change, tuple([int(word) for word in residues.split(",") if word.isdigit()]), float(value))


@binary(binary="mpicc", args="-O2 -o {{program}} {{source}} -lm")
@task(source=FILE_IN, program=FILE_OUT)
def compile_program(source: str, program: str) -> None:
    """Compile a program that uses MPI."""


@task(structure=FILE_IN, model=FILE_OUT)
def make_model(structure: str, variant: Variant, model: str) -> None:
    """Write the beads, bonds and contacts of a variant."""
    with open(structure, encoding="ascii") as lines:
        beads = [tuple(float(word) for word in line.split()[2:]) for line in lines]
    native = list(beads)
    changed = [residue - 1 for residue in variant.residues]
    if variant.change == "clash":
        x, y, z = beads[changed[1]]
        beads[changed[0]] = (x + variant.value, y, z)
    with open(model, "w", encoding="ascii") as out:
        for bead in beads:
            print("bead", *bead, file=out)
        for one, two in itertools.combinations(range(len(beads)), 2):
            length = math.dist(native[one], native[two])
            if two - one <= 2:
                print("bond", one, two, length, 100 if two - one == 1 else 20, file=out)
            elif variant.change == "link" and changed == [one, two]:
                print("bond", one, two, length, variant.value, file=out)
            elif length < CONTACT:
                weaker = variant.change == "weaken" and (one in changed or two in changed)
                print("contact", one, two, length, variant.value if weaker else 1, file=out)


@on_failure(management="IGNORE", returns=FAILED, trajectory=NO_TRAJECTORY)
@mpi(
    runner="mpirun",
    binary="{{program}}",
    args="{{model}} {{trajectory}} {{steps}} {{time_step}} {{temperature}}",
    processes="RANKS",
    processes_per_node="RANKS_PER_NODE",
)
@task(program=FILE_IN, model=FILE_IN, trajectory=FILE_OUT, returns=int, time_out=300)
def simulate(program: str, model: str, steps: int, time_step: float, temperature: float, trajectory: str) -> int:
    """Follow a model over time."""
    raise NotImplementedError("the program is run in place of this")


class Result(NamedTuple):
    """What came of a variant: means over the second half of its trajectory.

    ``contacts``: share of the native ones, and its standard ``error``. ``change`` of the lengths between all residues.
    """

    ranks: int
    contacts: float
    error: float
    change: float
    temperature: float


@task(trajectory=FILE_IN, returns=Result)
def analyse(trajectory: str) -> Result:
    """Average over a trajectory."""
    with open(trajectory, encoding="ascii") as lines:
        ranks = int(next(lines).split()[-1])
        rows = [[float(word) for word in line.split()] for line in lines if not line.startswith("#")]
    half = rows[len(rows) // 2 :]
    temperature, contacts, change = (mean([row[column] for row in half]) for column in (2, 3, 4))
    # Neighbours in a trajectory are alike; means over a fifth of it are nearly independent.
    fifth = max(1, len(half) // 5)
    means = [mean([row[3] for row in half[start : start + fifth]]) for start in range(0, 5 * fifth, fifth)]
    return Result(ranks, contacts, stdev(means) / math.sqrt(5), change, temperature)


def run_variants(variants: list[Variant], folder: Path, steps: int) -> tuple[dict[str, Result], dict[str, float]]:
    """Simulate all variants. Gives the results, and the time step that each variant was run with last."""
    program = str(folder / "md")
    compile_program(str(HERE / "programs" / "md.c"), program)
    models = {variant.name: str(folder / f"{variant.name}.model") for variant in variants}
    for variant in variants:
        make_model(STRUCTURE, variant, models[variant.name])

    results: dict[str, Result] = {}
    time_steps = dict.fromkeys(models, TIME_STEP)
    left = list(models)
    while left:
        trajectories = {name: str(folder / f"{name}.{time_steps[name]}.trajectory") for name in left}
        codes = {
            name: simulate(program, models[name], steps, time_steps[name], TEMPERATURE, trajectory)
            for name, trajectory in trajectories.items()
        }
        codes = compss_wait_on(codes)
        results |= {name: analyse(trajectories[name]) for name in left if codes[name] != FAILED}
        left = [name for name in left if codes[name] == FAILED and time_steps[name] > SHORTEST]
        for name in left:
            time_steps[name] /= 2
    return compss_wait_on(results), time_steps


def main() -> int:
    """Run the variants and show a table of them."""
    parser = argparse.ArgumentParser(description="Molecular dynamics of protein variants.")
    parser.add_argument("--steps", type=int, default=2000, help="of each simulation (default 2000)")
    parser.add_argument("--output", type=Path, default=Path("variants"), help="folder for all files (default variants)")
    arguments = parser.parse_args()
    if shutil.which("mpicc") is None or shutil.which("mpirun") is None:
        print(NO_MPI, file=sys.stderr)
        return 2
    variants = [Variant.read(line) for line in VARIANTS.read_text(encoding="ascii").splitlines()[1:]]

    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results, time_steps = run_variants(variants, folder, arguments.steps)

    print("variant       native contacts   change of shape   time step")
    for name, result in sorted(results.items(), key=lambda item: -item[1].contacts):
        contacts = f"{result.contacts:.1%} ± {result.error:.1%}"
        print(f"{name:12} {contacts:>16} {result.change:15.2f} Å {time_steps[name]:11g}")
    for name in time_steps.keys() - results.keys():
        print(f"{name:12} given up: it has blown up even with a time step of {time_steps[name]:g}")
    return check(results, time_steps)


def check(results: dict[str, Result], time_steps: dict[str, float]) -> int:
    """Whether the results make sense; the exit code."""
    wild = results.get("wild-type")
    if wild is None:
        print("WRONG: not even the wild type could be simulated; look at programs in the run folder.", file=sys.stderr)
        return 1
    wrong = [
        f"{name} ran on {result.ranks} of {RANKS} ranks: mpirun and mpicc belong to different MPIs"
        for name, result in results.items()
        if result.ranks != RANKS
    ]
    if abs(wild.temperature - TEMPERATURE) > 0.1 * TEMPERATURE:
        wrong.append(f"the temperature is {wild.temperature:.2f}, not {TEMPERATURE}")
    if "L15-clash" in results or time_steps["Q2C-E64C"] == TIME_STEP:
        wrong.append("what should have blown up has not")
    if wrong:
        print("WRONG: " + "; ".join(wrong), file=sys.stderr)
        return 1
    print(f"Checked: all simulations had {RANKS} ranks and the right temperature.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
