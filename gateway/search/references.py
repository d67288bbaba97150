"""References as the index keeps them: literal ones by their target, logical ones by their identifier.

Part of `leaves`; `literal` and `type_of` are also how `parse` and `match` read a reference's text.
"""

from __future__ import annotations

import functools
from typing import Any

from gateway.search.codes import Visit, identifier_hashes
from gateway.search.indexed import Index, reference
from gateway.search.parameters import Parameter, Place


def emitter(parameter: Parameter, place: Place) -> Visit | None:
    """Return what to do with a value of a reference parameter, None for a data type that it does not read."""
    match place.type:
        case "Reference":
            mask = 1 << parameter.bit if place.target else 0
            return _reference(parameter.name, place.target, mask, as_patient=parameter.as_patient)
        case "Resource":
            return _inline(parameter.name)
        case "canonical" | "uri":
            return _canonical(parameter.name)
        case _:
            return None


def _reference(name: str, only: str, mask: int, *, as_patient: bool) -> Visit:
    """`mask` is the bit of presence of a parameter that looks at references to one type alone (`only`)."""
    patient = name == "patient"

    def visit(value: Any, index: Index) -> None:
        if type(value) is not dict:
            return
        text = value.get("reference")
        found = _reference_hash(name, only, text, as_patient) if type(text) is str else None
        if found is not None:
            if only:
                index.present |= mask
            if patient and index.patient is None:
                index.patient = found
            else:
                index.tokens.append(found)
        elif only:
            if names(value) not in {"", only}:
                return
            index.present |= mask
        identifier = value.get("identifier")
        if identifier is not None and type(identifier) is dict and type(number := identifier.get("value")) is str:
            index.tokens += identifier_hashes(f"{name}:identifier", identifier.get("system") or "", number)

    return visit


@functools.lru_cache(maxsize=1 << 13)
def _reference_hash(name: str, only: str, text: str, as_patient: bool) -> int | None:
    """Return the hash of a reference, None when the parameter does not look at it. The resources of a message all name
    the same patient, request and performer.
    """
    target = literal(text)
    if target is None or (only and type_of(target) != only) or (as_patient and type_of(target) == "Patient"):
        return None
    return reference(name, target)


def _inline(name: str) -> Visit:
    """Return the visit of a resource that stands where a reference would (Bundle.entry[0].resource)."""

    def visit(value: Any, index: Index) -> None:
        if type(value) is dict and value.get("id") and value.get("resourceType"):
            index.tokens.append(reference(name, f"{value['resourceType']}/{value['id']}"))

    return visit


def _canonical(name: str) -> Visit:
    def visit(value: Any, index: Index) -> None:
        if type(value) is str and not value.startswith("#"):
            index.tokens.append(reference(name, value))
            if "|" in value:
                index.tokens.append(reference(name, value.partition("|")[0]))

    return visit


def literal(text: str) -> str | None:
    """Return a literal reference without its version; None for one into the resource itself (`#…`)."""
    return None if text.startswith("#") else text.partition("/_history/")[0]


def type_of(target: str) -> str:
    """Return the resource type that a literal reference names, '' when it cannot be told (urn:uuid:…)."""
    way = target.rsplit("/", 2)
    return way[-2] if len(way) > 1 else ""


def names(value: dict[str, Any]) -> str:
    """Return the resource type that a Reference names by its text or its `type`, '' when neither tells."""
    text, stated = value.get("reference"), value.get("type")
    told = type_of(literal(text) or "") if type(text) is str else ""
    return told or (stated if type(stated) is str else "")
