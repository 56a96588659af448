"""What must be true of the kernel whenever it is at rest."""

from collections import Counter

from taskflow.core.graph import ASSIGNED, DONE, FILE, HELD, PENDING, READY, SEGMENT, WAITING
from taskflow.core.moving import SEND_SMALL_TO, SEND_TO, SMALL_BYTES


def reachable(kernel):
    """Every unfinished task that something will bring to its end, each once.

    From the tasks that are handed out or ready, through what they make to those who wait for it. A task that
    is unfinished and not reached waits for something that nobody is going to do.
    """
    found = {}
    pending = kernel.waiting_tasks()
    for executor in kernel.executors.values():
        pending += [*executor.inflight.values(), *executor.local]
    for version in (*kernel.publishing.values(), *kernel.linked):
        pending += version.waiters or ()
    while pending:
        task = pending.pop()
        if task.state >= DONE or task.id in found:
            continue
        found[task.id] = task
        for version in task.writes:
            if version is None:
                continue
            pending += version.waiters or ()
            if version.group is not None:
                pending += version.group.version.waiters or ()
                pending += version.group.queue
    return list(found.values())


def check(kernel, *, vanishing=False):
    """Raise AssertionError if something in the kernel's state contradicts something else.

    ``vanishing``: values may not be where they should be, without the loss of their node.
    """
    tasks = reachable(kernel)
    assert kernel.unfinished == len(tasks), (
        f"{kernel.unfinished} tasks are unfinished, but only {len(tasks)} will ever end: {tasks}"
    )
    for crew in kernel.crews.values():
        check_claims(crew)
    check_queues(kernel, tasks, vanishing=vanishing)
    check_counts(tasks)
    for key, version in kernel.publishing.items():
        assert key == version.key
        assert version.state == HELD
        assert version.value.executor.alive, f"{version} cannot be published: its executor is dead"


def check_queues(kernel, tasks, *, vanishing=False):
    places = Counter(task.id for task in kernel.waiting_tasks())
    services = [] if kernel.services is None else kernel.services.by_name.values()
    members = {executor for crew in kernel.crews.values() for executor in crew.members.values()}
    assert members | {service.executor for service in services} == set(kernel.executors.values())
    for service in services:
        assert not any(service is not other and service.executor is other.executor for other in services)
        assert service.limit is None or len(service.executor.inflight) <= service.limit
    if services:
        assert kernel.services.in_flight <= kernel.services.capacity
    for executor in kernel.executors.values():
        assert executor.alive
        assert executor.crew is kernel.crews[executor.crew.number]
        places.update(executor.inflight.keys())
        for task in executor.inflight.values():
            assert task.state == ASSIGNED
            assert task.executor is executor
        assert all(task.id in executor.inflight for task in executor.outbox)
        assert executor.load >= -1e-6
        booked = sum(task.cost for task in executor.inflight.values())
        assert abs(executor.load - booked) < 1e-6, f"{executor} is booked with {booked} s"
    for task in tasks:
        expected = 0 if task.state == WAITING else 1
        assert places[task.id] == expected, f"{task} is in {places[task.id]} queues"
        if task.state == READY:
            assert not task.missing
    assert sum(places.values()) == sum(1 for task in tasks if task.state in (READY, ASSIGNED))
    for crew in kernel.crews.values():
        if crew.team and (crew.ready or crew.urgent):
            idle = [executor for executor in crew.team if not executor.inflight]
            assert not idle, f"{idle} are idle although tasks are ready"
    if kernel.dispatch is not None:
        check_dispatch(kernel, tasks, vanishing=vanishing)


def check_dispatch(kernel, tasks, *, vanishing):
    """Tasks wait for room only where there is none, and for data only that are on their way."""
    dispatch = kernel.dispatch
    crews = [crew for crew in kernel.crews.values() if crew.team]
    idle = [crew for crew in crews if crew.vacancy() > 0]
    if dispatch.ready or dispatch.urgent:
        waiting = [*dispatch.ready, *dispatch.urgent]
        assert not idle, f"{idle} have nothing to do although {waiting} are ready"
    for crew in kernel.crews.values():
        if crew.shelf and crew in idle:
            raise AssertionError(f"{crew} has nothing to do although tasks are on its shelf")
        for task in crew.coming.values():
            assert task.state == READY
            waits = [key for key, waiting in dispatch._awaiting.items() if key[1] == crew.number and task in waiting]
            assert len(waits) == task.absent > 0, f"{task} waits for {task.absent} values, and {waits} come"
            for key in waits:
                assert key in dispatch._moving, f"{task} waits for {key[0]}, which nobody brings"
                coming = dispatch._moving[key] != -1
                assert key[0].places or coming, f"{task} waits for {key[0]}, which is lost"
    check_spans(kernel)
    for (value, target), source in dispatch._moving.items():
        assert target in kernel.crews
        assert source == -1 or source in kernel.crews
        assert source != -1 or (value, target) in dispatch._unserved
    for value, targets in dispatch._unserved.targets.items():
        limit = SEND_SMALL_TO if value.nbytes < SMALL_BYTES else SEND_TO
        for target in targets:
            assert dispatch._moving[value, target] == -1
            for number in value.places - dispatch._refused.get((value, target), set()):
                busy = number not in kernel.crews or dispatch._sending.get(number, 0) >= limit
                assert busy, f"{value} waits to be brought to node {target} although node {number} could send it"
    for number, sending in dispatch._sending.items():
        assert sending == sum(1 for source in dispatch._moving.values() if source == number)
    for number in (*dispatch.vacant, *dispatch.open, *dispatch.shelved):
        assert number in kernel.crews
    for task in tasks:
        unsent = task.state == ASSIGNED and task.executor is not None and task in task.executor.outbox
        for version in task.reads:
            if version.state in (SEGMENT, FILE) and unsent and not vanishing:
                assert dispatch.is_at(version, task.executor.crew.number), f"{task} has not {version} on its node"


