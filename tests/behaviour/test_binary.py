"""S15: tasks that are programs."""

import os
import re
import signal
import stat

import pytest

from taskflow import (
    COLLECTION_FILE_IN,
    FILE_CONCURRENT_STDOUT,
    FILE_IN,
    FILE_IN_STDIN,
    FILE_INOUT,
    FILE_INOUT_STDOUT,
    FILE_OUT,
    FILE_OUT_STDERR,
    FILE_OUT_STDOUT,
    FILE_STDOUT,
    COMPSsException,
    MissingOutputError,
    Prefix,
    ProgramError,
    StdIOStream,
    TaskGroup,
    TimeOutError,
    Type,
    binary,
    compss_barrier,
    compss_cancel_group,
    compss_open,
    compss_wait_on,
    compss_wait_on_file,
    runtime,
    task,
)
from taskflow.model.errors import ArgumentError, ArgumentWarning
from taskflow.model.parameters import StdStream
from tests.behaviour.helpers import alive, until, wait_for_file

pytestmark = pytest.mark.usefixtures("engine")

#: A program that writes its arguments, each in brackets.
SHOW = 'for argument in "$@"; do printf "[%s]" "$argument"; done'


@task(returns=1)
def value(x):
    return x


@binary(binary="sh", args=["-c", SHOW, "show", "{{word}}", "{{number}}", "{{word}}={{flag}}"])
@task(out=FILE_OUT_STDOUT)
def show(word, number, flag, out):  # noqa: ARG001
    raise AssertionError("the body of a binary is not executed")


@binary(binary="printf")
@task(result={Type: FILE_OUT, StdIOStream: StdStream.STDOUT})
def formatted(form, first, second="two", result=None):
    pass


def content(path):
    with compss_open(str(path)) as file:
        return file.read()


def test_s15_arguments_are_those_of_the_template(tmp_path):
    show("a b", 3, flag=True, out=str(tmp_path / "out"))
    assert content(tmp_path / "out") == "[a b][3][a b=True]"


@pytest.mark.engines("sequential", "local")
@pytest.mark.parametrize("text", ["", "two  blanks", "'\"$HOME `x`", "líne\nline", "{{number}}", "*"])
def test_s15_a_text_is_one_argument_whatever_is_in_it(text, tmp_path):
    show(text, 0, flag=False, out=str(tmp_path / "out"))
    assert content(tmp_path / "out") == f"[{text}][0][{text}=False]"


def test_s15_without_a_template_parameters_are_the_arguments_in_order(tmp_path):
    formatted("<%s|%s>", "one", result=str(tmp_path / "out"))
    assert content(tmp_path / "out") == "<one|two>"
    formatted("<%s|%s>", second=0, first="", result=str(tmp_path / "more"))
    assert content(tmp_path / "more") == "<|0>"


def test_s15_results_of_other_tasks_are_put_in_as_text(tmp_path):
    show(value("made"), value(1.5), value([1, 2]), str(tmp_path / "out"))
    assert content(tmp_path / "out") == "[made][1.5][made=[1, 2]]"


def test_s15_a_file_that_is_changed(tmp_path):
    @binary(binary="sed", working_dir=".")
    @task(file=FILE_INOUT)
    def replace(flag, expression, file):
        pass

    path = tmp_path / "file.txt"
    path.write_text("Hi, this a simple test!\n")
    replace("-i", "s/Hi/HELLO/g", str(path))
    replace("-i", "s/simple/whole/g", str(path))
    assert content(path) == "HELLO, this a whole test!\n"


def test_s15_standard_input_and_output_are_files(tmp_path):
    @binary(binary="grep", working_dir=".")
    @task(infile={Type: FILE_IN_STDIN}, result={Type: FILE_OUT_STDOUT})
    def grepper(keyword, infile, result):
        pass

    (tmp_path / "in").write_text("yes 1\nno\nyes 2\n")
    grepper("yes", str(tmp_path / "in"), str(tmp_path / "out"))
    assert content(tmp_path / "out") == "yes 1\nyes 2\n"


def test_s15_what_is_written_is_added_to_a_file(tmp_path):
    @binary(binary="sh", args=["-c", "echo more; echo wrong >&2"])
    @task(out=FILE_INOUT_STDOUT, err=FILE_OUT_STDERR)
    def add(out, err):
        pass

    path = tmp_path / "out"
    path.write_text("before\n")
    add(str(path), str(tmp_path / "err"))
    assert content(path) == "before\nmore\n"
    assert content(tmp_path / "err") == "wrong\n"


