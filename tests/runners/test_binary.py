"""Programs are run as vectors of arguments, and end with what runs them."""

import os
import sys
import tempfile

import pytest

from taskflow import ProgramError
from taskflow.runners import binary


def run(program, *arguments, **options):
    return binary.run([sys.executable, "-c", program, *arguments], "test", **options)


def test_output_is_passed_on_and_the_exit_value_told(capsys):
    ended = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)")
    assert (ended.exit_value, ended.tail) == (4, "err")
    assert capsys.readouterr() == ("out\n", "err\n")
    assert "ended with exit value 4" in str(ended.failure("test"))


def test_long_output_is_cut_where_it_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(binary, "PASS_ON_BYTES", 10)
    run("print('x' * 100)")
    assert capsys.readouterr().out == "x" * 10 + "\n[taskflow: 91 more bytes of output]\n"


def test_a_signal_is_named():
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert "was ended by SIGTERM and said nothing" in str(ended.failure("test"))


def test_streams_and_folder_can_be_given(tmp_path):
    (tmp_path / "in").write_text("asked")
    with open(tmp_path / "in", "rb") as stdin, open(tmp_path / "out", "wb") as stdout:
        run("import os; print(input(), os.getcwd())", stdin=stdin, stdout=stdout, cwd=str(tmp_path))
    assert (tmp_path / "out").read_text() == f"asked {tmp_path}\n"


def test_streams_need_no_name():
    with tempfile.TemporaryFile() as output:
        ended = run("print('said'); raise SystemExit(3)", stdout=output)
        assert ended.tail == "said"
        output.seek(0)
        assert output.read() == b"said\n"
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as reader:
        with os.fdopen(sink, "wb") as writer:
            assert run("print('said')", stdout=writer).tail == ""
        assert reader.read() == b"said\n"


def test_without_streams_there_is_nothing_to_read():
    assert run("input()").exit_value == 1


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        ("taskflow-no-such", {}, "no program 'taskflow-no-such' in the folders of PATH"),
        ("/no/such", {}, "there is no program '/no/such'"),
        (os.path.dirname(__file__), {}, "it is a folder or not executable"),
        ("true", {"cwd": "/no/folder"}, "there is no folder '/no/folder' to run true in"),
    ],
)
def test_a_program_that_cannot_be_started_is_named_with_the_reason(program, options, message):
    with pytest.raises(ProgramError, match=message):
        binary.run([program], "test", **options)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run("print(1)")
    assert list(tmp_path.iterdir()) == []


def test_a_long_command_is_cut_in_an_error():
    text = str(binary.Ended(["program", *["word"] * 1000], 1, "", "").failure("test"))
    assert "... (with 1000 arguments) ended with exit value 1" in text
    assert len(text) < 1200
