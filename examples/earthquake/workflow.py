"""Urgent computing after an earthquake: services and MPI simulations in one workflow, which stands failures.

    runtask examples/earthquake/workflow.py
    WAVE_RANKS=64 WAVE_RANKS_PER_NODE=32 runtask --nodes node[01-08] examples/earthquake/workflow.py --refine 8

An earthquake has happened; how strongly did the ground shake, and where do people need help? The workflow asks services
what is known of the earthquake and of the region, simulates the waves for several possibilities of what is not known
(the exact place, the magnitude, in which direction the fault broke), and makes a map and a report of it, which it hands
to a service. All the time it says in an alert how far it is.

The service has two replicas, and one of them breaks down. A simulation that takes too long is left out, because a map
that comes late helps nobody; if there is none at all, the map rests on an empirical relation alone.
"""

import argparse
import contextlib
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import taskflow
from taskflow import (
    COLLECTION_IN,
    FILE_IN,
    FILE_OUT,
    INOUT,
    compss_wait_on,
    compss_wait_on_file,
    http,
    mpi,
    on_failure,
    task,
)

HERE = Path(__file__).resolve().parent
SERVICES = HERE / "services.py"
EVENT = "samos-2020"

RANKS = int(os.environ.get("WAVE_RANKS", "2"))
RANKS_PER_NODE = int(os.environ.get("WAVE_RANKS_PER_NODE", str(RANKS)))
DEADLINE = float(os.environ.get("WAVE_DEADLINE", "30"))
"""Seconds that a simulation may take."""
FREQUENCY = 0.15
"""Of the waves, in 1/s."""
DURATION = 80.0

MARGIN = 15
"""Rows and columns round the region, in which waves are damped."""
POINTS = 15
"""Of the line along which the fault breaks."""

NO_MPI = """\
There is no mpirun in the folders of PATH. Install an MPI, and mpi4py and numpy (pip install mpi4py numpy):
  Debian, Ubuntu:      apt-get install openmpi-bin
  on a cluster:        module load an MPI
  without being root:  pip install mpich"""

Source = dict[str, Any]
Grid = list[list[float]]


# ---------------------------------------------------------------------- services


@http(
    service_name="earthquakes",
    request="GET",
    resource="events/{{name}}",
    produces='{"event": "{{return_0}}"}',
)
@task(returns=dict)
def get_event(name: str) -> dict[str, Any]:
    """What is known of an earthquake."""
    raise NotImplementedError("a service is asked in place of this")


@http(
    service_name="earthquakes",
    request="GET",
    resource="regions?at={{latitude}},{{longitude}}",
    produces='{"region": "{{return_0}}"}',
)
@task(returns=dict)
def get_region(latitude: float, longitude: float) -> dict[str, Any]:
    """The ground round a place, and who lives on it."""
    raise NotImplementedError("a service is asked in place of this")


@http(
    service_name="earthquakes",
    request="POST",
    resource="alerts/{{name}}",
    payload='{"stage": "{{stage}}"}',
    produces='{"alert": {"stage": "{{reached}}", "number": "{{number}}"}}',
    updates="{{alert}}.stage = {{reached}}; {{alert}}.number = {{number}}",
)
@task(alert=INOUT)
def tell(name: str, stage: str, alert: dict[str, Any]) -> None:
    """Say which stage the alert has reached."""


@http(
    service_name="earthquakes",
    request="POST",
    resource="reports/{{name}}",
    payload="{{report}}",
    payload_type="text/markdown",
    produces='{"kept": "{{return_0}}"}',
)
@task(report=FILE_IN, returns=int)
def hand_in(name: str, report: str) -> int:
    """Hand a report to the service. Gives the number of bytes it has kept."""
    raise NotImplementedError("a service is asked in place of this")


@contextlib.contextmanager
def services(folder: Path) -> Iterator[list[str]]:
    """Two replicas of the service, of which one breaks down after its first answer. Gives their addresses."""
    command = [sys.executable, str(SERVICES), str(folder)]
    with contextlib.ExitStack() as stack:
        replicas = [
            stack.enter_context(subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True))
            for more in (["--breaks-after", "1"], [])
        ]
        for replica in replicas:
            stack.callback(replica.terminate)
        yield [replica.stdout.readline().strip() for replica in replicas if replica.stdout]


# ---------------------------------------------------------------------- waves