def test_an_output_is_a_new_file_at_each_call(tmp_path):
    @binary(binary="sh", args=["-c", "echo {{word}}; echo no {{word}} >&2"])
    @task(out=FILE_OUT_STDOUT, err=FILE_OUT_STDERR)
    def say(word, out, err):
        pass

    out, err = tmp_path / "out", tmp_path / "err"
    for path in (out, err):
        path.write_text("something long from before\n")
    for word in ("one", "two"):
        say(word, str(out), str(err))
    assert (content(out), content(err)) == ("two\n", "no two\n")


def test_concurrent_programs_add_to_a_file(tmp_path):
    @binary(binary="echo", args="{{word}}")
    @task(out=FILE_CONCURRENT_STDOUT)
    def add(word, out):
        pass

    path = tmp_path / "out"
    path.write_text("before\n")
    for word in ("one", "two"):
        add(word, str(path))
    lines = content(path).splitlines()
    assert (lines[0], sorted(lines[1:])) == ("before", ["one", "two"])


def test_s15_prefixes_stand_before_the_arguments(tmp_path):
    @binary(binary="ls", working_dir=str(tmp_path / "there"))
    @task(hide={Type: FILE_IN, Prefix: "--hide="}, sort={Prefix: "--sort="}, why={Prefix: "#"}, out=FILE_OUT_STDOUT)
    def listing(flag, hide, sort, why, out):
        pass

    there = tmp_path / "there"
    there.mkdir()
    (there / "small").write_text("1")
    (there / "large").write_text("1" * 10)
    listing("-1", str(there / "small"), "size", "not an argument", str(tmp_path / "out"))
    # The path is hidden, not the name, which is all that ls shows.
    assert content(tmp_path / "out") == "large\nsmall\n"


def test_s15_files_are_called_as_in_the_program(tmp_path):
    @binary(binary="sh", args=["-c", 'for path in "$@"; do basename "$path"; done', "sh", "{{first}}", "{{others}}"])
    @task(first=FILE_IN, others=COLLECTION_FILE_IN, out=FILE_OUT_STDOUT)
    def names(first, others, out):
        pass

    for name in ("one.fasta", "two.fasta", "three.fasta"):
        (tmp_path / name).write_text(name)
    names(
        str(tmp_path / "one.fasta"), [str(tmp_path / "two.fasta"), str(tmp_path / "three.fasta")], str(tmp_path / "out")
    )
    assert content(tmp_path / "out") == "one.fasta\ntwo.fasta\nthree.fasta\n"


@binary(binary="sh", args="-c {{command}}", fail_by_exit_value=False)
@task(returns=int)
def exit_value(command):
    pass


@binary(binary="sh", args="-c {{command}}")
@task(returns=1, on_failure="FAIL")
def must_succeed(command):
    pass


def test_s15_the_exit_value_is_returned():
    assert compss_wait_on(exit_value("exit 123")) == 123
    assert compss_wait_on(exit_value("exit 0")) == 0
    assert compss_wait_on(exit_value("kill -TERM $$")) == -signal.SIGTERM
    assert compss_wait_on(must_succeed("true")) == 0


def test_s15_without_returns_there_is_none(tmp_path):
    assert show("a", 1, 2, str(tmp_path / "out")) is None
    compss_wait_on_file(str(tmp_path / "out"))


def test_a_failure_names_task_line_command_and_says_what_the_program_said():
    line = must_succeed.__taskflow_function__.__code__.co_firstlineno
    with pytest.raises(ProgramError) as raised:
        compss_wait_on(must_succeed("echo cause >&2; exit 7"))
    text = str(raised.value)
    assert text.startswith(f"@binary of task must_succeed ({__file__}:{line}): sh -c 'echo cause >&2; exit 7' ended")
    assert "with exit value 7; the end of what it said:\ncause" in text


def test_a_failed_program_is_run_again(tmp_path):
    @binary(binary="sh", args=["-c", 'echo once >> "$0"; test $(wc -l < "$0") -ge 3', f"{tmp_path}/tries"])
    @task(returns=1)
    def third_time():
        pass

    if runtime.session is not None:
        assert compss_wait_on(third_time()) == 0
        assert (tmp_path / "tries").read_text() == "once\n" * 3


def test_an_output_that_the_program_does_not_make_is_missed(engine, tmp_path):
    @binary(binary="true")
    @task(out=FILE_OUT, on_failure="FAIL", returns=1)
    def nothing(out):
        pass

    if engine.parallel:
        with pytest.raises(MissingOutputError, match="without making the output 'out'"):
            compss_wait_on(nothing(str(tmp_path / "out")))


