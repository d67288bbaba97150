"""The search parameters of FHIR R4, read once from mappings/fhir: what each is, where its values stand.

Not an evaluator: `index` walks resources by these paths for the store, `match` for a single question, `parse` asks
what a name means. Two rules keep the index small:

* A reference parameter that stands where `patient` stands (`subject`, `actor`) is not stored a second time for
  patients: `subject=Patient/x` is the question `patient=Patient/x`.
* A parameter whose paths are those of others together (`combo-code` is `code` and `component-code`, `phonetic` is
  `name`) is stored as those, and asked for as either.
"""

from __future__ import annotations

import csv
import enum
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "mappings" / "fhir"

MAIN_DATES: Final = (
    "date", "birthdate", "onset-date", "authoredon", "authored-on", "authored", "effective", "effective-time",
    "whenhandedover", "created", "started", "start", "recorded", "period", "occurrence", "collected", "issued", "sent",
    "start-date", "event-date", "identified", "datewritten", "timestamp", "datetime",
)  # fmt: skip
"""Which date of a type its results are sorted by: the first of these that it has and that does not repeat."""


class Kind(enum.StrEnum):
    """The type of a search parameter (FHIR R4 search-param-type)."""

    TOKEN = "token"  # noqa: S105
    REFERENCE = "reference"
    DATE = "date"
    URI = "uri"
    STRING = "string"
    NUMBER = "number"
    QUANTITY = "quantity"
    COMPOSITE = "composite"
    SPECIAL = "special"


TEXTS: Final = frozenset({"_text", "_content"})
"""Parameters of the text of a resource, its narrative or all of it: R4 gives them no path, and `match` answers them."""
SORTABLE: Final = frozenset({Kind.DATE, Kind.STRING, Kind.URI, Kind.NUMBER, Kind.QUANTITY, Kind.TOKEN, Kind.REFERENCE})
"""Kinds whose values have an order. R4 gives none to a composite, which is several values at once, nor to what is special."""
_UNSTORED: Final = frozenset({Kind.COMPOSITE, Kind.SPECIAL})
"""Kinds that `match` answers, with what the index keeps of other parameters to go by."""
_BITS: Final = 63
_NO_NARRATIVE: Final = frozenset({"Binary", "Bundle", "Parameters"})
"""Resources that are no DomainResource."""
_SHARED: Final = frozenset({Kind.TOKEN, Kind.STRING, Kind.NUMBER, Kind.QUANTITY, Kind.URI})
"""Kinds whose values need not be stored a second time under the name of a union or an alias."""


