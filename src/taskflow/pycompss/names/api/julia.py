"""``@julia``: a task that is a Julia script."""

from taskflow.pycompss.runners import RunnerDecorator


class Julia(RunnerDecorator):
    """``@julia(script="script.jl")``."""

    name = "julia"
    mandatory = ("script",)
    optional = ("executor", "args", "working_dir", "computing_nodes", "fail_by_exit_value")


julia = Julia

__all__ = ["Julia", "julia"]
