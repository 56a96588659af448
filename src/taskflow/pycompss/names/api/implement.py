"""``@implement``: another way to run a task."""

from taskflow.pycompss.placeholders import PassThrough

Implement = PassThrough
implement = PassThrough
