r"""Find the words that all texts of a folder share, and how often each is used.

    python examples/shared_words.py
    runtask examples/shared_words.py
    runtask --workers 2 --graph examples/shared_words.py --chunk 2 SOME_FOLDER

The program is written with the names of PyCOMPSs. One task counts the words of each text. The tables are added up by a
single call: @reduction makes a tree of tasks of it, each of which adds up a few tables as soon as they are there.

A word is a run of the letters a to z, in any case. You can check the number of different words without this program:

    cat examples/texts/*.txt | tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | grep . | sort -u | wc -l
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from pycompss.api.api import compss_wait_on
from pycompss.api.parameter import COLLECTION_IN, FILE_IN
from pycompss.api.reduction import reduction
from pycompss.api.task import task

TEXTS = Path(__file__).resolve().parent / "texts"

Table = dict[str, tuple[int, int]]
"""How often each word is used, and in how many texts."""


def words_of(path: str) -> list[str]:
    """All words of a text, in order."""
    return re.findall("[a-z]+", Path(path).read_text(encoding="utf-8").lower())


@task(path=FILE_IN, returns=dict)
def count_words(path: str) -> Table:
    """Count the words of one text."""
    return {word: (count, 1) for word, count in Counter(words_of(path)).items()}


@reduction(chunk_size="4")
@task(tables=COLLECTION_IN, returns=dict)
def add_up(tables: list[Table]) -> Table:
    """Add tables up. In any grouping the sum is the same, so results of this task can be added up again."""
    total: Table = {}
    for table in tables:
        for word, (count, texts) in table.items():
            known_count, known_texts = total.get(word, (0, 0))
            total[word] = (known_count + count, known_texts + texts)
    return total


def count_plainly(paths: list[Path]) -> Table:
    """Count without tasks, one word at a time: the check."""
    counts: dict[str, int] = {}
    texts: dict[str, set[Path]] = {}
    for path in paths:
        for word in words_of(str(path)):
            counts[word] = counts.get(word, 0) + 1
            texts.setdefault(word, set()).add(path)
    return {word: (count, len(texts[word])) for word, count in counts.items()}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Find the words that all *.txt files of a folder share.")
    parser.add_argument("folder", nargs="?", type=Path, default=TEXTS, help="default: the texts beside this script")
    parser.add_argument("--chunk", type=int, default=4, help="tables that one task adds up (default 4)")
    parser.add_argument("--top", type=int, default=5, help="words shown (default 5)")
    return parser.parse_args()


def main() -> int:
    """Count, show what is shared, and compare with a plain count."""
    arguments = parse_arguments()
    paths = sorted(arguments.folder.glob("*.txt"))
    if not paths:
        print(f"There is no *.txt file in {arguments.folder}.", file=sys.stderr)
        return 2
    tables = [count_words(str(path)) for path in paths]
    total: Table = compss_wait_on(add_up(tables, chunk_size=arguments.chunk))
    shared = sorted((-count, word) for word, (count, texts) in total.items() if texts == len(paths))
    print(f"{len(paths)} texts use {len(total)} different words; {len(shared)} of them are in all texts")
    for negative, word in shared[: arguments.top]:
        print(f"{-negative:8d}  {word}")
    if total != count_plainly(paths):
        print("WRONG: a plain count of the words differs.", file=sys.stderr)
        return 1
    print("Checked: a plain count of the words agrees.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
