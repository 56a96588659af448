"""Programs for PyCOMPSs run as those of the command line's tests do: nothing may be left behind."""

from tests.cli.conftest import runtask

__all__ = ["runtask"]
