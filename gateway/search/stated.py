"""What a resource states for a search parameter, in the plainest reading of the table: every value, as its type says.

For `match`, which judges one resource at a time, and for what needs values instead of hashes: `references` (includes)
and `sort_key`. `index` and `leaves` read the same table for speed, and a law says that both agree.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from gateway.model import Resource
from gateway.search import amounts, parameters, times, words
from gateway.search.indexed import Measure, fold, reference, token
from gateway.search.parameters import Kind, Parameter, Place, Step
from gateway.search.references import literal, names, type_of

Found = tuple[Place, Any]
"""A value, and the place of the table that it stands in."""
SortKey = str | dt.datetime | Decimal
BETWEEN: Final = "\x1f"
"""Stands between system and code of a token that is sorted by; below whatever either may hold."""
_READ: Final = {
    Kind.TOKEN: {"CodeableConcept", "Coding", "Identifier", "ContactPoint", "boolean", "code", "string", "id", "uri"},
    Kind.REFERENCE: {"Reference", "Resource", "canonical", "uri"},
    Kind.DATE: {"date", "dateTime", "instant", "Period", "Timing"},
    Kind.URI: {"uri", "url", "canonical"},
    Kind.STRING: {"string", "markdown", "HumanName", "Address"},
    Kind.NUMBER: {"integer", "decimal", "Range"},
    Kind.QUANTITY: {"Quantity", "Age", "Duration", "Money", "Range"},
    Kind.SPECIAL: {"BackboneElement"},
}
"""The data types that a kind of parameter can hold; R4's expressions name a few others (SampledData, Attachment)."""


def found(parameter: Parameter, resource: Resource) -> Iterator[Found]:
    """Yield every value of a parameter that its kind can hold."""
    readable = _READ.get(parameter.kind, ())
    for place in parameter.paths:
        if place.type in readable:
            for value in walk(resource, place.steps):
                yield place, value


