"""Findings of a checked run: where tasks do other things with their data than they declare. Read from the journal.

The executors tell what they saw (`node.check`), the main program what was declared and called. Both are put together
here, because only here is it known what all tasks of a function did, and which tasks could run at the same time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskflow.observe.functions import Functions, printable
from taskflow.observe.journal import read

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

SHOWN_CALLS = 3  #: places of calls that a finding names

#: Ways to say of a parameter that the task writes it, by how it is declared now.
_WRITES_INSTEAD = {
    "IN": "INOUT",
    "FILE_IN": "FILE_INOUT",
    "DIRECTORY_IN": "DIRECTORY_INOUT",
    "COLLECTION_IN": "COLLECTION_INOUT",
    "COLLECTION_FILE_IN": "COLLECTION_FILE_INOUT",
    "DICTIONARY_IN": "DICTIONARY_INOUT",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a task function.

    ``kind``: ``"changed"`` (an IN parameter was), ``"unwritten"`` (an INOUT or OUT parameter never was), ``"file"``
    (undeclared use of a file that another task writes) or ``"global"`` (a global variable was changed). ``name`` is
    the parameter, path or variable; ``count`` how often it was done, as far as that was counted; ``calls`` where some
    of the tasks were called; ``fix`` what to write instead.
    """

    kind: str
    function: str
    file: str
    line: int
    name: str
    what: str
    fix: str
    count: int
    calls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Two lines: what is wrong where, and what to do."""
        times = "once" if self.count == 1 else f"{self.count:,} times"
        called = f", called at {', '.join(self.calls)}" if self.calls else ""
        return f"{self.file}:{self.line}: {self.function}: {self.what} ({times}{called})\n    {self.fix}"


@dataclass(frozen=True)
class Checked:
    """What the check of a run found.

    ``unchecked``: what could not be looked at, as (function, parameter, reason). ``tasks``: how many were checked.
    """

    findings: tuple[Finding, ...]
    unchecked: tuple[tuple[str, str, str], ...]
    tasks: int

    def __str__(self) -> str:
        """What is shown at the end of a run."""
        number = len(self.findings)
        what = f"found {number} problem{'' if number == 1 else 's'}" if number else "found no problem"
        lines = [f"The check of {self.tasks:,} task{'' if self.tasks == 1 else 's'} {what}{':' if number else '.'}"]
        lines += [f"  {line}" for finding in self.findings for line in str(finding).splitlines()]
        if self.unchecked:
            lines.append("Not checked, because pickle cannot take it apart:")
            lines += [f"  {function}: parameter {name} ({reason})" for function, name, reason in self.unchecked]
        return "\n".join(lines)


def check(journal_path: str | os.PathLike[str]) -> Checked:
    """The findings in a journal. Raises `JournalError` if it cannot be read."""
    evidence = _Evidence()
    for record in read(journal_path):
        evidence.feed(record)
    order = _Order(evidence.suspects())
    if order.wanted:
        for record in read(journal_path):
            order.feed(record)
    return Checked(tuple(evidence.findings(order)), tuple(evidence.unchecked()), evidence.tasks)


@dataclass
class _Seen:
    """What all executors saw of one thing."""

    count: int = 0
    tasks: list[int] = field(default_factory=list)
    detail: str = ""


class _Evidence:
    """Everything that was seen and declared."""

    def __init__(self) -> None:
        self.tasks = 0
        self._functions = Functions()
        self._homes: dict[int, dict[str, Any]] = {}  # {3: the record "fn" of function 3}
        self._same: dict[int, int] = {}  # a function may have several records: {4: 3}
        self._known: dict[tuple[Any, ...], int] = {}
        self._seen: dict[tuple[str, int, str], _Seen] = defaultdict(_Seen)  # {("changed", 3, "a"): ...}
        self._files: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._declared: dict[str, set[int]] = defaultdict(set)  # path -> tasks that say that they write it
        self._firsts = array("q")
        self._places: list[str] = []

    def feed(self, record: dict[str, Any]) -> None:
        """Take in one record, of any kind."""
        self._functions.feed(record)
        kind = record["e"]
        if kind == "fn":
            self._homes[record["fn"]] = record
            identity = tuple(record.get(part) for part in ("name", "module", "file", "line"))
            self._same[record["fn"]] = self._known.setdefault(identity, record["fn"])
        elif kind == "done":
            self.tasks += len(record["ids"])
        elif kind == "calls":
            at = bisect_right(self._firsts, record["first"])
            self._firsts.insert(at, record["first"])
            self._places.insert(at, record["at"])
        elif kind == "uses":
            for path in record["writes"]:
                self._declared[path].add(record["id"])
        elif kind == "check":
            self._feed_check(record)

    def _feed_check(self, record: dict[str, Any]) -> None:
        what, name = record["what"], record["name"]
        fn = self._same.get(record["fn"], record["fn"])
        if what in ("wrote", "read"):
            self._files[name][what].update(record["tasks"])
            return
        seen = self._seen[(what, fn, name)]
        seen.count += record["count"]
        seen.tasks += record["tasks"]
        seen.detail = seen.detail or record["detail"]

    # ------------------------------------------------------------------ parameters

    def findings(self, order: _Order) -> Iterator[Finding]:
        """All findings, by place in the program."""
        found = [*self._of_parameters(), *self._of_files(order), *self._of_globals()]
        yield from sorted(found, key=lambda finding: (finding.file, finding.line, finding.kind, finding.name))

    def unchecked(self) -> Iterator[tuple[str, str, str]]:
        """What the executors could not look at."""
        for (what, fn, name), seen in self._seen.items():
            if what == "unchecked":
                yield self._functions.name(fn), name, printable(seen.detail)

    def _of_parameters(self) -> Iterator[Finding]:
        for (what, fn, name), seen in self._seen.items():
            declared = self._homes.get(fn, {}).get("declared", {}).get(name, "")
            if what == "changed" and not declared.endswith("IN_DELETE"):
                lost = "" if (declared or "IN").endswith("IN") else ": only elements of it come back"
                place = f", at {seen.detail}" if seen.detail != name else ""
                yield self._finding(
                    "changed", fn, name, seen,
                    f"changes its parameter {name}, which is {declared or 'IN'}{lost}{place}",
                    self._declare(fn, name, _WRITES_INSTEAD.get(declared, "INOUT")),
                )  # fmt: skip
            elif what == "unwritten" and ("written", fn, name) not in self._seen and not self._is_self(fn, name):
                declared = declared or seen.detail
                reads = "IN" if declared == declared.rpartition("_")[2] else f"{declared.rpartition('_')[0]}_IN"
                yield self._finding(
                    "unwritten", fn, name, seen, f"never writes its parameter {name}, which is {declared}",
                    self._declare(fn, name, reads),
                )  # fmt: skip

    def _is_self(self, fn: int, name: str) -> bool:
        """Whether it is the object of a method, which is INOUT although nobody says so."""
        return bool(self._homes.get(fn, {}).get("self") == name)

    def _declare(self, fn: int, name: str, direction: str) -> str:
        return f"declare {'target_direction' if self._is_self(fn, name) else name}={direction}"

    # ------------------------------------------------------------------ global variables

    def _of_globals(self) -> Iterator[Finding]:
        for (what, fn, name), seen in self._seen.items():
            if what != "changed global":
                continue
            readers = sorted(
                {
                    self._functions.name(reader)
                    for (use, reader, used) in self._seen
                    if use == "uses global" and used == name and reader != fn
                }
            )
            short = name.rpartition(".")[2]
            if not readers and seen.count < 2:
                continue  # nobody comes after it to read the variable
            who = " and ".join(readers) or "later tasks of it"
            yield self._finding(
                "global", fn, short, seen,
                f"changes the global variable {short} in its executor only; {who} may read it and see it or not",
                f"make {short} a parameter, and declare {short}=INOUT",
            )  # fmt: skip

    # ------------------------------------------------------------------ files

    def suspects(self) -> set[int]:
        """Tasks that may have disturbed each other over a file."""
        return {task for _, first, second, _ in self._pairs() for task in (first, second)}

    def _pairs(self) -> Iterator[tuple[str, int, int, str]]:
        """(path, task, other task, what the first does) where the first uses the path without declaring it."""
        for path, uses in self._files.items():
            writers = uses.get("wrote", set())
            declared = self._declared_writers(path)
            for task in writers:
                for other in (*writers, *declared):
                    if other != task and not (other in writers and other < task):
                        yield path, task, other, "writes"
            for task in uses.get("read", set()):
                for other in (*writers, *declared):
                    if other != task:
                        yield path, task, other, "reads"

    def _declared_writers(self, path: str) -> set[int]:
        """Tasks that say that they write the path, or a folder in which it lies."""
        found: set[int] = set()
        while path and path != "/":
            found |= self._declared.get(path, set())
            path = path.rpartition("/")[0]
        return found

    def _of_files(self, order: _Order) -> Iterator[Finding]:
        found: dict[tuple[int, str, int], tuple[_Seen, set[str], bool]] = {}
        for path, task, other, verb in self._pairs():
            declared = other in self._declared_writers(path) and other not in self._files[path]["wrote"]
            # Data flow is no excuse where the other declares the file: it is put at its path when it is waited for.
            if order.known(task, other, by_data=not declared):
                continue
            fn, other_fn = self._function_of(task), self._function_of(other)
            seen, paths, _ = found.setdefault((fn, verb, other_fn), (_Seen(), set(), declared))
            paths.add(path)
            if task not in seen.tasks:
                seen.tasks.append(task)
                seen.count += 1
            if other_fn == fn and other not in seen.tasks:
                seen.tasks.append(other)
                seen.count += 1
        for (fn, verb, other_fn), (seen, paths, declared) in found.items():
            path = min(paths)
            more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
            who = "other tasks of it write" if other_fn == fn else f"{self._functions.name(other_fn)} writes"
            too = " (declared there)" if declared else ", too" if verb == "writes" else ""
            direction = "FILE_IN" if verb == "reads" else "FILE_INOUT"
            yield self._finding(
                "file", fn, path, seen, f"{verb} the file {printable(path)}{more} without declaring it; {who} it{too}",
                f"give it the path as a parameter, and declare path={direction}",
            )  # fmt: skip

    # ------------------------------------------------------------------ what findings have in common

    def _finding(self, kind: str, fn: int, name: str, seen: _Seen, what: str, fix: str) -> Finding:
        home = self._homes.get(fn, {})
        return Finding(
            kind, self._functions.name(fn), printable(str(home.get("file", "?"))), home.get("line", 0),
            printable(name), printable(what), fix, seen.count, self._called_at(seen.tasks),
        )  # fmt: skip

    def _function_of(self, task: int) -> int:
        fn = self._functions.of(task)
        return self._same.get(fn, fn) if fn is not None else 0

    def _called_at(self, tasks: Iterable[int]) -> tuple[str, ...]:
        places: dict[str, None] = {}
        for task in sorted(tasks):
            at = bisect_right(self._firsts, task) - 1
            if at >= 0:
                places[printable(self._places[at])] = None
        return tuple(places)[:SHOWN_CALLS]


class _Order:
    """Which of some tasks could not run at the same time: told by their data, or by the clock.

    By the clock: the main program called one when the other had ended, so it may have waited for it.
    """

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = wanted
        self._called: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._needs: dict[int, list[int]] = {}
        self._alone: dict[int, set[int]] = {}  # data that commutative tasks take turns on

    def feed(self, record: dict[str, Any]) -> None:
        """Take in one record, of any kind."""
        kind = record["e"]
        if kind == "calls":
            for task, t in enumerate(record["ts"], record["first"]):
                if task in self.wanted:
                    self._called[task] = t
        elif kind == "uses":
            self._alone[record["id"]] = set(record["alone"])
        elif kind == "task":
            self._needs[record["id"]] = [producer for producer, _ in record["deps"] if producer]
        elif kind == "done":
            self._ended.update((task, end) for task, end in zip(record["ids"], record["ends"], strict=True)
                               if task in self.wanted)  # fmt: skip
        elif kind == "failed" and record["final"]:
            self._ended[record["id"]] = record["t"]

    def known(self, one: int, other: int, *, by_data: bool) -> bool:
        """Whether one of the tasks surely came after the other. Also if it is not known when they ran."""
        first, second = sorted((one, other))
        called, ended = self._called.get(second), self._ended.get(first)
        if called is None or ended is None or called >= ended:
            return True
        if self._alone.get(first, set()) & self._alone.get(second, set()):
            return True
        return by_data and self._leads(first, second)

    def _leads(self, first: int, second: int) -> bool:
        """Whether data flows from the first task to the second."""
        pending = [second]
        seen = {second}
        while pending:
            for producer in self._needs.get(pending.pop(), ()):
                if producer == first:
                    return True
                if producer > first and producer not in seen:
                    seen.add(producer)
                    pending.append(producer)
        return False
