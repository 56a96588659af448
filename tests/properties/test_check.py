"""The check finds nothing in random programs whose tasks keep to their declarations."""

import tempfile

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

import taskflow
from tests.properties.programs import Run, programs
from tests.properties.test_programs import COMMON, SOAK, calm, expected, folder_of


@hypothesis.settings(max_examples=SOAK or 60, **COMMON)
@given(program=programs(30), seed=st.integers(0, 2**32), workers=st.integers(1, 4), faults=calm)
def test_programs_that_keep_to_their_declarations_have_no_findings(program, seed, workers, faults):
    options = {"engine": "simulated", "seed": seed, "workers": workers, "faults": faults, "progress": False}
    with tempfile.TemporaryDirectory() as base:
        wanted = expected(base, program)
        with taskflow.session(**options, run_dir=f"{base}/run", check=True):
            seen = Run(folder_of(base, "session"), wild=False).execute(program)
        assert seen == wanted
        assert [str(finding) for finding in taskflow.check.findings()] == []
