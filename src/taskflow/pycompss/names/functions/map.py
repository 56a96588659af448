"""Maps."""

from taskflow.pycompss.placeholders import missing

map = missing("map")