def walk(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    """Return what stands at the end of a path, in the order of the resource."""
    level = [value]
    for step in steps:
        below = [one.get(step.name) for one in level if isinstance(one, dict)]
        level = []
        for item in below:
            if isinstance(item, list):
                level += [one for one in item if one is not None]
            elif item is not None:
                level.append(item)
        if step.where is not None:
            key, wanted = step.where
            level = [one for one in level if isinstance(one, dict) and one.get(key) == wanted]
        if not level:
            break
    return level


def stands(parameter: Parameter, resource: Resource) -> bool:
    """Say whether a parameter has a value; a reference whose type cannot be told may be to any type."""
    if parameter.name == "deceased":
        return "deceasedBoolean" in resource or "deceasedDateTime" in resource
    return any(
        not place.target or (isinstance(value, dict) and names(value) in {"", place.target})
        for place, value in found(parameter, resource)
    )


def hashes(parameter: Parameter, values: Iterable[Found]) -> Iterator[int]:
    """Yield the hashes that values of a token, uri or reference parameter are asked for by."""
    for place, value in values:
        if parameter.kind is Kind.REFERENCE:
            for target in targets(value, place):
                yield reference(parameter.kept_as(type_of(target)), target)
            yield from _logical(parameter.name, place, value)
            continue
        if parameter.kind is Kind.URI:  # a canonical that names no version means any
            forms = [value, value.split("|")[0]] if isinstance(value, str) else []
            yield from (token(name, None, form) for name in parameter.stored_as for form in forms)
            continue
        for name in parameter.stored_as:
            for system, code in codes(value, place.type):
                yield token(name, None, code)
                if system is not None:
                    yield token(name, system, code)
                if system:
                    yield token(name, system, "")
            if place.type == "Identifier" and isinstance(value, dict) and isinstance(value.get("value"), str):
                for system, code in codes(value.get("type"), "CodeableConcept"):
                    yield token(f"{name}:of-type", f"{system}|{code}", value["value"])


def _logical(name: str, place: Place, value: Any) -> Iterator[int]:
    """Yield the hashes of a Reference.identifier."""
    if (
        place.type != "Reference"
        or not isinstance(value, dict)
        or names(value) not in {"", place.target or names(value)}
    ):
        return
    for system, number in codes(value.get("identifier"), "Identifier"):
        yield token(f"{name}:identifier", None, number)
        yield token(f"{name}:identifier", system, number)
        if system:
            yield token(f"{name}:identifier", system, "")


def truth(parameter: Parameter, *, dead: bool) -> list[int]:
    """Return the hashes of a parameter that is true or false of every resource."""
    return [token(name, None, "true" if dead else "false") for name in parameter.stored_as]


def codes(value: Any, data_type: str) -> list[tuple[str | None, str]]:
    """Return (system, code) of a value; '' is no system, None a data type that has none."""
    if data_type in {"CodeableConcept", "Coding", "Identifier", "ContactPoint"} and not isinstance(value, dict):
        return []
    match data_type:
        case "CodeableConcept":
            codings = value.get("coding")
            return [
                code for coding in (codings if isinstance(codings, list) else []) for code in codes(coding, "Coding")
            ]
        case "Coding":
            return [(value.get("system") or "", value["code"])] if isinstance(value.get("code"), str) else []
        case "Identifier" | "ContactPoint":
            return [(value.get("system") or "", value["value"])] if isinstance(value.get("value"), str) else []
        case "boolean":
            return [(None, "true" if value else "false")] if isinstance(value, bool) else []
        case _:
            return [(None, value)] if isinstance(value, str) else []


def targets(value: Any, place: Place) -> list[str]:
    """Return the literal references of a value; a canonical with and without its version."""
    if place.type == "Reference":
        text = value.get("reference") if isinstance(value, dict) else None
        target = literal(text) if isinstance(text, str) else None
        return [target] if target is not None and (not place.target or type_of(target) == place.target) else []
    if place.type == "Resource":
        inside = isinstance(value, dict) and value.get("id") and value.get("resourceType")
        return [f"{value['resourceType']}/{value['id']}"] if inside else []
    return [value, value.split("|")[0]] if isinstance(value, str) and not value.startswith("#") else []


def strings(value: Any, data_type: str) -> list[str]:
    """Return the texts of a value as written: each part of a name or an address."""
    parts = {
        "HumanName": ["text", "family", "given", "prefix", "suffix"],
        "Address": ["text", "line", "city", "district", "state", "postalCode", "country"],
    }.get(data_type)
    if parts is None:
        return [value] if isinstance(value, str) else []
    held = [value.get(part) for part in parts] if isinstance(value, dict) else []
    return [text for one in held for text in (one if isinstance(one, list) else [one]) if isinstance(text, str)]


def interval(value: Any, data_type: str) -> times.Interval | None:
    """Return what a date covers, None when it covers nothing."""
    try:
        match data_type:
            case "Period":
                return times.period(value) if isinstance(value, dict) else None
            case "Timing":
                return times.timing(value) if isinstance(value, dict) else None
            case _:
                return times.interval(value) if isinstance(value, str) else None
    except ValueError:
        return None


def measures(parameter: Parameter, values: Iterable[Found]) -> Iterator[Measure]:
    """Yield what number and quantity values state."""
    for place, value in values:
        measure = amounts.measure(parameter.name, value, place.type)
        if measure is not None:
            yield measure


def texts(value: Any, data_type: str) -> list[str]:
    """Return the texts beside a code or reference, folded (R4 search, `:text`): CodeableConcept.text, Coding.display,
    the text of an Identifier's type, Reference.display.
    """
    if not isinstance(value, dict):
        return [fold(value)] if isinstance(value, str) else []
    match data_type:
        case "CodeableConcept":
            codings = value.get("coding")
            told = [value.get("text"), *(one.get("display") for one in codings or () if isinstance(one, dict))]
        case "Coding" | "Reference":
            told = [value.get("display")]
        case "Identifier":
            return texts(value.get("type"), "CodeableConcept") if isinstance(value.get("type"), dict) else []
        case _:
            told = list(strings(value, data_type))
    return [fold(one) for one in told if isinstance(one, str)]


def narrative(resource: Resource) -> str:
    """Return the text of a resource's narrative, folded."""
    told = resource.get("text")
    div = told.get("div") if isinstance(told, dict) else None
    return fold(words.plain(div)) if isinstance(div, str) else ""


def content(value: Any) -> str:
    """Return every text in a resource, folded: what `words.texts` says is one. Ids, references, addresses and dates are
    none; there are parameters of their own for them.
    """
    return fold(" ".join(words.texts(value)))


def references(resource: Resource, parameter: str) -> list[str]:
    """Return the literal targets (`Type/id`, an absolute address, a canonical) that a reference parameter finds in a
    resource, `*` those of all: what `_include` follows. In the order of the table, each once.
    """
    known = parameters.of(resource["resourceType"])
    one = known.get(parameter)
    asked = [each for each in (known.all() if parameter == "*" else [one]) if each and each.kind is Kind.REFERENCE]
    return list(
        dict.fromkeys(
            target for each in asked for place, value in found(each, resource) for target in targets(value, place)[:1]
        )
    )


def sort_key(resource: Resource, parameter: str, *, descending: bool = False) -> SortKey | None:
    """Return what a resource is sorted by, None without a value: of several the one that comes first in the order
    (R4 search, `_sort`). A date by the start of its interval, a text folded, an address and a literal reference as
    written, by code points, an amount by its lower end (the upper one where it has none), whatever its unit. R4 leaves
    open how codes are sorted: by their system, none first, and within it by the code as written, so that of a concept
    coded in several systems the same one is compared throughout.
    """
    known = parameters.of(resource["resourceType"]).get(parameter)
    if known is None or not known.sortable:
        return None
    if parameter == "_id":
        own: str | None = resource.get("id")
        return own
    keys: list[Any] = []
    if known.name == "deceased":
        dead = resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource
        return BETWEEN + ("true" if dead else "false")
    for place, value in found(known, resource):
        match known.kind:
            case Kind.TOKEN:
                keys += [f"{system or ''}{BETWEEN}{code}" for system, code in codes(value, place.type)]
            case Kind.REFERENCE:
                keys += targets(value, place)[:1]
            case Kind.DATE:
                covered = interval(value, place.type)
                keys += [covered[0]] if covered else []
            case Kind.NUMBER | Kind.QUANTITY:
                keys += [one.high if one.low is None else one.low for one in measures(known, [(place, value)])]
            case Kind.STRING:
                keys += [fold(text) for text in strings(value, place.type)]
            case _:
                keys += [value] if isinstance(value, str) else []
    best: SortKey | None = (max if descending else min)(keys, default=None)
    return best
