"""Where old versions of PyCOMPSs had their futures."""

from taskflow.api.futures import Future

__all__ = ["Future"]
