"""A dust forecast: an ensemble of MPI runs that is thinned out while it runs, with scripts before and images after.

    runtask examples/weather/workflow.py
    DUST_RANKS=64 DUST_RANKS_PER_NODE=32 runtask --nodes node[01-08] examples/weather/workflow.py --times 8

A cyclone carries dust from the Sahara to Europe. Nobody knows exactly how strong it is, where it starts and how much
dust it raises, so an ensemble tries several possibilities. Day by day a script compares each member with what stations
have measured, and the members that are far off are not continued. The forecast goes on until the dust over Europe has
become less. So neither the number of days nor that of runs is known before.
"""

import argparse
import os
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from taskflow import (
    COLLECTION_FILE_IN,
    FILE_IN,
    FILE_OUT,
    FILE_OUT_STDOUT,
    binary,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    mpi,
    task,
)

HERE = Path(__file__).resolve().parent
LAND, SOURCES, MEMBERS, OBSERVATIONS = (
    str(HERE / "data" / f"{name}.txt") for name in ("land", "sources", "members", "observations")
)
PREPARE, COMPARE = (str(HERE / "programs" / f"{name}.sh") for name in ("prepare", "compare"))

RANKS = int(os.environ.get("DUST_RANKS", "2"))
RANKS_PER_NODE = int(os.environ.get("DUST_RANKS_PER_NODE", str(RANKS)))
HOURS = 24
LONGEST = 144
"""Hours for which there are observations."""
TOLERANCE = 0.25
"""A member is not continued if it is by so many g/m² worse than the best one."""
LESS = 0.8
"""The forecast ends when this share of the most dust over Europe is left."""

NO_MPI = """\
There is no mpirun, or no mpicc, in the folders of PATH. Install an MPI and a C compiler:
  Debian, Ubuntu:      apt-get install gcc openmpi-bin libopenmpi-dev
  on a cluster:        module load an MPI
  without being root:  pip install mpich"""


@binary(binary="mpicc", args="-O2 -o {{program}} {{source}} -lm")
@task(source=FILE_IN, program=FILE_OUT)
def compile_program(source: str, program: str) -> None:
    """Compile a program that uses MPI."""


@binary(binary="sh", args="{{script}} {{land}} {{sources}} {{times}} {{domain}} {{state}}")
@task(script=FILE_IN, land=FILE_IN, sources=FILE_IN, domain=FILE_OUT, state=FILE_OUT)
def prepare(script: str, land: str, sources: str, times: int, domain: str, state: str) -> None:
    """Make the grid of the model, and the state at the beginning."""


class Member(NamedTuple):
    """What a member of the ensemble takes for granted."""

    name: str
    wind: float
    longitude: float
    emission: float


@mpi(
    runner="mpirun",
    binary="{{program}}",
    args="{{domain}} {{before}} {{after}} {{hours}} {{wind}} {{longitude}} {{emission}}",
    processes="RANKS",
    processes_per_node="RANKS_PER_NODE",
)
@task(program=FILE_IN, domain=FILE_IN, before=FILE_IN, after=FILE_OUT, said=FILE_OUT_STDOUT)
def simulate(
    program: str, domain: str, before: str, hours: int, wind: float, longitude: float, emission: float,
    after: str, said: str,
) -> None:  # fmt: skip
    """Go on with the state of a member."""


@binary(binary="sh", args="{{script}} {{domain}} {{state}} {{observations}}")
@task(script=FILE_IN, domain=FILE_IN, state=FILE_IN, observations=FILE_IN, error=FILE_OUT_STDOUT)
def compare(script: str, domain: str, state: str, observations: str, error: str) -> None:
    """Compare a state with what was measured at its hour."""


