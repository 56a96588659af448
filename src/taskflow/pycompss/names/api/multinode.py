"""``@multinode``: a task on several nodes."""

from taskflow.pycompss.runners import RunnerDecorator


class MultiNode(RunnerDecorator):
    """``@multinode(computing_nodes=2)``."""

    name = "multinode"
    optional = ("computing_nodes", "processes_per_node")


multinode = MultiNode

__all__ = ["MultiNode", "multinode"]
