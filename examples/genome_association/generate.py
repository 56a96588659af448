"""Make the data of a genome-wide association study: 1,000 genotype files, a trait, and the truth about it.

    python examples/genome_association/generate.py study
    python examples/genome_association/generate.py study --chunks 22 --cohorts 2

The chromosomes have their real lengths. Each is cut into chunks, and each cohort has a file for each chunk. People are
mosaics of a few founders, so variants that are close to each other are correlated, as real ones are; imputation lives
on that. Five variants change the trait. As in real life, some genotypes are missing, some variants were measured badly,
and some files were cut off when they were copied.

The folder gets `genotypes/COHORT/CHUNK.txt` (a line for each variant: name, chromosome, position, two alleles, and a
digit for each person), `traits/COHORT.txt` (a line for each person), `planted.txt` (the five variants) and
`damaged.txt`.
"""

import argparse
import random
from pathlib import Path

CHROMOSOMES = Path(__file__).resolve().parent / "data" / "chromosomes.txt"
FOUNDERS = 8
PLANTED = 5
EFFECT = 0.6
MISSING = 0.03
BADLY_MEASURED = 0.05
DAMAGED = 0.02


def cut(lengths: dict[int, int], chunks: int) -> list[tuple[int, int, int, int]]:
    """Chunks of about the same length, of each chromosome at least one: chromosome, number, first and last place."""
    counts = dict.fromkeys(lengths, 1)
    for _ in range(chunks - len(lengths)):
        counts[max(counts, key=lambda chromosome: lengths[chromosome] / counts[chromosome])] += 1
    return [
        (chromosome, number, length * number // counts[chromosome], length * (number + 1) // counts[chromosome])
        for chromosome, length in lengths.items()
        for number in range(counts[chromosome])
    ]


class Study:
    """What all files have in common."""

    def __init__(self, folder: Path, cohorts: int, people: int, variants: int, seed: int) -> None:
        self.folder = folder
        self.variants = variants
        self.random = random.Random(seed)
        self.traits = {
            f"cohort{number + 1}": [self.random.gauss(3.4 + 0.2 * number, 1.0) for _ in range(people)]
            for number in range(cohorts)
        }
        self.damaged: list[str] = []
        self.planted: list[str] = []

    def write_chunk(self, chunk: tuple[int, int, int, int], *, planted: bool) -> None:
        """The files of one chunk, one for each cohort. ``planted``: one of its variants changes the trait."""
        chromosome, number, first, last = chunk
        choose = self.random
        positions = sorted(choose.sample(range(first + 1, last), self.variants))
        founders = [bytes(choose.choices((0, 1), (0.6, 0.4), k=self.variants)) for _ in range(FOUNDERS)]
        starts = [
            f"rs{chromosome:02d}{position:09d} {chromosome} {position} {' '.join(choose.sample('ACGT', 2))}"
            for position in positions
        ]
        site = self.variants // 2 if planted else None
        if planted:
            # Half of the founders have the allele, so that it is common enough to be found.
            founders = [
                founder[: self.variants // 2] + bytes([place % 2]) + founder[self.variants // 2 + 1 :]
                for place, founder in enumerate(founders)
            ]
            self.planted.append(starts[self.variants // 2])
        for cohort, trait in self.traits.items():
            people = [self._person(founders) for _ in trait]
            if site is not None:
                for person, genotypes in enumerate(people):
                    trait[person] += EFFECT * genotypes[site]
            lines = [
                f"{start} {self._measured(column, artefacts=place != site)}\n"
                for place, (start, column) in enumerate(zip(starts, zip(*people, strict=True), strict=True))
            ]
            self._write(f"{cohort}/chr{chromosome:02d}_{number:03d}.txt", "".join(lines), intact=planted)

    def _person(self, founders: list[bytes]) -> list[int]:
        """Genotypes: how many of the second allele a person has; each chromosome is a mosaic of two founders."""
        choose = self.random
        switches = choose.randrange(self.variants), choose.randrange(self.variants)
        one, two, three, four = choose.choices(founders, k=4)
        mother = one[: switches[0]] + two[switches[0] :]
        father = three[: switches[1]] + four[switches[1] :]
        return [left + right for left, right in zip(mother, father, strict=True)]

    def _measured(self, genotypes: tuple[int, ...], *, artefacts: bool) -> str:
        """A digit for each person, or a point if it is missing."""
        choose = self.random
        missing = MISSING
        if artefacts and choose.random() < BADLY_MEASURED:
            if choose.random() < 0.5:
                return "1" * len(genotypes)  # a probe that sees both alleles in everybody
            missing = 0.3
        return "".join(["." if choose.random() < missing else "012"[genotype] for genotype in genotypes])

    def _write(self, name: str, text: str, *, intact: bool) -> None:
        path = self.folder / "genotypes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not intact and self.random.random() < DAMAGED:
            self.damaged.append(name)
            lines = text.splitlines(keepends=True)
            whole = self.random.randrange(len(lines))
            text = "".join(lines[:whole]) + lines[whole][: len(lines[whole]) // 2]
        path.write_text(text, encoding="ascii")

    def write_rest(self) -> None:
        """The traits and the truth."""
        (self.folder / "traits").mkdir(exist_ok=True)
        for cohort, trait in self.traits.items():
            lines = [f"{cohort}-{person:04d} {value:.3f}\n" for person, value in enumerate(trait)]
            (self.folder / "traits" / f"{cohort}.txt").write_text("".join(lines), encoding="ascii")
        (self.folder / "planted.txt").write_text("".join(f"{start}\n" for start in self.planted), encoding="ascii")
        (self.folder / "damaged.txt").write_text("".join(f"{name}\n" for name in self.damaged), encoding="ascii")


def main() -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(description="Make the data of a genome-wide association study.")
    parser.add_argument("folder", type=Path, help="where to")
    parser.add_argument("--chunks", type=int, default=250, help="of all chromosomes together (default 250)")
    parser.add_argument("--cohorts", type=int, default=4, help="each has a file for each chunk (default 4)")
    parser.add_argument("--people", type=int, default=120, help="in each cohort (default 120)")
    parser.add_argument("--variants", type=int, default=16, help="in each chunk (default 16)")
    parser.add_argument("--seed", type=int, default=1, help="for the random numbers (default 1)")
    arguments = parser.parse_args()
    numbers = [int(word) for word in CHROMOSOMES.read_text(encoding="ascii").split()]
    chunks = cut(dict(zip(numbers[::2], numbers[1::2], strict=True)), arguments.chunks)
    study = Study(arguments.folder, arguments.cohorts, arguments.people, arguments.variants, arguments.seed)
    planted = set(study.random.sample(range(len(chunks)), PLANTED))
    for place, chunk in enumerate(chunks):
        study.write_chunk(chunk, planted=place in planted)
    study.write_rest()
    files = len(chunks) * arguments.cohorts
    print(f"{files} files of genotypes in {arguments.folder / 'genotypes'}, {len(study.damaged)} of them damaged")


if __name__ == "__main__":
    main()
