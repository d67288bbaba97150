"""Does a resource answer a query? Slow and obvious, for one resource at a time, without a store.

It reads the same table of parameters as `index`, in the plainest way: every value of every parameter, hashed, under
every parameter's own name. That the store's search finds exactly what `match` says is a law with a test of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.model import Resource
from gateway.search import parameters, times
from gateway.search.parameters import Kind, Parameter, Place, Step
from gateway.search.query import DateTerm, Query, ReferenceTerm, TokenTerm, reference, token
from gateway.search.references import literal, type_of


def match(query: Query, resource: Resource) -> bool:
    """Say whether `resource`, with its `id` and `meta.lastUpdated`, is among what `query` asks for.

    Order, count and page do not matter here. Raises KeyError for a resource type that R4 does not have.
    """
    if resource["resourceType"] != query.type or (query.ids and resource.get("id") not in query.ids):
        return False
    hashes = {found for parameter in parameters.of(query.type).all() for found in _hashes(parameter, resource)}
    for term in (*query.updated, *query.terms):
        match term:
            case TokenTerm() | ReferenceTerm():
                if hashes.isdisjoint(term.values):
                    return False
            case DateTerm():
                if not _dated(term, resource):
                    return False
    return True


def _dated(term: DateTerm, resource: Resource) -> bool:
    parameter = parameters.of(resource["resourceType"]).get(term.parameter)
    found = [_interval(value, place.type) for place, value in _values(parameter, resource)] if parameter else []
    return any(
        times.compare(prefix, covered, (low, high)) for covered in found if covered for prefix, low, high in term.values
    )


def _interval(value: Any, data_type: str) -> times.Interval | None:
    try:
        match data_type:
            case "date" | "dateTime" | "instant":
                return times.interval(value)
            case "Period":
                return times.period(value)
            case "Timing":
                return times.timing(value)
            case _:
                return None
    except ValueError:
        return None


def _values(parameter: Parameter, resource: Resource) -> Iterator[tuple[Place, Any]]:
    for place in parameter.paths:
        for value in _walk(resource, place.steps):
            yield place, value


def _walk(value: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, *rest = steps
    below = value.get(step.name) if isinstance(value, dict) else None
    for item in below if isinstance(below, list) else [below]:
        if item is not None and (
            step.where is None or (isinstance(item, dict) and item.get(step.where[0]) == step.where[1])
        ):
            yield from _walk(item, tuple(rest))


def _hashes(parameter: Parameter, resource: Resource) -> Iterator[int]:
    name = parameter.name
    if name == "deceased":
        stated = resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource
        yield token(name, None, "true" if stated else "false")
        return
    for place, value in _values(parameter, resource):
        if parameter.kind in {Kind.TOKEN, Kind.URI}:
            for system, code in _codes(value, place.type):
                yield token(name, None, code)
                if system is not None:
                    yield token(name, system, code)
        elif parameter.kind is Kind.REFERENCE:
            for target in _targets(value, place):
                yield reference(name, target)
                if parameter.as_patient and type_of(target) == "Patient":
                    yield reference("patient", target)


def _codes(value: Any, data_type: str) -> list[tuple[str | None, str]]:
    """Return (system, code) of a value; '' is no system, None a data type that has none."""
    match data_type:
        case "CodeableConcept":
            return [code for coding in value.get("coding", []) for code in _codes(coding, "Coding")]
        case "Coding":
            return [(value.get("system", ""), value["code"])] if "code" in value else []
        case "Identifier" | "ContactPoint":
            return [(value.get("system", ""), value["value"])] if "value" in value else []
        case "boolean":
            return [(None, "true" if value else "false")]
        case _:
            return [(None, value)] if isinstance(value, str) else []


def _targets(value: Any, place: Place) -> list[str]:
    if place.type == "Reference":
        target = literal(value.get("reference", "#"))
        return [target] if target and (not place.target or type_of(target) == place.target) else []
    if place.type == "Resource":
        return [f"{value['resourceType']}/{value['id']}"] if "id" in value else []
    return [value, value.split("|")[0]] if isinstance(value, str) else []
