"""What an executor tells the master: one report at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskflow.data.store import Descriptor

Key = tuple[int, int]

_LINE = b'{"e":"done","x":%d,"ids":[%b],"starts":[%b],"ends":[%b]}'


class Report:
    """What has been done since the last report was sent; the payload of one frame to the master."""

    __slots__ = (
        "consumed", "costs", "ends", "epoch", "executor", "failed", "gone", "ids", "number", "output", "plain",
        "published", "rich", "skipped", "starts", "told",
    )  # fmt: skip

    def __init__(self, number: int, executor: int, epoch: float) -> None:
        self.number = number
        self.executor = executor
        self.epoch = epoch
        self.plain: dict[int, Any] = {}
        self.rich: dict[int, list[tuple[int, Any]]] = {}
        self.failed: list[tuple[int, Any]] = []
        self.told = 0  # how many of ``failed`` a snapshot has told
        self.skipped: list[tuple[int, Key]] = []
        self.published: dict[Key, Descriptor] = {}
        self.gone: list[Key] = []
        self.consumed: list[Key] = []
        self.costs: dict[int, list[float]] = {}
        self.ids: list[int] = []
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.output: list[tuple[int, str]] = []

    def message(self) -> tuple[Any, ...]:
        """The frame's content, without the journal's line."""
        return (
            self.number, self.plain, self.rich, self.failed[self.told :], self.skipped, self.published, self.gone,
            self.consumed, self.costs, b"", self.output,
        )  # fmt: skip

    def snapshot(self) -> tuple[Any, ...]:
        """What is known now, while a task may be running.

        Results will be told again, which has no effect. Failures are told once: the task may have another attempt here
        by then. The caller sees to it that no `message` is made at the same time.
        """
        first, self.told = self.told, len(self.failed)
        return (
            0, dict(self.plain), dict(self.rich), self.failed[first : self.told], [], {}, [], [], {}, b"", [],
        )  # fmt: skip

    def journal_line(self) -> bytes:
        """The journal's record of what ended, made here because the master's time is the scarcer."""
        if not self.ids:
            return b""
        epoch = self.epoch
        ids, starts, ends = self.ids, self.starts, self.ends
        if self.failed or self.skipped:
            ended = {*self.plain, *self.rich}
            kept = [place for place, task in enumerate(ids) if task in ended]
            ids, starts, ends = ([column[place] for place in kept] for column in (ids, starts, ends))  # type: ignore[assignment]
        return _LINE % (
            self.executor, ",".join(map(str, ids)).encode(),
            ",".join([str(int((start - epoch) * 1e6)) for start in starts]).encode(),
            ",".join([str(int((end - epoch) * 1e6)) for end in ends]).encode(),
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Nothing to tell."""
        return not (
            self.ids or self.failed or self.skipped or self.published or self.gone or self.consumed or self.output
        )


def notice(*, journal: bytes = b"", output: list[tuple[int, str]] | None = None) -> tuple[Any, ...]:
    """A message that reports no task: lines for the journal, or what was printed."""
    return (0, {}, {}, [], [], {}, [], [], {}, journal, output or [])
