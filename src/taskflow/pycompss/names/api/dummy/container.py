"""A decorator that leaves functions as they are."""

from taskflow.pycompss.dummy import Dummy

Container = Dummy
container = Dummy

__all__ = ["Container", "container"]
