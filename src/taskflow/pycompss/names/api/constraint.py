"""``@constraint``: what a task needs."""

from taskflow.pycompss.placeholders import PassThrough

Constraint = PassThrough
constraint = PassThrough