def test_s15_the_working_folder_has_values_and_variables(tmp_path):
    @binary(binary="sh", args="-c pwd>here", working_dir=f"{tmp_path}/{{{{wd}}}}/$TASKFLOW_NOT_SET{{{{number}}}}")
    @task(returns=1)
    def where(wd, number):
        pass

    assert compss_wait_on(where(value("sub folder"), 5)) == 0
    folder = tmp_path / "sub folder" / "$TASKFLOW_NOT_SET5"
    assert (folder / "here").read_text().strip() == str(folder)


def test_s15_without_a_working_folder_each_has_one_of_its_own(tmp_path):
    @binary(binary="sh", args=["-c", "pwd; ls; touch left"])
    @task(out=FILE_OUT_STDOUT)
    def own(out):
        pass

    outs = [str(tmp_path / f"out{n}") for n in range(2)]
    for out in outs:
        own(out)
    folders = [content(out).strip() for out in outs]
    assert len(set(folders)) == 2
    assert all(not os.path.exists(folder) and "\n" not in folder for folder in folders)


def test_s15_wildcards_of_the_template(tmp_path):
    @binary(binary="tar", args="-cf {{out}} src/*.txt", working_dir=str(tmp_path))
    @task(out=FILE_OUT)
    def pack(out):
        pass

    @binary(binary="tar", args="-tf {{archive}}")
    @task(archive=FILE_IN, out=FILE_OUT_STDOUT)
    def names(archive, out):
        pass

    (tmp_path / "src").mkdir()
    for name in ("b.txt", "a.txt", "c.dat"):
        (tmp_path / "src" / name).touch()
    pack(str(tmp_path / "all.tar"))
    names(str(tmp_path / "all.tar"), str(tmp_path / "names"))
    assert content(tmp_path / "names") == "src/a.txt\nsrc/b.txt\n"


def test_a_working_folder_that_is_a_file_is_told(tmp_path):
    path = tmp_path / "file"
    path.touch()

    @binary(binary="true", working_dir=str(path))
    @task(returns=1, on_failure="FAIL")
    def misplaced():
        pass

    with pytest.raises(ProgramError, match=rf"misplaced \(.*: working_dir .*{path.name} is no folder$") as raised:
        compss_wait_on(misplaced())
    assert 'File "' not in str(raised.value.__cause__)


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_s15_a_program_of_the_working_folder(tmp_path):
    script(tmp_path / "private.sh", 'exit "$1"')

    @binary(binary="./private.sh", working_dir=f"{tmp_path}/", fail_by_exit_value="false")
    @task(returns=int)
    def private(code):
        pass

    assert compss_wait_on(private(123)) == 123


def test_a_program_of_the_folder_that_the_program_was_started_in(tmp_path):
    script(tmp_path / "here.sh", "exit 5")

    @binary(binary=os.path.relpath(tmp_path / "here.sh"), fail_by_exit_value=False)
    @task(returns=int)
    def started():
        pass

    assert compss_wait_on(started()) == 5


@pytest.mark.engines("sequential")
def test_variables_in_the_name_of_the_program(engine, monkeypatch):
    monkeypatch.setenv("TASKFLOW_TEST_SHELL", "sh")
    assert not engine.parallel
    sh = binary(binary="${TASKFLOW_TEST_SHELL}", args=["-c", "exit 3"], fail_by_exit_value=0)
    assert sh(value.redeclared({}))(1) == 3


def test_a_program_that_another_task_has_made(tmp_path):
    @binary(binary="install", args="-m 755 {{source}} {{program}}")
    @task(source=FILE_IN, program=FILE_OUT)
    def make(source, program):
        """Copy a script, and make it executable."""

    @binary(binary="{{program}}", args="{{word}}")
    @task(program=FILE_IN, out=FILE_OUT_STDOUT)
    def use(program, word, out):
        """Run the copy."""

    (tmp_path / "source").write_text("#!/bin/sh\necho made for $1\n")
    make(str(tmp_path / "source"), str(tmp_path / "program"))
    use(str(tmp_path / "program"), "this", str(tmp_path / "out"))
    with compss_open(str(tmp_path / "out")) as file:
        assert file.read() == "made for this\n"


def test_methods_are_binaries_too(tmp_path):
    tool = Tool()
    tool.write("method", str(tmp_path / "out"))
    assert content(tmp_path / "out") == "[method]"
    Tool.of_class("class", str(tmp_path / "class"))
    assert content(tmp_path / "class") == "class"


