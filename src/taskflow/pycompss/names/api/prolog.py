"""``@prolog``: a program before the task."""

from taskflow.pycompss.placeholders import PassThrough

Prolog = PassThrough
prolog = PassThrough
