"""The modules that programs written for PyCOMPSs import; see `taskflow.finder`."""

from taskflow._version import __version__

__all__ = ["__version__"]
