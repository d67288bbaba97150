"""FHIR R4 in XML: `formats.fhirxml` with the element table of R4. Not an XML parser, and not validation."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from gateway.fhir import elements
from gateway.fhir.primitives import SCHEMAS
from gateway.formats import fhirxml
from gateway.formats.fhirxml import FHIR, XHTML

__all__ = ["FHIR", "XHTML", "dumps", "loads", "shape"]


def loads(data: bytes) -> dict[str, Any]:
    """Read one R4 resource. Raises errors.Incorrect, with the element as `at`."""
    return fhirxml.loads(data, shape)


def dumps(resource: Mapping[str, Any], *, indented: bool = False) -> bytes:
    """Write one R4 resource as UTF-8 XML. Raises errors.Incorrect for elements that R4 does not have."""
    return fhirxml.dumps(resource, shape, indented=indented)


@functools.cache
def _shape(type_path: str) -> fhirxml.Shape:
    is_resource = elements.is_resource(type_path)
    return fhirxml.Shape(
        {
            name: fhirxml.Element(element.type_path, element.many)
            for name, element in elements.elements(type_path).items()
            if name != "id" or is_resource
        },
        is_resource,
    )


def shape(type_path: str) -> fhirxml.Shape | None:
    """Return the shape of an R4 type, None for a primitive and for what is no type."""
    try:
        return None if type_path in SCHEMAS else _shape(type_path)
    except KeyError:
        return None
