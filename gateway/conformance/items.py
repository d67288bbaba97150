"""The values of a resource as a validator walks them: each with its FHIR type and its place. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from gateway.fhir.elements import Element, elements, is_resource


@dataclass(slots=True)
class Item:
    """One value: `value` as JSON gives it (None where only an extension stands), `extra` what `_name` has beside it."""

    value: Any
    type: str
    """A primitive (`code`), a data type, a backbone element (`Observation.component`) or a resource type."""
    at: str
    """FHIRPath of the element, `Observation.component[2].value`."""
    path: str = ""
    """Element path in R4, `Observation.value[x]`, under which the tables of R4 know it."""
    extra: Any = None

    @property
    def is_resource(self) -> bool:
        """Say whether this is a resource, contained ones and those in entries included."""
        return isinstance(self.value, dict) and "resourceType" in self.value

    @property
    def is_primitive(self) -> bool:
        """Say whether its type is a primitive one."""
        return self.type[:1].islower()

    @property
    def fields(self) -> dict[str, Any]:
        """Return the members of a complex value; none where another JSON type stands in its place."""
        return self.value if isinstance(self.value, dict) else {}


_UNKNOWN: dict[str, Element] = {}


def shape(type_path: str) -> dict[str, Element]:
    """Return JSON name → element of a type; empty for a type that R4 does not have."""
    try:
        return elements(type_path)
    except KeyError:
        return _UNKNOWN


@functools.lru_cache(maxsize=8192)
def _names(type_path: str, name: str) -> tuple[tuple[str, Element], ...]:
    """Return the JSON names that an element may have: itself, or all forms of a choice."""
    known = shape(type_path)
    if name.endswith("[x]"):
        stem = name[:-3]
        return tuple((json_name, element) for json_name, element in known.items() if element.choice == stem)
    return ((name, known[name]),) if name in known else ()


def children(item: Item, name: str) -> list[Item]:
    """Return the values of one element of an item, in order; `value[x]` gives whichever form is there."""
    holder = item.extra if item.is_primitive else item.value
    if not isinstance(holder, dict):
        return []
    made: list[Item] = []
    type_path = "Element" if item.is_primitive else item.type
    for json_name, element in _names(type_path, name):
        if json_name in holder or f"_{json_name}" in holder:
            made += _items(item, holder, json_name, element, type_path)
    return made


def _items(item: Item, holder: dict[str, Any], json_name: str, element: Element, type_path: str) -> list[Item]:
    spoken = element.choice or json_name
    path = f"{type_path}.{element.choice}[x]" if element.choice else f"{type_path}.{json_name}"
    at = f"{item.at}.{spoken}"
    value, extra = holder.get(json_name), holder.get(f"_{json_name}")
    if not element.many:
        if isinstance(value, list) or (value is None and extra is None):
            return []
        return [_item(value, extra, element, at, path)]
    values = value if isinstance(value, list) else []
    extras = extra if isinstance(extra, list) else []
    made = []
    for number in range(max(len(values), len(extras))):
        one = values[number] if number < len(values) else None
        beside = extras[number] if number < len(extras) else None
        if one is not None or beside is not None:
            made.append(_item(one, beside, element, f"{at}[{number}]", path))
    return made


def _item(value: Any, extra: Any, element: Element, at: str, path: str) -> Item:
    kind = element.type_path
    if isinstance(value, dict) and kind == "Resource":
        declared = value.get("resourceType")
        kind = declared if isinstance(declared, str) and is_resource(declared) else "Resource"
    if isinstance(value, dict) == kind[:1].islower():
        value = None  # another JSON type than R4 has here, which fhir.validate says: it counts, and is not looked into
    return Item(value, kind, at, path, extra)


def all_children(item: Item) -> list[Item]:
    """Return every element of an item, extensions included, in the order of the definition."""
    holder = item.extra if item.is_primitive else item.value
    if not isinstance(holder, dict):
        return []
    type_path = "Element" if item.is_primitive else item.type
    made: list[Item] = []
    for json_name, element in shape(type_path).items():
        if json_name in holder or f"_{json_name}" in holder:
            made += _items(item, holder, json_name, element, type_path)
    return made


def root(resource: dict[str, Any]) -> Item:
    """Return the item of a whole resource."""
    kind = resource.get("resourceType")
    name = kind if isinstance(kind, str) and is_resource(kind) else "Resource"
    return Item(resource, name, name, name)
