"""Futures: what a task call returns at once. They stand for the value and for the datum that later tasks read."""

from __future__ import annotations

import concurrent.futures
import sys
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from taskflow import runtime
from taskflow.core.graph import FAILED, HELD, PENDING, Datum, Version, Watch, is_cancelled, last_good
from taskflow.data.serialization import note_future
from taskflow.model.errors import FutureUsedAsValueError, NotRunningError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Iterator

T_co = TypeVar("T_co", covariant=True)


class Future(Datum, concurrent.futures.Future, Generic[T_co]):  # type: ignore[type-arg]
    """The result of a task call.

    It can be passed to other tasks (alone, in collections, hidden in other objects), waited for with `compss_wait_on`
    or `result`, awaited, and used with `concurrent.futures.wait` and `as_completed`. It stands for the datum: after a
    task has taken it as INOUT, `result` gives the value that task left.

    Using it as if it were the value raises `FutureUsedAsValueError`.
    """

    # No __init__ of concurrent.futures.Future: a lock and a list per task would cost more than the task.

    def __del__(self) -> None:
        try:
            state = self.current.state
        except AttributeError:  # never finished: see `__getattr__`
            return
        if state == PENDING or state == HELD:
            session = runtime.session
            if session is not None:
                session.engine.released.append(self.current)

    def __repr__(self) -> str:
        if not hasattr(self, "current"):
            return "<Future of no task>"
        state = self.current.state
        word = "pending" if not state else "failed" if state == FAILED else "done"
        if state == FAILED and self.cancelled():
            word = "cancelled"
        return f"<Future {self.current.label} of task {self.current.producer_id}, {word}>"

    # ------------------------------------------------------------------ the value

    def result(self, timeout: float | None = None) -> T_co:
        """Wait for the value and return it, the same object each time.

        Raises what the task raised; `concurrent.futures.TimeoutError` after ``timeout`` seconds; DeletedDataError is
        never raised: a future can be read until it is dropped.
        """
        version = self.current
        cached: tuple[Version, Any] | None = self.__dict__.get("_cached")
        if cached is not None and cached[0] is version:
            return cached[1]  # type: ignore[no-any-return]
        self._wait(timeout)
        version = self.current
        value = _value_of(version)
        self.__dict__["_cached"] = (version, value)
        return value  # type: ignore[no-any-return]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task; return what it raised, or None.

        Also if its policy says that the failure is to be ignored, or only cancels others. TaskCancelledError if the
        task was cancelled.
        """
        self._wait(timeout)
        version = last_good(self.current)
        failure = version.value if version.state == FAILED else version.ignored
        if failure is None:
            return None
        failure.seen = True
        if failure.cancelled and failure.task_id != version.producer_id:
            return runtime.cancellation(failure)
        error: BaseException = failure.error
        return error

    def _wait(self, timeout: float | None) -> None:
        version = self.current
        if self.group is not None:
            self.group = None
        if version.state == PENDING or version.state >= HELD:
            session = runtime.session
            if session is None:
                if version.state == FAILED:
                    return
                runtime.require()
            elif not session.wait_versions([version], timeout):
                raise concurrent.futures.TimeoutError(
                    f"task {version.producer_id} did not end within {timeout} seconds"
                )

    def done(self) -> bool:
        """Whether the task has ended, well or not."""
        version = self.current
        session = runtime.session
        return bool(version.state) or (session is not None and session.look(version))

    def running(self) -> bool:
        """Whether an executor has the task."""
        producer = self.current.producer
        return not self.current.state and producer is not None and producer.executor is not None

    def cancel(self) -> bool:
        """Not possible for a single task, always False. See `compss_cancel_group`."""
        return False

    def cancelled(self) -> bool:
        """Whether the task was cancelled, so that `result` raises TaskCancelledError."""
        return is_cancelled(self.current)

    def ignored(self) -> bool:
        """Whether the task failed and its policy was IGNORE: the value is a default, or what was there before."""
        return self.current.ignored is not None

    def set_result(self, result: Any) -> NoReturn:  # noqa: ARG002
        """Only the runtime gives a task's future its value. Raises TypeError."""
        raise TypeError("a task's future gets its value from the task")

    def set_exception(self, exception: BaseException | None) -> NoReturn:  # noqa: ARG002
        """Only the runtime gives a task's future its exception. Raises TypeError."""
        raise TypeError("a task's future gets its exception from the task")

    def add_done_callback(self, fn: Callable[[Future[T_co]], object]) -> None:
        """Call ``fn(future)`` once the task has ended: at once if it has, else from a thread of the runtime."""
        session = runtime.session
        if not self.current.state and session is not None:
            engine = session.engine
            with engine.lock:
                if engine.kernel.watch(self.current, Watch(lambda: _call(fn, self))):
                    return
        _call(fn, self)

    def __await__(self) -> Generator[Any, None, T_co]:
        """Wait in a coroutine without blocking its event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not arrived.done():
                arrived.set_result(None)

        self.add_done_callback(lambda _: _in_loop(loop, wake))
        yield from arrived
        return self.result()

    # ------------------------------------------------------------------ concurrent.futures.wait

    @property
    def _mirror(self) -> _Mirror:
        """A standard future that ends when this one does; made when `concurrent.futures` functions look inside."""
        mirror: _Mirror | None = self.__dict__.get("_mirrored")
        if mirror is None:
            mirror = self.__dict__.setdefault("_mirrored", _Mirror())
            self.add_done_callback(mirror.finish)
        return mirror

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return self._mirror._condition  # noqa: SLF001

    @property
    def _state(self) -> str:  # type: ignore[override]
        return self._mirror._state  # noqa: SLF001

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        return self._mirror._waiters  # noqa: SLF001

    # ------------------------------------------------------------------ not the value

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) in _COMPARED:
            _misuse("a comparison")(self)
        return NotImplemented

    def __bool__(self) -> bool:
        if sys._getframe(1).f_globals.get("__name__") == "concurrent.futures._base":  # noqa: SLF001
            return True  # `concurrent.futures.wait` looks for any exception among futures that have ended
        return _misuse("a condition (if, while, and, or, not)")(self)

    def __format__(self, spec: str) -> str:
        if spec:
            _misuse("a format")(self)
        return repr(self)

    def __reduce__(self) -> Any:
        return note_future(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "current":  # made by __new__ alone; the message below would ask for it again, without end
            raise AttributeError("this future belongs to no task: only the call of a task makes one that does")
        raise AttributeError(
            f"this is the future of task {self.current.producer_id}, not its value, and has no attribute {name!r}; "
            f"take the value first: x = compss_wait_on(x)"
        )


#: Comparing a future with one of these for equality is a mistake, not a search in a list.
_COMPARED = frozenset({bool, int, float, complex, str, bytes, list, tuple, dict, set})


def _misuse(operation: str) -> Callable[..., NoReturn]:
    def method(self: Future[Any], *args: Any) -> NoReturn:  # noqa: ARG001
        raise FutureUsedAsValueError(
            f"the future of task {self.current.producer_id} was used in {operation}, as if it were the task's value; "
            f"take the value first: x = compss_wait_on(x)"
        )

    return method


_OPERATIONS = {
    "an iteration or unpacking": ["iter", "next", "reversed"],
    "len()": ["len"],
    "indexing": ["getitem", "setitem", "delitem", "contains"],
    "a call": ["call"],
    "a conversion to a number": ["int", "float", "complex", "index", "round"],
    "a with statement": ["enter", "exit"],
    "a comparison": ["lt", "le", "gt", "ge"],
    "an array operation": ["array_ufunc", "array_function"],
    "arithmetic": [
        prefix + name
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift",
                     "rshift", "divmod")
        for prefix in ("", "r")
    ] + ["neg", "pos", "abs", "invert"],
}  # fmt: skip
for _operation, _names in _OPERATIONS.items():
    for _name in _names:
        setattr(Future, f"__{_name}__", _misuse(_operation))


class _Mirror(concurrent.futures.Future):  # type: ignore[type-arg]
    """Has the locks and lists that `concurrent.futures.wait` works on; hands out the future it mirrors."""

    def finish(self, owner: Future[Any]) -> None:
        with self._condition:
            failed = owner.current.state == FAILED
            self._state = "FINISHED"
            for waiter in self._waiters:
                (waiter.add_exception if failed else waiter.add_result)(owner)
            self._condition.notify_all()


def _value_of(version: Version) -> Any:
    session = runtime.session
    if session is not None:
        return session.value_of(version)
    return runtime.Session.value_of(_NO_SESSION, version)  # type: ignore[arg-type]


class _NoSession:
    """Reads values that are in the master's own memory after the session has ended."""

    raise_failure = staticmethod(runtime.Session.raise_failure)

    @property
    def engine(self) -> NoReturn:
        raise NotRunningError(runtime.VALUE_IS_GONE)


_NO_SESSION = _NoSession()


def _call(function: Callable[[Any], object], future: Any) -> None:
    try:
        function(future)
    except Exception:
        import logging

        logging.getLogger("taskflow").exception("a done-callback of %r raised", future)


def _in_loop(loop: Any, wake: Callable[[], None]) -> None:
    import contextlib

    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
        loop.call_soon_threadsafe(wake)


def as_completed(futures: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
    """Yield futures as their tasks end. Values that are not futures (sequential runs) come first, as they are.

    Raises `concurrent.futures.TimeoutError` if not all have ended ``timeout`` seconds after the first request.
    """
    import queue
    import time

    deadline = None if timeout is None else time.monotonic() + timeout
    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
    expected = 0
    for future in list(futures):
        if isinstance(future, Future):
            expected += 1
            future.add_done_callback(arrived.put)
        else:
            yield future
    if expected and runtime.session is not None:
        runtime.session.engine.lock.acquire()
        runtime.session.engine.flush()
        runtime.session.engine.lock.release()
    for _ in range(expected):
        try:
            yield arrived.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise concurrent.futures.TimeoutError(f"not all tasks ended within {timeout} seconds") from None
