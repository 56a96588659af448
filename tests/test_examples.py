"""Every example gives the same answer under `python` and under `runtask`, and finds that answer right.

The workflows, in folders of their own, need the runtime; they find their answers right, too.
"""

import os
import re
import struct
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

import pytest
from lxml import etree

from taskflow.observe.summary import summarise
from tests.mpis import mpi_folder, mpich

__all__ = ["mpi_folder", "mpich"]

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RUNTASK = str(Path(sysconfig.get_path("scripts")) / "runtask")

SMALL = {
    "ensemble.py": ["--steps", "100"],
    "kmeans.py": ["--points", "4000", "--fragments", "4", "--rounds", "5"],
    "matmul.py": ["--blocks", "3", "--size", "16"],
    "merge_sort.py": ["--numbers", "20000", "--groups", "3", "--blocks", "2"],
    "monte_carlo.py": ["--points", "40000", "--tasks", "4"],
    "shared_words.py": ["--chunk", "3", "--top", "2"],
    "word_count.py": ["--longest", "2", "--top", "3"],
}


def run(command, folder):
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


WORKFLOWS = {"earthquake", "genome_association", "molecular_dynamics", "weather"}


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SMALL)
    assert {path.parent.name for path in EXAMPLES.glob("*/README.md")} == WORKFLOWS | {"texts"}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_same_answer_with_and_without_the_runtime(name, tmp_path):
    script = [str(EXAMPLES / name), *SMALL[name]]
    sequential = run([sys.executable, *script], tmp_path)
    assert "Checked: " in sequential
    assert run([RUNTASK, "--workers", "2", *script], tmp_path) == sequential


@pytest.mark.parametrize("name", sorted(SMALL))
def test_declarations_are_right(name, tmp_path):
    command = [RUNTASK, "--workers", "2", "--check=error", str(EXAMPLES / name), *SMALL[name]]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(r"The check of [1-9]\d* tasks found no problem\.\n", finished.stderr)


def test_word_count_keeps_the_report_it_is_asked_for(tmp_path):
    script = [str(EXAMPLES / "word_count.py"), *SMALL["word_count.py"], "--output", "report.txt"]
    shown = run([RUNTASK, "--workers", "2", *script], tmp_path)
    assert (tmp_path / "report.txt").read_text() in shown


