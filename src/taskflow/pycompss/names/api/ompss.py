"""``@ompss``: a task that is an OmpSs program."""

from taskflow.pycompss.runners import RunnerDecorator


class OmpSs(RunnerDecorator):
    """``@ompss(binary="solver")``."""

    name = "ompss"
    mandatory = ("binary",)
    optional = ("working_dir", "computing_nodes", "fail_by_exit_value")


ompss = OmpSs

__all__ = ["OmpSs", "ompss"]
