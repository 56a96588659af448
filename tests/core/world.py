"""A kernel and the events that happen to it, given literally."""

from taskflow.core.graph import HELD, VALUE, Datum, Group, Held, Task, Version
from taskflow.core.master import Master
from taskflow.model.functions import Demand, FunctionRecord
from tests.core import invariants

SHORT = 0.0001  #: seconds; many such tasks are queued on one executor
LONG = 1.0  #: seconds; such a task is queued behind no other


class World:
    def __init__(self, executors=0):
        self.kernel = Master()
        self.functions = {}
        self.tasks = 0
        self.data = 0
        self.executors = [self.join() for _ in range(executors)]

    def join(self, *, io=False):
        number = len(self.kernel.executors) + 100 * bool(self.tasks) + self.tasks
        executor = self.kernel.executor_joined(number, io=io)
        invariants.check(self.kernel)
        return executor

    def function(self, name="f", mean_s=None):
        if name not in self.functions:
            number = len(self.functions) + 1
            self.functions[name] = FunctionRecord(number, name, "app", "app.py", 1, 1, ("ref", "app", name))
            self.functions[name].mean_s = mean_s
        return self.functions[name]

    def asking(self, service="s", *, limit=None, capacity=100):
        """Name of a function whose tasks are requests to the service."""
        kernel = self.kernel
        if kernel.services is None or service not in kernel.services.by_name:
            kernel.open_service(service, 900 + len(kernel.executors), limit=limit, capacity=capacity)
        function = self.function(f"asks {service}")
        function.demand = Demand(units=0)
        function.service = service
        return function.name

    def outgoing(self, service="s"):
        """What the driver would ask the service for now; ids of the tasks."""
        executor = self.kernel.services.by_name[service].executor
        self.kernel.serve()
        self.kernel.services.outgoing.pop(executor.id, None)
        return self.take(executor)

    def needing(self, units=1, *, gpus=0, devices=(), mean_s=LONG, **amounts):
        """Name of a function with that demand."""
        devices = (*devices, *([("GPU", gpus, ())] if gpus else []))
        name = f"needs {units} {devices} {amounts}"
        self.function(name, mean_s).demand = Demand(units, devices, tuple(amounts.items()))
        return name

    def datum(self, value=0):
        self.data += 1
        version = Version(self.data)
        version.state, version.value = VALUE, value
        return Datum(version)

    def call(self, *accesses, name="f", mean_s=None, returns=0, **attributes):
        """Submit a task; returns it, or it and the data of its results."""
        self.tasks += 1
        task = Task(self.tasks, self.function(name, mean_s), ())
        for attribute, value in attributes.items():
            setattr(task, attribute, value)
        task.returns = returns
        results = []
        for index in range(returns):
            self.data += 1
            results.append(Datum(Version.output(self.data, 1, task, index)))
        task.writes = [datum.current for datum in results]
        self.kernel.submit(task, accesses)
        self.kernel.home.spread()
        invariants.check(self.kernel)
        return (task, *results) if returns else task

    def take(self, executor):
        """What the driver would send to the executor now; ids of the tasks."""
        sent, executor.outbox = executor.outbox, []
        self.kernel.dirty.pop(executor.id, None)
        return [task.id for task in sent]

    def settle(self, executor):
        self.take(executor)
        self.kernel.settled(executor)
        invariants.check(self.kernel)

    def done(self, task, *values):
        """The executor of the task reports its end with plain values."""
        self.report(task, *[(VALUE, value) for value in values])

    def held(self, task, count=1, nbytes=1000):
        """The executor of the task reports its end, and keeps the results in its memory."""
        executor = task.executor
        self.report(task, *[(HELD, Held(executor, (task.id, index), nbytes)) for index in range(count)])

    def report(self, task, *outputs):
        executor = task.executor
        self.kernel.completed(executor, task.id, outputs)
        self.settle(executor)

    def fail(self, task, error=None, outputs=()):
        """The task fails for the last time; says what becomes of it."""
        task.failed_attempts = task.function.policy.attempts - 1
        return self.fail_once(task, error, outputs)

    def fail_once(self, task, error=None, outputs=()):
        executor = task.executor
        verdict = self.kernel.failed(executor, task.id, error or ValueError(f"task {task.id}"), outputs)
        self.settle(executor)
        return verdict

    def lose(self, executor, running=0):
        self.kernel.executor_lost(executor, running, RuntimeError("died"))
        invariants.check(self.kernel)

    def publish(self, executor):
        """The executor publishes what it has been asked to."""
        keys, executor.publish = executor.publish, []
        for key in keys:
            self.kernel.published(self.kernel.publishing[key], f"segment of {key}")
        self.settle(executor)
        return keys


__all__ = ["LONG", "SHORT", "Group", "World"]
