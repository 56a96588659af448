"""The decorator that leaves functions as they are."""

from taskflow.pycompss.dummy import Dummy

_Dummy = Dummy

__all__ = ["_Dummy"]
