"""What a task of ``@http`` asks of its service, and what it makes of the answer: templates, filled in and taken apart.

Templates are taken apart when the decorator is applied, so a value that is put into one later is always data: in a
path it is percent-encoded, in a payload it becomes a value of its format. It can add no segment, field or header.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from taskflow.model.errors import ArgumentError, ServiceError
from taskflow.runners.web import Answer, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
_UPDATE = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}((?:\s*\.\s*[^\s.=]+)*)\s*=\s*\{\{\s*(\w+)\s*\}\}\s*")
_RETURN = re.compile(r"return_([0-9]+)")
#: Parts of a text: what is said, and the names between, in turn.
Pieces = tuple[str, ...]


def pieces(template: str) -> Pieces:
    """A template as text and names in turn, text first and last."""
    return tuple(PLACE.split(template))


def names_in(parts: Pieces) -> Iterable[str]:
    """The names among the pieces of a template."""
    return parts[1::2]


def text_of(value: Any, what: str) -> str:
    """A value as the text that stands for it outside JSON. Raises ArgumentError, which names ``what`` it is."""
    return value if isinstance(value, str) else json_of(value, what)


def json_of(value: Any, what: str) -> str:
    """A value as JSON. Raises ArgumentError, which names ``what`` it is."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{what} cannot be sent as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """What JSON knows in place of a number or an array of numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is none of its values")


# ---------------------------------------------------------------------- JSON with places


class Slot(NamedTuple):
    """A place in a JSON document for a value."""

    name: str


class Text(NamedTuple):
    """A text in a JSON document with places in it."""

    parts: Pieces


def json_template(template: str, where: str) -> Any:
    """A JSON document with `Slot` and `Text` where values belong; single quotes are quotes, too.

    Raises ArgumentError if it is none.
    """
    if "\0" in template or "\1" in template:
        raise ArgumentError(f"{where} has control characters: {template!r}")
    marked: list[str] = []
    position = 0
    quoted = ""
    while position < len(template):
        place = PLACE.match(template, position)
        char = template[position]
        if place is not None:
            marked.append(f"\0{place[1]}\0" if quoted else f'"\1{place[1]}"')
            position = place.end()
            continue
        if char == "\\" and quoted and position + 1 < len(template):
            following = template[position + 1]
            marked.append("'" if following == "'" else char + following)  # JSON does not escape that one
            position += 2
            continue
        if not quoted and char in "'\"":
            quoted = char
            char = '"'
        elif char == quoted:
            quoted = ""
            char = '"'
        elif quoted and char == '"':
            char = '\\"'
        marked.append(char)
        position += 1
    try:
        document = json.loads("".join(marked), strict=False)
    except ValueError as error:
        raise ArgumentError(f"{where} is no JSON with {{{{names}}}} for values: {error}: {template!r}") from None
    return _with_slots(document)


def _with_slots(document: Any) -> Any:
    if isinstance(document, str):
        if document.startswith("\1"):
            return Slot(document[1:])
        return Text(tuple(document.split("\0"))) if "\0" in document else document
    if isinstance(document, list):
        return [_with_slots(item) for item in document]
    if isinstance(document, dict):
        return {_with_slots(key): _with_slots(item) for key, item in document.items()}
    return document


def slots_in(document: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[tuple[Any, ...], str]]:
    """(path of keys and indexes, name) of every place for a value in a document."""
    if isinstance(document, Slot):
        yield path, document.name
    elif isinstance(document, Text):
        for name in names_in(document.parts):
            yield path, name
    elif isinstance(document, list):
        for index, item in enumerate(document):
            yield from slots_in(item, (*path, index))
    elif isinstance(document, dict):
        for key, item in document.items():
            yield from slots_in(key, path)
            yield from slots_in(item, (*path, key))


def has_slots_for_keys(document: Any) -> bool:
    """Whether a key of the document has a place in it."""
    if isinstance(document, list):
        return any(has_slots_for_keys(item) for item in document)
    if not isinstance(document, dict):
        return False
    return any(not isinstance(key, str) or has_slots_for_keys(item) for key, item in document.items())