@task(domain=FILE_IN, land=FILE_IN, states=COLLECTION_FILE_IN, image=FILE_OUT, returns=float)
def draw(domain: str, land: str, states: list[str], image: str) -> float:
    """Draw the mean of the members. Gives the dust over Europe, in g/m² on average."""
    with open(domain, encoding="ascii") as lines:
        height, width, top, _, step = (float(word) for word in next(lines).split())
    tables = []
    for state in states:
        with open(state, encoding="ascii") as lines:
            next(lines)
            tables.append([[float(word) for word in line.split()] for line in lines])
    mean = [[sum(cells) / len(tables) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]
    coast = Path(land).read_text(encoding="ascii").split()
    cells = len(coast) / height
    pixels = [
        bytes(
            [
                min(SHADES - 1, int(dust * 8)) + (SHADES if coast[int(row * cells)][int(column * cells)] == "#" else 0)
                for column, dust in enumerate(mean[row])
            ]
        )
        for row in range(int(height))
    ]
    Path(image).write_bytes(png(pixels, max(1, 560 // int(width))))
    europe = mean[: int((top - 36) / step)]
    return sum(map(sum, europe)) / (len(europe) * width)


@task(images=COLLECTION_FILE_IN, animation=FILE_OUT)
def animate(images: list[str], animation: str) -> None:
    """Put PNG images after each other: an animated PNG, which browsers show."""
    frames = [chunks_of(Path(image).read_bytes()) for image in images]
    size = dict(frames[0])[b"IHDR"][:8]
    control = struct.pack(">II", len(frames), 0)
    out = [
        PNG,
        chunk(b"IHDR", dict(frames[0])[b"IHDR"]),
        chunk(b"PLTE", dict(frames[0])[b"PLTE"]),
        chunk(b"acTL", control),
    ]
    sequence = 0
    for place, frame in enumerate(frames):
        out.append(chunk(b"fcTL", struct.pack(">I8sIIHHBB", sequence, size, 0, 0, 2, 3, 0, 0)))
        sequence += 1
        if place == 0:
            out.append(chunk(b"IDAT", dict(frame)[b"IDAT"]))
        else:
            out.append(chunk(b"fdAT", struct.pack(">I", sequence) + dict(frame)[b"IDAT"]))
            sequence += 1
    Path(animation).write_bytes(b"".join([*out, chunk(b"IEND", b"")]))


PNG = b"\x89PNG\r\n\x1a\n"
SHADES = 24
SEA, COAST, DUST = (118, 155, 196), (205, 196, 160), (122, 44, 8)


def palette() -> bytes:
    """Colours: the sea under more and more dust, then the land."""
    shares = [(shade / (SHADES - 1)) ** 0.6 for shade in range(SHADES)]
    return bytes(
        [
            int(under * (1 - share) + over * share)
            for ground in (SEA, COAST)
            for share in shares
            for under, over in zip(ground, DUST, strict=True)
        ]
    )


def png(pixels: list[bytes], larger: int) -> bytes:
    """An image in PNG: a number of the palette for each pixel, each of which is drawn as a square."""
    rows = [bytes([pixel for pixel in row for _ in range(larger)]) for row in pixels]
    data = b"".join(b"\0" + row for row in rows for _ in range(larger))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows) * larger, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette()), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return PNG + b"".join([chunk(kind, content) for kind, content in parts])


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def chunks_of(image: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a PNG file."""
    found = []
    place = len(PNG)
    while place < len(image):
        (length,) = struct.unpack_from(">I", image, place)
        found.append((image[place + 4 : place + 8], image[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def forecast(members: list[Member], times: int, folder: Path) -> tuple[list[Member], list[float], str]:
    """Run the ensemble. Gives who is left of it, the dust over Europe day by day, and what the last run said."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    program, domain, beginning = str(work / "dust"), str(work / "domain.txt"), str(work / "beginning.txt")
    compile_program(str(HERE / "programs" / "dust.c"), program)
    prepare(PREPARE, LAND, SOURCES, times, domain, beginning)
    states = dict.fromkeys(members, beginning)
    images: list[str] = []
    dust: list[float] = []
    while len(images) * HOURS < LONGEST and not (dust and dust[-1] < LESS * max(dust)):
        hour = (len(images) + 1) * HOURS
        errors = {}
        said = ""
        for member, before in states.items():
            states[member], said, errors[member] = (
                str(work / f"{member.name}.{hour}.{kind}") for kind in ("state", "said", "error")
            )
            simulate(program, domain, before, HOURS, *member[1:], states[member], said)
            compare(COMPARE, domain, states[member], OBSERVATIONS, errors[member])
        images.append(str(folder / f"dust-{hour:03d}.png"))
        average = draw(domain, LAND, list(states.values()), images[-1])  # drawn while the errors are looked at

        found = {}
        for member, path in errors.items():
            with compss_open(path) as file:
                found[member] = float(file.read())
        left = [member for member in states if found[member] <= min(found.values()) + TOLERANCE]
        states = {member: states[member] for member in left}
        dust.append(compss_wait_on(average))
        best = min(found, key=lambda member: found[member])
        print(
            f"hour {hour:3}: {len(found)} members, the best is wrong by {found[best]:.2f} g/m² ({best.name}), "
            f"{len(left)} go on; dust over Europe {dust[-1]:.2f} g/m²"
        )
    animation = str(folder / "dust.png")
    animate(images, animation)
    compss_wait_on_file(animation)
    for image in images:
        compss_wait_on_file(image)
    with compss_open(said) as file:
        return list(states), dust, file.read()


def main() -> int:
    """Run the forecast and check that the ensemble has found what the observations were made of."""
    parser = argparse.ArgumentParser(description="A dust forecast with an ensemble that is thinned out.")
    parser.add_argument("--times", type=int, default=1, help="so many times finer than half a degree (default 1)")
    parser.add_argument("--members", type=int, default=6, help="how many of members.txt (default: all 6)")
    parser.add_argument("--output", type=Path, default=Path("dust"), help="folder for what comes out (default dust)")
    arguments = parser.parse_args()
    if shutil.which("mpicc") is None or shutil.which("mpirun") is None:
        print(NO_MPI, file=sys.stderr)
        return 2
    lines = Path(MEMBERS).read_text(encoding="ascii").splitlines()[1:]
    members = [Member(name, *map(float, numbers)) for name, *numbers in map(str.split, lines)][: arguments.members]
    left, dust, said = forecast(members, arguments.times, arguments.output.resolve())
    print(f"{len(dust)} days; {len(dust)} images and the animation dust.png in {arguments.output}")
    if not said.startswith(f"{RANKS} ranks"):
        print(f"WRONG: there were {said.strip()}; mpirun and mpicc belong to different MPIs.", file=sys.stderr)
        return 1
    if [member.name for member in left] != ["second"] or dust[-1] >= max(dust):
        print("WRONG: the second member is closest to the truth, and the dust must become less.", file=sys.stderr)
        return 1
    print("Checked: the member that is left is the one that is closest to what the observations were made of.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
