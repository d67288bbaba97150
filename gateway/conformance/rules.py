"""Rules that R4 states in its pages and not as invariants: addresses, canonicals, element ids, documents, narrative links.

Each names its page. Structure, cardinality and published invariants are elsewhere (`fhir.validate`, `basis`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.conformance.issue import Issue, Severity
from gateway.conformance.items import Item, children
from gateway.conformance.places import Place
from gateway.fhir import narrative

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S*")
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OID: Final = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_URI: Final = "urn:ietf:rfc:3986"
_RESTFUL: Final = re.compile(r"https?://.+/(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
_IN_DOCUMENT: Final = {
    "Composition": ("subject", "encounter", "author", "custodian", "attester.party", "event.detail", "section.entry"),
    "MessageHeader": ("focus",),
}
"""What a document or message must bring with it (R4 documents.html#content, messageheader.html `focus`)."""


def of_value(item: Item, place: Place) -> Iterator[Issue]:
    """Give what is wrong with one value by the rule of its type."""
    value = item.value
    match item.type:
        case "canonical" if isinstance(value, str) and not value.startswith("#") and not _ABSOLUTE.match(value):
            text = "a canonical is absolute, or a fragment"  # R4 references.html#canonical
            yield Issue(Severity.ERROR, "value", item.at, text, "canonical-absolute")
        case "uri" | "url" | "canonical" | "uuid" | "oid" if isinstance(value, str):
            yield from _urn(item, value)
        case "Attachment":
            yield from _attachment(item)
        case "Coding":
            system = item.fields.get("system")
            if isinstance(system, str) and not _ABSOLUTE.match(system):
                text = "the system of a code is absolute"  # R4 datatypes.html#coding
                yield Issue(Severity.ERROR, "value", f"{item.at}.system", text, "system-absolute")
        case "Identifier":
            if item.fields.get("system") == _URI and not _ABSOLUTE.match(str(item.fields.get("value", "a:"))):
                text = "an identifier of the system urn:ietf:rfc:3986 is a whole URI"  # R4 datatypes.html#identifier
                yield Issue(Severity.ERROR, "value", f"{item.at}.value", text, "identifier-uri")
        case "Narrative":
            yield from _narrative(item, place)


def _urn(item: Item, value: str) -> Iterator[Issue]:
    """Say whether a URN of a UUID or OID has its form (R4 datatypes.html#uri)."""
    if value.startswith("urn:uuid:") and not _UUID.fullmatch(value.partition("#")[0].partition("|")[0]):
        yield Issue(Severity.ERROR, "value", item.at, "not a UUID in lower case", "uuid")
    if value.startswith("urn:oid:") and not _OID.fullmatch(value.partition("|")[0]):
        yield Issue(Severity.ERROR, "value", item.at, "not an OID", "oid")


def _attachment(item: Item) -> Iterator[Issue]:
    data, size = item.fields.get("data"), item.fields.get("size")
    if isinstance(data, str) and isinstance(size, int):
        try:
            there = len(base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError):
            return
        if there != size:
            text = f"size says {size} bytes, data has {there}"  # R4 datatypes.html#attachment
            yield Issue(Severity.ERROR, "value", f"{item.at}.size", text, "attachment-size")


def _narrative(item: Item, place: Place) -> Iterator[Issue]:
    div = item.fields.get("div")
    if not isinstance(div, str):
        return
    if not narrative.is_safe(div):
        return  # the gate has told (txt-1)
    if not narrative.has_content(div):
        text = "txt-2: the narrative has some content"
        yield Issue(Severity.ERROR, "invariant", f"{item.at}.div", text, "txt-2")
    else:
        known = {one.fields.get("id") for one in children(place.whole, "contained") if one.is_resource}
        if narrative.broken_links(div, known):
            text = "a link to a place in the resource does not resolve"  # R4 narrative.html#id
            yield Issue(Severity.WARNING, "not-found", f"{item.at}.div", text, "narrative-link")


def of_bundle(item: Item, place: Place) -> Iterator[Issue]:
    """Give what is wrong with the addresses in a Bundle, and what a document or message does not bring with it."""
    kind = item.fields.get("type")
    for entry in children(item, "entry"):
        url, resource = entry.fields.get("fullUrl"), entry.fields.get("resource")
        if not isinstance(url, str):
            if kind in ("document", "message"):
                text = "an entry has a fullUrl"  # R4 bundle.html `fullUrl`
                yield Issue(Severity.ERROR, "required", entry.at, text, "fullurl")
            continue
        if not _ABSOLUTE.match(url):
            text = "a fullUrl is absolute"  # R4 bundle.html `fullUrl`
            yield Issue(Severity.ERROR, "value", f"{entry.at}.fullUrl", text, "fullurl-absolute")
        elif isinstance(resource, dict) and (named := _RESTFUL.fullmatch(url)):
            own = "" if kind not in ("batch", "transaction") else named["id"]  # what is created has no id yet
            name = (resource.get("resourceType"), resource.get("id", own))
            if name != (named["type"], named["id"]):
                text = "the fullUrl names another type or id than the resource has"
                yield Issue(Severity.ERROR, "value", f"{entry.at}.fullUrl", text, "fullurl-id")
    if kind in ("document", "message"):
        yield from _brought(item, place)


def _brought(item: Item, place: Place) -> Iterator[Issue]:
    first = [resource for entry in children(item, "entry")[:1] for resource in children(entry, "resource")]
    for resource in first:
        full_url = children(item, "entry")[0].fields.get("fullUrl")
        here = Place(resource, resource, place.entries, full_url if isinstance(full_url, str) else "")
        for path in _IN_DOCUMENT.get(resource.type, ()):
            yield from _resolved(_reach([resource], path, 0), here)


def _reach(items: list[Item], path: str, depth: int) -> list[Item]:
    """Return the references at a path; sections are followed into sections."""
    for name in path.split("."):
        items = [child for item in items for child in children(item, name)]
        if name == "section":
            items += _sections(items, depth)
    return items


def _sections(items: list[Item], depth: int) -> list[Item]:
    inner = [child for item in items for child in children(item, "section")]
    return inner + _sections(inner, depth + 1) if inner else []


def _resolved(references: list[Item], place: Place) -> Iterator[Issue]:
    for item in references:
        reference = item.fields.get("reference")
        if isinstance(reference, str) and place.resolve(item.value) is None:
            text = "what this points at must be in the Bundle, and is not"
            yield Issue(Severity.ERROR, "not-found", item.at, text, "bundle-reference")


def of_ids(item: Item) -> Iterator[Issue]:
    """Give element ids that occur twice in one resource (R4 element.html#id); resources inside have their own.

    Not of a StructureDefinition, whose snapshot and differential name the same elements.
    """
    names = [one.fields.get("id") for one in children(item, "contained") if one.is_resource]
    if len({str(name) for name in names}) < len(names):
        text = "two contained resources have one id"  # R4 references.html#contained
        yield Issue(Severity.ERROR, "duplicate", f"{item.at}.contained", text, "contained-id")
    if item.type == "StructureDefinition":
        return
    seen: set[str] = set()
    todo: list[tuple[Any, int]] = [(item.value, 0)]
    while todo:
        value, depth = todo.pop()
        if isinstance(value, list):
            todo += [(one, depth) for one in value]
        elif isinstance(value, dict):
            if depth and "resourceType" in value:
                continue
            name = value.get("id")
            if depth and isinstance(name, str):
                if name in seen:
                    text = "an element id occurs twice in this resource"
                    yield Issue(Severity.ERROR, "duplicate", item.at, text, "element-id")
                    return
                seen.add(name)
            todo += [(one, depth + 1) for one in value.values() if isinstance(one, dict | list)]
