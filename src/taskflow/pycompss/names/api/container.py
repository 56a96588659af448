"""``@container``: a task that is run in a container."""

from taskflow.pycompss.runners import RunnerDecorator


class Container(RunnerDecorator):
    """``@container(engine="DOCKER", image="ubuntu")``."""

    name = "container"
    mandatory = ("engine", "image")
    optional = ("options", "fail_by_exit_value", "working_dir", "binary")


container = Container

__all__ = ["Container", "container"]
