r"""Count the words, and the phrases, of all text files in a folder.

Run it, in one process or on all cores; the answer is the same:

    python examples/word_count.py
    runtask examples/word_count.py
    runtask --workers 2 examples/word_count.py --longest 1 --output report.txt SOME_FOLDER

One task reads and counts each file. Other tasks add the counts up, four at a time, so the sum is a small
tree. The last task writes a report file, which the main program opens.

A word is a run of the letters a to z, in any case. So you can check a count without this program:

    cat examples/texts/*.txt | tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | grep -cx the
"""

import argparse
import itertools
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from taskflow import COLLECTION_IN, FILE_IN, FILE_OUT, compss_open, compss_wait_on, task

TEXTS = Path(__file__).resolve().parent / "texts"
FAN_IN = 4
"""How many counts one task adds up."""


@task(path=FILE_IN, returns=Counter)
def count_phrases(path: str, longest: int) -> Counter[str]:
    """Count every phrase of one to `longest` words in one file."""
    words = re.findall("[a-z]+", Path(path).read_text(encoding="utf-8").lower())
    counts: Counter[str] = Counter()
    for length in range(1, longest + 1):
        shifted = [words[start:] for start in range(length)]
        counts.update(" ".join(phrase) for phrase in zip(*shifted, strict=False))
    return counts


@task(parts=COLLECTION_IN, returns=Counter)
def add_counts(parts: list[Counter[str]]) -> Counter[str]:
    """Add some counts up. Each part is the result of another task."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


@task(report=FILE_OUT)
def write_report(counts: Counter[str], longest: int, top: int, report: str) -> None:
    """Write the most frequent phrases of each length to the file `report`."""
    by_length: dict[int, Counter[str]] = {length: Counter() for length in range(1, longest + 1)}
    for phrase, count in counts.items():
        by_length[phrase.count(" ") + 1][phrase] = count
    with open(report, "w", encoding="utf-8") as out:
        for length, phrases in by_length.items():
            print(f"{sum(phrases.values())} phrases of length {length}, {len(phrases)} different", file=out)
            # Equal counts are ordered by the alphabet, so that the report never depends on chance.
            for phrase, count in sorted(phrases.items(), key=lambda item: (-item[1], item[0]))[:top]:
                print(f"{count:8d}  {phrase}", file=out)


def count_folder(paths: list[Path], longest: int) -> Any:
    """Submit the counting and adding tasks; give the future of the total."""
    counts = [count_phrases(str(path), longest) for path in paths]
    while len(counts) > 1:
        counts = [add_counts(counts[start : start + FAN_IN]) for start in range(0, len(counts), FAN_IN)]
    return counts[0]


def count_words_plainly(paths: list[Path]) -> Counter[str]:
    """Count the single words letter by letter, with no tasks and no regular expression: the check."""
    counts: Counter[str] = Counter()
    for path in paths:
        letters = path.read_text(encoding="utf-8").lower()
        runs = itertools.groupby(letters, key=lambda letter: "a" <= letter <= "z")
        counts.update("".join(run) for is_word, run in runs if is_word)
    return counts


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Count the words and phrases of all *.txt files in a folder.")
    parser.add_argument("folder", nargs="?", type=Path, default=TEXTS, help="default: the texts beside this script")
    parser.add_argument("--longest", type=int, default=3, help="words in the longest phrase (default 3)")
    parser.add_argument("--top", type=int, default=5, help="phrases shown of each length (default 5)")
    parser.add_argument("--output", type=Path, help="keep the report in this file")
    return parser.parse_args()


def main() -> int:
    """Count, show the report, and compare with a plain count."""
    arguments = parse_arguments()
    paths = sorted(arguments.folder.glob("*.txt"))
    if not paths:
        print(f"There is no *.txt file in {arguments.folder}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        report = str(arguments.output or Path(scratch) / "report.txt")
        total = count_folder(paths, arguments.longest)
        write_report(total, arguments.longest, arguments.top, report)
        with compss_open(report) as lines:
            print(f"{len(paths)} files\n{lines.read()}", end="")
        found = compss_wait_on(total)
    expected = count_words_plainly(paths)
    if {phrase: count for phrase, count in found.items() if " " not in phrase} != expected:
        print("WRONG: a plain count of the words differs.", file=sys.stderr)
        return 1
    print(f"Checked: a plain count of the {expected.total()} words agrees.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