def test_ensemble_says_that_no_candidate_is_left(tmp_path):
    command = [RUNTASK, "--workers", "2", str(EXAMPLES / "ensemble.py"), "--steps", "20", "--limit", "1"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 1
    assert finished.stdout == "No rate fits with all members of its ensemble; the limit of 1.0 boys is too strict.\n"


def test_shared_words_are_added_up_by_a_tree_of_tasks(tmp_path):
    script = [str(EXAMPLES / "shared_words.py"), "--chunk", "2"]
    run([RUNTASK, "--workers", "2", "--run-dir", "run", *script], tmp_path)
    times = {function.name: function.count for function in summarise(tmp_path / "run" / "journal.jsonl").functions}
    texts = len(list((EXAMPLES / "texts").glob("*.txt")))
    assert times["count_words"] == texts
    assert times["add_up"] >= texts - 1


def test_word_count_says_that_a_folder_has_no_texts(tmp_path):
    command = [sys.executable, str(EXAMPLES / "word_count.py"), str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 2
    assert f"There is no *.txt file in {tmp_path}" in finished.stderr


def run_workflow(name, folder, *arguments, mpi=None, **variables):
    """What a workflow prints, and what is said of its run. ``mpi``: the one that is found first."""
    command = [RUNTASK, "--workers", "2", "--summary", str(EXAMPLES / name / "workflow.py"), *arguments]
    path = os.pathsep.join([*([os.path.dirname(mpi.runner)] if mpi else []), os.environ["PATH"]])
    finished = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, **variables}, capture_output=True, text=True, timeout=55,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Checked: " in finished.stdout
    return finished.stdout, finished.stderr


def test_genome_association_finds_what_changes_the_trait_though_files_are_damaged(tmp_path):
    generate = [sys.executable, str(EXAMPLES / "genome_association" / "generate.py"), "study"]
    made = run([*generate, "--chunks", "30", "--cohorts", "3", "--people", "220"], tmp_path)
    assert made == "90 files of genotypes in study/genotypes, 2 of them damaged\n"
    shown, told = run_workflow("genome_association", tmp_path, "study")
    assert "Checked: these are the 5 places that change the trait." in shown
    assert "2 failures ignored" in told
    damaged = (tmp_path / "study" / "damaged.txt").read_text().split()
    assert all(f"{Path(name).name}, line" in told for name in damaged)
    variants = int(re.match(r"\d+", shown).group())
    circles = etree.parse(tmp_path / "manhattan.svg").findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == variants


def test_weather_thins_its_ensemble_out_and_draws_each_day(tmp_path, mpich):
    shown, told = run_workflow("weather", tmp_path, "--members", "3", mpi=mpich)
    days = re.findall(r"hour +(\d+): (\d) members, .*\(second\), (\d) go on", shown)
    assert [int(hour) for hour, *_ in days] == [24, 48, 72, 96, 120]
    assert days[0][1] == "3"
    assert days[-1][1] == "1"
    runs = int(re.search(r"simulate +(\d+)", told).group(1))
    assert runs == sum(int(members) for _, members, _ in days)
    images = [(tmp_path / "dust" / f"dust-{hour:03d}.png").read_bytes() for hour in range(24, 121, 24)]
    assert len({pixels(image) for image in images}) == 5
    animation = dict(chunks_of((tmp_path / "dust" / "dust.png").read_bytes()))
    assert struct.unpack(">II", animation[b"acTL"]) == (5, 0)
    assert zlib.decompress(animation[b"fdAT"][4:]) == pixels(images[-1])


def chunks_of(image):
    """The parts of a PNG file, each of which has the right sum."""
    place = 8
    while place < len(image):
        (length,) = struct.unpack_from(">I", image, place)
        kind, content = image[place + 4 : place + 8], image[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", image, place + 8 + length) == (zlib.crc32(kind + content),)
        yield kind, content
        place += length + 12


def pixels(image):
    """The pixels of a PNG file, of which there are 560 x 400."""
    parts = dict(chunks_of(image))
    assert struct.unpack(">II", parts[b"IHDR"][:8]) == (560, 400)
    return zlib.decompress(parts[b"IDAT"])


def test_molecular_dynamics_ignores_retries_and_gives_up_variants(tmp_path, mpich):
    shown, told = run_workflow("molecular_dynamics", tmp_path, "--steps", "800", mpi=mpich)
    contacts = {name: float(share) for name, share in re.findall(r"^(\S+) +(\d+\.\d)% ±", shown, re.MULTILINE)}
    assert len(contacts) == 7
    assert contacts["core"] < contacts["wild-type"] < contacts["Q2C-E64C"]
    assert re.search(r"^Q2C-E64C .* 0\.005$", shown, re.MULTILINE)
    assert "L15-clash    given up: it has blown up even with a time step of 0.0025" in shown
    assert "4 failures ignored" in told


def test_earthquake_reports_though_a_service_breaks_down(tmp_path, mpich):
    shown, told = run_workflow("earthquake", tmp_path, "--sources", "3", mpi=mpich)
    assert told.count("this replica breaks down now") == 1
    assert "3 of 3 simulations were ready in time" in shown
    intensities = {name: float(value) for name, value in re.findall(r"(\w+) +intensity (\d+\.\d)", shown)}
    assert max(intensities, key=intensities.get) == "Karlovasi"
    assert (tmp_path / "shaking" / "samos-2020.alerts").read_text().split() == ["started", "simulating", "reported"]
    report = (tmp_path / "shaking" / "report.md").read_bytes()
    assert (tmp_path / "shaking" / "samos-2020.report").read_bytes() == report
    places = etree.parse(tmp_path / "shaking" / "map.svg").findall("{http://www.w3.org/2000/svg}text")
    assert {place.text.split()[-1] for place in places} >= set(intensities)


def test_earthquake_without_simulations_in_time_rests_on_the_relation(tmp_path, mpich):
    shown, told = run_workflow("earthquake", tmp_path, "--sources", "2", mpi=mpich, WAVE_DEADLINE="0.05")
    assert "0 of 2 simulations were ready in time" in shown
    assert "2 failures ignored" in told
    assert "those of an empirical relation" in (tmp_path / "shaking" / "report.md").read_text()
