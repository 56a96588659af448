"""Data for tests."""

from taskflow.pycompss.placeholders import missing

generator = missing("generator")
chunks = missing("chunks")
