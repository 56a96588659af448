"""A genome-wide association study: thousands of small programs over files, with memory constraints.

    python examples/genome_association/generate.py study
    runtask --summary examples/genome_association/workflow.py study

Every chunk of every cohort goes through quality control, imputation and an association test. The cohorts of a chunk are
combined, the chunks of a chromosome are merged by a tree of `sort`, and all chromosomes end in a picture and a list of
what was found. All of this is done by programs: `awk`, `sort`, and one in C, which the first task compiles.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from taskflow import (
    COLLECTION_FILE_IN,
    FILE_IN,
    FILE_OUT,
    FILE_OUT_STDOUT,
    binary,
    compss_wait_on,
    compss_wait_on_file,
    constraint,
    on_failure,
    task,
)

HERE = Path(__file__).resolve().parent
CHROMOSOMES = str(HERE / "data" / "chromosomes.txt")
NO_VARIANTS = str(HERE / "data" / "no_variants.txt")
QUALITY, ASSOCIATE, COMBINE, MANHATTAN = (
    str(HERE / "programs" / f"{name}.awk") for name in ("quality", "associate", "combine", "manhattan")
)
THRESHOLD = 7.3
"""What counts as found: a chance of 5e-8, since so many variants are tested."""
FAN_IN = 4


@binary(binary="cc", args="-O2 -o {{program}} {{source}} -lm")
@task(source=FILE_IN, program=FILE_OUT)
def compile_program(source: str, program: str) -> None:
    """Compile a program in C."""


# A file that is cut off is left out: what comes next is given one without variants in its place.
@on_failure(management="IGNORE", good=NO_VARIANTS)
@constraint(memory_size=0.05)
@binary(binary="awk", args="-v people={{people}} -f {{script}} {{measured}}")
@task(script=FILE_IN, measured=FILE_IN, good=FILE_OUT_STDOUT)
def control_quality(script: str, measured: str, people: int, good: str) -> None:
    """Leave out the variants that were measured badly."""


@constraint(memory_size="0.1 + people / 1000")
@binary(binary="{{program}}", args="{{good}} {{imputed}}")
@task(program=FILE_IN, good=FILE_IN, imputed=FILE_OUT)
def impute(program: str, good: str, people: int, imputed: str) -> None:
    """Fill in missing genotypes. It keeps a table of all people, so its memory depends on how many these are."""


@constraint(memory_size=0.1)
@binary(binary="awk", args="-f {{script}} {{trait}} {{imputed}}")
@task(script=FILE_IN, trait=FILE_IN, imputed=FILE_IN, associations=FILE_OUT_STDOUT)
def associate(script: str, trait: str, imputed: str, associations: str) -> None:
    """Fit the trait of one cohort by each variant."""


@constraint(memory_size="0.05 * len(cohorts)")
@binary(binary="awk", args="-f {{script}} {{cohorts}}")
@task(script=FILE_IN, cohorts=COLLECTION_FILE_IN, combined=FILE_OUT_STDOUT)
def combine(script: str, cohorts: list[str], combined: str) -> None:
    """Meta-analysis: one effect of each variant from those in all cohorts."""


@constraint(memory_size=0.2)
@binary(binary="sort", args="-m -n -k 3,3 {{parts}}")
@task(parts=COLLECTION_FILE_IN, merged=FILE_OUT_STDOUT)
def merge(parts: list[str], merged: str) -> None:
    """Merge sorted tables."""


@constraint(memory_size=0.5)
@binary(binary="awk", args="-v threshold={{threshold}} -f {{script}} {{chromosomes}} {{tables}}")
@task(script=FILE_IN, chromosomes=FILE_IN, tables=COLLECTION_FILE_IN, plot=FILE_OUT_STDOUT)
def draw(script: str, chromosomes: str, tables: list[str], threshold: float, plot: str) -> None:
    """Draw the whole genome."""


class Variant(NamedTuple):
    """A variant with what was found out about it."""

    name: str
    chromosome: int
    position: int
    effect: float
    error: float
    cohorts: int
    minus_log10_p: float


def near_one(leads: list[Variant], chromosome: int, position: int) -> bool:
    """Whether one of the variants is close: neighbours are correlated, so several of them stand for the same cause."""
    return any(lead.chromosome == chromosome and abs(lead.position - position) < 2e7 for lead in leads)


@constraint(memory_size=0.5)
@task(tables=COLLECTION_FILE_IN, returns=3)
def summarise(tables: list[str], threshold: float) -> tuple[int, float, list[Variant]]:
    """How many variants were tested, the inflation of the test statistic, and the best variant of each place found."""
    tested = []
    for table in tables:
        with open(table, encoding="ascii") as lines:
            for line in lines:
                name, chromosome, position, _, _, effect, error, cohorts, unlikely = line.split()
                tested.append(
                    Variant(
                        name, int(chromosome), int(position), float(effect), float(error), int(cohorts), float(unlikely)
                    )
                )
    # Without association the median of a chi-square is 0.4549; far above 1 means that the cohorts are not comparable.
    inflation = median([(variant.effect / variant.error) ** 2 for variant in tested]) / 0.4549
    leads: list[Variant] = []
    for variant in sorted(tested, key=lambda variant: -variant.minus_log10_p):
        if variant.minus_log10_p > threshold and not near_one(leads, variant.chromosome, variant.position):
            leads.append(variant)
    return len(tested), inflation, leads


def merge_all(parts: list[str], name: str) -> str:
    """Merge tables by a tree of tasks. Gives the path of the result."""
    level = 0
    while len(parts) > 1:
        merged = []
        for start in range(0, len(parts), FAN_IN):
            path = f"{name}.{level}.{start}.txt"
            merge(parts[start : start + FAN_IN], path)
            merged.append(path)
        parts = merged
        level += 1
    return parts[0]


def analyse(study: Path, work: Path, plot: str) -> Any:
    """Submit all tasks; gives the futures of what `summarise` returns."""
    program = str(work / "impute")
    compile_program(str(HERE / "programs" / "impute.c"), program)
    cohorts = {path.stem: (str(path), len(path.read_text(encoding="ascii").splitlines()))
               for path in sorted((study / "traits").glob("*.txt"))}  # fmt: skip
    chunks = sorted({path.stem for path in study.glob("genotypes/*/*.txt")})
    chromosomes: dict[str, list[str]] = {}
    for chunk in chunks:
        associations = []
        for cohort, (trait, people) in cohorts.items():
            good, imputed, associated = (
                str(work / f"{chunk}.{cohort}.{step}") for step in ("good", "imputed", "associated")
            )
            control_quality(QUALITY, str(study / "genotypes" / cohort / f"{chunk}.txt"), people, good)
            impute(program, good, people, imputed)
            associate(ASSOCIATE, trait, imputed, associated)
            associations.append(associated)
        combined = str(work / f"{chunk}.combined")
        combine(COMBINE, associations, combined)
        chromosomes.setdefault(chunk.partition("_")[0], []).append(combined)
    tables = [merge_all(parts, str(work / chromosome)) for chromosome, parts in chromosomes.items()]
    draw(MANHATTAN, CHROMOSOMES, tables, THRESHOLD, plot)
    return summarise(tables, THRESHOLD)


def main() -> int:
    """Run the study, show what it found, and compare that with the truth."""
    parser = argparse.ArgumentParser(description="A genome-wide association study.")
    parser.add_argument("study", type=Path, help="a folder that generate.py has made")
    parser.add_argument("--work", type=Path, help="for intermediate files (default: STUDY/work)")
    parser.add_argument("--plot", default="manhattan.svg", help="the picture (default manhattan.svg)")
    arguments = parser.parse_args()
    study = arguments.study.resolve()
    if not (study / "traits").is_dir():
        print(f"{study} is no study; make one: python {HERE / 'generate.py'} {study}", file=sys.stderr)
        return 2
    work = (arguments.work or study / "work").resolve()
    work.mkdir(parents=True, exist_ok=True)

    tested, inflation, leads = compss_wait_on(analyse(study, work, arguments.plot))
    compss_wait_on_file(arguments.plot)
    print(f"{tested} variants tested; inflation {inflation:.2f}; picture in {arguments.plot}")
    for lead in sorted(leads):
        print(f"  {lead.name}  effect {lead.effect:+.2f}  -log10 p {lead.minus_log10_p:.1f}  {lead.cohorts} cohorts")

    planted = [line.split() for line in (study / "planted.txt").read_text(encoding="ascii").splitlines()]
    missed = [name for name, place, position, *_ in planted if not near_one(leads, int(place), int(position))]
    if missed or len(leads) != len(planted):
        print(f"WRONG: {len(leads)} places were found, {len(planted)} are there; missed {missed}.", file=sys.stderr)
        return 1
    print(f"Checked: these are the {len(planted)} places that change the trait.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
