"""A decorator that leaves functions as they are."""

from taskflow.pycompss.dummy import Dummy

OnFailure = Dummy
on_failure = Dummy
onFailure = Dummy

__all__ = ["OnFailure", "onFailure", "on_failure"]
