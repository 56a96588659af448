"""Where tasks run: how far ahead an executor is fed, and which executor gets a task.

An executor runs its queue in order. It is fed ahead by *time*: up to `AHEAD_S` seconds of booked work, so thousands of
microsecond tasks travel in one frame while a long task is queued nowhere but where it runs. Durations are learnt per
function; an unknown one is booked at `UNKNOWN_S`, which lets just one task be queued behind another.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskflow.core.graph import Task
    from taskflow.model.functions import FunctionRecord

AHEAD_S = 0.005  #: seconds of booked work up to which an executor is given more
UNKNOWN_S = 0.003  #: what a task of a function that has never run is booked at
PREFETCH_S = 0.03  #: a second task is queued behind a first one only if shorter than this
CHUNK_S = 0.0001  #: consecutive tasks go to one executor until this much work is booked, then to the next, so that
#: neighbours in the program (the two leaves of one pair, say) meet where their successor can follow at once
MAX_QUEUED = 4000  #: tasks on one executor, however short they are
SPREAD_EVERY = 32  #: ready tasks that collect before they are handed out, while every executor has work


class Executor:
    """The kernel's picture of one executor.

    ``inflight``: tasks handed to it, in the order it runs them. ``outbox``: those of them that the driver has not sent.
    ``followers``: waiting tasks whose missing inputs are all made by tasks in flight here. ``local``: ready tasks
    whose data live here. ``drops``, ``movable``, ``publish``: keys of held results that it may forget, that their only
    reader may consume, and that others need.
    """

    __slots__ = (
        "alive", "drops", "followers", "id", "inflight", "load", "local", "movable", "outbox", "publish", "recalling",
    )  # fmt: skip

    def __init__(self, id: int) -> None:
        self.id = id
        self.alive = True
        self.inflight: dict[int, Task] = {}
        self.outbox: list[Task] = []
        self.load = 0.0
        self.followers: deque[Task] = deque()
        self.local: deque[Task] = deque()
        self.drops: list[tuple[int, int]] = []
        self.movable: list[tuple[int, int]] = []
        self.publish: list[tuple[int, int]] = []
        self.recalling = False

    def __repr__(self) -> str:
        state = "alive" if self.alive else "dead"
        return f"<executor {self.id} {state}, {len(self.inflight)} tasks, {self.load:.6f} s>"

    def accepts(self, cost: float) -> bool:
        """Whether a task booked at ``cost`` seconds should be queued here now."""
        queued = len(self.inflight)
        if queued == 0:
            return True
        if queued == 1:
            return cost < PREFETCH_S and self.load < PREFETCH_S
        return self.load + cost <= AHEAD_S and queued < MAX_QUEUED


def booked_cost(function: FunctionRecord) -> float:
    """Seconds a task of this function is booked at."""
    mean = function.mean_s
    return UNKNOWN_S if mean is None else mean