def filled(document: Any, value_of: Mapping[str, Any], where: str) -> Any:
    """The document with the values in their places."""
    if isinstance(document, Slot):
        return value_of[document.name]
    if isinstance(document, Text):
        return "".join(
            text_of(value_of[part], f"{where}: {{{{{part}}}}}") if place % 2 else part
            for place, part in enumerate(document.parts)
        )
    if isinstance(document, list):
        return [filled(item, value_of, where) for item in document]
    if isinstance(document, dict):
        return {filled(key, value_of, where): filled(item, value_of, where) for key, item in document.items()}
    return document


# ---------------------------------------------------------------------- the payload


class Payload(NamedTuple):
    """A template of what is sent. ``whole``: the only thing in it is the value of that name; else ``form`` has it.

    ``form``: a JSON document, or the pieces of a text of another type.
    """

    kind: str
    whole: str
    form: Any

    @property
    def names(self) -> list[str]:
        """The names in it."""
        if self.whole:
            return [self.whole]
        return [name for _, name in slots_in(self.form)] if _is_json(self.kind) else list(names_in(self.form))


def payload_template(template: str, content_type: str, where: str) -> Payload:
    """What a payload's template says. Raises ArgumentError."""
    kind = content_type.partition(";")[0].strip().lower()
    alone = PLACE.fullmatch(template.strip())
    if alone is not None:
        return Payload(kind, alone[1], None)
    return Payload(kind, "", json_template(template, where) if _is_json(kind) else pieces(template))


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _whole_body(kind: str, value: Any, what: str) -> bytes:
    """A payload that is one value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not _is_json(kind):
        return text_of(value, what).encode()
    if isinstance(value, str) and _is_document(value):
        return value.encode()
    return json_of(value, what).encode()


def _is_document(text: str) -> bool:
    """Whether the text is a JSON object or array already."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _encoder(kind: str) -> Any:
    """How a value is written in a payload of that type."""
    if kind == "application/x-www-form-urlencoded":
        return quote_plus
    if kind.endswith(("/xml", "+xml")) or kind == "text/html":
        return lambda text: escape(text, {'"': "&quot;", "'": "&apos;"})
    return str


# ---------------------------------------------------------------------- requests


class Update(NamedTuple):
    """``{{parameter}}.key.key = {{name}}``."""

    parameter: str
    keys: tuple[str, ...]
    name: str


def update_templates(template: str | Sequence[str], where: str) -> tuple[Update, ...]:
    """What ``updates`` says: one text, with semicolons between several, or several. Raises ArgumentError."""
    texts = template.split(";") if isinstance(template, str) else list(template)
    found = []
    for text in texts:
        if not text.strip() and len(texts) > 1:
            continue
        match = _UPDATE.fullmatch(text)
        if match is None:
            raise ArgumentError(f"{where} is written {{{{parameter}}}}.key = {{{{name}}}}, not {text!r}")
        keys = tuple([key.strip() for key in match[2].split(".")[1:]])
        found.append(Update(match[1], keys, match[3]))
    return tuple(found)


class Prepared(NamedTuple):
    """A request that can be made, and the arguments of the task that it was made from."""

    outgoing: Outgoing
    values: dict[str, Any]


