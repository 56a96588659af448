"""Streams between tasks."""
