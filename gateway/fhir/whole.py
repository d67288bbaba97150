"""What only the whole resource shows: emptiness, characters, and what is contained in it (dom-2 to dom-5, ref-1).

The resource is written once as JSON, and the bytes are the sieve: most resources have nothing in them that could be
wrong, and are never walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from gateway.fhir.issue import Fault
from gateway.formats import json
from gateway.model import Resource

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_ESCAPED_CONTROL = re.compile(rb"\\(?:u00|[bf])")
_PLACE_STEPS_MAX = 4 * json.DEPTH_MAX
_HOLDS_OTHERS = {"Bundle", "Parameters"}  # each resource in them is checked for itself

Place = tuple[str | int, ...]


def written(resource: Any) -> bytes:
    """Return a resource as JSON; empty when it holds what JSON cannot."""
    try:
        return json.dumps(resource)
    except TypeError:
        return b""


def faults(resource: Resource, written: bytes) -> list[Fault]:
    """Return what is wrong with a resource whose shape is right, and which is `written` so."""
    if not written:
        return [*_unwritable(resource)] or [Fault((), "type", "cannot be written as JSON")]
    found: list[Fault] = []
    if b"{}" in written:
        found += [Fault(place, "empty", "is an empty object") for place, value in _walk(resource) if value == {}]
    if b"\\" in written and _ESCAPED_CONTROL.search(written):
        found += _unwritable(resource)
    if resource["resourceType"] not in _HOLDS_OTHERS:
        if "contained" in resource:
            found += _contained(resource, written)
        if b"#" in written and b'"reference":"#' in written:
            found += _local_references(resource)
    return found


def _unwritable(resource: Resource) -> Iterator[Fault]:
    for place, value in _walk(resource):
        if isinstance(value, str) and _CONTROL.search(value):
            yield Fault(place, "characters", "has control characters or lone surrogates")
        elif isinstance(value, Decimal) and not value.is_finite():
            yield Fault(place, "type", "is not a finite number")


def _walk(root: Any) -> Iterator[tuple[Place, Any]]:
    """Yield every value with its place, in document order, not endlessly deep."""
    todo: list[tuple[Place, Any]] = [((), root)]
    while todo:
        place, value = todo.pop()
        yield place, value
        if len(place) > _PLACE_STEPS_MAX:
            continue
        if isinstance(value, dict):
            todo += [((*place, name), item) for name, item in reversed(value.items())]
        elif isinstance(value, list):
            todo += [((*place, at), value[at]) for at in range(len(value) - 1, -1, -1)]


def _contained(resource: Resource, written: bytes) -> Iterator[Fault]:
    for at, inner in enumerate(resource.get("contained", ())):
        place: Place = ("contained", at)
        meta = inner.get("meta", {})
        if "contained" in inner:
            yield Fault((*place, "contained"), "dom-2", "a contained resource contains no other")
        if "versionId" in meta or "lastUpdated" in meta:
            yield Fault((*place, "meta"), "dom-4", "a contained resource has no versionId and no lastUpdated")
        if "security" in meta:
            yield Fault((*place, "meta", "security"), "dom-5", "a contained resource has no security label")
        referred = "id" in inner and json.dumps(f"#{inner['id']}") in written
        if not referred and b'"#"' not in json.dumps(inner):
            yield Fault(place, "dom-3", "nothing refers to this contained resource, nor does it refer to its container")


def _local_references(resource: Resource) -> Iterator[Fault]:
    known = {f"#{inner['id']}" for inner in resource.get("contained", ()) if "id" in inner} | {"#"}
    for place, value in _walk(resource):
        if place and place[-1] == "reference" and isinstance(value, str) and value[:1] == "#" and value not in known:
            yield Fault(place, "ref-1", "refers to a contained resource that is not there")