@dataclasses.dataclass
class Request:
    """What a task function asks of its service; what the executor of a service calls in place of the function.

    ``positional``, ``varargs`` and ``defaults``: of the function. ``files``: its parameters that are input files,
    ``targets`` those that are output files. ``kinds``: types of its results, by name, "" for any.
    """

    where: str
    service: str
    method: str
    resource: Pieces
    payload: Payload | None
    payload_type: str
    headers: tuple[tuple[str, Pieces], ...]
    produces: tuple[tuple[tuple[Any, ...], str], ...] | None
    updates: tuple[Update, ...]
    max_response: int
    positional: tuple[str, ...] = ()
    varargs: str = ""
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = ()

    # ------------------------------------------------------------------ asking

    def prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Prepared:
        """The request of one task with these arguments. Raises ArgumentError for what cannot be sent, and OSError."""
        values = {**self.defaults, **dict(zip(self.positional, args, strict=False)), **kwargs}
        if self.varargs:
            values[self.varargs] = list(args[len(self.positional) :])
        secrets: list[str] = []
        headers = {}
        if self.payload is not None:
            headers["Content-Type"] = self.payload_type
        headers |= {name: self._header(name, template, values, secrets) for name, template in self.headers}
        outgoing = Outgoing(
            self.method, self._resource(values), headers, self._body(values), self.max_response, tuple(secrets)
        )
        return Prepared(outgoing, values)

    def _resource(self, values: Mapping[str, Any]) -> str:
        if len(self.resource) == 1:
            return self.resource[0]
        text = "".join(
            quote(text_of(self._sent(part, values), f"{self.where}: {part} in resource"), safe="")
            if place % 2
            else part
            for place, part in enumerate(self.resource)
        )
        if {".", ".."}.intersection(text.partition("?")[0].split("/")):
            raise ArgumentError(f"{self.where}: with its arguments the resource has a step '.' or '..' in its path")
        return text

    def _header(self, name: str, template: Pieces, values: Mapping[str, Any], secrets: list[str]) -> str:
        text = "".join(
            text_of(values[part], f"{self.where}: {part} in header {name}")
            if place % 2
            else self._with_environment(part, name, secrets)
            for place, part in enumerate(template)
        )
        if not text.isprintable() or not text.isascii():
            # Without the value, which may be secret.
            raise ArgumentError(f"{self.where}: the value of header {name} has characters that no header may have")
        return text

    def _with_environment(self, text: str, name: str, secrets: list[str]) -> str:
        def value(match: re.Match[str]) -> str:
            variable = match[1] or match[2]
            if variable is None:
                return "$"
            found = os.environ.get(variable)
            if found is None:
                raise ArgumentError(
                    f"{self.where}: the header {name} needs the environment variable {variable}, which is not set; "
                    f"export it before the program starts"
                )
            secrets.append(found)
            return found

        return _VARIABLE.sub(value, text)

    def _body(self, values: Mapping[str, Any]) -> bytes | str | None:
        payload = self.payload
        if payload is None:
            return None
        if payload.whole:
            value = values[payload.whole]
            if payload.whole in self.files:
                return str(value)
            return _whole_body(payload.kind, value, f"{self.where}: {payload.whole} as payload")
        where = f"{self.where}: payload"
        sent = {name: self._sent(name, values, in_json=_is_json(payload.kind)) for name in payload.names}
        if _is_json(payload.kind):
            return json_of(filled(payload.form, sent, where), where).encode()
        written = _encoder(payload.kind)
        return "".join(
            written(text_of(sent[part], f"{where}: {part}")) if place % 2 else part
            for place, part in enumerate(payload.form)
        ).encode()

    def _sent(self, name: str, values: Mapping[str, Any], *, in_json: bool = False) -> Any:
        """The value of a parameter, or the content of the file that it is. In JSON, content that is JSON is that."""
        if name not in self.files:
            return values[name]
        with open(values[name], encoding="utf-8") as file:
            try:
                text = file.read()
            except UnicodeDecodeError:
                raise ArgumentError(
                    f"{self.where}: the file {name} is not text; only as the whole payload can it be sent"
                ) from None
        return json.loads(text) if in_json and _is_document(text) else text

    # ------------------------------------------------------------------ the answer

    def results(self, answer: Answer, prepared: Prepared, returns: int) -> list[Any]:
        """What the task returns; its arguments are changed and its files written. Raises ServiceError."""
        if not 200 <= answer.status < 300:
            said = answer.beginning()
            raise ServiceError.answered(
                answer.status,
                f"{self.method} {answer.url} of the service {self.service} answered {answer.status} "
                f"{answer.reason}{f'; it said: {said}' if said.strip() else ' and said nothing'}",
            )
        found: dict[str, Any] = {}
        if self.produces is not None:
            found = self._taken_apart(answer)
            results = [found.get(f"return_{index}", _NOTHING) for index in range(returns)]
            if _NOTHING in results:
                missing = results.index(_NOTHING)
                raise ServiceError(f"{self.where}: produces does not say where result {missing} is: return_{missing}")
        elif returns > 1:
            document = self._document(answer)
            if not isinstance(document, list) or len(document) < returns:
                raise self._unlike(answer, f"no list of {returns} values")
            results = document[:returns]
        else:
            results = [self._whole(answer)] if returns else []
        for index, kind in enumerate(self.kinds[: len(results)]):
            results[index] = self._converted(results[index], kind, answer)
        for update in self.updates:
            self._update(update, found, prepared.values)
        for name in self.targets & found.keys():
            self._write(prepared.values[name], found[name])
        return results

    def _unlike(self, answer: Answer, what: str) -> ServiceError:
        return ServiceError.answered(
            answer.status,
            f"{self.method} {answer.url} of the service {self.service} answered with {what}: "
            f"{answer.beginning() or '(nothing)'}",
        )

    def _document(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self._unlike(answer, f"what is not JSON ({error})") from None

    def _whole(self, answer: Answer) -> Any:
        """The body as the only result: text, unless it is JSON or declared as something else."""
        kind = self.kinds[0] if self.kinds else ""
        if kind == "bytes":
            return answer.body
        if not answer.is_json or not answer.body:
            return answer.text()
        document = self._document(answer)
        return answer.text() if kind == "str" and not isinstance(document, str) else document

    def _taken_apart(self, answer: Answer) -> dict[str, Any]:
        """The values at the places that ``produces`` names."""
        assert self.produces is not None
        if [path for path, _ in self.produces] == [()]:
            name = self.produces[0][1]
            if name in self.targets:
                return {name: answer.body}
            return {name: self._whole(answer)}
        document = self._document(answer)
        found = {}
        for path, name in self.produces:
            value = document
            for step in path:
                try:
                    value = value[step]
                except (LookupError, TypeError):
                    steps = "".join(f"[{step!r}]" for step in path)
                    raise self._unlike(answer, f"a document without {steps} ({name} of produces)") from None
            found[name] = value
        return found

    def _converted(self, value: Any, kind: str, answer: Answer) -> Any:
        """A result as the type that was declared for it."""
        if not kind or type(value).__name__ == kind:
            return value
        if kind == "str":
            return text_of(value, "an answer")
        if isinstance(value, str) and kind != "bytes":
            try:
                value = json.loads(value.lower() if kind == "bool" else value)
            except ValueError:
                raise self._unlike(answer, f"no {kind}") from None
        if kind == "float" and type(value) is int:
            return float(value)
        if kind == "int" and type(value) is float and value.is_integer():
            return int(value)
        if kind == "tuple" and type(value) is list:
            return tuple(value)
        if type(value).__name__ != kind:
            raise self._unlike(answer, f"no {kind}")
        return value

    def _update(self, update: Update, found: Mapping[str, Any], values: dict[str, Any]) -> None:
        target = values[update.parameter]
        value = found[update.name] if update.name in found else values[update.name]
        for place, key in enumerate(update.keys):
            if not isinstance(target, dict):
                steps = ".".join((update.parameter, *update.keys[:place]))
                raise ServiceError(f"{self.where}: updates sets a key of {steps}, a {type(target).__name__}, no dict")
            if place == len(update.keys) - 1:
                target[key] = value
            else:
                target = target.setdefault(key, {})

    @staticmethod
    def _write(path: str, value: Any) -> None:
        """Write a value to an output file."""
        content = value if isinstance(value, bytes) else text_of(value, "an answer").encode()
        with open(path, "wb") as file:
            file.write(content)


_NOTHING = object()
