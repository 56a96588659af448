"""``@binary``: a task that is a program."""

from taskflow.pycompss.runners import RunnerDecorator


class Binary(RunnerDecorator):
    """``@binary(binary="grep", args="{{pattern}} {{file}}")``."""

    name = "binary"
    mandatory = ("binary",)
    optional = ("working_dir", "args", "fail_by_exit_value", "engine", "image")


binary = Binary

__all__ = ["Binary", "binary"]