@task(returns=list)
def imagine_sources(event: dict[str, Any], count: int) -> list[Source]:
    """Possibilities of what has happened, within what is not known exactly."""
    choose = random.Random(event["id"])
    unsure = event["uncertainty"]
    sources = []
    for number in range(count):
        magnitude = choose.gauss(event["magnitude"], unsure["magnitude"])
        north, east = choose.gauss(0, unsure["epicentre"]), choose.gauss(0, unsure["epicentre"])
        sources.append(
            {
                "latitude": event["latitude"] + north / 111.2,
                "longitude": event["longitude"] + east / 111.2 / math.cos(math.radians(event["latitude"])),
                "magnitude": magnitude,
                "strike": choose.gauss(event["strike"], unsure["strike"]),
                "direction": number % 3 - 1,  # the fault breaks to one end, from its middle, or to the other end
                "length": 10 ** (-2.44 + 0.59 * magnitude),  # Wells and Coppersmith, 1994
                "depth": event["depth"],
                "slip": [choose.expovariate(1) for _ in range(POINTS)],  # no fault breaks evenly
            }
        )
    return sources


# A simulation that is too late, or fails, is left out: what it returns then is None.
@on_failure(management="IGNORE", returns=None)
@mpi(runner="mpirun", processes="RANKS", processes_per_node="RANKS_PER_NODE")
@task(returns=list, time_out=DEADLINE)
def propagate(region: dict[str, Any], source: Source, refine: int) -> Grid:
    """Waves from a source: the fastest motion of each place of the region, not scaled.

    Every rank has some rows of the region, and gets the rows next to its own from its neighbours in each step.
    The result of the task is the list of what the ranks return.
    """
    import numpy as np
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    cells = len(region["land"]) + 2 * MARGIN
    first, end = (cells * rank // world.size * refine for rank in (world.rank, world.rank + 1))
    rows, columns = cells * refine, (len(region["land"][0]) + 2 * MARGIN) * refine
    step = region["step"] / refine
    top, left = region["top"] + MARGIN * region["step"], region["left"] - MARGIN * region["step"]
    size = step * 111.2  # km; a cell is taken to be a square
    narrow = math.cos(math.radians(source["latitude"]))
    latitudes = top - (np.arange(first, end) + 0.5)[:, None] * step
    longitudes = left + (np.arange(columns) + 0.5)[None, :] * step

    velocity = np.full((end - first, columns), float(region["velocity"]))
    for basin in region["basins"]:
        y, x = (latitudes - basin["latitude"]) * 111.2, (longitudes - basin["longitude"]) * 111.2 * narrow
        inside = np.exp(-(((x * x + y * y) / basin["radius"] ** 2) ** 2))
        velocity += (basin["velocity"] - velocity) * inside
    edge = np.minimum.outer(
        np.minimum(np.arange(first, end), rows - 1 - np.arange(first, end)),
        np.minimum(np.arange(columns), columns - 1 - np.arange(columns)),
    )
    seconds = 0.5 * size / float(region["velocity"])
    keep = np.exp(-(np.maximum(0, 1 - edge / (MARGIN * refine)) ** 2) * 0.12 / refine)  # nothing comes back
    factor = (velocity * seconds / size) ** 2

    # The fault breaks along a line, point after point, a little slower than the waves.
    points = []
    for along, slip in zip(np.linspace(-0.5, 0.5, POINTS), source["slip"], strict=True):
        kilometres = along * source["length"]
        strike = math.radians(source["strike"])
        row = (top - source["latitude"] - kilometres * math.cos(strike) / 111.2) / step
        column = (source["longitude"] + kilometres * math.sin(strike) / 111.2 / narrow - left) / step
        delay = abs(along + 0.5 * source["direction"]) * source["length"] / (0.8 * region["velocity"])
        if first <= int(row) < end and 0 <= column < columns:
            points.append((int(row) - first, int(column), 1.2 / FREQUENCY + delay, slip))

    now, before = np.zeros((end - first + 2, columns + 2)), np.zeros((end - first + 2, columns + 2))
    peak = np.zeros((end - first, columns))
    up = world.rank - 1 if world.rank else MPI.PROC_NULL
    down = world.rank + 1 if world.rank + 1 < world.size else MPI.PROC_NULL
    for number in range(int(DURATION / seconds)):
        world.Sendrecv(now[1], up, recvbuf=now[-1], source=down)
        world.Sendrecv(now[-2], down, recvbuf=now[0], source=up)
        middle = now[1:-1, 1:-1]
        around = now[:-2, 1:-1] + now[2:, 1:-1] + now[1:-1, :-2] + now[1:-1, 2:] - 4 * middle
        after = np.zeros_like(now)
        after[1:-1, 1:-1] = (2 * middle - before[1:-1, 1:-1] + factor * around) * keep
        for row, column, delay, slip in points:
            phase = (math.pi * FREQUENCY * (number * seconds - delay)) ** 2
            after[row + 1, column + 1] += slip * seconds**2 * (1 - 2 * phase) * math.exp(-phase)
        np.maximum(peak, np.abs(after[1:-1, 1:-1] - middle), out=peak)
        now, before = after, now
        before[1:-1, 1:-1] *= keep
    return peak[::refine, ::refine].tolist()  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- the map


def expected_intensity(magnitude: float, distance: float) -> float:
    """Intensity at a distance from the focus, in km (Allen, Wald and Worden, 2012)."""
    near = -0.209 + 2.042 * math.exp(magnitude - 5)
    farther = 0.078 * math.log(distance / 50) if distance > 50 else 0.0
    return 2.085 + 1.428 * magnitude - 1.402 * math.log(math.hypot(distance, near)) + farther


def intensity_of(velocity: float) -> float:
    """Intensity where the ground moves so fast, in cm/s (Worden et al., 2012)."""
    logarithm = math.log10(max(velocity, 1e-3))
    return max(1.0, 3.78 + 1.47 * logarithm if logarithm <= 0.53 else 2.89 + 3.16 * logarithm)


def velocity_of(intensity: float) -> float:
    """The inverse of `intensity_of`."""
    return float(10 ** ((intensity - 3.78) / 1.47 if intensity <= 4.56 else (intensity - 2.89) / 3.16))


def relation(region: dict[str, Any], source: Source) -> Grid:
    """The intensity of each place by the empirical relation: it knows of distance, but not of the ground."""
    narrow = math.cos(math.radians(source["latitude"]))
    return [
        [
            expected_intensity(
                source["magnitude"],
                math.hypot(
                    (region["top"] - (row + 0.5) * region["step"] - source["latitude"]) * 111.2,
                    (region["left"] + (column + 0.5) * region["step"] - source["longitude"]) * 111.2 * narrow,
                    source["depth"],
                ),
            )
            for column in range(len(region["land"][0]))
        ]
        for row in range(len(region["land"]))
    ]


@task(returns=list)
def intensities(region: dict[str, Any], source: Source, shares: Any) -> Grid | None:
    """The intensity of each place for one source; ``shares``: the rows of each rank.

    A simulation says how the motion differs from place to place. How strong it is on the whole, the relation says.
    """
    if shares is None:
        return None
    peaks = [row[MARGIN:-MARGIN] for share in shares for row in share][MARGIN:-MARGIN]
    expected = [[math.log(velocity_of(value)) for value in row] for row in relation(region, source)]
    simulated = [[math.log(max(value, 1e-12)) for value in row] for row in peaks]
    level = median([value for row in expected for value in row]) - median([value for row in simulated for value in row])
    return [[intensity_of(math.exp(value + level)) for value in row] for row in simulated]


COLOURS = ("#ffffff", "#ffffff", "#bfccff", "#a0e6ff", "#80ffff", "#7aff93", "#ffff00", "#ffc800", "#ff9100", "#ff0000")


@task(maps=COLLECTION_IN, image=FILE_OUT, report=FILE_OUT, returns=dict)
def make_map(
    event: dict[str, Any], region: dict[str, Any], maps: list[Grid | None], image: str, report: str
) -> dict[str, float]:
    """Draw the map and write the report. Gives the intensity of each town."""
    done = [one for one in maps if one is not None]
    grids = done or [relation(region, {**event, "depth": event["depth"]})]
    middle = [[median(values) for values in zip(*rows, strict=True)] for rows in zip(*grids, strict=True)]
    Path(image).write_text(svg(event, region, middle), encoding="utf-8")
    towns: dict[str, float] = {}
    lines = [
        f"# Earthquake {event['place']}, magnitude {event['magnitude']}",
        "",
        f"{event['time']}, {event['latitude']} N {event['longitude']} E, {event['depth']} km deep.",
        "",
        f"{len(done)} of {len(maps)} simulations were ready in time."
        + ("" if done else " The intensities are those of an empirical relation."),
        "",
        "| Town | People | Intensity | unlikely to be more than |",
        "|---|---|---|---|",
    ]
    for town in sorted(region["towns"], key=lambda town: -town["people"]):
        row = int((region["top"] - town["latitude"]) / region["step"])
        column = int((town["longitude"] - region["left"]) / region["step"])
        values = [grid[row][column] for grid in grids]
        towns[town["name"]] = middle[row][column]
        most = quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
        lines.append(f"| {town['name']} | {town['people']:,} | {middle[row][column]:.1f} | {most:.1f} |")
    Path(report).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return towns


def svg(event: dict[str, Any], region: dict[str, Any], grid: Grid) -> str:
    """The map: colours as in the maps of the USGS, coast, towns and the epicentre."""
    land = region["land"]
    height, width = len(land), len(land[0])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text { font: 3.2px sans-serif }</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    coast = []
    for row in range(height):
        column = 0
        while column < width:
            colour, start = COLOURS[min(9, int(grid[row][column]))], column
            while column < width and COLOURS[min(9, int(grid[row][column]))] == colour:
                column += 1
            parts.append(f'<rect x="{start}" y="{row}" width="{column - start}" height="1.05" fill="{colour}"/>')
        coast += [f"M{at} {row}v1" for at in range(1, width) if land[row][at] != land[row][at - 1]]
        coast += [f"M{at} {row}h1" for at in range(width) if row and land[row][at] != land[row - 1][at]]
    parts.append(f'<path d="{"".join(coast)}" stroke="black" stroke-width="0.3" fill="none"/>')
    marks = [(town["name"], town["latitude"], town["longitude"], "●") for town in region["towns"]]
    for name, latitude, longitude, sign in [*marks, ("", event["latitude"], event["longitude"], "★")]:
        x, y = (longitude - region["left"]) / region["step"], (region["top"] - latitude) / region["step"]
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}">{sign} {name}</text>')
    return "\n".join([*parts, "</svg>", ""])


