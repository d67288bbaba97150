"""The one door to validation: is this resource valid FHIR R4, and if not, where and why.

Decided here: unknown elements, cardinality, JSON types (a decimal is `decimal.Decimal` or int, never float), the forms
of all primitives, value[x], primitive extensions (`_status`) and what they stand in for, contained resources and
resources in entries, empty strings, arrays and objects, control characters, codes with a required binding, and the
invariants that `invariants.LAWS` and `whole.py` list. The wire is R4: where the R4B models of fhir.resources, from
which the element table is made, differ from R4, R4 wins (mappings/fhir/r4-differences.csv).

Not decided here: other invariants (docs/reference/validation.md lists them), profiles, bindings weaker than required,
required bindings without an enumeration (MIME types, currencies, UCUM), whether references resolve, XHTML inside a div.

An Observation takes 6 to 10 µs; fhir.resources takes about 190 µs (benchmarks/validate.py measures both).
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from gateway.fhir import explain, schemas, whole
from gateway.fhir.elements import is_r4b_only, is_resource
from gateway.fhir.issue import Fault, Issue, issue
from gateway.model import Resource

__all__ = ["Issue", "validate"]


def validate(resource: Resource) -> list[Issue]:
    """Return what is wrong with a resource; an empty list means that it is valid R4. Never raises for bad input.

    Numbers are as `formats.json.loads` reads them. The resource is not changed. No issue repeats a value.
    """
    return [issue(_type_of(resource), fault) for fault in _faults(resource)]


def _faults(resource: Any) -> list[Fault]:
    resource_type = _type_of(resource)
    if not is_resource(resource_type):
        later = ", only of R4B" if is_r4b_only(resource_type) else ""
        return [Fault(("resourceType",), "resource-type", f"is not a resource type of R4{later}")]
    written = whole.written(resource)
    return _shape(resource_type, resource, written) or whole.faults(resource, written)


def _shape(resource_type: str, resource: Resource, written: bytes) -> list[Fault]:
    plain: list[ErrorDetails] = []
    try:
        known = _schema(resource_type, complete=False)(resource)
        if len(whole.written(known)) == len(written) > 0:
            return []  # nothing was left out: no unknown element
    except ValidationError as error:
        plain = explain.details(error)
    # Primitive extensions, or something wrong. The complete schema tells all but whether a primitive may be missing.
    absent = [one for one in plain if explain.is_absent_primitive(resource_type, one)]
    errors = [one for one in absent if not explain.stands_in(resource, one)]
    try:
        _schema(resource_type, complete=True)(resource)
    except ValidationError as error:
        errors += explain.details(error)
    return [explain.fault(resource_type, one) for one in errors]


def _type_of(resource: Any) -> str:
    named = resource.get("resourceType") if isinstance(resource, dict) else None
    return named if isinstance(named, str) else "Resource"


@functools.cache
def _schema(type_path: str, *, complete: bool) -> schemas.Validator:
    extension = None if type_path == "Extension" else _schema("Extension", complete=complete)
    return schemas.compiled(
        type_path, complete=complete, nested=schemas.Nested(contained=_contained, entry=_entry, extension=extension)
    )


def _contained(resource: Any) -> Any:
    """Validate a resource that another one contains: shape only, the rest is its container's."""
    resource_type = _type_of(resource)
    known = is_resource(resource_type)
    faults = _shape(resource_type, resource, whole.written(resource)) if known else _faults(resource)
    if faults:
        raise schemas.failure(faults)
    return resource


def _entry(resource: Any) -> Any:
    """Validate a resource that stands in a Bundle or in Parameters, for itself."""
    if faults := _faults(resource):
        raise schemas.failure(faults)
    return resource
