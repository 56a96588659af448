"""A decorator that leaves functions as they are."""

from taskflow.pycompss.dummy import Dummy

Constraint = Dummy
constraint = Dummy

__all__ = ["Constraint", "constraint"]
