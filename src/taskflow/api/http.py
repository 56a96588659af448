"""The ``@http`` decorator: a task that is a request to a service."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, TypeVar

from taskflow.api.arguments import by_name, checked, warn
from taskflow.api.options import task_under
from taskflow.model.errors import ArgumentError
from taskflow.model.parameters import Direction, Kind
from taskflow.runners.http import (
    Request,
    has_slots_for_keys,
    json_template,
    names_in,
    payload_template,
    pieces,
    slots_in,
    update_templates,
)
from taskflow.runners.web import MAX_RESPONSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskflow.api.options import Body
    from taskflow.api.task import TaskFunction

F = TypeVar("F", bound="Callable[..., Any]")

NONE = "#"  #: stands for a template that is not given
_METHOD = re.compile(r"[A-Za-z]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KINDS = frozenset({"int", "float", "str", "bool", "dict", "list", "tuple", "bytes"})
#: Of the framing of a request, or said otherwise.
_OF_US = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


@dataclasses.dataclass
class ServiceBody(Request):
    """The request as the body of a task function: in executors there is none, and plain calls run the function."""

    decorator: str = "http"
    in_plain_calls: bool = False

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: whoever has it does not make the request."""
        return function

    def inside(self, container: Body) -> Body:
        """Raises ArgumentError: no process makes the request that could be in a container."""
        raise ArgumentError(
            f"{self.where}: the main program makes the request, so it cannot be in a container; take "
            f"@{container.decorator} away"
        )


def http(*args: Any, **arguments: Any) -> Callable[[F], F]:
    """Make a task a request to a service; put it above ``@task``. The body of the function is not run.

    ``service_name``: of an ``<Http>`` element in ``resources.xml``, or of a service that was named with
    ``runtask --service`` or ``taskflow.start(services=...)``. ``resource``: the path after the service's URL, with the
    query. ``request``: the method (``"GET"``). ``payload``: what is sent, of type ``payload_type`` (default
    ``"application/json"``). In these, ``{{parameter}}`` stands for an argument of the task.

    ``produces``: a JSON document like the answer, with ``{{return_0}}``, ``{{return_1}}``, ... where the results are
    and other names for what ``updates`` uses: ``"{{parameter}}.key = {{name}}"`` sets a key of an INOUT dict. Without
    it the whole answer is the result: its value if it is JSON, else its text; converted to the type that
    ``@task(returns=...)`` names.

    ``headers``: a dict; in its values ``$NAME`` is an environment variable of the main program, which no log and no
    error shows. ``max_response``: bytes that an answer may have.

    Without a session the function is called and no request made. The task fails if the service cannot be reached, or
    answers with another status than 2xx. Raises ArgumentError for wrong arguments and for names that the task has not.
    """
    by_name("http", args)
    known = checked(
        "http", arguments, ("payload", "payload_type", "produces", "updates", "headers", "max_response"),
        ("service_name", "resource", "request"),
    )  # fmt: skip

    def decorate(function: F) -> F:
        task = task_under(function, "http")
        task.options.set_body(_request(known, task), task.plan.name)
        task.changed()
        return function

    return decorate


def _request(given: dict[str, Any], task: TaskFunction) -> ServiceBody:
    """What the decorator says of its task. Raises ArgumentError."""
    plan = task.plan
    where = f"@http of task {plan.name}"
    for name in ("service_name", "resource", "request", "payload_type"):
        if not isinstance(given.get(name, ""), str):
            raise ArgumentError(f"{where}: {name} is a text, not {given[name]!r}")
    if not given["service_name"].strip():
        raise ArgumentError(f"{where}: service_name is empty")
    if not _METHOD.fullmatch(given["request"].strip()):
        raise ArgumentError(f"{where}: request is a method such as GET or POST, not {given['request']!r}")
    payload_type = given.get("payload_type", "application/json")
    payload = _given(given, "payload", where)
    produces = _produces(_given(given, "produces", where), where)
    updates_text = given.get("updates", NONE)
    updates = () if updates_text in (NONE, None, "") else update_templates(updates_text, f"{where}: updates")
    payload_form = None if payload is None else payload_template(payload, payload_type, f"{where}: payload")
    resource = pieces(given["resource"])
    headers = _headers(given.get("headers"), where)
    signature = plan.signature.parameters
    used = [*names_in(resource), *(payload_form.names if payload_form else ())]
    used += [name for _, template in headers for name in names_in(template)]
    for what, names in (("resource, payload or headers", used), ("updates", [each.parameter for each in updates])):
        _check_names(what, names, plan.by_name.keys() | signature.keys(), where, anything=plan.takes_keywords)
    produced = {name for _, name in produces or ()}
    _check_names("updates", [each.name for each in updates], produced | signature.keys(), where, anything=False)
    used += [each.name for each in updates]
    _check_parameters(task, updates, produced, where)
    if produces is not None:
        _check_results(task, produced, where)
    size = given.get("max_response", MAX_RESPONSE)
    if not isinstance(size, int) or size < 1:
        raise ArgumentError(f"{where}: max_response is a number of bytes, not {size!r}")
    files = {name: parameter for name, parameter in plan.by_name.items() if parameter.kind is Kind.FILE}
    return ServiceBody(
        where=where, service=given["service_name"].strip(), method=given["request"].strip().upper(),
        resource=resource, payload=payload_form, payload_type=payload_type, headers=headers, produces=produces,
        updates=updates, max_response=size, positional=tuple(plan.positional),
        varargs=next((name for name, parameter in signature.items() if parameter.kind is parameter.VAR_POSITIONAL), ""),
        defaults={
            name: signature[name].default
            for name in used
            if name in signature and signature[name].default is not inspect.Parameter.empty
        },
        files=frozenset([name for name, parameter in files.items() if parameter.direction.reads]),
        targets=frozenset([name for name, parameter in files.items() if not parameter.direction.reads]),
        kinds=_kinds(task),
    )  # fmt: skip


