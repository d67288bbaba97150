"""What every part of a search statement shares: its arguments, and the numbers by which the store knows things.

A value is always an argument, never text. What stands in the text is what the program itself chose: numbers of types,
parameters and units are the store's own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.search import parameters
from gateway.search.reach import Reach, Sight
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.index_rows import plain
from gateway.store.postgres.units import Unit

RESOURCE: Final = "resource r"
_PLACEHOLDER: Final = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its arguments and their types."""

    sql: str
    arguments: tuple[Any, ...]
    shared: str
    """The form that answers many at once: each argument is an array with a value for every asker, and `place` in the
    result says whose row it is; '' where an argument is an array already.
    """
    small: bool
    """Whether it reads few rows: nobody waits long for it."""
    told: bool = False
    """Whether its shared form says what had been committed, in a row of its own."""


@dataclass(slots=True)
class Arguments:
    """The arguments of a statement: `put(value, type)` notes one and returns its placeholder."""

    values: list[Any] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    def __call__(self, value: Any, type_: str) -> str:
        """Note a value of a PostgreSQL type; return its placeholder. Text is made what PostgreSQL's text can hold."""
        if type_ == "text":
            value = plain(value)
        elif type_ == "text[]":
            value = list(map(plain, value))
        self.values.append(value)
        self.types.append(type_)
        return f"${len(self.values)}::{type_}"

    def statement(self, sql: str, *, small: bool = False, beside: str = "") -> Statement:
        """Return SQL with those of the arguments that stand in it; what was noted for a way not taken falls out.

        `beside` is what the shared form gives once, for everybody: the columns of one more row, whose place is 0.
        """
        used, sql, shared = _forms(sql, tuple(self.types), beside)
        return Statement(sql, tuple([self.values[place] for place in used]), shared, small, bool(beside))


@functools.lru_cache(maxsize=2048)
def _forms(sql: str, types: tuple[str, ...], beside: str) -> tuple[tuple[int, ...], str, str]:
    """Return the places of the arguments that stand in a text, the text that counts these alone, and its shared form."""
    used = sorted({int(number) for number in _PLACEHOLDER.findall(sql)})
    places = {str(number): f"${place}" for place, number in enumerate(used, 1)}
    alone = _PLACEHOLDER.sub(lambda found: places[found[1]], sql)
    kept = [types[number - 1] for number in used]
    shared = ""
    if kept and not any(name.endswith("[]") for name in kept):
        columns = ", ".join(f"v{number}" for number in range(1, len(kept) + 1))
        arrays = ", ".join(f"${number}::{name}[]" for number, name in enumerate(kept, 1))
        inner = _PLACEHOLDER.sub(r"asked.v\1", alone)
        shared = (
            f"select asked.place, found.* from unnest({arrays}) with ordinality as asked ({columns}, place)\n"
            f"cross join lateral (\n{inner}\n) found"
        )
        shared += f"\nunion all\nselect 0, {beside}" if beside else ""
    return tuple(number - 1 for number in used), alone, shared


@dataclass(slots=True)
class Scope:
    """Passed down through a statement that is being made."""

    types: Mapping[str, int]
    parameters: Mapping[str, int]
    units: Mapping[Unit, int]
    frequencies: Frequencies
    sight: Sight | None = None
    """What exists for whoever asks; None is everything."""
    put: Arguments = field(default_factory=Arguments)
    _names: int = 0
    _reaches: dict[str, Reach | None] = field(default_factory=dict)

    def reach(self, resource_type: str) -> Reach | None:
        """Return what exists of a type for whoever asks, None where it is everything."""
        if self.sight is None:
            return None
        if resource_type not in self._reaches:
            self._reaches[resource_type] = self.sight.of(resource_type)
        return self._reaches[resource_type]

    @property
    def asked(self) -> set[str]:
        """The types whose reach was asked for."""
        return {*self._reaches}

    def name(self, stem: str) -> str:
        """Return a name that nothing else in the statement has."""
        self._names += 1
        return f"{stem}{self._names}"

    def type(self, name: str) -> int:
        """Return the number of a resource type; 0, which no row has, for one the store does not know."""
        return self.types.get(name, 0)

    def parameter(self, name: str) -> int:
        """Return the number of a parameter; 0, which no row has, for one the store does not know."""
        return self.parameters.get(name, 0)

    def any_of(self, column: str, values: list[Any], type_: str) -> str:
        """Return the condition that a column is one of some values."""
        if len(values) == 1:
            return f"{column} = {self.put(values[0], type_)}"
        return f"{column} = any({self.put(values, type_ + '[]')})"

    def tokens(self, alias: str, values: list[int]) -> str:
        """Return the condition that a resource has one of some tokens, as its index can answer it."""
        if len(values) == 1:
            return f"{alias}.tokens @> array[{self.put(values[0], 'bigint')}]"
        return f"{alias}.tokens && {self.put(values, 'bigint[]')}"


def first(condition: str, alias: str = "r") -> str:
    """Return a source that reads by one condition before all others; `offset 0` keeps the planner from merging them."""
    return f"(select * from resource {alias} where {condition} offset 0) {alias}"


def main_date(resource_type: str) -> str:
    """Return the parameter whose interval stands in `low` and `high`, '' where a type has none."""
    try:
        return parameters.of(resource_type).main_date
    except KeyError:
        return ""


def one_patient(resource_type: str) -> bool:
    """Say whether all that a resource says of `patient` stands in its column: one place that does not repeat."""
    patient = parameters.of(resource_type).get("patient")
    places = patient.paths if patient is not None else ()
    return resource_type == "Patient" or (len(places) == 1 and not any(step.repeats for step in places[0].steps))


def one_value(resource_type: str, name: str) -> bool:
    """Say whether a resource has one value of a parameter at most: one element, of a choice of types perhaps."""
    parameter = parameters.of(resource_type).get(name)
    if parameter is None or any(step.repeats for place in parameter.paths for step in place.steps):
        return False
    ways = {
        (
            *(step.name for step in place.steps[:-1]),
            place.steps[-1].name.removesuffix(place.type[:1].upper() + place.type[1:]),
        )
        for place in parameter.paths
    }
    return len(ways) == 1


def of_patient(resource_type: str, name: str) -> bool:
    """Say whether a parameter's references to patients are kept as `patient`."""
    parameter = parameters.of(resource_type).get(name)
    return name == "patient" or (parameter is not None and parameter.as_patient)
