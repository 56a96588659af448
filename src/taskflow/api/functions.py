"""The ``compss_*`` functions: values, files, deletion. Without a session they do what a plain program needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar, overload

from taskflow import runtime
from taskflow.api.binding import stored
from taskflow.api.futures import Future
from taskflow.core.graph import FAILED, FILE, VALUE, Datum, Version, is_cancelled, last_good
from taskflow.data.files import absolute, remove_any
from taskflow.data.serialization import is_plain
from taskflow.model.errors import ArgumentError, TaskflowWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow.runtime import Session

T = TypeVar("T")


# ---------------------------------------------------------------------- values


@overload
def compss_wait_on(value: T, /, *, mode: str = ..., timeout: float | None = ...) -> T: ...
@overload
def compss_wait_on(*values: Any, mode: str = ..., timeout: float | None = ...) -> list[Any]: ...


def compss_wait_on(*values: Any, mode: str = "rw", timeout: float | None = None, master_event: bool = True) -> Any:  # noqa: ARG001
    """Wait for values and return them: one for one argument, a list for several.

    Lists, tuples and dictionaries are rebuilt with all values in them, nested ones too. What no task has touched is
    returned as it is. Objects that tasks wrote come back as new objects, so rebind the name: ``x = compss_wait_on(x)``.
    ``mode="r"`` promises that the program only reads the value: tasks that are given it later use the version the
    runtime has, and it is not sent again. Raises what the task raised, and TimeoutError after ``timeout`` seconds.
    The result of a cancelled task, or of one whose failure is ignored without a default, is None, with one warning.
    """
    session = runtime.session
    if session is None:
        if runtime.ended_once:
            values = tuple([_settled(value, ()) for value in values])
        return values[0] if len(values) == 1 else list(values)
    if mode not in ("r", "rw"):
        raise ArgumentError(f"mode must be 'r' or 'rw', not {mode!r}")
    found: list[Datum] = []
    for value in values:
        _collect(session, value, found)
    if found:
        for datum in found:
            if datum.group is not None:
                datum.group = None
        if not session.wait_versions([datum.current for datum in found], timeout, what="wait_on"):
            raise TimeoutError(f"compss_wait_on: the tasks did not end within {timeout} seconds")
        _warn_of_missing(found)
    done: dict[int, Any] = {}
    try:
        results = [_resolve(session, value, mode == "r", done) for value in values]
    except BaseException:
        for datum in found:  # the program knows now that something of this went wrong
            if datum.current.state == FAILED:
                datum.current.value.seen = True
        raise
    return results[0] if len(results) == 1 else results


def _warn_of_missing(found: list[Datum]) -> None:
    """One warning for all values that are None because there are none."""
    missing = [datum.current for datum in found if is_cancelled(datum.current) or _is_ignored(datum.current)]
    if not missing:
        return
    first = missing[0]
    failure = first.ignored if first.ignored is not None else last_good(first).value
    what = "ignored" if first.ignored is not None else "cancelled"
    cause = f"task {failure.task_id} raised {type(failure.error).__name__}: " if failure.task_id else ""
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    import warnings

    warnings.warn(
        f"the result of task {first.producer_id}{more} was not made and is None, as the failure policy says: "
        f"{what}, since {cause}{failure.error}",
        TaskflowWarning,
        stacklevel=3,
    )


def _is_ignored(version: Version) -> bool:
    return version.ignored is not None and version.state == VALUE and version.value is None


def _settled(value: Any, around: tuple[Any, ...]) -> Any:
    """The value with all futures in it replaced, after the end of their session; the same object if there are none."""
    if isinstance(value, Future):
        return value.result()
    if any(value is outer for outer in around):
        return value
    if isinstance(value, (list, tuple)):
        items = [_settled(item, (*around, value)) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return _like(value, items)
    if isinstance(value, dict):
        pairs = {key: _settled(item, (*around, value)) for key, item in value.items()}
        return value if all(pairs[key] is item for key, item in value.items()) else pairs
    return value


def _like(value: Any, items: list[Any]) -> Any:
    """A list or tuple of the kind of the given one."""
    if isinstance(value, list):
        return items
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def _collect(session: Session, value: Any, found: list[Datum]) -> None:
    """Add the data in a value: futures, tracked objects, and those in lists, tuples and dictionaries."""
    if isinstance(value, Future):
        found.append(value)
        return
    registry = session.registry
    if registry:
        datum = registry.find(value)
        if datum is not None:
            found.append(datum)
            return
    if isinstance(value, (list, tuple)):
        cells = bool(registry) and registry.has_cells(value)
        for place, item in enumerate(value):
            cell = registry.find_cell(value, place, item) if cells else None
            if cell is not None:
                found.append(cell)
            else:
                _collect(session, item, found)
    elif isinstance(value, dict):
        cells = bool(registry) and registry.has_cells(value)
        for key, item in value.items():
            _collect(session, key, found)
            cell = registry.find_cell(value, key, item) if cells else None
            if cell is not None:
                found.append(cell)
            else:
                _collect(session, item, found)


def _resolve(session: Session, value: Any, keep: bool, done: dict[int, Any]) -> Any:
    """The value with everything in it that tasks made or wrote. ``done``: by identity, what was let go on the way."""
    if isinstance(value, Future):
        if is_cancelled(value.current):
            return None
        result = value.result()
        if keep:
            _alias(session, result, value)
        return result
    registry = session.registry
    if id(value) in done:
        return done[id(value)]
    if registry:
        datum = registry.find(value)
        if datum is not None:
            if is_cancelled(datum.current):
                result = None
            else:
                result = datum.result() if isinstance(datum, Future) else session.value_of(datum.current)
            if keep:
                _alias(session, result, datum)
            else:
                done[id(value)] = result
                registry.discard(value)
            return result
    cells = False
    rebuilt: Any
    if isinstance(value, (list, tuple)):
        cells = bool(registry) and registry.has_cells(value)
        items = [_resolve_cell(session, value, place, item, keep, done, cells) for place, item in enumerate(value)]
        rebuilt = _like(value, items)
    elif isinstance(value, dict) and value:
        cells = bool(registry) and registry.has_cells(value)
        rebuilt = {
            _resolve(session, key, keep, done): _resolve_cell(session, value, key, item, keep, done, cells)
            for key, item in value.items()
        }
    else:
        return value
    if cells and not keep:
        done[id(value)] = rebuilt
        registry.discard(value)
    return rebuilt


def _resolve_cell(
    session: Session, container: Any, place: Any, item: Any, keep: bool, done: dict[int, Any], cells: bool
) -> Any:
    if cells:
        datum = session.registry.find_cell(container, place, item)
        if datum is not None:
            return None if is_cancelled(datum.current) else session.value_of(datum.current)
    return _resolve(session, item, keep, done)


def _alias(session: Session, result: Any, datum: Datum) -> None:
    """A value taken with mode "r" stands for the same datum as what it was taken from."""
    if not is_plain(result) and session.registry.find(result) is None:
        if isinstance(datum, Future):
            datum.__dict__.pop("_cached", None)  # or the value and its future would keep each other alive
        session.registry.add(result, datum)


def compss_set_wall_clock(seconds: float) -> None:
    """Give the program so many seconds from now; then all tasks are cancelled and WallClockError is raised in it.

    Without a session nothing happens. Raises TaskflowError outside the main thread.
    """
    if runtime.session is not None:
        runtime.session.set_wall_clock(float(seconds))


def put(value: T) -> Future[T]:
    """Store an object once and return a future for it, to be passed to many tasks without being sent again.

    Useful for large objects of the main program. The value is taken as it is now. Raises SerializationError.
    """
    session = runtime.require()
    found = stored(session, value, "value")
    if found is None:
        from taskflow.api.task import assembled

        return assembled(value)  # type: ignore[no-any-return]
    version = Version(next(session.datum_ids))
    version.state, version.value = found
    return Future(version)


def future_of(value: T) -> Future[T]:
    """The future behind what a task call returned: itself, or that of an empty instance of a declared class.

    Raises TypeError if the value does not come from a task call.
    """
    if isinstance(value, Future):
        return value
    if runtime.session is not None:
        datum = runtime.session.registry.find(value)
        if isinstance(datum, Future):
            return datum
    raise TypeError(f"{value!r} does not stand for the result of a task")


def compss_delete_object(*objects: Any) -> bool:
    """Stop tracking objects: their versions are freed, and passing one to a task again sends its present value.

    May be called with anything, from anywhere (``__del__``, at exit). Always True.
    """
    session = runtime.session
    if session is not None and not session.stopped:
        for value in objects:
            if not isinstance(value, Future):
                session.registry.discard(value)
    return True


# ---------------------------------------------------------------------- barriers


def compss_barrier(no_more_tasks: bool = False) -> None:
    """Wait for every task called so far.

    Raises the first failure that the program has not been told of: first in the order of the calls.
    ``no_more_tasks=True`` also brings all files to their places and forgets tracked objects.
    """
    session = runtime.session
    if session is None:
        return
    session.barrier()
    if no_more_tasks:
        session.bring_back_all()
        session.registry.clear()


# ---------------------------------------------------------------------- files


def _mapped(names: tuple[Any, ...], function: Callable[[Any], Any], what: str) -> Any:
    """Apply to each name, in lists and tuples too; one argument gives one result, several a list."""

    def apply(name: Any) -> Any:
        if isinstance(name, (list, tuple)):
            return type(name)(apply(item) for item in name)
        if not isinstance(name, (str, os.PathLike)):
            raise ArgumentError(f"{what} takes paths (in lists and tuples, too), not {name!r}")
        return function(name)

    results = [apply(name) for name in names]
    return results[0] if len(results) == 1 else results


def compss_file_exists(*names: Any) -> Any:
    """Whether files exist or will be made by tasks already called. Lists and tuples keep their structure."""

    def exists(name: Any) -> bool:
        session = runtime.session
        datum = session.known_file(name) if session is not None else None
        if datum is not None and not datum.current.state:
            return True
        if datum is not None and last_good(datum.current).state == FILE:
            return os.path.exists(str(last_good(datum.current).value))
        return os.path.exists(name)

    return _mapped(names, exists, "compss_file_exists")


def compss_wait_on_file(*names: Any) -> Any:
    """Wait for the last version of files and put it at their paths. Returns the names as given."""
    return _mapped(names, lambda name: _bring_back(name, "wait_on_file"), "compss_wait_on_file")


def compss_wait_on_directory(*names: Any) -> Any:
    """Wait for the last version of directories and put it at their paths. Returns the names as given."""
    return _mapped(names, lambda name: _bring_back(name, "wait_on_directory"), "compss_wait_on_directory")


def _bring_back(name: Any, what: str) -> Any:
    session = runtime.session
    datum = session.known_file(name) if session is not None else None
    if session is not None and datum is not None:
        session.bring_back(datum, what)
    return name


def compss_open(name: Any, mode: str = "r", **options: Any) -> Any:
    """Open a file that tasks write or read: waits for its last version and opens it at its path.

    A mode that writes makes the main program the producer of a new version: tasks called later read it, tasks called
    before are not disturbed. ``options`` go to the built-in ``open``.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ArgumentError(f"compss_open takes a path, not {name!r}")
    mode = mode.replace("cv", "r+", 1) if mode.startswith("cv") else mode.replace("c", "r+", 1)
    session = runtime.session
    if session is None:
        return open(name, mode, **options)
    datum = session.known_file(name)
    if datum is not None:
        if mode.startswith(("w", "x")):
            # The old content is not wanted: let pending readers finish with it, and begin anew.
            session.free_path(datum)
            session.files.pop(datum.path, None)
        else:
            session.bring_back(datum, "open")
    if any(letter in mode for letter in "wax+"):
        session.free_name(absolute(name))
    return open(name, mode, **options)


def compss_delete_file(*names: Any) -> Any:
    """Delete files once the tasks called so far have done with them; the names may be used anew at once.

    Returns True where there was something to delete. Lists and tuples keep their structure.
    """

    def delete(name: Any) -> bool:
        session = runtime.session
        datum = session.known_file(name) if session is not None else None
        existed = os.path.lexists(name)
        if session is not None and datum is not None:
            existed = existed or not datum.current.state or datum.current.state == FILE
            session.free_path(datum)
            session.files.pop(datum.path, None)
        if existed:
            remove_any(os.fspath(name))
        return existed

    return _mapped(names, delete, "compss_delete_file")


def compss_get_number_of_resources() -> int:
    """Number of nodes that run tasks."""
    return 1


__all__ = [
    "compss_barrier", "compss_delete_file", "compss_delete_object", "compss_file_exists",
    "compss_get_number_of_resources", "compss_open", "compss_wait_on", "compss_wait_on_directory",
    "compss_wait_on_file", "future_of", "put",
]  # fmt: skip
