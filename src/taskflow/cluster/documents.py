"""Reading the user's XML files: without network and entities, checked against the schema, every problem explained.

The schema, ``cluster.rng``, is the only place that says what may stand where. A validator says of a wrong document
that it is wrong, and seldom what is wrong with it; so the schema is also read here, as a tree of rules, and the
document is walked along it. The validator has the last word.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import re
from typing import TYPE_CHECKING, Any

from lxml import etree

from taskflow.cluster.names import near
from taskflow.model.cluster import Part
from taskflow.model.errors import ClusterFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = os.path.join(os.path.dirname(__file__), "cluster.rng")

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_MANY = 1 << 30
_POSITION = re.compile(r", line \d+, column \d+\Z")  #: at the end of what the parser says
_SHOWN = 20  #: problems of one file that are told at once


class Problems:
    """What is wrong with a file, collected so that all of it can be told at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.found: list[tuple[int, str]] = []

    def add(self, line: int, where: str, text: str) -> None:
        """Something is wrong in that line, in that element."""
        self.found.append((line, f"{self.path}:{line}: {where}: {text}" if where else f"{self.path}:{line}: {text}"))

    def stop_if_any(self) -> None:
        """Raise ClusterFileError if something was found."""
        if not self.found:
            return
        lines = [text for _, text in sorted(self.found)]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
        raise ClusterFileError("\n".join(lines))


def read(path: str, root: str) -> Part:
    """The document in the file, whose root element must be of that name.

    Raises ClusterFileError, with all that is wrong, if the file cannot be read or is not what the schema says.
    """
    tree = _parse(path)
    element = tree.getroot()
    problems = Problems(path)
    if element.tag != root:
        other = {"Project": "--project", "ResourcesList": "--resources"}.get(str(element.tag))
        hint = f"; a file with that goes with {other}" if other else ""
        if _plain(element.tag) == root:
            hint = " in no namespace; leave out xmlns=..."
        problems.add(_line(element), "", f"the root element is {_plain(element.tag)}, and has to be {root}{hint}")
        problems.stop_if_any()
    _explain(element, _rules()[root], "", problems)
    validator = etree.RelaxNG(_schema())
    if not problems.found and not validator.validate(tree):
        for entry in validator.error_log:
            problems.add(entry.line, "", entry.message)
    problems.stop_if_any()
    return _part(element)


def _parse(path: str) -> Any:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, remove_comments=True,
        remove_pis=True,
    )  # fmt: skip
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ClusterFileError(f"{path} cannot be read: {error.strerror}") from None
    if not data.strip():
        raise ClusterFileError(f"{path} is empty; it has to contain XML")
    try:
        tree = etree.ElementTree(etree.fromstring(data, parser))
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        what = _POSITION.sub("", getattr(error, "msg", None) or str(error))
        raise ClusterFileError(f"{path}:{line}: this is no well-formed XML: {what}") from None
    if tree.docinfo.internalDTD is not None:
        raise ClusterFileError(f"{path}: a DOCTYPE and entities are not accepted; leave the line <!DOCTYPE ...> out")
    return tree


def _part(element: Any) -> Part:
    return Part(
        str(element.tag), _line(element), {str(name): value.strip() for name, value in element.attrib.items()},
        " ".join((element.text or "").split()) if not len(element) else "", tuple(map(_part, element)),
    )  # fmt: skip


def _line(element: Any) -> int:
    return int(element.sourceline or 0)


def _plain(tag: Any) -> str:
    """The name of an element as people write it."""
    return str(tag).rpartition("}")[2]


# ---------------------------------------------------------------------- the schema as rules


