"""S46: the session of a notebook."""

import itertools
import linecache
import os
import textwrap

import pytest

import taskflow
from taskflow import interactive, runtime
from taskflow.model.errors import ArgumentError, NotRunningError
from tests.behaviour.helpers import until

SETUP = """
    from taskflow import INOUT, compss_barrier, compss_wait_on, interactive, task
"""
FUNCTIONS = """
    @task(returns=1)
    def inc(x):
        return x + 1

    @task(cells=INOUT)
    def append(cells, value):
        cells.append(value)
"""


@pytest.fixture
def cell(tmp_path):
    """Run cells of a notebook, each with a source of its own: ``cell(text)`` gives its variables."""
    taskflow.stop()
    scope = {"__name__": "__main__"}
    numbers = itertools.count(1)

    def run(text, **variables):
        text = textwrap.dedent(text)
        name = f"<cell {next(numbers)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        scope.update(variables)
        exec(compile(text, name, "exec"), scope)  # noqa: S102  that is what a notebook does
        return scope

    run(SETUP)
    run(f"interactive.start(workers=2, progress=False, run_dir={str(tmp_path / 'run')!r})")
    yield run
    taskflow.stop(cancel=True)


def test_s46_cells_compute_and_stop_leaves_plain_values(cell):
    cell(FUNCTIONS)
    cell("""
        value = inc(1)
        values = [inc(n) for n in range(3)]
        nested = {"a": (inc(10), "text")}
        cells = []
        alias = cells
        append(cells, 5)
        untouched = [1, 2]
    """)
    before = cell("untouched_id = id(untouched)")
    scope = cell("interactive.stop(sync=True)")
    assert (scope["value"], scope["values"], scope["nested"]) == (2, [1, 2, 3], {"a": (11, "text")})
    assert scope["cells"] == [5]
    assert scope["alias"] is scope["cells"]
    assert id(scope["untouched"]) == before["untouched_id"]
    assert runtime.session is None


def test_s46_a_task_that_is_defined_anew_runs_its_new_code(cell, capsys):
    cell(FUNCTIONS)
    cell("first = compss_wait_on(inc(1))")
    cell("""
        @task(returns=1)
        def inc(x):
            return x + 100
    """)
    scope = cell("second = compss_wait_on(inc(1))")
    assert (scope["first"], scope["second"]) == (2, 101)
    assert "task inc was defined anew, at <cell 5>:2: calls run the new code from now on" in capsys.readouterr().out


def test_a_helper_edited_in_another_cell_is_no_new_task(cell, capsys):
    cell("def helper(x):\n    return x")
    cell("@task(returns=1)\ndef use(x):\n    return helper(x)")
    cell("first = compss_wait_on(use(1))")
    cell("def helper(x):\n    return -x")
    assert cell("second = compss_wait_on(use(1))")["second"] == -1
    assert "anew" not in capsys.readouterr().out


def test_s46_without_sync_futures_remain_and_are_named(cell, capsys):
    cell(FUNCTIONS)
    cell("value = inc(1); others = [inc(2)]; plain = 3")
    scope = cell("interactive.stop()")
    assert "these variables are not synchronised: others, value; " in capsys.readouterr().out
    assert scope["value"].result() == 2


def test_s46_starting_twice_and_stopping_twice_only_say_so(cell, capsys):
    first = runtime.session
    cell("interactive.start()")
    assert runtime.session is first
    assert "a session is running already" in capsys.readouterr().out
    cell("interactive.stop(); interactive.stop()")
    assert "no session is running" in capsys.readouterr().out


def test_s46_wrong_flags_refuse_the_start(cell):
    cell("interactive.stop()")
    for options, message in (
        ({"monitor": "yes"}, "the session was not started: monitor is of type int, not 'yes'"),
        ({"debug": 1}, "debug is of type bool, not 1"),
        ({"task_count": True}, "task_count is of type int, not True"),
        ({"grpah": True}, "there is no option 'grpah'; did you mean graph?"),
        ({"trace": 1, "comm": 2}, "trace is of type bool, not 1; comm is of type str, not 2"),
    ):
        with pytest.raises(ArgumentError, match=message):
            interactive.start(**options)
        assert runtime.session is None


def test_flags_without_effect_are_named(cell, capsys, tmp_path):
    cell("interactive.stop()")
    interactive.start(
        workers=1, progress=False, log_dir=str(tmp_path / "logs"), app_name="mine", trace=True, comm="NIO", monitor=100
    )
    said = capsys.readouterr().out
    assert "without effect in this version: trace, comm\n" in said
    assert "session with 1 executor; run folder " in said
    assert os.listdir(tmp_path / "logs")[0].startswith("mine-")
    interactive.stop()


def test_machines_of_files(cell, capsys, tmp_path):
    units = "<Processor Name='cpu'><ComputingUnits>3</ComputingUnits></Processor>"
    (tmp_path / "r.xml").write_text(
        f"<ResourcesList><ComputeNode Name='localhost'>{units}</ComputeNode></ResourcesList>"
    )
    (tmp_path / "p.xml").write_text("<Project><ComputeNode Name='localhost'/></Project>")
    cell("interactive.stop()")
    interactive.start(
        resources_xml=str(tmp_path / "r.xml"), project_xml=str(tmp_path / "p.xml"), scheduler="fifo", progress=False,
        run_dir=str(tmp_path / "described"),
    )  # fmt: skip
    interactive.stop()
    said = capsys.readouterr().out
    assert "session with 3 executors" in said
    assert "without effect" not in said


