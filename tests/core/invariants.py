"""What must be true of the kernel whenever it is at rest."""

from collections import Counter

from taskflow.core.graph import ASSIGNED, DONE, HELD, PENDING, READY, WAITING


def reachable(kernel):
    """Every unfinished task that something will bring to its end, each once.

    From the tasks that are handed out or ready, through what they make to those who wait for it. A task that
    is unfinished and not reached waits for something that nobody is going to do.
    """
    found = {}
    pending = [*kernel.home.ready, *kernel.home.urgent, *kernel.home.constrained_tasks()]
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


def check(kernel):
    """Raise AssertionError if something in the kernel's state contradicts something else."""
    tasks = reachable(kernel)
    assert kernel.unfinished == len(tasks), (
        f"{kernel.unfinished} tasks are unfinished, but only {len(tasks)} will ever end: {tasks}"
    )
    check_claims(kernel)
    check_queues(kernel, tasks)
    check_counts(tasks)
    for key, version in kernel.publishing.items():
        assert key == version.key
        assert version.state == HELD
        assert version.value.executor.alive, f"{version} cannot be published: its executor is dead"


def check_queues(kernel, tasks):
    places = Counter(task.id for task in (*kernel.home.ready, *kernel.home.urgent, *kernel.home.constrained_tasks()))
    for executor in kernel.executors.values():
        assert executor.alive
        places.update(executor.inflight.keys())
        places.update(task.id for task in executor.local)
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
    if kernel.home.team and (kernel.home.ready or kernel.home.urgent):
        idle = [executor for executor in kernel.home.team if not executor.inflight]
        assert not idle, f"{idle} are idle although tasks are ready"


def check_claims(kernel):
    """Nothing is given to two tasks, and everything is somewhere."""
    parked = [executor for claim in kernel.home.claims for executor in claim.parked]
    running = [claim.executor for claim in kernel.home.claims]
    assert not any(executor.inflight for executor in parked), "a parked executor has something to do"
    everybody = [*kernel.home.team, *kernel.home.reserved, *kernel.home.io_team, *parked, *kernel.home.resting]
    everybody += [executor for executor in running if not executor.io]
    assert len(everybody) == len(set(everybody)), "an executor is in two places"
    assert set(everybody) == set(kernel.executors.values())
    assert not any(executor.apart for executor in kernel.home.team)
    assert all(executor.apart for executor in everybody if executor not in kernel.home.team)
    for claim in kernel.home.claims:
        assert claim.executor.claim is claim
        assert len(claim.executor.inflight) <= 1
        if claim.demand.units:
            assert 1 + len(claim.parked) + claim.missing + claim.unparked == claim.demand.units
        wanted = Counter()
        for kind, count, choice in claim.demand.devices:
            wanted[kind] += count
            assert not choice or len(set(choice) & set(claim.devices[kind])) >= count
        assert wanted == {kind: len(set(indexes)) for kind, indexes in claim.devices.items()}
    for kind, numbers in kernel.home.devices.items():
        claims = (*kernel.home.claims, *kernel.home.set_aside)
        taken = [index for claim in claims for index in claim.devices.get(kind, ())]
        assert sorted([*taken, *kernel.home.free_devices[kind]]) == list(range(len(numbers))), f"{kind}: {taken}"
    for name, whole in kernel.home.whole.items():
        claims = (*kernel.home.claims, *kernel.home.set_aside)
        taken = sum(dict(claim.demand.amounts).get(name, 0.0) for claim in claims)
        assert abs(whole - taken - kernel.home.free[name]) < 1e-6, f"{taken} of {whole} {name} is taken"
        assert kernel.home.free[name] > -1e-6


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
