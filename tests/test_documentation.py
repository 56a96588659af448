"""The programs in the documentation run and print what the documentation says.

A program is a code block with a title that ends in `.py`. The block after it, with the title `Output`, is
what it prints. A program runs under `runtask` and under `python`, unless its first line names one command:
`# Run with: python name.py`.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMANDS = {"runtask": [str(SCRIPTS / "runtask"), "--workers", "2"], "python": [sys.executable]}

PROGRAM = re.compile(
    r'^```python title="(?P<name>[^"]+\.py)"\n(?P<code>.*?)^```\n'
    r'(?:\n```text title="Output"\n(?P<output>.*?)^```\n)?',
    re.MULTILINE | re.DOTALL,
)
ONLY_WITH = re.compile(r"# Run with: (\w+) ")


def programs():
    """Give each program of the documentation once for each command that runs it."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for found in PROGRAM.finditer(page.read_text(encoding="utf-8")):
            name, code, output = found.group("name", "code", "output")
            only = ONLY_WITH.match(code)
            for command in [only[1]] if only else sorted(COMMANDS):
                yield pytest.param(command, name, code, output, id=f"{page.stem}-{name}-{command}")


@pytest.mark.parametrize(("command", "name", "code", "output"), list(programs()))
def test_program_prints_what_the_page_says(command, name, code, output, tmp_path):
    (tmp_path / name).write_text(code, encoding="utf-8")
    line = [*COMMANDS[command], name]
    path = f"{os.environ['PATH']}:{sys.prefix}/mpi/mpich/bin"
    if "mpirun" in code and shutil.which("mpirun", path=path) is None:
        pytest.skip("there is no MPI: scripts/setup-components installs it")
    finished = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False, env={**os.environ, "PATH": path}
    )
    assert finished.returncode == 0, finished.stderr
    if output is not None:
        assert finished.stdout == output


def test_ci_runs_the_test_command_of_the_readme():
    assert "\n```\nscripts/test\n```\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec scripts/test"


def test_scripts_are_short_enough_to_read():
    for script in (ROOT / "scripts").iterdir():
        assert len(script.read_text().splitlines()) <= 60, script


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "examples").rglob("*.md")))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_site_builds(tmp_path):
    site = str(tmp_path / "site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
