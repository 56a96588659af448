"""Functions that work with tasks."""
