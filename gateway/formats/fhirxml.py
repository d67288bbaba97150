"""FHIR R4 resources in XML ↔ the house's plain dicts: the same values that the JSON of a resource would give.

Source: https://hl7.org/fhir/R4/xml.html and json.html. Which elements repeat, and which are numbers, is not in the
document; fhir-r4-elements.csv says it. Decimals keep their digits (`1.20` stays `1.20`). Not here: whether a resource
is valid (`fhir.validate`); but an element that R4 does not have cannot be turned into JSON and is refused.

Every refusal is `errors.Incorrect` with the element's path in `at` (`Bundle.entry[2].resource.status`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from lxml import etree

from gateway.errors import Incorrect
from gateway.formats import json, xml

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
_DEFAULT: Any = {None: FHIR}
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_NUMBER = {
    "decimal": re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"),
    "integer": re.compile(r"-?(0|[1-9][0-9]*)"),
    "positiveInt": re.compile(r"[1-9][0-9]*"),
    "unsignedInt": re.compile(r"0|[1-9][0-9]*"),
}
_ABSTRACT = frozenset({"Element", "BackboneElement", "Resource", "DomainResource"})


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type: its type's name, and whether it repeats."""

    type: str
    many: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One FHIR type: its elements in document order."""

    elements: Mapping[str, Element]
    is_resource: bool


@functools.cache
def shapes() -> Mapping[str, Shape]:
    """Return every R4 resource, data type and inner element by name; read from the table at the first call."""
    text = Path(__file__).with_name("fhir-r4-elements.csv").read_text("utf-8")
    lines = (line.split(",", 2) for line in text.splitlines() if not line.startswith(("#", "type,")))
    written = {name: (base, inner) for name, base, inner in lines}

    def elements(name: str) -> dict[str, Element]:
        base, inner = written[name]
        made = elements(base) if base else {}
        for item in inner.split():
            element, _, kind = item.partition(":")
            made[element.removesuffix("*")] = Element(kind, element.endswith("*"))
        return made

    return {
        name: Shape(elements(name), base in {"Resource", "DomainResource"} and "." not in name)
        for name, (base, _) in written.items()
        if name not in _ABSTRACT
    }


def loads(data: bytes) -> dict[str, Any]:
    """Read one resource. Raises errors.Incorrect for what is not well-formed XML or not a resource of R4."""
    root = xml.parse(data)
    return _resource(root, _local(root, ""))


def dumps(resource: Mapping[str, Any]) -> bytes:
    """Write one resource as UTF-8 XML. Raises errors.Incorrect for elements that R4 does not have."""
    root = _write_resource(resource, str(resource.get("resourceType", "")))
    etree.cleanup_namespaces(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


# ── XML → dict ───────────────────────────────────────────────────────────────────────────────────────────────────


def _local(node: etree._Element, at: str) -> str:
    name = etree.QName(node)
    if name.namespace != FHIR:
        raise Incorrect("an element outside the FHIR namespace", at=at)
    return name.localname


def _resource(node: etree._Element, at: str) -> dict[str, Any]:
    name = _local(node, at)
    shape = shapes().get(name)
    if shape is None or not shape.is_resource:
        raise Incorrect("not a resource of FHIR R4", at=at)
    return {"resourceType": name, **_object(node, shape, at)}


def _object(node: etree._Element, shape: Shape, at: str) -> dict[str, Any]:
    made = _attributes(node, shape, at)
    _refuse_text(node, at)
    names = [_local(child, at) if child.tag != f"{{{XHTML}}}div" else "div" for child in node]
    indices: dict[str, int] = {}
    for name, child in zip(names, node, strict=True):
        element = shape.elements.get(name)
        if element is None:
            raise Incorrect("not an element of FHIR R4 here", at=f"{at}.{_shown(name)}")
        index = indices[name] = indices.get(name, -1) + 1
        if element.many:
            _append(made, name, _value(child, element.type, f"{at}.{name}[{index}]"), index)
        elif index:
            raise Incorrect("an element that may occur only once occurs again", at=f"{at}.{name}")
        else:
            _set(made, name, _value(child, element.type, f"{at}.{name}"))
    if not made:
        raise Incorrect("an empty element", at=at)
    return made


@dataclass(frozen=True, slots=True)
class _Primitive:
    """A primitive element: the value that JSON puts under its name, and what JSON puts under `_name`."""

    value: Any
    rest: dict[str, Any]


def _value(node: etree._Element, kind: str, at: str) -> Any:
    if kind == "Resource":
        children = list(node)
        if len(children) != 1:
            raise Incorrect("exactly one resource must stand here", at=at)
        return _resource(children[0], at)
    if kind == "xhtml":
        return _Primitive(etree.tostring(node, method="c14n", exclusive=True, with_tail=False).decode(), {})
    shape = shapes().get(kind)
    if shape is not None:
        return _object(node, shape, at)
    return _primitive(node, kind, at)


def _primitive(node: etree._Element, kind: str, at: str) -> _Primitive:
    rest: dict[str, Any] = {}
    value: Any = None
    _refuse_text(node, at)
    for name, text in node.attrib.items():
        if name == "value":
            value = _scalar(str(text), kind, at)
        elif name == "id":
            rest["id"] = str(text)
        else:
            raise Incorrect("an attribute that FHIR does not have", at=at)
    for index, child in enumerate(node):
        if _local(child, at) != "extension":
            raise Incorrect("not an element of FHIR R4 here", at=at)
        rest.setdefault("extension", []).append(_object(child, shapes()["Extension"], f"{at}.extension[{index}]"))
    if value is None and not rest:
        raise Incorrect("an element with neither value nor content", at=at)
    return _Primitive(value, rest)


def _scalar(text: str, kind: str, at: str) -> Any:
    if kind == "boolean":
        if text not in {"true", "false"}:
            raise Incorrect("a boolean is true or false", at=at)
        return text == "true"
    pattern = _NUMBER.get(kind)
    if pattern is None:
        return text
    if pattern.fullmatch(text) is None:
        raise Incorrect(f"not a {kind}", at=at)
    try:
        return json.loads(text)
    except Incorrect as refusal:
        raise Incorrect(refusal.text, at=at) from None


def _attributes(node: etree._Element, shape: Shape, at: str) -> dict[str, Any]:
    """Return what is an attribute in XML and a name in JSON: `id` of a data type, `url` of an extension."""
    made: dict[str, Any] = {}
    for name, text in node.attrib.items():
        if (name == "id" and not shape.is_resource) or (name == "url" and shape is shapes()["Extension"]):
            made[str(name)] = str(text)
        elif name != _SCHEMA_LOCATION:
            raise Incorrect("an attribute that FHIR does not have", at=at)
    return made


def _refuse_text(node: etree._Element, at: str) -> None:
    texts = [node.text, *(child.tail for child in node)]
    if any(text is not None and text.strip() for text in texts):
        raise Incorrect("text outside an attribute", at=at)


def _set(made: dict[str, Any], name: str, value: Any) -> None:
    if not isinstance(value, _Primitive):
        made[name] = value
        return
    if value.value is not None:
        made[name] = value.value
    if value.rest:
        made[f"_{name}"] = value.rest


def _append(made: dict[str, Any], name: str, value: Any, index: int) -> None:
    """Append to a list; the two lists of a repeating primitive are kept in step with null, as JSON wants it."""
    if not isinstance(value, _Primitive):
        made.setdefault(name, []).append(value)
        return
    for key, part in ((name, value.value), (f"_{name}", value.rest or None)):
        if part is not None or key in made:
            held = made.setdefault(key, [])
            held.extend([None] * (index - len(held)))
            held.append(part)


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z]{1,64}", name) else "?"


# ── dict → XML ───────────────────────────────────────────────────────────────────────────────────────────────────


def _write_resource(resource: Mapping[str, Any], at: str) -> etree._Element:
    name = resource.get("resourceType")
    shape = shapes().get(name) if isinstance(name, str) else None
    if shape is None or not shape.is_resource:
        raise Incorrect("not a resource of FHIR R4", at=at)
    node = etree.Element(f"{{{FHIR}}}{name}", nsmap=_DEFAULT)
    _write_elements(node, shape, {key: value for key, value in resource.items() if key != "resourceType"}, at)
    return node


def _write_elements(node: etree._Element, shape: Shape, content: Mapping[str, Any], at: str) -> None:
    unknown = (
        {key.removeprefix("_") for key in content}
        - shape.elements.keys()
        - ({"id"} if not shape.is_resource else set())
    )
    if unknown:
        raise Incorrect("not an element of FHIR R4 here", at=f"{at}.{_shown(min(unknown))}")
    if not shape.is_resource and isinstance(content.get("id"), str):
        _set_attribute(node, "id", content["id"], at)
    for name, element in shape.elements.items():
        value, rest = content.get(name), content.get(f"_{name}")
        if value is None and rest is None:
            continue
        if name == "url" and shape is shapes()["Extension"]:
            _set_attribute(node, "url", value, at)
            continue
        if not element.many:
            _write(node, name, element.type, (value, rest), f"{at}.{name}")
            continue
        values, rests = (part if isinstance(part, list) else [] for part in (value, rest))
        for index in range(max(len(values), len(rests))):
            one = values[index] if index < len(values) else None
            more = rests[index] if index < len(rests) else None
            _write(node, name, element.type, (one, more), f"{at}.{name}[{index}]")


def _write(parent: etree._Element, name: str, kind: str, content: tuple[Any, Any], at: str) -> None:
    value, rest = content
    shape = shapes().get(kind)
    if kind == "xhtml":
        parent.append(xml.parse(str(value).encode()))
        return
    child = etree.SubElement(parent, f"{{{FHIR}}}{name}")
    if (shape is not None or kind == "Resource") and not isinstance(value, Mapping):
        raise Incorrect("an object must stand here", at=at)
    if kind == "Resource":
        child.append(_write_resource(value, at))
    elif shape is not None:
        _write_elements(child, shape, value, at)
    else:
        if value is not None:
            _set_attribute(child, "value", value, at)
        if isinstance(rest, Mapping):
            _write_elements(child, _PRIMITIVE, rest, at)


def _set_attribute(node: etree._Element, name: str, value: Any, at: str) -> None:
    if not isinstance(value, str | bool | int | Decimal):
        raise Incorrect("a string, a number or a boolean must stand here", at=at)
    try:
        node.set(name, value if isinstance(value, str) else json.dumps(value).decode())
    except ValueError:
        raise Incorrect("a character that XML does not have", at=at) from None


_PRIMITIVE = Shape({"extension": Element("Extension", many=True)}, is_resource=False)
"""What a primitive element may hold beside its value."""