class Tool:
    @binary(binary="sh", args=["-c", SHOW, "show", "{{word}}"])
    @task(out=FILE_OUT_STDOUT)
    def write(self, word, out):
        pass

    @classmethod
    @binary(binary="printf")
    @task(out=FILE_OUT_STDOUT)
    def of_class(cls, word, out):
        pass


def test_any_number_of_arguments(tmp_path):
    @binary(binary="printf")
    @task(out=FILE_OUT_STDOUT, varargs_type=FILE_IN)
    def paths(form, *files, out):
        pass

    for name in ("1", "2"):
        (tmp_path / name).touch()
    paths("%s\\n", str(tmp_path / "1"), str(tmp_path / "2"), out=str(tmp_path / "out"))
    assert [os.path.basename(line) for line in content(tmp_path / "out").split()] == ["1", "2"]


def test_a_file_that_is_none_is_no_argument(tmp_path):
    @binary(binary="sh", args=["-c", SHOW, "show", "{{path}}", "--x={{path}}", "end"])
    @task(path=FILE_IN, out=FILE_OUT_STDOUT)
    def maybe(path, out):
        pass

    maybe(None, str(tmp_path / "out"))
    assert content(tmp_path / "out") == "[end]"


def test_output_is_printed_where_tasks_print(capsys):
    compss_wait_on(must_succeed("echo spoken"))
    compss_barrier()
    assert capsys.readouterr().out == "spoken\n"


@pytest.mark.engines("local")
def test_all_of_the_output_is_kept_in_the_run_folder(engine):  # noqa: ARG001
    with pytest.raises(ProgramError) as raised:
        compss_wait_on(must_succeed("echo out; echo err >&2; exit 1"))
    kept = re.search(r"All of its output is in (.*)\.\*", str(raised.value))[1]
    assert kept.startswith(f"{runtime.session.run_dir}/programs/binary-of-task-must_succeed-")
    with open(f"{kept}.out") as out, open(f"{kept}.err") as err:
        assert (out.read(), err.read()) == ("out\n", "err\n")


# ---------------------------------------------------------------------- ends

#: Starts children of all kinds: one in its group, one in a session of its own, one that lost its parent, and one that
#: cleared its environment; writes their numbers. None of them heeds SIGTERM.
FAMILY = """
trap '' TERM
sleep 60 & echo $!
setsid sleep 60 & echo $!
(sh -c 'setsid sleep 60 & echo $!')
env -i sleep 60 & echo $!
echo $$
echo done
wait
"""


@binary(binary="sh", args=["-c", f'exec > "$0"; {FAMILY}', "{{path}}"])
@task(returns=1)
def endless(path):
    pass


def family(path):
    """The processes that the program has started, once all are there."""
    assert until(lambda: path.exists() and "done" in path.read_text())
    return [int(line) for line in path.read_text().split()[:-1]]


def started(path):
    engine = runtime.session.engine
    with engine.lock:
        engine.flush()
    members = family(path)
    assert len(members) == 5
    return members


@pytest.mark.engines("local", "cluster")
def test_a_cancelled_program_ends_with_all_that_it_has_started(tmp_path, engine):  # noqa: ARG001
    with TaskGroup("cancelled", implicit_barrier=False):
        endless(str(tmp_path / "pids"))
    members = started(tmp_path / "pids")
    compss_cancel_group("cancelled")
    compss_barrier()
    assert until(lambda: not any(map(alive, members)))


@pytest.mark.engines("local", "cluster")
def test_a_program_ends_when_another_task_of_its_group_raises(tmp_path, engine):  # noqa: ARG001
    @task()
    def refuse(path):
        wait_for_file(path)
        raise COMPSsException("no")

    with pytest.raises(COMPSsException, match="no"), TaskGroup("raised"):
        endless(str(tmp_path / "pids"))
        members = started(tmp_path / "pids")
        refuse(str(tmp_path / "pids"))
    assert until(lambda: not any(map(alive, members)))


@pytest.mark.engines("local", "cluster")
def test_a_program_whose_time_is_over_ends_with_all_that_it_has_started(tmp_path, engine):  # noqa: ARG001
    @binary(binary="sh", args=["-c", f'exec > "$0"; {FAMILY}', "{{path}}"])
    @task(returns=1, on_failure="FAIL", time_out=1)
    def overdue(path):
        pass

    with pytest.raises(TimeOutError, match="overdue"):
        compss_wait_on(overdue(str(tmp_path / "pids")))
    members = family(tmp_path / "pids")
    assert until(lambda: not any(map(alive, members)))


