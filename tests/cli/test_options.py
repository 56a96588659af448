"""Options of runtask: what they do, and what is said about wrong ones."""

import os
import pty
import re
import sys

import pytest

import taskflow
from taskflow.cli.options import Options, UsageError, help_text, parse
from taskflow.cluster.machine import usable_cores
from taskflow.model.cluster import ClusterOptions

CHAIN = """
from taskflow import compss_wait_on, task

@task(returns=1)
def inc(x):
    return x + 1

print(compss_wait_on(inc(inc(1))))
"""


# --- the command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["app.py"], {}),
        (["--", "app.py"], {}),
        (["--workers", "3", "app.py"], {"workers": 3}),
        (["--workers=3", "app.py"], {"workers": 3}),
        (["--graph", "app.py"], {"graph": ""}),
        (["--graph=g.dot", "app.py"], {"graph": os.path.abspath("g.dot")}),
        (["--nesting", "app.py"], {"nesting": True}),
        (["--summary", "--progress", "app.py"], {"summary": True, "progress": True}),
        (["--no-progress", "app.py"], {"progress": False}),
        (["--run-dir", "runs/1", "app.py"], {"run_dir": os.path.abspath("runs/1")}),
        (["--log-level", "trace", "app.py"], {"log_level": "trace"}),
        (["--max-pending=10", "app.py"], {"max_pending": 10}),
        (["--io_executors=2", "app.py"], {"io_executors": 2}),
        (["--log_level=info", "app.py"], {"log_level": "info"}),
        (["--log_level", "api", "app.py"], {"log_level": "info"}),
        (["-d", "app.py"], {"log_level": "debug"}),
        (["-g", "app.py"], {"graph": ""}),
        (["--graph=true", "--summary=true", "app.py"], {"graph": "", "summary": True}),
        (["--graph=false", "--summary=false", "--debug=false", "app.py"], {}),
        (["--pythonpath=/a:/b", "--appdir", "/c", "app.py"], {"pythonpath": ["/a", "/b", "/c"]}),
        (["--library_path=/a", "app.py"], {"library_path": ["/a"]}),
        (["--wall_clock_limit=30", "app.py"], {"wall_clock": 30.0}),
        (["--base_log_dir=/logs", "app.py"], {"log_dir": "/logs"}),
        (["--specific_log_dir=/logs", "app.py"], {"run_dir": "/logs"}),
        (["--lang=python", "--tracing=false", "--streaming=NONE", "--io_executors=0", "app.py"], {}),
        (["--python_interpreter", sys.executable, "app.py"], {}),
        (["app.py", "--workers", "x", "-m", "--"], {"arguments": ["--workers", "x", "-m", "--"]}),
        (["-m", "app.py", "--help"], {"module": True, "arguments": ["--help"]}),
        (["--summary", "-mapp.py", "-m"], {"summary": True, "module": True, "arguments": ["-m"]}),
    ],
)
def test_understood(words, wanted):
    assert parse(words) == Options(**{"script": "app.py", **wanted})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the script is missing"),
        (["--summary"], "the script is missing"),
        (["-m"], "-m needs the name of a module"),
        (["-", "x"], "standard input"),
        (["--service=s=http://h:99999", "app.py"], "--service s=http://host:8080, with a port of at most 65535"),
        (["--service=s=http:///x", "app.py"], "--service names a service and its URL"),
        (["--worker", "3", "app.py"], "no option --worker; the nearest is --workers"),
        (["--log_leve=info", "app.py"], "no option --log_leve; the nearest is --log-level"),
        (["--schedulr=x", "app.py"], "no option --schedulr; the nearest is --scheduler"),
        (["--Summary", "app.py"], "the nearest is --summary"),
        (["--nothing-like-it", "app.py"], "no option --nothing-like-it"),
        (["-x", "app.py"], "no option -x"),
        (["--workers"], "--workers needs a value: --workers N"),
        (["--workers", "app.py"], "--workers is a number from 1 on, not 'app.py'"),
        (["--workers=0", "app.py"], "--workers is a number from 1 on, not '0'"),
        (["--workers=-2", "app.py"], "not '-2'"),
        (["--workers=1.5", "app.py"], "not '1.5'"),
        (["--workers=", "app.py"], "--workers has an empty value"),
        (["--graph=", "app.py"], "--graph has an empty value: --graph=FILE"),
        (["--graph=/no/such/folder/g.dot", "app.py"], "there is no folder /no/such/folder"),
        (["--graph=/", "app.py"], "/ is a folder"),
        (["--summary=yes", "app.py"], "--summary takes no value but true or false, not 'yes'"),
        (["--log-level", "loud", "app.py"], "warning, info, debug, trace, not 'loud'"),
        (["--max-pending=no", "app.py"], "--max-pending is a number"),
    ],
)  # fmt: skip
def test_refused(words, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        parse(words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-t"], "--tracing"),
        (["--tracing=extrae"], "--tracing"),
        (["-m"], "--monitoring"),
        (["--monitoring=500"], "--monitoring"),
        (["--scheduler=es.bsc.compss.scheduler.lookahead.fifo.FifoTS"], "--scheduler"),
        (["--keep_workingdir=true"], "--keep-workingdir"),
        (["--shutdown_in_node_failure=true"], "--shutdown-in-node-failure"),
        (["--comm=es.bsc.compss.gat.master.GATAdaptor"], "--comm"),
        (["--checkpoint_params=period.time:5"], "--checkpoint-params"),
        (["--PyObject_serialize=true"], "--pyobject-serialize"),
        (["--python_worker_cache=true"], "--python-worker-cache"),
        (["-p"], "--provenance"),
    ],
)
def test_an_option_of_pycompss_without_meaning_is_accepted_with_one_line(words, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    options = parse([*words, "app.py"])
    assert options.script == "app.py"
    (note,) = options.notes
    assert note.startswith(f"{named} has no effect: ")
    assert "\n" not in note


def test_the_program_runs_although_options_have_no_effect(runtask):
    ended = runtask(CHAIN, options=["--workers=1", "--lang=python", "--scheduler=fifo", "-t"])
    assert (ended.returncode, ended.stdout) == (0, "3\n")
    assert [line.split(" has")[0] for line in ended.stderr.splitlines()] == [
        "runtask: --tracing",
        "runtask: --scheduler",
    ]


# --- machines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--resources={file}"], {"resources": "{file}"}),
        (["--resources", "{file}", "--project", "{file}"], {"resources": "{file}", "project": "{file}"}),
        (["--nodes=a,b:8", "--nodes", "c"], {"nodes": ("a,b:8", "c")}),
        (
            ["--nodes=a", "--tunnel", "--listen=10.0.0.1", "--node-timeout=2.5", "--ssh_config={file}"],
            {"nodes": ("a",), "tunnel": True, "listen": "10.0.0.1", "node_timeout": 2.5, "ssh_config": "{file}"},
        ),
        (
            ["--nodes=a", "--keep_workingdir=true", "--shutdown_in_node_failure=true"],
            {"nodes": ("a",), "keep_working_dir": True, "shutdown_in_node_failure": True},
        ),
        (["--nodes=a", "--tunnel=false", "--keep_workingdir=false"], {"nodes": ("a",)}),
        (["--nodes=a", "--scheduler=LIFO"], {"nodes": ("a",), "scheduler": "LIFO"}),
        (
            ["--nodes=a", "--scheduler=es.bsc.compss.scheduler.lookahead.mt.successors.locality.LocalityTS"],
            {"nodes": ("a",),
             "scheduler": "es.bsc.compss.scheduler.lookahead.mt.successors.locality.LocalityTS"},
        ),
        (
            ["--nodes=a", "--scheduler=es.bsc.compss.scheduler.predefined.PredefinedTS",
             "--scheduler_config_file={file}"],
            {"nodes": ("a",), "scheduler": "predefined", "plan": "{file}"},
        ),
    ],
)  # fmt: skip
def test_options_of_machines(words, wanted, tmp_path):
    file = tmp_path / "some.file"
    file.touch()
    options = parse([*[word.format(file=file) for word in words], "app.py"])
    filled = {name: value.format(file=file) if isinstance(value, str) else value for name, value in wanted.items()}
    assert options.cluster == ClusterOptions(**filled)
    assert options.notes == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resources=none.xml"], "--resources: there is no file /"),
        (["--project=."], "--project: there is no file /"),
        (["--nodes=a", "--workers=2"], "leave --workers out"),
        (["--nodes=a", "--node-timeout=0"], "--node-timeout is a number of seconds above 0"),
        (["--scheduler=localty"], "--scheduler: there is no scheduler 'localty'; did you mean locality?"),
        (["--scheduler=es.bsc.compss.MyTS"], "there is no scheduler 'es.bsc.compss.MyTS'"),
        (["--nodes=a", "--scheduler=predefined"], "needs a plan: --scheduler-config-file=FILE"),
    ],
)  # fmt: skip
def test_wrong_options_of_machines(words, told):
    with pytest.raises(UsageError) as caught:
        parse([*words, "app.py"])
    assert told in str(caught.value)


