"""``@local``: a function of the main program that gets values."""

from taskflow.pycompss.placeholders import missing

Local = local = missing("@local")
