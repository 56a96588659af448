"""Which task belongs to which task function, and what that is called: what every reader needs to know."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Any


class Functions:
    """Learns from the records ``fn``, ``tasks`` and ``task``.

    Keeps runs of task ids rather than tasks: a million calls of one function cost as much as one.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._names: dict[int, tuple[str, str]] = {}  # {3: ("app", "inc")}
        self._firsts = array("q")  # first id of each run, ascending; the run reaches up to the next one
        self._fns: list[int] = []  # the function of each run

    def __repr__(self) -> str:
        """Show how much is known."""
        return f"<Functions [{len(self._names)} functions, {len(self._fns)} runs of tasks]>"

    def feed(self, record: dict[str, Any]) -> None:
        """Take in one record, of any kind."""
        kind = record["e"]
        if kind == "task":
            self._add(record["id"], record["fn"])
        elif kind == "tasks":
            self._add(record["first"], record["fn"])
        elif kind == "fn":
            self._names[record["fn"]] = (printable(str(record.get("module", ""))), printable(record["name"]))

    def of(self, task_id: int) -> int | None:
        """Return the number of the task's function; None when the task was never submitted."""
        at = bisect_right(self._firsts, task_id) - 1
        return self._fns[at] if at >= 0 else None

    def name(self, fn: int | None) -> str:
        """Return the short name of a function."""
        return self._names[fn][1] if fn in self._names else f"function {'?' if fn is None else fn}"

    def full_name(self, fn: int | None) -> str:
        """Return the name with its module, for where two functions must not be mixed up."""
        module = self._names[fn][0] if fn in self._names else ""
        return f"{module}.{self.name(fn)}" if module else self.name(fn)

    def _add(self, first: int, fn: int) -> None:
        at = bisect_right(self._firsts, first)
        if at == len(self._fns) and at and self._fns[-1] == fn:
            return  # ids are handed out without gaps: the last run just goes on
        self._firsts.insert(at, first)
        self._fns.insert(at, fn)


def printable(text: str) -> str:
    """Replace what could break a line, steer a terminal or be refused by a parser."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