# ---------------------------------------------------------------------- the workflow


def respond(folder: Path, count: int, refine: int) -> tuple[dict[str, float], int, dict[str, Any]]:
    """From the earthquake to the report. Gives the towns' intensities, how many simulations were ready, the alert."""
    alert: dict[str, Any] = {}
    tell(EVENT, "started", alert)
    event = get_event(EVENT)
    known = compss_wait_on(event)
    region = get_region(known["latitude"], known["longitude"])
    sources = compss_wait_on(imagine_sources(event, count))
    tell(EVENT, "simulating", alert)
    waves = [propagate(region, source, refine) for source in sources]
    maps = [intensities(region, source, wave) for source, wave in zip(sources, waves, strict=True)]
    image, report = str(folder / "map.svg"), str(folder / "report.md")
    towns = make_map(event, region, maps, image, report)
    kept = hand_in(EVENT, report)
    tell(EVENT, "reported", alert)
    compss_wait_on_file(image)
    compss_wait_on_file(report)
    if compss_wait_on(kept) != Path(report).stat().st_size:
        raise RuntimeError("the service has not kept the whole report")
    in_time = sum(wave is not None for wave in compss_wait_on(waves))
    return compss_wait_on(towns), in_time, compss_wait_on(alert)


def main() -> int:
    """Start the services, run the workflow, and check what came of it."""
    parser = argparse.ArgumentParser(description="Urgent computing after an earthquake.")
    parser.add_argument("--sources", type=int, default=6, help="how many possibilities are simulated (default 6)")
    parser.add_argument("--refine", type=int, default=1, help="so many times finer than 1/60 degree (default 1)")
    parser.add_argument("--output", type=Path, default=Path("shaking"), help="folder for results (default shaking)")
    arguments = parser.parse_args()
    if shutil.which("mpirun") is None:
        print(NO_MPI, file=sys.stderr)
        return 2
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{EVENT}.alerts").unlink(missing_ok=True)
    with services(folder) as addresses, taskflow.session(services={"earthquakes": addresses}):
        towns, in_time, alert = respond(folder, arguments.sources, arguments.refine)
    for name, intensity in sorted(towns.items(), key=lambda town: -town[1]):
        print(f"{name:12} intensity {intensity:.1f}")
    print(
        f"{in_time} of {arguments.sources} simulations were ready in time; map.svg and report.md in {arguments.output}"
    )
    if alert != {"stage": "reported", "number": 3} or not 6 < towns["Karlovasi"] < 9.5:
        print(f"WRONG: the alert is {alert}, Karlovasi's intensity {towns['Karlovasi']:.1f}.", file=sys.stderr)
        return 1
    print("Checked: all stages of the alert were told once, though one of the two services broke down.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
