"""A program that uses dislib gives the same values under plain ``python`` and under ``runtask``."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")


def test_a_program_gives_the_same_values_with_and_without_runtask(tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TMPDIR": str(tmp_path)}
    plain = "import runpy, sys, taskflow.pycompss; taskflow.pycompss.install(); sys.argv.pop(0); "
    plain += "runpy.run_path(sys.argv[0], run_name='__main__')"
    outputs = []
    for command in (["-c", plain], ["-m", "taskflow", "--no-progress", "--workers", "2"]):
        done = subprocess.run(
            [sys.executable, *command, str(PROGRAM), str(tmp_path / "iris.csv")],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outputs.append([line for line in done.stdout.splitlines() if line.startswith("found")])
    sequential, parallel = outputs
    assert len(sequential) == 22
    assert sequential == parallel
