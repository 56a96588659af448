"""Marks in the trace of a run."""
