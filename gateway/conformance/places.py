"""Where a value stands: its resource, what contains that, the Bundle around; and what a reference from there points at.

References are resolved inside what was sent, never fetched: contained resources, then entries of the Bundle by fullUrl
(R4 bundle.html#references).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gateway.conformance.items import Item, children
from gateway.fhir.elements import is_resource

_RESTFUL = re.compile(
    r"(?:(?P<base>https?://.+/))?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/.+)?"
)


@dataclass(slots=True)
class Entries:
    """The entries of one Bundle by what a reference may call them."""

    by_url: dict[str, Item] = field(default_factory=dict)
    by_name: dict[str, list[Item]] = field(default_factory=dict)
    """`Type/id` → resources."""
    by_end: dict[str, Item] = field(default_factory=dict)
    """The `Type/id` that a fullUrl ends with → the first such resource."""

    @classmethod
    def of(cls, bundle: Item) -> Entries:
        """Return the entries of a Bundle."""
        made = cls()
        for entry in children(bundle, "entry"):
            for resource in children(entry, "resource"):
                if not resource.is_resource:
                    continue
                url = entry.fields.get("fullUrl")
                if isinstance(url, str):
                    made.by_url.setdefault(url, resource)
                    if restful := _RESTFUL.fullmatch(url):
                        made.by_end.setdefault(f"{restful['type']}/{restful['id']}", resource)
                name = f"{resource.type}/{resource.fields.get('id', '')}"
                made.by_name.setdefault(name, []).append(resource)
        return made


@dataclass(frozen=True, slots=True)
class Place:
    """The resource that a value stands in, what it is contained in (or itself), and the Bundle around, if any."""

    resource: Item
    whole: Item
    entries: Entries | None = None
    full_url: str = ""
    """Of the entry that the resource stands in."""

    def resolve(self, reference: Any) -> Item | None:
        """Return what a Reference, or the address in one, points at; None when that was not sent."""
        address = reference.get("reference") if isinstance(reference, dict) else reference
        if not isinstance(address, str) or not address:
            return None
        if address.startswith("#"):
            return self._contained(address[1:])
        if self.entries is None:
            return None
        if (found := self.entries.by_url.get(address)) is not None:
            return found
        relative = _RESTFUL.fullmatch(address)
        if relative is None or relative["base"]:
            return None
        name = f"{relative['type']}/{relative['id']}"
        own = _RESTFUL.fullmatch(self.full_url)
        if own is not None and own["base"]:
            return self.entries.by_url.get(f"{own['base']}{name}")
        if name in self.entries.by_end:
            return self.entries.by_end[name]
        named = self.entries.by_name.get(name, [])
        return named[0] if len(named) == 1 else None

    def _contained(self, name: str) -> Item | None:
        if not name:
            return self.whole
        for contained in children(self.whole, "contained"):
            if contained.is_resource and contained.fields.get("id") == name:
                return contained
        return None


def type_of(reference: Any) -> str:
    """Return the resource type that a Reference names by its address or its `type`; empty when it names none."""
    if not isinstance(reference, dict):
        return ""
    address = reference.get("reference")
    if isinstance(address, str) and (found := _RESTFUL.fullmatch(address)) and is_resource(found["type"]):
        return found["type"]
    declared = reference.get("type")
    return declared if isinstance(declared, str) and is_resource(declared) else ""