def check_spans(kernel):
    """A task for several nodes has its share of each, and nothing is kept for one that is over."""
    spans = {claim.share.span for crew in kernel.crews.values() for claim in crew.claims if claim.share is not None}
    collecting = kernel.dispatch.spanning.collecting
    assert [span for span in spans if not span.begun] in ([], [collecting])
    for crew in kernel.crews.values():
        assert crew.share is None or crew.share.span is collecting
        if crew.reserved:
            assert crew.reserved_for is not None
    if collecting is not None:
        assert collecting.task.state == READY
        assert len(collecting.shares) == collecting.task.function.demand.hosts
        for share in collecting.waiting:
            assert share.crew.share is share
        if any(share.lacks for share in collecting.waiting):
            assert collecting.waiting == list(collecting.shares.values()), "executors are idle for what lacks more"
    for span in spans:
        for number, share in span.shares.items():
            assert share.crew is kernel.crews[number]
            assert share.claim in share.crew.claims or share.claim in share.crew.set_aside or share in span.waiting
        if span.begun:
            task = span.task
            runs = kernel.crews[span.main].claims + kernel.crews[span.main].set_aside
            assert [claim.executor is not None for claim in runs if claim.share and claim.share.span is span] == [True]
            assert task.severed or len(span.shares) == task.function.demand.hosts or task.state != ASSIGNED


def check_claims(crew):
    """Nothing is given to two tasks, and everything is somewhere."""
    parked = [executor for claim in crew.claims for executor in claim.parked]
    running = [claim.executor for claim in crew.claims if claim.executor is not None]
    assert not any(executor.inflight for executor in parked), "a parked executor has something to do"
    everybody = [*crew.team, *crew.reserved, *crew.io_team, *parked, *crew.resting]
    everybody += [executor for executor in running if not executor.io]
    assert len(everybody) == len(set(everybody)), "an executor is in two places"
    assert set(everybody) == set(crew.members.values())
    assert not any(executor.apart for executor in crew.team)
    assert all(executor.apart for executor in everybody if executor not in crew.team)
    for claim in crew.claims:
        runs = claim.executor is not None
        if runs:
            assert claim.executor.claim is claim
            assert len(claim.executor.inflight) <= 1
        else:
            assert claim.share is not None
            assert claim.share.claim is claim or claim.share.span.over
        assert all(executor.claim is claim for executor in claim.parked)
        if claim.demand.units:
            assert runs + len(claim.parked) + claim.missing + claim.unparked == claim.demand.units
        wanted = Counter()
        for kind, count, choice in claim.demand.devices:
            wanted[kind] += count
            assert not choice or len(set(choice) & set(claim.devices[kind])) >= count
        assert wanted == {kind: len(set(indexes)) for kind, indexes in claim.devices.items()}
    for kind, numbers in crew.devices.items():
        claims = (*crew.claims, *crew.set_aside)
        taken = [index for claim in claims for index in claim.devices.get(kind, ())]
        assert sorted([*taken, *crew.free_devices[kind]]) == list(range(len(numbers))), f"{kind}: {taken}"
    for name, whole in crew.whole.items():
        claims = (*crew.claims, *crew.set_aside)
        taken = sum(dict(claim.demand.amounts).get(name, 0.0) for claim in claims)
        assert abs(whole - taken - crew.free[name]) < 1e-6, f"{taken} of {whole} {name} is taken"
        assert crew.free[name] > -1e-6


def check_counts(tasks):
    readers = Counter()
    versions = {}
    for task in tasks:
        waits = 0
        for version in task.reads:
            readers[id(version)] += 1
            versions[id(version)] = version
        for version in {id(version): version for version in task.reads}.values():
            waits += sum(1 for waiter in version.waiters or () if waiter is task)
            waiting = any(waiter is task for waiter in version.waiters or ())
            assert version.state in (PENDING, HELD) or not waiting, f"{task} still waits for {version}"
        assert task.missing == waits, f"{task} waits in {waits} places: {list(task.reads)}"
        if task.state == WAITING and not task.missing:
            assert task.exclusive is not None, f"{task} waits for nothing"
            assert any(task in group.queue for group, _ in task.exclusive)
    for identity, version in versions.items():
        assert version.readers == readers[identity], f"{version} has {readers[identity]} readers"
