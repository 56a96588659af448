"""What a task needs of the node it runs on, what a node offers, and whether the two fit.

*Constraints* are what a program writes (``@constraint(computing_units="$CUS")``). With environment variables and
expressions replaced by values they are *requirements*. A part of these says which nodes will do; the rest, the
*demand*, is taken from the node while the task runs.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError
from taskflow.model.functions import Demand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Every constraint there is; the kind says what its value is.
KINDS = {
    "computing_units": "count",
    "processor_name": "text",
    "processor_architecture": "text",
    "processor_speed": "number",
    "processor_type": "text",
    "processor_property_name": "text",
    "processor_property_value": "text",
    "processor_internal_memory_size": "number",
    "processors": "processors",
    "memory_size": "number",
    "memory_type": "text",
    "storage_size": "number",
    "storage_type": "text",
    "storage_bw": "number",
    "operating_system_type": "text",
    "operating_system_distribution": "text",
    "operating_system_version": "text",
    "app_software": "list",
    "host_queues": "list",
    "wall_clock_limit": "count",
    "is_local": "flag",
}

#: Programs that start others: of these, every node is asked which it has.
PROGRAMS = (
    "julia", "mpirun", "mpiexec", "srun", "runcompss", "docker", "podman", "apptainer or singularity", "udocker"
)  # fmt: skip

PROGRAM = "installed program"  #: what a `Mismatch` calls them

#: Constraints whose text may name an argument or a global, or be an expression over them.
DYNAMIC = ("computing_units", "memory_size", "storage_size")

#: Keys of an entry of ``processors``, and the constraint that each is the same as.
_OF_PROCESSOR = {
    "type": "processor_type",
    "processor_type": "processor_type",
    "computing_units": "computing_units",
    "name": "processor_name",
    "processor_name": "processor_name",
    "architecture": "processor_architecture",
    "processor_architecture": "processor_architecture",
    "speed": "processor_speed",
    "processor_speed": "processor_speed",
    "property_name": "processor_property_name",
    "processor_property_name": "processor_property_name",
    "property_value": "processor_property_value",
    "processor_property_value": "processor_property_value",
    "internal_memory_size": "processor_internal_memory_size",
    "processor_internal_memory_size": "processor_internal_memory_size",
}

_MOST_CPUS = 6  #: processors of a node of which every selection is looked at
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))\Z")
_SAME_ARCHITECTURE = {"x86_64": "amd64", "x64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class ProcessorNeed:
    """Computing units of one processor; "" or 0 mean any."""

    units: int = 1
    type: str = "CPU"
    name: str = ""
    architecture: str = ""
    speed: float = 0.0
    property_name: str = ""
    property_value: str = ""
    internal_memory_size: float = 0.0


@dataclasses.dataclass(frozen=True)
class Requirements:
    """Resolved constraints of a task. Sizes are in GB, bandwidth in MB/s; "" or 0 mean any."""

    processors: tuple[ProcessorNeed, ...] = (ProcessorNeed(),)
    memory_size: float = 0.0
    memory_type: str = ""
    storage_size: float = 0.0
    storage_type: str = ""
    storage_bw: float = 0.0
    operating_system_type: str = ""
    operating_system_distribution: str = ""
    operating_system_version: str = ""
    app_software: frozenset[str] = frozenset()
    host_queues: frozenset[str] = frozenset()
    wall_clock_limit: int = 0
    is_local: bool = False
    programs: frozenset[str] = frozenset()  #: of `PROGRAMS`, those that it starts

    @property
    def units(self) -> int:
        """Computing units, of processors of the type CPU."""
        return sum(need.units for need in self.processors if need.type == "CPU")

    @property
    def demand(self) -> Demand:
        """What the task takes from its node while it runs, if all processors of a type are alike there."""
        devices = [(need.type, need.units, ()) for need in self.processors if need.type != "CPU"]
        return Demand(self.units, tuple(devices), self.amounts)

    def times(self, count: int) -> Requirements:
        """What so many such tasks need of one node."""
        processors = tuple([dataclasses.replace(need, units=need.units * count) for need in self.processors])
        return dataclasses.replace(
            self, processors=processors, memory_size=self.memory_size * count, storage_size=self.storage_size * count,
            storage_bw=self.storage_bw * count,
        )  # fmt: skip

    @property
    def amounts(self) -> tuple[tuple[str, float], ...]:
        """What the task takes of things that can be divided at will, by the name of the constraint."""
        amounts = [(name, getattr(self, name)) for name in ("memory_size", "storage_size", "storage_bw")]
        return tuple([(name, amount) for name, amount in amounts if amount])


@dataclasses.dataclass(frozen=True)
class Processor:
    """One kind of processor of a node, with all its units. What is not known ("" or 0) fits any need."""

    units: int
    type: str = "CPU"
    name: str = ""
    architecture: str = ""
    speed: float = 0.0
    properties: frozenset[tuple[str, str]] = frozenset()
    internal_memory_size: float = 0.0


@dataclasses.dataclass(frozen=True)
class Node:
    """What a node offers. What is not known ("" or None) fits any need, except software and queues.

    A processor with 0 units: nobody has said how many there are; it is asked when the node starts.
    ``limit_of_tasks``: how many tasks may run at a time, None for as many as fit. ``disks``: (name of a shared disk,
    where it is mounted on this node). ``programs``: those of `PROGRAMS` that are there; None: it has not been asked.
    """

    name: str
    processors: tuple[Processor, ...]
    memory_size: float | None = None
    memory_type: str = ""
    storage_size: float | None = None
    storage_type: str = ""
    storage_bw: float | None = None
    operating_system_type: str = ""
    operating_system_distribution: str = ""
    operating_system_version: str = ""
    software: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    limit_of_tasks: int | None = None
    disks: tuple[tuple[str, str], ...] = ()
    programs: frozenset[str] | None = None

    @property
    def units(self) -> int:
        """Computing units of processors of the type CPU; 0 if that is not known yet."""
        return sum(processor.units for processor in self.processors if processor.type == "CPU")

    @property
    def is_unit_count_known(self) -> bool:
        """Whether somebody has said how many computing units there are."""
        return all(processor.units for processor in self.processors)

    def with_units(self, count: int) -> Node:
        """The node with so many units wherever nobody has said how many there are."""
        known = [dataclasses.replace(each, units=each.units or count) for each in self.processors]
        return dataclasses.replace(self, processors=tuple(known))

    @property
    def facts(self) -> dict[str, Any]:
        """What was found out about a machine, for `found`; as plain data that can be sent."""
        processors = [(each.units, each.type, each.architecture) for each in self.processors]
        return {"processors": processors, **{name: getattr(self, name) for name in _FOUND}}

    def found(self, facts: dict[str, Any]) -> Node:
        """This node, of which nobody has said more than its name and perhaps its units, as it turned out to be."""
        units = self.units
        processors = [
            Processor(units if kind == "CPU" and units else count, kind, architecture=architecture)
            for count, kind, architecture in facts["processors"]
        ]
        return dataclasses.replace(
            self, processors=tuple(processors), **{name: facts[name] for name in _FOUND}
        )  # fmt: skip

    @property
    def executors(self) -> int:
        """How many executors run its tasks: one for each computing unit, but no more than tasks may run."""
        return self.units if self.limit_of_tasks is None else min(self.units, self.limit_of_tasks)

    @property
    def devices(self) -> dict[str, range]:
        """Indexes of the units that only one task has at a time (all but those of CPUs), by the type of processor."""
        counts: dict[str, int] = {}
        for processor in self.processors:
            if processor.type != "CPU":
                counts[processor.type] = counts.get(processor.type, 0) + processor.units
        return {kind: range(count) for kind, count in counts.items()}

    def processor_of(self, kind: str, index: int) -> Processor:
        """The processor that the device of that type and index belongs to."""
        for processor in self.processors:
            if processor.type == kind:
                if index < processor.units:
                    return processor
                index -= processor.units
        raise IndexError(f"{self.name} has no {kind} {index}")

    @property
    def amounts(self) -> dict[str, float]:
        """What can be divided among tasks, as far as it is known, by the name of the constraint.

        Also the computing units of each selection of CPUs, if there are several: see `demand_on`.
        """
        known = {name: getattr(self, name) for name in ("memory_size", "storage_size", "storage_bw")}
        amounts = {name: amount for name, amount in known.items() if amount is not None}
        for places in _selections(self.processors):
            amounts[_name_of(places)] = float(sum(self.processors[place].units for place in places))
        return amounts


#: Of a node's fields, those that the machine itself tells.
_FOUND = (
    "memory_size", "storage_size", "operating_system_type", "operating_system_distribution", "operating_system_version",
)  # fmt: skip


# ---------------------------------------------------------------------- reading constraints


def canonical(name: str) -> str | None:
    """The present name of a constraint: case and underscores of what was written do not matter. None: there is none."""
    return _CANONICAL.get(name.replace("_", "").lower())


_CANONICAL = {name.replace("_", ""): name for name in KINDS}
_CANONICAL_OF_PROCESSOR = {name.replace("_", ""): known for name, known in _OF_PROCESSOR.items()}


def check_names(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The constraints under their present names, their types checked.

    Raises ArgumentError for a name that is none and for values of a wrong type; ``where`` begins the message.
    """
    constraints: dict[str, Any] = {}
    for written, value in given.items():
        name = canonical(written)
        if name is None:
            near = difflib.get_close_matches(written.lower(), KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
            raise ArgumentError(f"{where}: unrecognised constraint {written!r}; {hint}")
        if name in constraints:
            raise ArgumentError(f"{where}: the constraint {name} is given twice")
        _check_type(name, value, where)
        constraints[name] = value
    if "processors" in constraints:
        flat = [name for name in constraints if name == "computing_units" or name.startswith("processor_")]
        if flat:
            raise ArgumentError(f"{where}: {flat[0]} belongs into the entries of processors, if these are given")
    return constraints


def _check_type(name: str, value: Any, where: str) -> None:
    kind = KINDS[name]
    if kind == "flag":
        fits, wanted = isinstance(value, bool), "True or False"
    elif kind == "processors":
        fits = isinstance(value, (list, tuple)) and all(isinstance(entry, dict) for entry in value)
        wanted = "a list of dictionaries"
    elif kind in ("text", "list"):
        fits, wanted = isinstance(value, (str, int, float)) and not isinstance(value, bool), "a string"
        if kind == "list" and isinstance(value, (list, tuple)):
            fits = all(isinstance(item, str) for item in value)
    else:
        fits, wanted = isinstance(value, (str, int, float)) and not isinstance(value, bool), "a number or a string"
    if not fits:
        raise ArgumentError(f"{where}: the constraint {name} is {wanted}, not {value!r}")
    if kind == "processors":
        for entry in value:
            _check_processor(entry, where)


def _check_processor(entry: Mapping[str, Any], where: str) -> None:
    for key, value in entry.items():
        name = _CANONICAL_OF_PROCESSOR.get(str(key).replace("_", "").lower())
        if name is None:
            near = difflib.get_close_matches(str(key).lower(), _OF_PROCESSOR, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ArgumentError(f"{where}: an entry of processors has no {key!r}{hint}")
        _check_type(name, value, f"{where}, processors")


def variables(constraints: Mapping[str, Any]) -> set[str]:
    """Names of the environment variables that constraints are taken from."""
    values = [
        *constraints.values(),
        *(value for entry in constraints.get("processors", ()) for value in entry.values()),
    ]
    found = [_VARIABLE.match(value.strip()) for value in values if isinstance(value, str)]
    return {match[1] or match[2] for match in found if match}


def variable(text: str) -> str:
    """Name of the environment variable that a text stands for (``$NAME`` or ``${NAME}``); "" if it does not."""
    found = _VARIABLE.match(text.strip())
    return "" if found is None else found[1] or found[2]


def _expand(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The constraints with variables (``$NAME`` or ``${NAME}``) replaced, without those whose variable is not set."""
    expanded: dict[str, Any] = {}
    for name, value in given.items():
        found = _VARIABLE.match(value.strip()) if isinstance(value, str) else None
        if found is None:
            expanded[name] = value
        elif (found[1] or found[2]) in environment:
            expanded[name] = environment[found[1] or found[2]]
    return expanded


def resolve(
    constraints: Mapping[str, Any], environment: Mapping[str, str], where: str, *, io: bool = False
) -> Requirements:
    """The requirements that constraints amount to; ``io``: a task that needs no computing unit.

    A constraint that is an environment variable which is not set counts as not given. Raises ArgumentError, naming the
    constraint, for values that make no sense.
    """
    values: dict[str, Any] = {}
    for name, value in _expand(constraints, environment).items():
        if name != "processors":
            values[name] = _value(name, value, where)
    entries = constraints.get("processors")
    if entries is None:
        entries = [{name: value for name, value in values.items() if name in _OF_PROCESSOR}]
    values = {name: value for name, value in values.items() if name not in _OF_PROCESSOR}
    needs = [_processor(entry, environment, where) for entry in entries]
    if io:
        needs = [need for need in needs if need.type != "CPU"]
    elif not any(need.type == "CPU" for need in needs):
        needs.insert(0, ProcessorNeed())  # even a task for a GPU has a program that runs
    return Requirements(tuple([need for need in needs if need.units]), **values)


def _processor(entry: Mapping[str, Any], environment: Mapping[str, str], where: str) -> ProcessorNeed:
    fields: dict[str, Any] = {}
    for key, value in _expand(entry, environment).items():
        name = _CANONICAL_OF_PROCESSOR[str(key).replace("_", "").lower()]
        field = "units" if name == "computing_units" else name.removeprefix("processor_")
        fields[field] = _value(name, value, where)
    if "type" in fields:
        fields["type"] = fields["type"].upper()
    return ProcessorNeed(**fields)


def _value(name: str, value: Any, where: str) -> Any:
    kind = KINDS[name]
    if kind == "flag":
        return value
    if kind == "text":
        return str(value)
    if kind == "list":
        items = value.split(",") if isinstance(value, str) else [str(item) for item in value]
        return frozenset(item.strip().upper() for item in items if item.strip())
    try:
        number = float(value)
    except (TypeError, ValueError):
        hint = ""
        if name in DYNAMIC:
            hint = "; neither an argument of the call nor a global of the task's module has that name"
        raise ArgumentError(f"{where}: {name} is a number, not {value!r}{hint}") from None
    if not 0 <= number < float("inf"):
        raise ArgumentError(f"{where}: {name} must be 0 or more, not {value!r}")
    if kind == "number":
        return number
    if number != int(number):
        raise ArgumentError(f"{where}: {name} is a whole number, not {value!r}")
    return int(number)


# ---------------------------------------------------------------------- matching


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """Why a node will never do: what a constraint asks for, and what the node has."""

    constraint: str
    requested: str
    available: str


def mismatches(requirements: Requirements, node: Node, *, home: bool = True) -> list[Mismatch]:
    """Everything that keeps the node from ever running a task with these requirements.

    ``home``: it is the machine of the main program.
    """
    found = _processor_mismatches(requirements.processors, node.processors)
    limit = node.limit_of_tasks
    if limit is not None and not found and requirements.units > limit:
        # Each executor is a computing unit, and there are no more executors than tasks may run.
        found.append(Mismatch("computing_units", str(requirements.units), f"{limit} (LimitOfTasks)"))
    if requirements.is_local and not home:
        found.append(Mismatch("is_local", "True", "it is not the machine of the main program"))
    for name in ("memory_size", "storage_size", "storage_bw"):
        wanted, there = getattr(requirements, name), getattr(node, name)
        if wanted and there is not None and wanted > there:
            unit = "MB/s" if name == "storage_bw" else "GB"
            found.append(Mismatch(name, f"{wanted:g} {unit}", f"{there:.3g} {unit}"))
    for name in ("memory_type", "storage_type", "operating_system_type", "operating_system_distribution",
                 "operating_system_version"):  # fmt: skip
        wanted, there = getattr(requirements, name), getattr(node, name)
        if wanted and there and wanted != there:
            found.append(Mismatch(name, wanted, there))
    for name, wanted, there in (
        ("app_software", requirements.app_software, node.software),
        ("host_queues", requirements.host_queues, node.queues),
    ):
        if not wanted <= there:
            found.append(Mismatch(name, ", ".join(sorted(wanted)), ", ".join(sorted(there)) or "none is declared"))
    if node.programs is not None and not requirements.programs <= node.programs:
        missing = sorted(requirements.programs - node.programs)
        found.append(Mismatch(PROGRAM, ", ".join(missing), "not in the folders of PATH"))
    return found


def _processor_mismatches(needs: tuple[ProcessorNeed, ...], offers: tuple[Processor, ...]) -> list[Mismatch]:
    """Each need takes a processor of its own."""
    if _assignable(needs, offers):
        return []
    found: list[Mismatch] = []
    for need in needs:
        same = [offer for offer in offers if offer.type == need.type]
        if not any(_does(offer, need) for offer in same):
            found += _best_explanation(need, same)
    if not found:
        wanted = " + ".join(f"{need.units} of type {need.type}" for need in needs)
        there = " + ".join(f"{offer.units} of type {offer.type}" for offer in offers)
        found.append(Mismatch("processors", f"{wanted}, each of another processor", there))
    return found


def _assignable(needs: tuple[ProcessorNeed, ...], offers: tuple[Processor, ...]) -> bool:
    if not needs:
        return True
    return any(
        _does(offer, needs[0]) and _assignable(needs[1:], (*offers[:place], *offers[place + 1 :]))
        for place, offer in enumerate(offers)
    )


def _does(offer: Processor, need: ProcessorNeed) -> bool:
    return offer.type == need.type and not _lacks(need, offer)


def _best_explanation(need: ProcessorNeed, offers: list[Processor]) -> list[Mismatch]:
    if not offers:
        return [Mismatch(f"computing_units of type {need.type}", str(need.units), "0")]
    return min([_lacks(need, offer) for offer in offers], key=len)


def _lacks(need: ProcessorNeed, offer: Processor) -> list[Mismatch]:
    found: list[Mismatch] = []
    if need.units > offer.units > 0:
        name = "computing_units" if need.type == "CPU" else f"computing_units of type {need.type}"
        found.append(Mismatch(name, str(need.units), str(offer.units)))
    if need.name and offer.name and need.name != offer.name:
        found.append(Mismatch("processor_name", need.name, offer.name))
    if need.architecture and offer.architecture and _plain(need.architecture) != _plain(offer.architecture):
        found.append(Mismatch("processor_architecture", need.architecture, offer.architecture))
    if need.speed and offer.speed and need.speed > offer.speed:
        found.append(Mismatch("processor_speed", f"{need.speed:g} GHz", f"{offer.speed:g} GHz"))
    pair = (need.property_name, need.property_value)
    if need.property_name and offer.properties and pair not in offer.properties:
        there = ", ".join(f"{name}={value}" for name, value in sorted(offer.properties))
        found.append(Mismatch("processor_property", "=".join(pair), there))
    if need.internal_memory_size > offer.internal_memory_size > 0.0:
        wanted, there = f"{need.internal_memory_size:g} GB", f"{offer.internal_memory_size:g} GB"
        found.append(Mismatch("processor_internal_memory_size", wanted, there))
    return found


def _plain(architecture: str) -> str:
    lower = architecture.lower()
    return _SAME_ARCHITECTURE.get(lower, lower)


def demand_on(requirements: Requirements, node: Node) -> Demand:
    """What a task takes from this node while it runs there, if nothing keeps it from running there.

    A need for a GPU of one model can be met by some of the node's GPUs only. As to CPUs, a computing unit is not tied
    to a processor, so it is enough if the tasks that run can be divided among the processors: for each selection of
    processors, the tasks that will do with no others must not need more units than it has. Hence the amounts.
    """
    demand = requirements.demand
    devices: list[tuple[str, int, tuple[int, ...]]] = []
    pools: dict[str, float] = {}
    selections = _selections(node.processors)
    for need in requirements.processors:
        fitting = {place for place, offer in enumerate(node.processors) if _does(offer, need)}
        if need.type == "CPU":
            for places in selections:
                if fitting.issubset(places):
                    pools[_name_of(places)] = pools.get(_name_of(places), 0.0) + need.units
            continue
        first = 0
        indexes: list[int] = []
        for place, offer in enumerate(node.processors):
            if offer.type == need.type:
                indexes += range(first, first + offer.units) if place in fitting else []
                first += offer.units
        devices.append((need.type, need.units, () if len(indexes) == first else tuple(indexes)))
    devices.sort(key=lambda device: (not device[2], len(device[2])))  # who can choose goes last
    return demand._replace(devices=tuple(devices), amounts=(*demand.amounts, *pools.items()))


def _selections(processors: tuple[Processor, ...]) -> list[tuple[int, ...]]:
    """Places of every selection of the CPUs, but for none and all of them; of very many, each by itself."""
    places = [place for place, each in enumerate(processors) if each.type == "CPU"]
    sizes = range(1, len(places)) if len(places) <= _MOST_CPUS else (1,)
    return [chosen for size in sizes for chosen in itertools.combinations(places, size)]


def _name_of(places: tuple[int, ...]) -> str:
    return f"units of processors {', '.join(map(str, places))}"


def lacking_nodes(hosts: int, found: Iterable[tuple[str, Iterable[Mismatch]]]) -> list[tuple[str, list[Mismatch]]]:
    """A line for `table` that says how many nodes would do, for a task that needs more at once."""
    fit = [name for name, reasons in found if not reasons]
    there = f"{len(fit)} ({', '.join(fit[:3])}{', ...' * (len(fit) > 3)})" if fit else "0"
    return [("all together", [Mismatch("nodes at once", str(hosts), there)])]


_SHOWN_NODES = 8  #: with reasons of their own, in a table


def table(found: Iterable[tuple[str, Iterable[Mismatch]]]) -> str:
    """Requested against available, a line each, for people: for each node, by its name, why it will not do.

    Nodes with the same reasons share them. A single node is not named.
    """
    names: dict[tuple[Mismatch, ...], list[str]] = {}
    for name, reasons in found:
        names.setdefault(tuple(reasons), []).append(name)
    rows = [("node", "constraint", "requested", "available")]
    for reasons, nodes in list(names.items())[:_SHOWN_NODES]:
        shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
        for place, item in enumerate(reasons):
            rows.append(("" if place else shown, item.constraint, item.requested, item.available))
    alone = sum(map(len, names.values())) == 1
    columns = range(1, 4) if alone else range(4)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  " + "  ".join(row[column].ljust(widths[column]) for column in columns).rstrip() for row in rows]
    more = sum(map(len, list(names.values())[_SHOWN_NODES:]))
    return "\n".join(lines + ([f"  and {more} more nodes"] if more else []))
