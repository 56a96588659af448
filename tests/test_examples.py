"""Every example gives the same answer under `python` and under `runtask`, and finds that answer right.

The workflows, in folders of their own, need the runtime; they find their answers right, too.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from lxml import etree

from taskflow.observe.summary import summarise

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


WORKFLOWS = {"genome_association"}


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


def run_workflow(name, folder, *arguments, options=()):
    """What a workflow prints, and what is said of its run."""
    command = [RUNTASK, "--workers", "2", "--summary", *options, str(EXAMPLES / name / "workflow.py"), *arguments]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=55, check=False)
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
