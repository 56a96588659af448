"""Computing units of tasks that wait for tasks they have called: others have them meanwhile.

An executor whose task waits *rests*: it is of no team, and gets nothing. Another one takes its place, so that as many
computing units are at work as there are. When its task goes on, one of the others rests instead, at the latest when it
has ended what it runs. Of a task with several units (see `core.claims`) all are lent; other things that it has, such
as memory, it keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskflow.core.placement import Executor, Placing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskflow.core.claims import Claim
    from taskflow.core.master import Master


class Lending(Placing):
    """The part of a crew that keeps the computing units at work.

    ``units``: how many there are; 0 until the first task calls another. ``resting``: executors that are not at work.
    ``wanted``: so many executors are to be started; those that want some are in the command `Master.wanting`.
    """

    def __init__(self, kernel: Master, number: int = 0) -> None:
        super().__init__(kernel, number)
        self.units = 0
        self.wanted = 0
        self.resting: list[Executor] = []

    def lend(self, executor: Executor) -> None:
        """The task that the executor runs waits for others."""
        executor.lent = True
        if executor.resting or executor.io:
            return  # nobody counts on it
        claim = executor.claim
        if claim is None:
            self._leave(executor)
        else:
            self.put_aside(claim)
            if claim.share is not None:
                claim.share.span.lend()
        self._rest(executor)
        self.balance()

    def put_aside(self, claim: Claim) -> None:
        """The computing units of the claim are free for others; nothing else is. `balance` has to follow."""
        self.claims.remove(claim)
        self.set_aside.append(claim)
        parked, claim.parked, claim.missing, claim.unparked = claim.parked, [], 0, 0
        for other in parked:
            other.claim = None
            self._enlist(other)
        self._fill_all(parked)

    def take_up(self, claim: Claim) -> None:
        """The computing units of the claim are its own again, as soon as others rest: `balance` has to follow."""
        self.set_aside.remove(claim)
        self.claims.append(claim)
        claim.unparked = claim.demand.units - (claim.executor is not None)

    def regain(self, executor: Executor) -> None:
        """The task that the executor runs goes on."""
        executor.lent = False
        if not executor.resting or not executor.alive:
            return
        self.resting.remove(executor)
        executor.resting = False
        claim = executor.claim
        if claim is None:
            executor.apart = False
            self.team.append(executor)
        else:
            self.take_up(claim)
            if claim.share is not None:
                claim.share.span.regain()
        self.balance(keep=executor)
        self._fill_all([executor])

    def balance(self, keep: Executor | None = None) -> None:
        """Have executors rest, or take part again, until as many units are at work as there are. Not ``keep``."""
        while self._at_work() > self.units:
            others = [executor for executor in reversed(self.team) if executor is not keep]
            if not others:
                break  # the rest is done when a task with a demand has ended
            victim = min(others, key=_begun)
            self._leave(victim)
            self._rest(victim)
        while self._at_work() < self.units:
            free = [executor for executor in self.resting if not executor.lent]
            if not free:
                break
            self._take_part(min(free, key=_begun))
        self.wanted = max(0, self.units - self._at_work())
        if self.wanted:
            self._want()

    def _want(self) -> None:
        """Have executors started (`core.crew`)."""
        raise NotImplementedError

    def _at_work(self) -> int:
        return len(self.team) + len(self.reserved) + sum(claim.demand.units for claim in self.claims)

    def _leave(self, executor: Executor) -> None:
        """The executor goes on with the task it runs, if any, but gets no more. What has not begun goes elsewhere."""
        (self.team if executor in self.team else self.reserved).remove(executor)
        executor.apart = True
        executor.followers.clear()  # they wait for versions, and are handed out when these have come
        local = list(executor.local)
        executor.local.clear()
        if executor.outbox:
            unsent, executor.outbox = executor.outbox, []
            self._take_in(executor, [task.id for task in unsent])
        for task in local:
            self.kernel.requeue(task)
        if len(executor.inflight) > 1 and not executor.lent and not executor.recalling:
            self._recall(executor, len(executor.inflight) - 1)

    def _rest(self, executor: Executor) -> None:
        executor.apart = executor.resting = True
        self.resting.append(executor)

    def _take_part(self, executor: Executor) -> None:
        self.resting.remove(executor)
        executor.resting = False
        if executor.inflight:
            executor.apart = False
            self.team.append(executor)
            self.ready_limit = 1
        else:
            self._enlist(executor)
        self._fill_all([executor])

    def _fill_all(self, executors: Iterable[Executor]) -> None:
        for executor in executors:
            if not executor.apart:
                self.fill(executor)
        self.ready_limit = 1
        self._set_ready_limit()


def _begun(executor: Executor) -> int:
    """Tasks that have been sent there."""
    return len(executor.inflight) - len(executor.outbox)