def test_help_names_every_option_and_fits_a_terminal():
    from taskflow.cli import options

    text = help_text()
    assert "{" not in text
    for name in options._KNOWN:
        assert f"{name}" in text
    assert f"here {usable_cores()}" in text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(runtask, word):
    ended = runtask.words(word, "--nonsense")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, help_text(), "")


def test_version(runtask):
    ended = runtask.words("--version")
    assert (ended.returncode, ended.stdout) == (0, f"taskflow {taskflow.__version__}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--worker", "3", "app.py"], "the nearest is --workers"),
        (["missing.py"], "there is no script"),
        (["."], "is a folder without a __main__.py"),
        ([], "the script is missing"),
    ],
)
def test_wrong_command_line_ends_with_2_and_one_message(runtask, words, message):
    ended = runtask.words(*words)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.startswith("runtask: ")
    assert ended.stderr.endswith("See runtask --help.\n")
    assert not (runtask.folder / ".taskflow").exists()


def test_unreadable_script(runtask):
    runtask.write("").chmod(0)
    if os.access(runtask.folder / "app.py", os.R_OK):
        pytest.skip("this user may read everything")
    ended = runtask.words("app.py")
    assert ended.returncode == 2
    assert "cannot be read" in ended.stderr


# --- what they do -------------------------------------------------------------------------------------------