def _given(given: dict[str, Any], name: str, where: str) -> str | None:
    """A template; None if there is none."""
    template = given.get(name)
    if template is None or template == NONE:
        return None
    if not isinstance(template, str):
        raise ArgumentError(
            f"{where}: {name} is a text; write it in quotes, as in {name}='{{\"key\": {{{{name}}}}}}', not {template!r}"
        )
    return template


def _produces(template: str | None, where: str) -> tuple[tuple[tuple[Any, ...], str], ...] | None:
    if template is None:
        return None
    document = json_template(template, f"{where}: produces")
    if has_slots_for_keys(document):
        raise ArgumentError(f"{where}: produces has a {{{{name}}}} for a key; only values are taken from answers")
    return tuple(slots_in(document))


def _headers(given: Any, where: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if given is None:
        return ()
    if not isinstance(given, dict) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise ArgumentError(f"{where}: headers is a dict of texts")  # without the values, which may be secret
    for name in given:
        if not _HEADER.fullmatch(name):
            raise ArgumentError(f"{where}: {name!r} is no name of a header")
        if name.lower() in _OF_US:
            instead = "say payload_type" if name.lower() == "content-type" else "leave it out"
            raise ArgumentError(f"{where}: the header {name} is written by the runtime; {instead}")
    return tuple([(name, pieces(value)) for name, value in given.items()])


def _check_names(what: str, names: Iterable[str], known: Iterable[str], where: str, *, anything: bool) -> None:
    for name in names:
        if name not in known and not anything:
            raise ArgumentError(f"{where}: {{{{{name}}}}} in {what} is no parameter of the task")


def _check_parameters(task: TaskFunction, updates: Iterable[Any], produced: set[str], where: str) -> None:
    """The directions of parameters, against what is done with them."""
    by_name = task.plan.by_name
    for update in updates:
        parameter = by_name.get(update.parameter)
        if not update.keys:
            raise ArgumentError(f"{where}: updates of {update.parameter} names no key: {{{{{update.parameter}}}}}.key")
        if parameter is None or parameter.kind is not Kind.OBJECT or not parameter.direction.writes:
            raise ArgumentError(f"{where}: updates changes {update.parameter}: say {update.parameter}=INOUT in @task")
    for name, parameter in by_name.items():
        if parameter.kind in (Kind.DIRECTORY, Kind.STREAM, Kind.COLLECTION_FILE):
            raise ArgumentError(f"{where}: {name} is a {parameter.kind.name}, which no request can be made of")
        if parameter.kind is not Kind.FILE:
            continue
        if parameter.direction not in (Direction.IN, Direction.OUT, Direction.IN_DELETE):
            raise ArgumentError(f"{where}: a request reads a file (FILE_IN) or makes one (FILE_OUT): {name} is neither")
        if not parameter.direction.reads and name not in produced:
            raise ArgumentError(f"{where}: nothing is written to the file {name}; name it in produces: {{{{{name}}}}}")


def _check_results(task: TaskFunction, produced: set[str], where: str) -> None:
    """Each result has a place in ``produces``, as far as it is known already how many there are."""
    count = task.declared_results
    if count is None:
        count = isinstance(task.declared_returns, type)  # an annotation
    for index in range(count):
        if f"return_{index}" not in produced:
            raise ArgumentError(f"{where}: produces does not say where result {index} is: {{{{return_{index}}}}}")


def _kinds(task: TaskFunction) -> tuple[str, ...]:
    """The names of the types that are declared of the results, "" where there is none."""
    said = task.declared_returns
    if not isinstance(said, (list, tuple)):
        said = (said,)
    names = [kind.__name__ if isinstance(kind, type) else kind if isinstance(kind, str) else "" for kind in said]
    return tuple([name if name in _KINDS else "" for name in names])


def check_options(task: TaskFunction, family: Sequence[TaskFunction]) -> None:
    """Tell of what has no effect on requests. Raises ArgumentError for what cannot be; ``family``: implementations."""
    where = f"@http of task {task.plan.name}"
    options = task.options
    if options.container is not None:
        options.wrapping()  # says why not
    if options.wrappers:
        raise ArgumentError(f"{where}: no executor runs it, so there is nowhere to run what other decorators add to it")
    if options.constraints or options.io or options.hosts != 1:
        warn(f"{where}: constraints have no effect, since the request takes nothing of any node")
    if family:
        raise ArgumentError(f"{where}: @implement chooses among what executors run; a request is none of that")
    if options.spread:
        raise ArgumentError(f"{where}: the main program makes the request; it cannot be made on every node")


HTTP = http
