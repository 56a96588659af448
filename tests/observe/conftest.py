"""Journals given literally, as the lines that a run would have written."""

import json

import pytest

RUN = {
    "e": "run",
    "v": 1,
    "id": "r1",
    "started": 1.5,
    "argv": ["app.py"],
    "python": "3.11.7",
    "taskflow": "0.1.0",
}


@pytest.fixture
def journal(tmp_path):
    """Write a journal of these records after the header; return its path."""

    def write(*records):
        path = tmp_path / "journal.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in (RUN, *records)), encoding="utf-8")
        return path

    return write
