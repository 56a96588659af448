"""Distributed data sets."""

from taskflow.pycompss.placeholders import missing

DDS = missing("DDS")
