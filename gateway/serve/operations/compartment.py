"""A compartment as questions to the store: one for each type and parameter that puts a resource into it (R4 compartments).

A question is a search as a caller could ask it, so that it runs on the same indexes and under the same decisions. A
resource that two parameters of its type put in is found twice; `first` says which finding counts.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass, replace
from typing import Final

from gateway.model import Resource
from gateway.search import index, parameters, parse, times
from gateway.search.query import After, Query, Sort, reference

_BIRTH: Final = "birthdate"
_SECOND: Final = dt.timedelta(seconds=1)
_STANDING: Final = frozenset(
    {"AllergyIntolerance", "Condition", "Consent", "EpisodeOfCare", "FamilyMemberHistory", "Flag", "Goal"}
)
"""What began before a range of care dates may go on in it: only the end of the range counts."""


@dataclass(frozen=True, slots=True)
class Range:
    """Of a `$everything`: care dates from and to (FHIR dates, '' open), and the moment of the last look."""

    start: str = ""
    end: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One question: the resources of `type` that refer to the focus by `parameter` (`_id`: the focus itself)."""

    type: str
    parameter: str


@functools.lru_cache(maxsize=256)
def steps(name: str, types: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """Return the questions of a compartment (`Patient`, `Encounter`), the focus first, of these types (none: of all)."""
    found = [Step(name, "_id")]
    for kind in sorted(parameters.types()):
        for one in parameters.compartment(name, kind):
            known = parameters.of(kind).get(one)
            if one != "_id" and known is not None and known.supported:
                found.append(Step(kind, one))
    return tuple(one for one in found if not types or one.type in types)


def query(step: Step, focus: str, within: Range, *, count: int, until: dt.datetime, after: After | None) -> Query:
    """Return a step's question: newest main date first, one page."""
    value = focus.partition("/")[2] if step.parameter == "_id" else focus
    pairs = [(step.parameter, value), ("_count", str(count))]
    care = parameters.of(step.type).main_date
    if care and care != _BIRTH and step.parameter != "_id":
        if within.end:
            pairs.append((care, f"le{_moment(times.interval(within.end)[1] - _SECOND)}"))
        if within.start and step.type not in _STANDING:
            pairs.append((care, f"ge{_moment(times.interval(within.start)[0])}"))
    if within.since:
        pairs.append(("_lastUpdated", f"gt{within.since}"))
    return replace(parse.parse(step.type, pairs), sort=Sort.DATE_NEWEST, until=until, after=after)


def _moment(moment: dt.datetime) -> str:
    """Return an end of the range to the second. `ge2024-03` itself would pass over what began before March and ended in it."""
    return moment.isoformat(timespec="seconds")


def first(name: str, focus: str, resource: Resource) -> str:
    """Return the first parameter that puts a resource into the compartment, '' when none does."""
    kind = resource["resourceType"]
    if f"{kind}/{resource.get('id')}" == focus:
        return "_id"
    found = index.extract(resource)
    hashes = {*found.tokens, found.patient}
    for step in steps(name, (kind,)):
        known = parameters.of(kind).get(step.parameter)
        stored = "patient" if known is not None and known.as_patient and name == "Patient" else step.parameter
        if reference(stored, focus) in hashes:
            return step.parameter
    return ""
