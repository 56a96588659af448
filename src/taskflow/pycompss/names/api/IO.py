"""``@IO``: a task that needs no computing unit."""

from taskflow.pycompss.placeholders import PassThrough

IO = PassThrough
io = PassThrough
