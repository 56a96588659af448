"""``@decaf``: a task that is a Decaf workflow."""

from taskflow.pycompss.runners import RunnerDecorator


class Decaf(RunnerDecorator):
    """``@decaf(df_script="workflow.py")``."""

    name = "decaf"
    mandatory = ("df_script",)
    optional = ("df_executor", "df_lib", "runner", "computing_nodes", "working_dir", "fail_by_exit_value")


decaf = Decaf

__all__ = ["Decaf", "decaf"]
