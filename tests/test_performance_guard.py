"""Performance is a promise: ratios within one run, so that a slow machine does not matter."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_no_speed_is_lost():
    """Faster than the pool of the standard library where the runtime must be; see `benchmarks/guard.py`."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.guard"], cwd=ROOT, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
