"""A decorator that leaves functions as they are."""

from taskflow.pycompss.dummy import Dummy

Reduction = Dummy
reduction = Dummy

__all__ = ["Reduction", "reduction"]