def test_graph_and_summary_at_the_end(cell, capsys, tmp_path):
    cell("interactive.stop()")
    interactive.start(workers=1, progress=False, run_dir=str(tmp_path / "second"), graph=True, summary=True)
    cell(FUNCTIONS)
    cell("value = inc(inc(1)); interactive.stop(sync=True)")
    assert "1 -> 2" in (tmp_path / "second" / "complete_graph.dot").read_text()
    assert "2 tasks · 2 done" in capsys.readouterr().out


def test_a_failure_is_raised_once_the_session_has_ended_and_the_others_have_values(cell, capsys):
    cell(FUNCTIONS)
    cell("""
        @task(returns=1, on_failure="FAIL")
        def fail():
            raise ValueError("in the cell")

        bad = fail()
        good = inc(1)
    """)
    with pytest.raises(ValueError, match="in the cell"):
        cell("interactive.stop(sync=True)")
    assert "the variable 'bad' has no value: ValueError: in the cell" in capsys.readouterr().out
    scope = cell("")
    assert scope["good"] == 2
    assert isinstance(scope["bad"], taskflow.Future)
    assert runtime.session is None


def test_a_hard_stop_waits_for_nothing(cell):
    cell("import time\n@task(returns=1)\ndef sleep():\n    time.sleep(60)\nvalue = sleep()")
    cell("interactive.stop(_hard_stop=True)")
    assert runtime.session is None


class TestState:
    @pytest.fixture
    def busy(self, cell, tmp_path):
        """A session in which three tasks of two functions have ended, and one runs with another behind it."""
        cell(FUNCTIONS)
        cell("values = compss_wait_on([inc(inc(1))]); cells = []; append(cells, 1); compss_barrier()")
        cell(
            """
            @task(returns=1)
            def held(path):
                import os, time
                while not os.path.exists(path):
                    time.sleep(0.005)
                return 1

            last = inc(held(path))
            """,
            path=str(tmp_path / "go"),
        )
        runtime.session.engine.lock.acquire()
        runtime.session.engine.flush()
        runtime.session.engine.lock.release()
        assert until(lambda: any(executor.inflight for executor in runtime.session.engine.kernel.executors.values()))
        yield cell
        (tmp_path / "go").touch()

    def test_s46_tasks_info(self, busy, capsys):  # noqa: ARG002
        rows = {row["Function"]: row for row in interactive.tasks_info().as_dicts()}
        assert {name: (row["Calls"], row["Executions"]) for name, row in rows.items()} == {
            "inc": (3, 2), "append": (1, 1), "held": (1, 0),
        }  # fmt: skip
        assert 0 < rows["inc"]["Mean seconds"] < rows["inc"]["Seconds"] < 5
        assert "Function  Calls  Executions" in capsys.readouterr().out

    def test_s46_tasks_status(self, busy):  # noqa: ARG002
        assert dict(interactive.tasks_status().rows) == {
            "Submitted": 5, "Waiting": 1, "Running": 1, "Done": 3, "Failed": 0,
        }  # fmt: skip

    def test_s46_statistics(self, busy):  # noqa: ARG002
        figures = dict(interactive.statistics().rows)
        assert figures["Tasks submitted"] == 5
        assert figures["Tasks ended"] == 3
        assert figures["Session"] == runtime.session.id
        assert figures["Seconds in tasks"] < 2 * figures["Seconds since the start"]

    def test_s46_resources_status(self, busy):  # noqa: ARG002
        rows = interactive.resources_status().as_dicts()
        assert len(rows) == 2
        assert sorted(row["Runs"] for row in rows) == ["-", "held"]
        for row in rows:
            assert os.path.isdir(f"/proc/{row['Process']}")
            assert row["Memory (MiB)"] > 1

    def test_s46_monitoring_information(self, busy):  # noqa: ARG002
        found = interactive.monitoring_information()
        assert sorted(found) == ["resources_status", "statistics", "tasks_info", "tasks_status"]
        assert repr(found["tasks_status"]) == "<table 'Tasks' of 5 rows>"

    def test_s46_graphs(self, busy, capsys):
        complete = interactive.complete_task_graph().dot
        assert all(f"{number} [label=" in complete for number in range(1, 6))
        assert "1 -> 2" in complete
        assert "4 -> 5" in complete
        current = interactive.current_task_graph(fit=True).dot
        assert "4 -> 5" in current
        assert capsys.readouterr().out == f"{complete}\n{current}\n"
        open(busy("")["path"], "w").close()
        busy("compss_barrier()")
        assert '[label="4' not in interactive.current_task_graph().dot

    def test_shown_anew_for_some_time(self, busy, capsys):  # noqa: ARG002
        interactive.tasks_status(refresh_rate=0.05, timeout=0.2)
        assert capsys.readouterr().out.count("Submitted") >= 3

    def test_in_a_notebook_they_are_shown_as_html(self, busy, monkeypatch):  # noqa: ARG002
        shown = []

        class Display:
            HTML = str
            display = shown.append

        monkeypatch.setattr("taskflow.interactive.state._notebook", lambda: Display)
        interactive.tasks_status()
        interactive.complete_task_graph()
        assert shown[0].startswith("<table><caption>Tasks</caption><tr><th>State</th>")
        assert shown[1].startswith(("<pre>digraph", "<svg"))


def test_state_without_a_session_is_an_error():
    taskflow.stop()
    with pytest.raises(NotRunningError, match="no session is running"):
        interactive.tasks_status()


def test_nested_enabled_lets_tasks_submit_tasks(cell, capsys):
    cell("interactive.stop()")
    capsys.readouterr()
    cell(FUNCTIONS)
    cell("interactive.start(workers=1, progress=False, nested_enabled=True)")
    assert "without effect" not in capsys.readouterr().out
    scope = cell("""
        @task(returns=1)
        def kind_of_result():
            return type(inc(1)).__name__

        kind = compss_wait_on(kind_of_result())
    """)
    assert scope["kind"] == "Future"