def test_workers(runtask):
    text = "import taskflow.runtime as r; print(r.session.workers, len(r.session.engine.links))"
    assert runtask(text, options=["--workers", "3"]).stdout == "3 3\n"
    cores = usable_cores()
    assert runtask(text, options=[]).stdout == f"{cores} {cores}\n"


def test_nesting(runtask):
    text = """
        from taskflow import compss_wait_on, task
        @task(returns=1)
        def inner(x):
            return x + 1
        @task(returns=1)
        def outer(x):
            future = inner(x)
            return type(future).__name__, compss_wait_on(future)
        print(compss_wait_on(outer(1)))
        """
    assert runtask(text).stdout == "('int', 2)\n"
    assert runtask(text, options=["--workers", "1", "--nesting"]).stdout == "('Future', 2)\n"


def test_max_pending(runtask):
    text = "import taskflow.runtime as r; print(r.session.engine.max_pending)"
    assert runtask(text, options=["--workers", "1", "--max-pending", "7"]).stdout == "7\n"


def test_graph_at_its_default_place(runtask):
    ended = runtask(CHAIN, options=["--workers", "1", "--graph"])
    assert (ended.returncode, ended.stdout) == (0, "3\n")
    (path,) = (runtask.folder / ".taskflow").glob("app-*/graph.dot")
    assert ended.stderr == f"runtask: the graph is in {path}\n"
    text = path.read_text()
    assert text.startswith("digraph")
    assert "1 -> 2" in text


