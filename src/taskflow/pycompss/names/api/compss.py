"""``@compss``: a task that is a whole program of tasks."""

from taskflow.pycompss.runners import RunnerDecorator


class COMPSs(RunnerDecorator):
    """``@compss(app_name="app.py")``."""

    name = "compss"
    mandatory = ("app_name",)
    optional = ("runcompss", "flags", "worker_in_master", "computing_nodes", "working_dir", "fail_by_exit_value")


compss = COMPSs

__all__ = ["COMPSs", "compss"]