@dataclass(frozen=True, slots=True)
class Step:
    """One name on the way to a value. `where` keeps the items whose element has that value."""

    name: str
    repeats: bool = False
    where: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the steps, the data type at the end, the type a reference must name ('' any)."""

    steps: tuple[Step, ...]
    type: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a composite: the parameter that it is, and where it stands within an element of the composite
    (`paths`) or in the resource (`apart`).
    """

    name: str
    paths: tuple[Place, ...]
    apart: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one resource type."""

    base: str
    name: str
    kind: Kind
    definition: str
    paths: tuple[Place, ...]
    targets: tuple[str, ...] = ()
    system: str = ""
    """The code system that a `code` element implies (`status=http://hl7.org/fhir/observation-status|final`)."""
    components: tuple[Component, ...] = ()
    """Of a composite, whose `paths` are the elements that the components stand in."""
    stored_as: tuple[str, ...] = ()
    """The parameters under whose names its values are kept; its own unless it is the union of others."""
    as_patient: bool = False
    """References to a Patient are kept as `patient`."""
    bit: int = -1
    """Its place in `Index.present`, 0 to 62: the parameters of a type by name."""
    types: frozenset[str] = frozenset()
    """The data types of its values."""
    personal: bool = False
    """Whether a value of it may name a person: texts, identifiers, telephone numbers."""

    @property
    def supported(self) -> bool:
        """Whether a question may name it: R4 says where its values stand, or they are the text of the resource."""
        return bool(self.paths) or self.name in TEXTS

    @property
    def sortable(self) -> bool:
        """Whether results can be sorted by it."""
        return self.name == "_id" or (self.kind in SORTABLE and bool(self.paths))

    def kept_as(self, target_type: str) -> str:
        """Return the parameter under which references to a type are kept."""
        return "patient" if self.as_patient and target_type == "Patient" else self.name


class Parameters:
    """The parameters of one resource type, its own and those of every resource, by name."""

    def __init__(self, resource_type: str, rows: Sequence[Parameter]) -> None:
        self.type = resource_type
        own = {parameter.name: parameter for parameter in rows}
        if len(own) > _BITS:
            raise ValueError(f"{resource_type} has more than {_BITS} search parameters")
        self._by_name = {name: replace(_derive(own[name], own), bit=bit) for bit, name in enumerate(sorted(own))}
        self.main_date = _main_date(self._by_name)

    def get(self, name: str) -> Parameter | None:
        """Return the parameter, or None for a name this type does not have."""
        return self._by_name.get(name)

    def all(self) -> list[Parameter]:
        """Return all of them, by name."""
        return list(self._by_name.values())

    def stored(self) -> list[Parameter]:
        """Return those whose values are kept under their own names."""
        return [
            parameter
            for parameter in self.all()
            if parameter.paths and parameter.stored_as == (parameter.name,) and parameter.kind not in _UNSTORED
        ]


@functools.cache
def of(resource_type: str) -> Parameters:
    """Return the parameters of a resource type. Raises KeyError for a type that R4 does not have."""
    if resource_type not in types():
        raise KeyError(resource_type)
    table = _table()
    shared = table["Resource"] if resource_type in _NO_NARRATIVE else [*table["Resource"], *table["DomainResource"]]
    return Parameters(resource_type, [*shared, *table.get(resource_type, ())])


def compartment(name: str, resource_type: str) -> tuple[str, ...]:
    """Return the parameters that put a resource into a compartment (`Patient`, `Encounter`, `Practitioner`,
    `RelatedPerson`, `Device`), none when the type is in none of them; `_id` is the resource whose compartment it is.

    Raises KeyError for a compartment or type that R4 does not have. Source: R4 CompartmentDefinition.
    """
    return _compartments()[resource_type][name]


@functools.cache
def types() -> Mapping[str, tuple[str, ...]]:
    """Return every R4 resource type with the parameters that put it into the patient compartment."""
    return {row["type"]: tuple(row["patient"].split()) for row in _rows("resource-types.csv")}


@functools.cache
def _compartments() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    return {
        row["type"]: {
            name[0].upper() + name[1:]: tuple(members.split()) for name, members in row.items() if name != "type"
        }
        for row in _rows("resource-types.csv")
    }


@functools.cache
def _table() -> Mapping[str, list[Parameter]]:
    table: dict[str, list[Parameter]] = {}
    for row in _rows("search-parameters.csv"):
        table.setdefault(row["base"], []).append(
            Parameter(
                base=row["base"],
                name=row["parameter"],
                kind=Kind(row["type"]),
                definition="http://hl7.org/fhir/SearchParameter/" + row["row"],
                paths=tuple(_path(text) for text in row["paths"].split()),
                targets=tuple(sorted(types())) if row["targets"] == "*" else tuple(row["targets"].split()),
                system=row["system"],
                components=tuple(_component(text) for text in row["components"].split("$") if text),
                stored_as=(row["parameter"],),
            )
        )
    return table


def _rows(name: str) -> list[dict[str, str]]:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


_STEP = re.compile(r"(?P<name>[\w\[x]+?\]?)(?P<repeats>\[0?\])?(\((?P<key>\w+)=(?P<value>[\w-]+)\))?")


def _path(text: str) -> Place:
    """Read `participant[].actor:Reference{Patient}`; see the legend of the table."""
    way, _, kind = text.rpartition(":")
    kind, _, target = kind.rstrip("}").partition("{")
    steps = []
    for segment in way.split(".") if way else ():
        parts = _STEP.fullmatch(segment)
        if parts is None:
            raise ValueError(f"{text}: not a path")
        where = (parts["key"], parts["value"]) if parts["key"] else None
        steps.append(Step(parts["name"], parts["repeats"] is not None, where))
    return Place(tuple(steps), kind, target)


def _component(text: str) -> Component:
    name, _, paths = text.partition("=")
    return Component(
        name,
        tuple(_path(path) for path in paths.split() if path[0] != "/"),
        tuple(_path(path[1:]) for path in paths.split() if path[0] == "/"),
    )


def _derive(parameter: Parameter, own: Mapping[str, Parameter]) -> Parameter:
    """Note how a parameter is stored: as `patient`, as the union of others, or under its own name."""
    types = frozenset(place.type for place in parameter.paths)
    personal = parameter.kind is Kind.STRING or not types.isdisjoint({"Identifier", "ContactPoint"})
    parameter = replace(parameter, types=types, personal=personal)
    if parameter.kind is Kind.REFERENCE and parameter.name != "patient" and (patient := own.get("patient")):
        places = {path.steps for path in patient.paths}
        as_patient = {path.steps for path in parameter.paths} == places and not any(
            path.target for path in parameter.paths
        )
        return replace(parameter, as_patient=as_patient)
    if parameter.kind in _SHARED and parameter.paths:
        same = [
            other
            for other in own.values()
            if other.kind is parameter.kind and other.name != parameter.name and other.paths
        ]
        paths = set(parameter.paths)
        alias = min((other.name for other in same if set(other.paths) == paths), default=parameter.name)
        if alias < parameter.name:
            return replace(parameter, stored_as=(alias,))
        parts = [other for other in same if set(other.paths) < paths]
        if {path for other in parts for path in other.paths} == paths:
            return replace(parameter, stored_as=tuple(sorted(other.name for other in parts)))
    return parameter


def _main_date(own: Mapping[str, Parameter]) -> str:
    """Return the name of the main date parameter, '' when the type has none."""
    single = {
        name
        for name, parameter in own.items()
        if parameter.kind is Kind.DATE
        and parameter.name != "_lastUpdated"
        and parameter.paths
        and not any(step.repeats for path in parameter.paths for step in path.steps)
    }
    return next((name for name in (*MAIN_DATES, *sorted(single)) if name in single), "")