@pytest.mark.engines("local", "cluster")
def test_a_program_whose_time_is_over_is_told_with_what_it_said(engine):  # noqa: ARG001
    @binary(binary="sh", args=["-c", "echo halfway; sleep 60"])
    @task(returns=1, on_failure="FAIL", time_out=1)
    def overdue():
        pass

    line = overdue.__taskflow_function__.__code__.co_firstlineno
    with pytest.raises(TimeOutError) as raised:
        compss_wait_on(overdue())
    told = str(raised.value)
    place = re.escape(f"overdue ({__file__}:{line})")
    assert re.search(rf"{place}: the time of task .* was over; sh -c .* was ended; ", told)
    assert "; the end of what it said:\nhalfway\n" in told
    assert "\nAll of its output is in " in told
    assert 'File "' not in str(raised.value.__cause__)


@pytest.mark.engines("local", "cluster")
def test_a_program_and_all_that_it_has_started_end_with_its_executor(tmp_path, engine):  # noqa: ARG001
    with TaskGroup("killed", implicit_barrier=False):
        endless(str(tmp_path / "pids"))
    members = started(tmp_path / "pids")
    with open(f"/proc/{members[-1]}/stat") as file:
        executor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(executor, signal.SIGKILL)
    assert until(lambda: not any(map(alive, members)))
    compss_cancel_group("killed")


# ---------------------------------------------------------------------- what makes no sense


def body(path, number):
    pass


@pytest.mark.engines("sequential")
class TestDecoration:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "@binary needs the argument 'binary'"),
            ({"binary": ""}, "@binary: binary is the name or the path of something to run, not ''"),
            ({"binary": "x", "args": "{{nothing}}"}, r"args mentions {{nothing}}, but the task has no parameter"),
            ({"binary": "{{nothing}}"}, r"binary mentions {{nothing}}, but the task has no parameter"),
            ({"binary": "x", "args": 5}, "args is a text or a list of texts, not 5"),
            ({"binary": "x", "fail_by_exit_value": "perhaps"}, "fail_by_exit_value is True or False, not 'perhaps'"),
            ({"binary": "x", "working_dir": "{{path}}"}, "working_dir mentions {{path}}, but that must be a parameter"),
            ({"binary": "x", "working_dir": "{{none}}"}, "working_dir mentions {{none}}, but that must be a parameter"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is_written(self, engine, arguments, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=message):
            binary(**arguments)(task(path=FILE_IN)(body))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"path": {StdIOStream: StdStream.STDIN}}, "parameter 'path' is STDIN, so it must be a file"),
            ({"path": FILE_OUT_STDOUT, "number": FILE_OUT_STDOUT}, "both 'path' and 'number' are STDOUT"),
            ({"returns": 2}, "the task returns 2 values, but all it can return is the exit value"),
        ],
    )
    def test_what_the_task_below_cannot_be(self, engine, arguments, message):  # noqa: ARG002
        with pytest.raises(ArgumentError, match=rf"@binary of task body \({re.escape(__file__)}:\d+\): {message}"):
            binary(binary="x")(task(**arguments)(body))

    def test_there_is_one_body(self, engine):  # noqa: ARG002
        with pytest.raises(ArgumentError, match="@binary of task body: it is run by @binary already"):
            binary(binary="x")(binary(binary="y")(task()(body)))

    def test_a_container_may_be_named_as_in_old_programs(self, engine):  # noqa: ARG002
        with pytest.warns(ArgumentWarning, match=r"deprecated; put @container\(engine=..., image=...\) above it"):
            made = binary(binary="x", engine="PODMAN", image="here")(task()(body))
        assert made.options.container is not None

    def test_a_prefix_that_has_no_effect_is_warned_of(self, engine):  # noqa: ARG002
        declared = {"path": {Type: FILE_IN, Prefix: "--in="}, "number": {Prefix: "#"}}
        with pytest.warns(ArgumentWarning, match=r"the Prefix of 'path' has no effect, .*: --in={{path}}$") as warned:
            binary(binary="x", args="{{path}}")(task(**declared)(body))
        assert len(warned) == 1

    def test_a_prefix_that_has_an_effect_is_not_warned_of(self, engine, recwarn):  # noqa: ARG002
        binary(binary="x")(task(path={Type: FILE_IN, Prefix: "--in="})(body))
        assert not recwarn.list

    def test_an_output_that_is_declared_as_input_is_warned_of(self, engine):  # noqa: ARG002
        with pytest.warns(ArgumentWarning, match="written to 'path' is lost, .* say FILE_OUT_STDOUT"):
            binary(binary="x")(task(path=FILE_STDOUT)(body))
