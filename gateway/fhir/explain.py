"""pydantic-core's errors in FHIR's words. Off the hot path: only for resources that the strict schema refused."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from gateway.fhir.elements import Element, elements, is_r4b_only
from gateway.fhir.issue import Fault
from gateway.fhir.primitives import SHOULD_BE
from gateway.model import Resource

_ELEMENT = Element("Element", many=False, required=False, value_set="", choice="", extensible=False)
_FORMAT = {"string_pattern_mismatch", "string_too_long", "greater_than_equal", "less_than_equal"}


def details(error: ValidationError) -> list[ErrorDetails]:
    """Return the lines of an error, without the library's own words on what the value was."""
    return error.errors(include_url=False, include_context=False)


def is_excused(resource_type: str, resource: Resource, error: ErrorDetails) -> bool:
    """Say whether a missing or null primitive has an extension in its place (R4 json.html#null, extensibility.html)."""
    kind, place = error["type"], error["loc"]
    of_null = kind in _OF_NULL and error["input"] is None and isinstance(place[-1], int)
    if kind != "missing" and not of_null:
        return False
    element = _element(resource_type, place)[1]
    if element is None or not element.extensible:
        return False
    *owner, last = place
    if isinstance(last, str):
        return "extension" in (_follow(resource, (*owner, f"_{last}")) or ())
    listed = _follow(resource, (*owner[:-1], f"_{owner[-1]}"))
    return isinstance(listed, list) and len(listed) > last and isinstance(listed[last], dict)


_OF_NULL = {"string_type", "int_type", "bool_type", "decimal_type", "literal_error"}


def fault(resource_type: str, error: ErrorDetails) -> Fault:
    """Return what an error means."""
    place, kind, value = error["loc"], error["type"], error["input"]
    match kind:
        case "missing":
            return Fault(place, "required", "is required")
        case "extra_forbidden":
            return Fault(place, "unknown-element", _unknown(resource_type, place))
        case "too_short":
            return Fault(place, "empty", "is an empty list")
        case "string_unicode":
            return Fault(place, "characters", "has lone surrogates")
        case "recursion_loop":
            return Fault(place, "type", "contains itself")
        case "list_type" if value is not None:
            return Fault(place, "type", "is a list, since it may occur more than once")
        case "dict_type" if value is not None:
            return Fault(place, "type", "is one object" if isinstance(value, list) else "is an object")
    if kind in _OF_NULL | {"list_type", "dict_type"} and value is None:
        return Fault(place, "null", "null is not a value")
    if kind in _FORMAT | _OF_NULL | {"string_too_short"}:
        return _primitive(resource_type, error)
    return Fault(place, kind, error["msg"])  # ours: the rule is the kind, the words are already FHIR's


def _primitive(resource_type: str, error: ErrorDetails) -> Fault:
    place, value = error["loc"], error["input"]
    element = _element(resource_type, place)[1]
    if value == "":
        return Fault(place, "empty", "is an empty string")
    if element is None:
        return Fault(place, "type", "is not what it should be")
    if error["type"] == "literal_error" and isinstance(value, str):
        return Fault(place, "code", f"is not a code of {element.value_set}")
    rule = "format" if error["type"] in _FORMAT else "type"
    return Fault(place, rule, f"is not {SHOULD_BE[element.type_path]}")


def _unknown(resource_type: str, place: tuple[str | int, ...]) -> str:
    type_path, _ = _element(resource_type, place)
    later = ", only of R4B" if is_r4b_only(type_path, str(place[-1])) else ""
    return f"is not an element of {type_path} in R4{later}"


def _element(resource_type: str, place: tuple[str | int, ...]) -> tuple[str, Element | None]:
    """Return the type that a place belongs to, and its element there."""
    type_path, element = resource_type, None
    for step in place:
        if isinstance(step, str):
            if element is not None:
                type_path = element.type_path
            element = _ELEMENT if step.startswith("_") else elements(type_path).get(step)
    return type_path, element


def _follow(root: Any, place: tuple[str | int, ...]) -> Any:
    """Return what stands at a place; None where the last name is missing."""
    for step in place:
        root = root.get(step) if isinstance(step, str) else root[step]
    return root
