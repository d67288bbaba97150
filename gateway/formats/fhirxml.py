"""FHIR resources in XML ↔ the house's plain dicts: the same values that the JSON of a resource would give.

Source: https://hl7.org/fhir/R4/xml.html and json.html. Which elements a type has, which of them repeat and which are
numbers is not in a document: the caller gives it as `Shapes`. Decimals keep their digits (`1.20` stays `1.20`). Not
here: whether a resource is valid; but an element that its type does not have cannot be turned into JSON and is refused.

Every refusal is `errors.Incorrect` with the element's path in `at` (`Bundle.entry[2].resource.status`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lxml import etree

from gateway.errors import Incorrect
from gateway.formats import json, xml

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
DEPTH_MAX = 3 * json.DEPTH_MAX
"""A level of JSON is at most two of XML (`contained` or `entry.resource` and the resource's own name); a narrative has
levels of its own."""
_DEFAULT: Any = {None: FHIR}
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_NUMBER = {
    "decimal": re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"),
    "integer": re.compile(r"-?(0|[1-9][0-9]*)"),
    "positiveInt": re.compile(r"[1-9][0-9]*"),
    "unsignedInt": re.compile(r"0|[1-9][0-9]*"),
}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type: its type's name, and whether it repeats."""

    type: str
    many: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One FHIR type: its elements in document order, choices under each of their names, no `id` of a data type."""

    elements: Mapping[str, Element]
    is_resource: bool


Shapes = Callable[[str], Shape | None]
"""Type name (`Patient`, `HumanName`, `Patient.contact`) → its shape; None for a primitive."""


def loads(data: bytes, shapes: Shapes) -> dict[str, Any]:
    """Read one resource. Raises errors.Incorrect for what is not well-formed XML or not a resource."""
    root = xml.parse(data, depth_max=DEPTH_MAX)
    return _Reader(shapes).resource(root, _local(root, ""))


def dumps(resource: Mapping[str, Any], shapes: Shapes, *, indented: bool = False) -> bytes:
    """Write one resource as UTF-8 XML; `indented` for people's eyes, narratives as they are.

    Raises errors.Incorrect for elements that its type does not have.
    """
    root = _Writer(shapes).resource(resource, str(resource.get("resourceType", "")))
    if indented:
        _indent(root, 1)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


# ── XML → dict ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Primitive:
    """A primitive element: the value that JSON puts under its name, and what JSON puts under `_name`."""

    value: Any
    rest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Reader:
    shapes: Shapes

    def resource(self, node: etree._Element, at: str) -> dict[str, Any]:
        """Return a resource with its name first."""
        name = _local(node, at)
        shape = self.shapes(name)
        if shape is None or not shape.is_resource:
            raise Incorrect("not a resource of FHIR R4", at=at)
        return {"resourceType": name, **self._object(node, name, shape, at)}

    def _object(self, node: etree._Element, kind: str, shape: Shape, at: str) -> dict[str, Any]:
        made = _attributes(node, kind, shape, at)
        _refuse_text(node, at)
        indices: dict[str, int] = {}
        last = ""
        for child in node:
            name = "div" if child.tag == f"{{{XHTML}}}div" else _local(child, at)
            element = shape.elements.get(name)
            if element is None:
                raise Incorrect("not an element of FHIR R4 here", at=f"{at}.{_shown(name)}")
            index = indices[name] = indices.get(name, -1) + 1
            if not element.many and index:
                raise Incorrect("an element that may occur only once occurs again", at=f"{at}.{name}")
            if index and name != last:
                raise Incorrect("an element that repeats stands in one row", at=f"{at}.{name}[{index}]")
            last = name
            if element.many:
                _append(made, name, self._value(child, element.type, f"{at}.{name}[{index}]"), index)
            else:
                _set(made, name, self._value(child, element.type, f"{at}.{name}"))
        if not made:
            raise Incorrect("an empty element", at=at)
        return made

    def _value(self, node: etree._Element, kind: str, at: str) -> Any:
        if kind == "Resource":
            if len(node) != 1 or node.attrib:
                raise Incorrect("exactly one resource must stand here", at=at)
            _refuse_text(node, at)
            return self.resource(node[0], at)
        if kind == "xhtml":
            return _Primitive(_narrative(node, at), {})
        shape = self.shapes(kind)
        return self._primitive(node, kind, at) if shape is None else self._object(node, kind, shape, at)

    def _primitive(self, node: etree._Element, kind: str, at: str) -> _Primitive:
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
            extension = self._value(child, "Extension", f"{at}.extension[{index}]")
            rest.setdefault("extension", []).append(extension)
        if value is None and not rest:
            raise Incorrect("an element with neither value nor content", at=at)
        return _Primitive(value, rest)


def _local(node: etree._Element, at: str) -> str:
    name = etree.QName(node)
    if name.namespace != FHIR:
        raise Incorrect("an element outside the FHIR namespace", at=at)
    return name.localname


def _narrative(node: etree._Element, at: str) -> str:
    """Return the div as JSON has it: text, with no namespace but its own."""
    if node.tag != f"{{{XHTML}}}div":
        raise Incorrect("a narrative is a div of XHTML", at=at)
    alone = copy.deepcopy(node)
    alone.tail = None
    etree.cleanup_namespaces(alone)
    return etree.tostring(alone, encoding="unicode")


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


def _attributes(node: etree._Element, kind: str, shape: Shape, at: str) -> dict[str, Any]:
    """Return what is an attribute in XML and a name in JSON: `id` of a data type, `url` of an extension."""
    made: dict[str, Any] = {}
    for name, text in node.attrib.items():
        if (name == "id" and not shape.is_resource) or (name == "url" and kind == "Extension"):
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

_BESIDE = Shape({"extension": Element("Extension", many=True)}, is_resource=False)
"""What a primitive element may hold beside its value."""


@dataclass(frozen=True, slots=True)
class _Writer:
    shapes: Shapes

    def resource(self, resource: Mapping[str, Any], at: str) -> etree._Element:
        """Return the element of a resource."""
        name = resource.get("resourceType")
        shape = self.shapes(name) if isinstance(name, str) else None
        if shape is None or not shape.is_resource:
            raise Incorrect("not a resource of FHIR R4", at=at)
        node = etree.Element(f"{{{FHIR}}}{name}", nsmap=_DEFAULT)
        self._elements(node, "", shape, {key: value for key, value in resource.items() if key != "resourceType"}, at)
        return node

    def _elements(self, node: etree._Element, kind: str, shape: Shape, content: Mapping[str, Any], at: str) -> None:
        attributes = {"id"} if not shape.is_resource else set()
        unknown = {key.removeprefix("_") for key in content} - shape.elements.keys() - attributes
        if unknown:
            raise Incorrect("not an element of FHIR R4 here", at=f"{at}.{_shown(min(unknown))}")
        if not shape.is_resource and content.get("id") is not None:
            _set_attribute(node, "id", content["id"], at)
        for name, element in shape.elements.items():
            value, rest = content.get(name), content.get(f"_{name}")
            if value is None and rest is None:
                continue
            if name == "url" and kind == "Extension":
                _set_attribute(node, "url", value, at)
                continue
            if not element.many:
                self._write(node, name, element.type, (value, rest), f"{at}.{name}")
                continue
            if not all(part is None or isinstance(part, list) for part in (value, rest)):
                raise Incorrect("a list must stand here", at=f"{at}.{name}")
            values, rests = value or [], rest or []
            for index in range(max(len(values), len(rests))):
                one = values[index] if index < len(values) else None
                more = rests[index] if index < len(rests) else None
                self._write(node, name, element.type, (one, more), f"{at}.{name}[{index}]")

    def _write(self, parent: etree._Element, name: str, kind: str, content: tuple[Any, Any], at: str) -> None:
        value, rest = content
        if kind == "xhtml":
            parent.append(_div(value, at))
            return
        child = etree.SubElement(parent, f"{{{FHIR}}}{name}")
        shape = self.shapes(kind)
        if (shape is not None or kind == "Resource") and not isinstance(value, Mapping):
            raise Incorrect("an object must stand here", at=at)
        if kind == "Resource":
            child.append(self.resource(value, at))
        elif shape is not None:
            self._elements(child, kind, shape, value, at)
        else:
            if value is not None:
                _set_attribute(child, "value", value, at)
            if isinstance(rest, Mapping):
                self._elements(child, "", _BESIDE, rest, at)


def _indent(node: etree._Element, depth: int) -> None:
    children = [*node]
    if not children or node.tag == f"{{{XHTML}}}div":
        return
    node.text = "\n" + "  " * depth
    for child in children:
        child.tail = node.text
        _indent(child, depth + 1)
    children[-1].tail = "\n" + "  " * (depth - 1)


def _div(value: Any, at: str) -> etree._Element:
    try:
        node = xml.parse(str(value).encode(), depth_max=DEPTH_MAX)
    except (Incorrect, UnicodeEncodeError):
        raise Incorrect("a narrative is well-formed XHTML", at=at) from None
    if node.tag != f"{{{XHTML}}}div":
        raise Incorrect("a narrative is a div of XHTML", at=at)
    return node


def _set_attribute(node: etree._Element, name: str, value: Any, at: str) -> None:
    if not isinstance(value, str | bool | int | Decimal):
        raise Incorrect("a string, a number or a boolean must stand here", at=at)
    try:
        node.set(name, value if isinstance(value, str) else json.dumps(value).decode())
    except ValueError:
        raise Incorrect("a character that XML does not have", at=at) from None
