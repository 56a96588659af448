"""Decorators, directions and functions."""
