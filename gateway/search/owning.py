"""Whose record a resource is in where R4 gives its type no parameter `patient`, or several patients; and what a Provenance or
a Binary is about. Part of `stating`. Pure.

Deny by default: what is named and cannot be told to be open to all, or to be a patient, makes it nobody's (`NOBODY`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.model import Resource
from gateway.search.indexed import own, reference
from gateway.search.references import literal, type_of
from gateway.search.standing import NOBODY, About, Sharer, Standing


def target(value: Any) -> str:
    """Return the literal reference of a Reference, '' where it has none."""
    text = value.get("reference") if isinstance(value, dict) else None
    return (literal(text) or "") if isinstance(text, str) else ""


def items(resource: Any, name: str) -> list[Any]:
    """Return what an element that repeats holds."""
    found = resource.get(name) if isinstance(resource, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def owners(resource: Resource) -> list[int]:
    """Return the patients of a type that R4 gives no parameter `patient`; with NOBODY, last, where it names somebody or
    something else whose record cannot be told.
    """
    found: dict[int, None] = {}
    for one in _OWNING[resource["resourceType"]](resource):
        name = target(one)
        if type_of(name) not in _OPEN_TO_ALL:
            found[reference("patient", name) if type_of(name) == "Patient" else NOBODY] = None
    return sorted(found, key=NOBODY.__eq__)


def _members(resource: Resource) -> list[Any]:
    """Return whom a Group lists, and whom its characteristics name."""
    traits = [one["valueReference"] for one in items(resource, "characteristic") if "valueReference" in one]
    return [*(one.get("entity") for one in items(resource, "member")), *traits]


def _supplied(resource: Resource) -> list[Any]:
    """Return where supplies go, which must be said; nothing that can be told, where they go to no patient and somebody asked
    for them who may be one.
    """
    to, by = resource.get("deliverTo"), resource.get("requester")
    told = type_of(target(to)) == "Patient" or by is None or type_of(target(by)) in _OPEN_TO_ALL
    return [to if told else None]


def several(resource: Resource) -> Iterator[Standing]:
    """Yield the patients of such a type but for the one that is its `patient`: the first, where that is one."""
    for place, key in enumerate(owners(resource)):
        if place or key == NOBODY:
            yield Sharer(key)


def linked(resource: Resource) -> Iterator[Standing]:
    """Yield the patients of a Person but for the first. Who links to anything else, a RelatedPerson or a Practitioner, says
    of another who he is.
    """
    names = dict.fromkeys(target(one.get("target")) for one in items(resource, "link"))
    patients = [name for name in names if type_of(name) == "Patient"]
    for name in patients[1:]:
        yield Sharer(reference("patient", name))
    if len(patients) < len(names):
        yield Sharer(NOBODY)


def subject(resource: Resource) -> Iterator[Standing]:
    """Yield what a Provenance or a Binary is about. What an entity names by its number alone is a message, not a resource."""
    if resource["resourceType"] == "Binary":
        named = [resource["securityContext"]] if "securityContext" in resource else []
    else:
        entities = [one.get("what") for one in items(resource, "entity")]
        named = [*items(resource, "target"), *(one for one in entities if isinstance(one, dict) and "reference" in one)]
    if named:
        yield About(tuple(dict.fromkeys(own(target(one)) for one in named)))


_OPEN_TO_ALL: Final = frozenset(
    {"HealthcareService", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole", "Substance"}
)
"""What may be named without saying anything of anybody's health: these are open to every user."""
_OWNING: Final[Mapping[str, Callable[[Resource], list[Any]]]] = {
    "AdverseEvent": lambda resource: [resource.get("subject")],
    "Group": _members,
    "Schedule": lambda resource: items(resource, "actor"),
    "SupplyRequest": _supplied,
}
OWNED: Final = frozenset({*_OWNING, "Binary"})
"""The types whose patient is said by no parameter `patient`."""


def owner(resource: Resource) -> int | None:
    """Return the patient of one of `OWNED`, the first of several; None where there is none."""
    if resource["resourceType"] == "Binary":
        name = target(resource.get("securityContext"))
        return reference("patient", name) if type_of(name) == "Patient" else None
    return next((key for key in owners(resource) if key != NOBODY), None)
