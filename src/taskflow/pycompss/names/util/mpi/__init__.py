"""Helpers of Python MPI tasks."""
