"""The journal: what happened in a run, one JSON object per line, only ever appended to.

The runtime writes it, every report reads it, and a run that was killed leaves a file that still reads. Times
are whole microseconds since the start of the run: small to write, exact to compare. The field ``e`` names the
kind:

    run        the header, always line 1: v (format version), id, started (Unix time), argv, python, ...
    fn         a task function gets its number: fn, name, module, file, line
    tasks      tasks without dependency or group, in one go: t, fn, first, count
    task       one task: t, id, fn, deps [[producer, "d3v2"], ...] and perhaps groups (outermost first), line;
               producer 0 is the main program
    done       a batch one executor finished: x, ids, starts, ends
    failed     one attempt failed: t, id, x, attempt, final, error
    cancelled  t, ids, why
    executor   t, x, pid, state (started, died, stopped), why; with service (its name) it is that and no process
    node       another machine: t, node (number of this life of it), name, state (joined, left, lost, failed), why
    span       an attempt at a task that has several nodes: t, id, nodes (numbers, the one that it runs on first)
    refused    a connection that did not prove to be of the run was turned away: t, from, why
    sync       the main program waited: t, what, tasks (left out by a barrier: everything so far)
    calls      where and when tasks were called, of a checked run: first (a task), at ("app.py:12"), ts
    uses       what a task of a checked run is declared to write: id, writes (paths), alone (commutative data)
    check      what an executor of a checked run saw: fn, x, what, name, count, tasks (the first of them), detail
    end        t, exit, tasks, failed; missing when the run was killed
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

VERSION = 1
FILE_NAME = "journal.jsonl"
BUFFER_SIZE = 64 * 1024

# What the readers rely on. Checked here once, so that no reader has to guard itself against a damaged line.
_FIELDS: dict[str, tuple[tuple[str, type], ...]] = {
    "fn": (("fn", int), ("name", str)),
    "tasks": (("t", int), ("fn", int), ("first", int), ("count", int)),
    "task": (("t", int), ("id", int), ("fn", int), ("deps", list)),
    "done": (("x", int), ("ids", list), ("starts", list), ("ends", list)),
    "failed": (("t", int), ("id", int), ("final", bool)),
    "cancelled": (("t", int), ("ids", list)),
    "executor": (("t", int), ("x", int), ("state", str)),
    "node": (("t", int), ("node", int), ("state", str)),
    "moved": (("t", int), ("from", int), ("to", int), ("bytes", int)),
    "span": (("t", int), ("id", int), ("nodes", list)),
    "sync": (("t", int), ("what", str)),
    "calls": (("first", int), ("at", str), ("ts", list)),
    "uses": (("id", int), ("writes", list), ("alone", list)),
    "check": (
        ("fn", int),
        ("what", str),
        ("name", str),
        ("count", int),
        ("tasks", list),
        ("detail", str),
    ),
    "end": (("t", int), ("exit", int)),
}

# Plain ASCII out: file names with undecodable bytes (lone surrogates) survive, and any editor shows the file.
# Whatever JSON does not know is written as its text: an odd argument must not stop a run.
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
_parse = json.JSONDecoder().decode


class JournalError(ValueError):
    """A journal that cannot be read: another format version, or a damaged line."""


class Journal:
    """Writes the journal of one run.

    Not thread-safe, on purpose: it belongs to the one thread that sees all events, and a lock would cost more
    than the rest of a call. Lines gather in memory; the owner calls `flush` before it goes to sleep. There is
    no finaliser, so a forked executor that inherits this object never writes its copy of the buffer.
    """

    __slots__ = ("_fd", "_lines", "_path", "_run_first", "_run_fn", "_run_next", "_run_t", "_size")

    def __init__(self, path: str, fd: int) -> None:
        """Take over an open descriptor; callers use `create`."""
        self._path = path
        self._fd = fd
        self._lines: list[bytes] = []
        self._size = 0
        # The open run of independent tasks: ids _run_first .. _run_next - 1 of function _run_fn; -1: no run.
        self._run_fn = -1
        self._run_first = 0
        self._run_next = -1
        self._run_t = 0

    @classmethod
    def create(cls, run_dir: str | os.PathLike[str], **run: object) -> Journal:
        """Start the journal of a new run, its header in the file at once. An existing one is not touched."""
        path = os.path.join(run_dir, FILE_NAME)
        # 0600: arguments and error texts of a user are nobody else's business.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        journal = cls(path, fd)
        journal.write({"e": "run", "v": VERSION, **run})
        journal.flush()
        return journal

    def __repr__(self) -> str:
        """Show where it writes and how much waits to be written."""
        state = "closed" if self._fd < 0 else f"{len(self._lines)} lines, {self._size} bytes buffered"
        return f"<Journal {self._path} [{state}]>"

    def write(self, record: Mapping[str, object]) -> None:
        """Append one record."""
        self.write_raw(_encode(record).encode("ascii"))

    def write_raw(self, line: bytes) -> None:
        """Append one record that is already encoded, without its line end."""
        if self._run_fn >= 0:
            self._end_run()
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size > BUFFER_SIZE:
            self._drain()

    def submitted(self, task_id: int, fn: int, t: int) -> None:
        """Note a task without dependency or group; neighbours of one function become a single record."""
        if task_id == self._run_next and fn == self._run_fn:
            self._run_next = task_id + 1
            return
        if self._run_fn >= 0:
            self._end_run()
        self._check_open()
        self._run_fn = fn
        self._run_first = task_id
        self._run_next = task_id + 1
        self._run_t = t

    def flush(self) -> None:
        """Hand everything noted so far to the operating system: a crash of this process loses it no more."""
        if self._run_fn >= 0:
            self._end_run()
        if self._lines:
            self._drain()

    def close(self) -> None:
        """Flush and close. Closing twice is fine; writing afterwards is a `ValueError`."""
        if self._fd < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1
            self._size = BUFFER_SIZE  # the next write is one too many, and says so

    def _end_run(self) -> None:
        # Formatted by hand, as `synced`: a program that waits for each task writes one of each per task.
        line = b'{"e":"tasks","t":%d,"fn":%d,"first":%d,"count":%d}' % (
            self._run_t, self._run_fn, self._run_first, self._run_next - self._run_first
        )  # fmt: skip
        self._run_fn = self._run_next = -1
        self.write_raw(line)

    def synced(self, t: int, what: str, task_ids: Sequence[int] | None) -> None:
        """Note that the main program waits for these tasks (None: for all so far)."""
        tasks = "" if task_ids is None else f',"tasks":[{",".join(map(str, task_ids))}]'
        self.write_raw(f'{{"e":"sync","t":{t},"what":"{what}"{tasks}}}'.encode())

    def _drain(self) -> None:
        self._check_open()
        rest = b"\n".join(self._lines) + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        finally:
            # After a full disk the unwritten part stays, from the very byte: a later flush goes on there.
            self._lines = [rest[:-1]] if rest else []
            self._size = len(rest)

    def _check_open(self) -> None:
        if self._fd < 0:
            raise ValueError(f"the journal {self._path} is closed: the run is over, nothing can be added to it")


def read(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal in order, also while it is being written or when its writer was killed.

    Such a file may end inside a record: an unfinished last line is left out. Other damage is a
    `JournalError`.
    """
    header_seen = False
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                record = _decode(line)
                if not header_seen:
                    _check_header(record)
                    header_seen = True
                _check_fields(record)
            except (ValueError, RecursionError) as error:
                # Only the last line can lack its line end. A torn object lacks its brace, so it never parses.
                if not line.endswith(b"\n") and not isinstance(error, JournalError):
                    return
                raise JournalError(f"{os.fspath(path)}, line {number}: {error}") from error
            yield record


def _decode(line: bytes) -> dict[str, Any]:
    try:
        record = _parse(line.decode())
    except ValueError as error:
        raise ValueError(f"damaged record ({error}); the lines before it are good") from error
    if not isinstance(record, dict):
        raise ValueError("damaged record (not a JSON object)")  # noqa: TRY004  # a bad file, not a bad call
    return record


def _check_header(record: dict[str, Any]) -> None:
    if record.get("e") != "run":
        raise JournalError("not a taskflow journal: its first line is not the header of a run")
    if record.get("v") != VERSION:
        writer = f" (taskflow {record['taskflow']} wrote it)" if "taskflow" in record else ""
        raise JournalError(f"journal format {record.get('v')!r}, but this taskflow reads format {VERSION}{writer}")


def _check_fields(record: dict[str, Any]) -> None:
    kind = record.get("e")
    if not isinstance(kind, str):
        raise ValueError("damaged record (no kind in its field 'e')")  # noqa: TRY004  # same
    for name, expected in _FIELDS.get(kind, ()):  # a kind we do not know is news from a newer minor version
        if type(record.get(name)) is not expected:
            raise ValueError(f"damaged record ({kind!r} needs {name!r} of type {expected.__name__})")
