"""``@reduction``: a task that reduces a collection."""

from taskflow.pycompss.placeholders import PassThrough

Reduction = PassThrough
reduction = PassThrough
