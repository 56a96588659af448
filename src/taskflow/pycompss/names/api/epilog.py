"""``@epilog``: a program after the task."""

from taskflow.pycompss.placeholders import PassThrough

Epilog = PassThrough
epilog = PassThrough