@dataclasses.dataclass
class _Value:
    """What a text may be: one of the ``choices``, or of the type, within the limits; or any text."""

    type: str = "text"
    choices: tuple[str, ...] = ()
    limits: dict[str, str] = dataclasses.field(default_factory=dict)

    def wanted(self) -> str:
        """The rule in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type == "positiveInteger":
            return "a whole number, 1 or more"
        if self.type == "nonNegativeInteger":
            return "a whole number, 0 or more"
        if self.type == "integer":
            return f"a whole number from {self.limits['minInclusive']} to {self.limits['maxInclusive']}"
        if self.type == "double":
            return "a number, 0 or more"
        return "a text"

    def allows(self, text: str) -> bool:
        """Whether the text obeys the rule."""
        if self.choices:
            return text in self.choices
        if self.type in ("positiveInteger", "nonNegativeInteger", "integer"):
            lowest = {"positiveInteger": 1, "nonNegativeInteger": 0}.get(self.type)
            lowest = int(self.limits["minInclusive"]) if lowest is None else lowest
            highest = int(self.limits.get("maxInclusive", _MANY))
            return bool(re.fullmatch(r"[+-]?[0-9]{1,9}", text)) and lowest <= int(text) <= highest
        if self.type == "double":
            return bool(re.fullmatch(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", text))
        return self.type == "text" or bool(text)


@dataclasses.dataclass
class _Rule:
    """What an element may hold: attributes (is it required, of what value), elements (rule, fewest, most), text."""

    attributes: dict[str, tuple[bool, _Value]] = dataclasses.field(default_factory=dict)
    elements: dict[str, tuple[_Rule, int, int]] = dataclasses.field(default_factory=dict)
    value: _Value | None = None


@functools.cache
def _schema() -> Any:
    return etree.parse(SCHEMA)


@functools.cache
def _rules() -> dict[str, _Rule]:
    """The rules of the root elements."""
    grammar = _schema().getroot()
    defines = {define.get("name"): define for define in grammar.iterfind(f"{_RNG}define")}
    start = _Rule()
    _enter(start, grammar.find(f"{_RNG}start"), defines, 1, 1)
    return {name: rule for name, (rule, _, _) in start.elements.items()}


def _enter(rule: _Rule, pattern: Any, defines: dict[str, Any], fewest: int, most: int) -> None:
    """Take the patterns inside the pattern into the rule."""
    for inner in pattern.iterchildren(tag=etree.Element):
        kind = _plain(inner.tag)
        if kind == "ref":
            _enter(rule, defines[inner.get("name")], defines, fewest, most)
        elif kind == "element":
            below = _Rule()
            _enter(below, inner, defines, 1, 1)
            rule.elements[inner.get("name")] = (below, fewest, most)
        elif kind == "attribute":
            if inner.get("name"):
                below = _Rule()
                _enter(below, inner, defines, 1, 1)
                rule.attributes[inner.get("name")] = (fewest > 0, below.value or _Value())
        elif kind == "text":
            rule.value = _Value()
        elif kind == "data":
            limits = {param.get("name"): param.text for param in inner}
            rule.value = _Value(inner.get("type"), limits=limits)
        elif kind == "value":
            known = () if rule.value is None else rule.value.choices
            rule.value = _Value("choice", (*known, inner.text))
        else:
            fewest_inside = 0 if kind in ("optional", "zeroOrMore") else fewest
            _enter(rule, inner, defines, fewest_inside, _MANY if kind.endswith("OrMore") else most)


@functools.cache
def _parents() -> dict[str, set[str]]:
    """In which elements each element may stand."""
    found: dict[str, set[str]] = {}

    def visit(name: str, rule: _Rule) -> None:
        for inner, (below, _, _) in rule.elements.items():
            found.setdefault(inner, set()).add(name)
            visit(inner, below)

    for name, rule in _rules().items():
        visit(name, rule)
    return found


# ---------------------------------------------------------------------- what is wrong


def _explain(element: Any, rule: _Rule, where: str, problems: Problems) -> None:
    """Add everything in the element that the rule does not allow."""
    line = _line(element)
    told = where or _title(element)
    for name, text in element.attrib.items():
        if name.startswith("{"):
            continue  # of an editor or another tool
        if name not in rule.attributes:
            problems.add(line, told, f"there is no attribute {name}{_instead(name, rule.attributes)}")
        elif not rule.attributes[name][1].allows(text.strip()):
            problems.add(line, told, _wrong(f"the attribute {name}", text.strip(), rule.attributes[name][1]))
    for name, (required, _) in rule.attributes.items():
        if required and name not in element.attrib:
            problems.add(line, told, f'the attribute {name} is missing: <{_plain(element.tag)} {name}="...">')
    _explain_text(element, rule, told, problems)
    seen: dict[str, int] = {}
    misspelt: set[str | None] = set()
    for inner in element:
        name = str(inner.tag)
        below = f"{where} > {_title(inner)}".removeprefix(" > ")
        if not isinstance(inner.tag, str):
            problems.add(_line(inner), told, "entities are not accepted; write the text itself")
        elif name not in rule.elements:
            problems.add(_line(inner), told, f"there is no element {_plain(name)} here{_elsewhere(name, rule)}")
            misspelt.add(near(name, rule.elements))
        elif name in seen and rule.elements[name][2] == 1:
            problems.add(_line(inner), told, f"{name} stands here twice, first in line {seen[name]}; leave one out")
        else:
            seen.setdefault(name, _line(inner))
            _explain(inner, rule.elements[name][0], below, problems)
    for name, (below_rule, fewest, _) in rule.elements.items():
        if fewest and name not in seen and name not in misspelt:
            wanted = f"<{name}>...</{name}>"
            if below_rule.value is not None:
                wanted += f" with {below_rule.value.wanted()}"
            problems.add(line, told, f"the element {name} is missing: {wanted}")


def _explain_text(element: Any, rule: _Rule, where: str, problems: Problems) -> None:
    line = _line(element)
    text = " ".join((element.text or "").split())
    if rule.value is not None:
        if not rule.value.allows(text):
            problems.add(line, where, _wrong("it", text, rule.value))
        return
    for loose in (text, *(" ".join((inner.tail or "").split()) for inner in element)):
        if loose:
            holds = f"only the elements {', '.join(rule.elements)}" if rule.elements else "nothing"
            problems.add(line, where, f"there is the text {loose[:40]!r}, but it holds {holds}")


def _wrong(what: str, text: str, value: _Value) -> str:
    if not text:
        return f"{what} is empty, and has to be {value.wanted()}"
    near = [choice for choice in value.choices if choice.lower() == text.lower()]
    near = near or difflib.get_close_matches(text.upper(), value.choices, n=1)
    return f"{what} has to be {value.wanted()}, not {text!r}" + (f"; did you mean {near[0]}?" if near else "")


def _title(element: Any) -> str:
    name = element.get("Name") if isinstance(element.tag, str) else None
    return f"{_plain(element.tag)} {name}" if name else _plain(element.tag)


def _instead(name: str, known: Iterable[str]) -> str:
    names = list(known)
    meant = near(name, names)
    if meant:
        return f"; did you mean {meant}?"
    return f"; there is {', '.join(names)}" if names else "; it has none"


def _elsewhere(name: str, rule: _Rule) -> str:
    """What to write in place of an element that does not belong where it is."""
    if name.startswith("{"):
        return "; elements belong to no namespace, so leave out xmlns=..."
    meant = near(name, rule.elements)
    if meant:
        return f"; did you mean {meant}?"
    parents = sorted(_parents().get(name, ()))
    if parents:
        return f"; it belongs into {' or '.join(parents)}"
    return f"; there is {', '.join(rule.elements)}" if rule.elements else "; it holds no elements"
