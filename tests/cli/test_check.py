"""``--check`` on the command line."""

import json

import pytest

SPOILS = """
    import sys
    from taskflow import task

    @task(returns=1)
    def add(items):
        items.append(1)
        return len(items)

    add([])
    sys.exit(int(sys.argv[1]))
"""
KEEPS = """
    from taskflow import INOUT, compss_wait_on, task

    @task(items=INOUT)
    def add(items):
        items.append(1)

    items = []
    add(items)
    print(compss_wait_on(items))
"""
OPTIONS = ("--workers", "1", "--check")


def test_findings_are_shown_at_the_end(runtask):
    done = runtask(SPOILS, "0", options=OPTIONS)
    assert done.returncode == 0
    assert done.stdout == ""
    app = runtask.folder / "app.py"
    assert done.stderr == (
        "The check of 1 task found 1 problem:\n"
        f"  {app}:5: add: changes its parameter items, which is IN (once, called at {app}:10)\n"
        "      declare items=INOUT\n"
    )


def test_a_run_without_findings_says_so(runtask):
    done = runtask(KEEPS, options=("--workers", "1", "--check=error"))
    assert (done.returncode, done.stdout) == (0, "[1]\n")
    assert done.stderr == "The check of 1 task found no problem.\n"


@pytest.mark.parametrize(("code", "expected"), [("0", 1), ("3", 3)])
def test_findings_can_be_an_error(runtask, code, expected):
    done = runtask(SPOILS, code, options=("--workers", "1", "--check=error"))
    assert done.returncode == expected
    assert done.stderr.splitlines()[-1].startswith("runtask: the check found 1 problem, listed above: correct")
    assert "Traceback" not in done.stderr
    end = json.loads(runtask.journal().splitlines()[-1])
    assert (end["e"], end["exit"]) == ("end", expected)


def test_findings_are_in_the_journal(runtask):
    runtask(SPOILS, "0", options=OPTIONS)
    records = [json.loads(line) for line in runtask.journal().splitlines()]
    (seen,) = [record for record in records if record["e"] == "check" and record["what"] == "changed"]
    assert (seen["name"], seen["count"], seen["tasks"]) == ("items", 1, [1])


def test_a_failing_program_shows_its_traceback_and_the_findings(runtask):
    program = SPOILS.replace("sys.exit(int(sys.argv[1]))", "print(add([]).result())\n    raise ValueError('own fault')")
    done = runtask(program, options=("--workers", "1", "--check=error"))
    assert done.returncode == 1
    assert "ValueError: own fault" in done.stderr


def test_other_values_are_refused(runtask):
    done = runtask(KEEPS, options=("--check=warn",))
    assert done.returncode == 2
    assert "--check or --check=error, not --check=warn" in done.stderr
