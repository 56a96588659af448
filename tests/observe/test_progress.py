import io
import os
import select

import pytest

from taskflow.observe.progress import Counts, Progress, format_line

SOME = Counts(submitted=3000, running=2, done=1204, failed=0, executors=2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("counts", "elapsed", "rate", "expected"),
    [
        (
            SOME,
            3,
            812.2,
            "taskflow  done 1,204 of 3,000 · running 2 · failed 0 · 812/s · 00:03 · about 00:02 left",
        ),
        (Counts(0, 0, 0, 0, 2), 0, 0, "taskflow  done 0 of 0 · running 0 · failed 0 · 00:00"),
        (
            Counts(10, 0, 4, 1, 0),
            3725,
            0,
            "taskflow  done 4 of 10 · running 0 · failed 1 · no executors · 1:02:05",
        ),
        (Counts(10, 0, 9, 1, 1), 61, 2.55, "taskflow  done 9 of 10 · running 0 · failed 1 · 2.5/s · 01:01"),
        (
            Counts(10, 1, 4, 0, 1),
            60,
            1 / 120,
            "taskflow  done 4 of 10 · running 1 · failed 0 · 0.5/min · 01:00 · about 12:00 left",
        ),
    ],
)
def test_the_line(counts, elapsed, rate, expected):
    assert format_line(counts, elapsed, rate) == expected


def test_a_terminal_keeps_one_line_and_wipes_it():
    out = Terminal()
    progress = Progress(lambda: SOME, out)
    assert repr(progress) == "<Progress [terminal, clear]>"
    progress.show(100.0)
    assert out.getvalue().startswith("\rtaskflow  done 1,204 of 3,000")
    assert out.getvalue().endswith("\x1b[K")
    assert "\n" not in out.getvalue()
    assert repr(progress) == "<Progress [terminal, shown]>"
    out.truncate(0), out.seek(0)
    progress.clear()
    assert out.getvalue() == "\r\x1b[K"
    progress.clear()
    assert out.getvalue() == "\r\x1b[K"


def test_it_asks_only_when_a_line_is_due():
    asked = []
    progress = Progress(lambda: asked.append(1) or SOME, Terminal())
    for now in (5.0, 5.01, 5.09, 5.2, 5.25):
        progress.show(now)
    assert len(asked) == 2
    progress.clear()
    progress.show(5.26)  # something was printed in between: the line comes back at once
    assert len(asked) == 3


def test_elsewhere_it_prints_a_line_every_ten_seconds():
    out = io.StringIO()
    progress = Progress(lambda: SOME, out, started=0.0)
    for now in range(1, 32):
        progress.show(now)
        progress.clear()
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    for line, clock in zip(lines, ("00:01", "00:11", "00:21", "00:31"), strict=True):
        assert clock in line
    assert "\r" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_the_rate_is_that_of_the_last_seconds():
    finished = [0]
    out = io.StringIO()
    progress = Progress(lambda: Counts(10_000, 1, finished[0], 0, 1), out)
    for second in range(61):
        finished[0] += 100 if second <= 30 else 10
        progress.show(float(second))
    assert [line.split(" · ")[3] for line in out.getvalue().splitlines()] == [
        "00:00",  # no rate yet
        "100/s",
        "100/s",
        "100/s",
        "10/s",
        "10/s",
        "10/s",
    ]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    Progress(lambda: SOME, out).show(1.0)
    assert out.getvalue().endswith("\n")


def test_a_narrow_terminal_is_not_wrapped(monkeypatch):
    out = Terminal()
    out.fileno = lambda: 1
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
    Progress(lambda: SOME, out).show(1.0)
    assert out.getvalue() == "\rtaskflow  done 1,2…\x1b[K"


def test_a_real_terminal():
    ours, theirs = os.openpty()
    try:
        with open(theirs, "w", encoding="ascii") as stream:
            progress = Progress(lambda: SOME, stream)
            progress.show(1.0)
            progress.clear()
            shown = b""  # the system hands on what is written to a terminal when it gets round to it
            while shown.count(b"\x1b[K") < 2 and select.select([ours], [], [], 20)[0]:
                shown += os.read(ours, 1000)
    finally:
        os.close(ours)
    assert shown.startswith(b"\rtaskflow  done 1,204 of 3,000 ? running 2")
    assert shown.endswith(b"\x1b[K\r\x1b[K")


def test_a_stream_that_is_gone_does_not_disturb_the_run():
    out = Terminal()
    progress = Progress(lambda: SOME, out)
    progress.show(1.0)
    out.close()
    progress.clear()
    progress.show(2.0)
    Progress(lambda: SOME, out).show(1.0)


def test_no_standard_error_at_all(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    Progress(lambda: SOME).show(1.0)
