"""Directions and the keys of annotations in dictionary form."""

from taskflow.api.parameter import *  # noqa: F403  the module has no other purpose
from taskflow.api.parameter import __all__ as _names
from taskflow.pycompss.constants import PREFIX, TYPE

#: Keys of the layouts of Python MPI tasks.
block_count = "block_count"
block_length = "block_length"
stride = "stride"

__all__ = [*_names, "PREFIX", "TYPE", "block_count", "block_length", "stride"]
