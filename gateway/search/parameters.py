"""The search parameters of FHIR R4, read once from mappings/fhir: what each is, where its values stand.

Not an evaluator: `index` walks resources by these paths for the store, `match` for a single question, `parse` asks
what a name means. Two rules keep the index small:

* A reference parameter that stands where `patient` stands (`subject`, `actor`) is not stored a second time for
  patients: `subject=Patient/x` is the question `patient=Patient/x`.
* A parameter whose paths are those of others together (`combo-code` is `code` and `component-code`) is stored as
  those, and asked for as either.
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


SUPPORTED: Final = frozenset({Kind.TOKEN, Kind.REFERENCE, Kind.DATE, Kind.URI})


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
    components: tuple[str, ...] = ()
    stored_as: tuple[str, ...] = ()
    """The parameters under whose names its values are kept; its own unless it is the union of others."""
    as_patient: bool = False
    """References to a Patient are kept as `patient`."""

    @property
    def supported(self) -> bool:
        """Whether a question may name it now."""
        return self.kind in SUPPORTED and bool(self.paths)


class Parameters:
    """The parameters of one resource type, its own and those of every resource, by name."""

    def __init__(self, resource_type: str, rows: Sequence[Parameter]) -> None:
        self.type = resource_type
        own = {parameter.name: parameter for parameter in rows}
        self._by_name = {name: _derive(parameter, own) for name, parameter in own.items()}
        self.main_date = _main_date(self._by_name)

    def get(self, name: str) -> Parameter | None:
        """Return the parameter, or None for a name this type does not have."""
        return self._by_name.get(name)

    def all(self) -> list[Parameter]:
        """Return all of them, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def stored(self) -> list[Parameter]:
        """Return those whose values are kept under their own names."""
        return [
            parameter for parameter in self.all() if parameter.supported and parameter.stored_as == (parameter.name,)
        ]


@functools.cache
def of(resource_type: str) -> Parameters:
    """Return the parameters of a resource type. Raises KeyError for a type that R4 does not have."""
    if resource_type not in types():
        raise KeyError(resource_type)
    table = _table()
    return Parameters(resource_type, [*table.get("Resource", ()), *table.get(resource_type, ())])


@functools.cache
def types() -> Mapping[str, tuple[str, ...]]:
    """Return every R4 resource type with the parameters that put it into the patient compartment."""
    return {row["type"]: tuple(row["patient"].split()) for row in _rows("resource-types.csv")}


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
                components=tuple(row["components"].split("$")) if row["components"] else (),
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


def _derive(parameter: Parameter, own: Mapping[str, Parameter]) -> Parameter:
    """Note how a parameter is stored: as `patient`, as the union of others, or under its own name."""
    if parameter.kind is Kind.REFERENCE and parameter.name != "patient" and (patient := own.get("patient")):
        places = {path.steps for path in patient.paths}
        as_patient = {path.steps for path in parameter.paths} == places and not any(
            path.target for path in parameter.paths
        )
        return replace(parameter, as_patient=as_patient)
    if parameter.kind is Kind.TOKEN and len(parameter.paths) > 1:
        parts = [
            other.name
            for other in own.values()
            if other.kind is Kind.TOKEN
            and other.name != parameter.name
            and other.paths
            and set(other.paths) < set(parameter.paths)
        ]
        if {path for name in parts for path in own[name].paths} == set(parameter.paths):
            return replace(parameter, stored_as=tuple(sorted(parts)))
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
