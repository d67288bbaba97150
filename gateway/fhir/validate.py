"""The one door to validation: is this resource valid FHIR R4, and if not, where and why.

Decided here: unknown elements, cardinality, JSON types (a decimal is `decimal.Decimal` or int, never float), the forms
of all primitives, value[x], primitive extensions (`_status`) and what they stand in for, contained resources and
resources in entries, empty strings, arrays and objects, control characters, codes with a required binding, the XHTML of
narratives (`narrative`), and the invariants that `invariants.LAWS` and `whole.py` list. The wire is R4: where the R4B
models of fhir.resources, from which the element table is made, differ from R4, R4 wins (mappings/fhir/r4-differences.csv).

Not decided here: other invariants (docs/reference/validation.md lists them), profiles, bindings weaker than required,
required bindings without an enumeration (MIME types, currencies, UCUM), whether references resolve.

An Observation takes 6 to 10 µs; fhir.resources takes about 190 µs (benchmarks/validate.py measures both).
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from gateway.fhir import explain, schemas, whole
from gateway.fhir.elements import is_r4b_only, is_resource
from gateway.fhir.issue import Fault, Issue, issue
from gateway.fhir.schemas import Variant
from gateway.model import Resource

__all__ = ["Issue", "validate"]


def validate(resource: Resource, written: bytes | None = None) -> list[Issue]:
    """Return what is wrong with a resource; an empty list means that it is valid R4. Never raises for bad input.

    Numbers are as `formats.json.loads` reads them. `written` is the resource as JSON, for callers that have it; empty
    where it holds what JSON cannot. The resource is not changed. No issue repeats a value.
    """
    return [issue(_type_of(resource), fault) for fault in _faults(resource, written)]


def _faults(resource: Any, written: bytes | None = None) -> list[Fault]:
    resource_type = _type_of(resource)
    if not is_resource(resource_type):
        later = ", only of R4B" if is_r4b_only(resource_type) else ""
        return [Fault(("resourceType",), "resource-type", f"is not a resource type of R4{later}")]
    if written is None:
        written = whole.written(resource)
    return _shape(resource_type, resource) or whole.faults(resource, written)


def _shape(resource_type: str, resource: Resource) -> list[Fault]:
    try:
        known = _schema(resource_type, Variant.PLAIN)(resource)
    except ValidationError:
        pass
    else:
        if known == resource:
            return []  # nothing was left out: no unknown element
    errors = _errors(resource_type, resource, Variant.COMPLETE)
    told = [error for error in errors if not explain.is_excused(resource_type, resource, error)]
    if len(told) < len(errors):
        known_places = {(error["loc"], error["type"]) for error in errors}
        lenient = _errors(resource_type, resource, Variant.LENIENT)
        told += [error for error in lenient if (error["loc"], error["type"]) not in known_places]
    return [explain.fault(resource_type, error) for error in told]


def _errors(resource_type: str, resource: Resource, variant: Variant) -> list[ErrorDetails]:
    try:
        _schema(resource_type, variant)(resource)
    except ValidationError as error:
        return explain.details(error)
    return []


def _type_of(resource: Any) -> str:
    named = resource.get("resourceType") if isinstance(resource, dict) else None
    return named if isinstance(named, str) else "Resource"


@functools.cache
def _schema(type_path: str, variant: Variant) -> schemas.Validator:
    extension = None if type_path == "Extension" else _schema("Extension", variant)
    nested = schemas.Nested(contained=_contained, entry=_entry, extension=extension)
    return schemas.compiled(type_path, variant=variant, nested=nested)


def _contained(resource: Any) -> Any:
    """Validate a resource that another one contains: shape only, the rest is its container's."""
    resource_type = _type_of(resource)
    known = is_resource(resource_type)
    faults = _shape(resource_type, resource) if known else _faults(resource)
    if faults:
        raise schemas.failure(faults)
    return resource


def _entry(resource: Any) -> Any:
    """Validate a resource that stands in a Bundle or in Parameters, for itself."""
    if faults := _faults(resource):
        raise schemas.failure(faults)
    return resource
