"""``@software``: a task described in a file."""

from taskflow.pycompss.placeholders import PassThrough

Software = PassThrough
software = PassThrough
