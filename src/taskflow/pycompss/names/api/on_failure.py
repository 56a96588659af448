"""``@on_failure``: what a failure does."""

from taskflow.pycompss.placeholders import PassThrough

OnFailure = PassThrough
on_failure = PassThrough
onFailure = PassThrough