def test_graph_at_a_place_of_its_own(runtask):
    text = "import os; os.mkdir('sub'); os.chdir('sub')" + CHAIN
    ended = runtask(text, options=["--workers", "1", "--graph=g.dot"])
    assert ended.stderr == f"runtask: the graph is in {runtask.folder}/g.dot\n"
    assert "inc" in (runtask.folder / "g.dot").read_text()


def test_graph_of_a_run_that_failed(runtask):
    ended = runtask(CHAIN + "raise ValueError('late')", options=["--workers", "1", "--graph=g.dot"])
    assert ended.returncode == 1
    last = f"runtask: the graph is in {runtask.folder}/g.dot"
    assert ended.stderr.splitlines()[-2:] == ["ValueError: late", last]


def test_graph_that_cannot_be_written(runtask):
    text = CHAIN + "import os; os.mkdir('g.dot')"
    ended = runtask(text, options=["--workers", "1", "--graph=g.dot"])
    assert ended.returncode == 1
    assert "the report of the run could not be made" in ended.stderr


def test_summary(runtask):
    ended = runtask(CHAIN, options=["--workers", "1", "--summary"])
    assert (ended.returncode, ended.stdout) == (0, "3\n")
    assert "exit code 0" in ended.stderr
    assert "2 tasks · 2 done" in ended.stderr
    assert re.search(r"^inc +2 ", ended.stderr, re.MULTILINE)


def test_summary_tells_the_exit_code(runtask):
    ended = runtask("raise SystemExit(5)", options=["--workers", "1", "--summary"])
    assert "exit code 5" in ended.stderr


def test_run_folder(runtask):
    ended = runtask(CHAIN, options=["--workers", "1", "--run-dir", "runs/first"])
    assert ended.returncode == 0
    folder = runtask.folder / "runs/first"
    assert (folder / "journal.jsonl").exists()
    assert folder.stat().st_mode & 0o077 == 0
    again = runtask(CHAIN, options=["--workers", "1", "--run-dir", "runs/first"])
    assert again.returncode == 2
    assert "already holds a run" in again.stderr
    assert not again.stdout


def test_run_folder_that_cannot_be_made(runtask):
    runtask.write("", "file")
    ended = runtask(CHAIN, options=["--workers", "1", "--run-dir", "file/run"])
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtask: the run cannot start: ")


def test_journal_tells_the_command_and_the_end(runtask):
    runtask("raise SystemExit(3)", "--size", "4")
    first, *_, last = runtask.journal().splitlines()
    assert '"argv":["app.py","--size","4"]' in first
    assert '"exit":3' in last


def test_log_level(runtask):
    text = CHAIN + "import logging; logging.getLogger('taskflow').debug('a detail')"
    ended = runtask(text, options=["--workers", "1", "--log-level=info"])
    assert "INFO taskflow: run " in ended.stderr
    assert "exit code 0" in ended.stderr
    assert "a detail" not in ended.stderr
    assert "a detail" in runtask(text, options=["--workers", "1", "--log-level", "trace"]).stderr
    assert not runtask(text, options=["--workers", "1", "--log-level", "off"]).stderr


SLOW = """
import time
from taskflow import compss_barrier, task

@task()
def work():
    time.sleep(0.4)

work()
compss_barrier()
"""


@pytest.mark.parametrize(("options", "shown"), [([], False), (["--progress"], True), (["--no-progress"], False)])
def test_progress_without_a_terminal(runtask, options, shown):
    ended = runtask(SLOW, options=["--workers", "1", *options])
    assert ("done 0 of 1" in ended.stderr) == shown


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--no-progress"], False)])
def test_progress_on_a_terminal(runtask, options, shown):
    ours, theirs = pty.openpty()
    try:
        runtask.write(SLOW)
        terminal = {"stderr": theirs, "env": {"TERM": "xterm"}}
        process = runtask.start("--workers", "1", *options, "app.py", **terminal)
        assert process.wait(20) == 0
        os.set_blocking(ours, False)
        try:
            written = os.read(ours, 65536)
        except BlockingIOError:
            written = b""
    finally:
        os.close(ours)
        os.close(theirs)
    assert (b"done 0 of 1" in written) == shown
    assert not written.endswith(b"of 1")
