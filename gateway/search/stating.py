"""What a resource says of who may see what: `read` takes the facts (`standing`) out of it when it is written.

The store keeps them in tables beside it, in the same transaction, so that they hold everywhere at once. Pure: no clock, no
policy. Which codes are read as what, and by which law, stands in docs/explanation/access.md.

What narrows a block in a way that is not read here is passed over, so that it hides more; what narrows a mandate in such
a way makes it none at all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.model import Resource
from gateway.search import owning, times
from gateway.search.indexed import own, reference
from gateway.search.owning import items as _items
from gateway.search.owning import target as _target
from gateway.search.references import type_of
from gateway.search.standing import (
    AUTHORISATION,
    SOR,
    Block,
    Born,
    Category,
    Known,
    Mandate,
    Power,
    Relation,
    Same,
    Sharer,
    Standing,
    known_as,
)

ROLES: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
SCOPES: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
TYPES: Final = "http://hl7.org/fhir/resource-types"
_FULDMAGT: Final = frozenset({"POWATT", "HPOWATT"})
_CUSTODY: Final = frozenset({"GUARD"})
_PROFESSIONALS: Final = frozenset({"Organization", "Practitioner", "PractitionerRole"})
_NARROWING: Final = frozenset({"purpose", "code", "data", "dataPeriod", "securityLabel", "provision"})
"""Elements of a permit that are not read: a mandate that has one is none."""
_OPEN: Final = (times.OPEN_LOW, times.OPEN_HIGH)
_REFERRED: Final = dt.timedelta(days=365)
"""How long a referral that nobody closes stands for a relation."""


def read(resource: Resource) -> tuple[Standing, ...]:
    """Return the facts that a resource states; most types state none. What is not valid R4 in them is passed over."""
    reader = _READERS.get(resource["resourceType"])
    if reader is None:
        return ()
    return tuple(dict.fromkeys(reader(resource)))


def _keys(value: Any) -> Iterator[int]:
    """Yield the keys of whom a Reference names: by its text, by its identifier."""
    if not isinstance(value, dict):
        return
    if target := _target(value):
        yield own(target)
    yield from _named(value.get("identifier"))


def _named(value: Any) -> Iterator[int]:
    """Yield the key of an Identifier that names an organisation or a professional."""
    if isinstance(value, dict) and value.get("system") in {SOR, AUTHORISATION} and isinstance(value.get("value"), str):
        yield known_as(value["system"], value["value"])


def _patient(value: Any) -> int | None:
    target = _target(value)
    return reference("patient", target) if target else None


def _span(value: Any) -> tuple[dt.datetime, dt.datetime]:
    """Return what a Period covers, all times where it is none."""
    return (times.period(value) if isinstance(value, dict) else None) or _OPEN


def _codes(concept: Any, system: str) -> set[str]:
    return {str(one.get("code")) for one in _items(concept, "coding") if one.get("system") == system}


def _encounter(resource: Resource) -> Iterator[Standing]:
    status, span = resource.get("status"), resource.get("period")
    if status in {"cancelled", "entered-in-error"} or not isinstance(span, dict):
        return
    starts, ends = _span(span)
    if status == "finished" and "end" not in span:
        ends = starts
    yield from _relations(resource.get("subject"), [resource.get("serviceProvider")], Category.A, starts, ends)


def _episode(resource: Resource) -> Iterator[Standing]:
    status, span = resource.get("status"), resource.get("period")
    if status in {"cancelled", "entered-in-error"} or not isinstance(span, dict):
        return
    starts, ends = _span(span)
    if status == "finished" and "end" not in span:
        ends = starts
    yield from _relations(
        resource.get("patient"), [resource.get("managingOrganization")], Category.B_PLUS, starts, ends
    )


def _referral(resource: Resource) -> Iterator[Standing]:
    status, authored = resource.get("status"), resource.get("authoredOn")
    if status not in {"active", "on-hold", "completed"}:
        return
    if isinstance(resource.get("occurrencePeriod"), dict):
        starts, ends = _span(resource["occurrencePeriod"])
    elif isinstance(authored, str):
        starts = times.interval(authored)[0]
        ends = starts if status == "completed" else starts + _REFERRED
    else:
        return
    named = [*_items(resource, "performer"), resource.get("requester")]
    organisations = [one for one in named if type_of(_target(one)) in {"Organization", ""}]
    yield from _relations(resource.get("subject"), organisations, Category.A_PLUS, starts, ends)


def _relations(
    subject: Any, organisations: list[Any], category: Category, starts: dt.datetime, ends: dt.datetime
) -> Iterator[Standing]:
    patient = _patient(subject)
    if patient is None:
        return
    for one in organisations:
        for key in _keys(one):
            yield Relation(patient, key, category, starts, ends)


def _consent(resource: Resource) -> Iterator[Standing]:
    patient = _patient(resource.get("patient"))
    scope = _codes(resource.get("scope"), SCOPES)
    if patient is None or resource.get("status") != "active" or "patient-privacy" not in scope:
        return
    rule = resource.get("provision")
    if not isinstance(rule, dict):
        return
    if rule.get("type") == "permit":
        yield from _permitted(patient, rule)
    yield from _denied(patient, rule)


def _denied(patient: int, rule: Mapping[str, Any]) -> Iterator[Standing]:
    """Yield the blocks of a rule and of those within it: one for each actor and each thing it is about."""
    if rule.get("type") == "deny":
        starts, ends = _span(rule.get("period"))
        actors: list[int | None] = [key for one in _items(rule, "actor") for key in _keys(one.get("reference"))]
        low, high = _span(rule["dataPeriod"]) if isinstance(rule.get("dataPeriod"), dict) else (None, None)
        for actor in actors or [None]:
            for source, document in _about(rule) or [(None, None)]:
                yield Block(patient, starts, ends, actor, low, high, source, document)
    for inner in _items(rule, "provision"):
        yield from _denied(patient, inner)


def _about(rule: Mapping[str, Any]) -> list[tuple[int | None, int | None]]:
    """Return (source, document) of each thing that a rule is about."""
    return [
        (key, None) if one.get("meaning") == "authoredby" else (None, key)
        for one in _items(rule, "data")
        for key in _keys(one.get("reference"))
    ]


def _permitted(patient: int, rule: Mapping[str, Any]) -> Iterator[Standing]:
    """Yield the mandates of a permit, none where it is narrowed in a way that is not read here."""
    classes = _items(rule, "class")
    if not _NARROWING.isdisjoint(rule) or any(one.get("system") != TYPES for one in classes):
        return
    actions = [code for one in _items(rule, "action") for code in _items(one, "coding")]
    if actions and not any(one.get("code") == "access" for one in actions):
        return
    types = [str(one.get("code")) for one in classes] or [""]
    starts, ends = _span(rule.get("period"))
    for actor in _items(rule, "actor"):
        named = actor.get("reference")
        if not _codes(actor.get("role"), ROLES).isdisjoint(_FULDMAGT):
            power = Power.FULDMAGT
        elif type_of(_target(named)) in _PROFESSIONALS or (not _target(named) and any(_keys(named))):
            power = Power.AGREED
        else:
            continue
        for key in _keys(named):
            for kind in types:
                yield Mandate(patient, key, power, kind, starts, ends)


def _related(resource: Resource) -> Iterator[Standing]:
    patient, name = _patient(resource.get("patient")), resource.get("id")
    if patient is None or not name or resource.get("active") is False:
        return
    codes = {code for one in _items(resource, "relationship") for code in _codes(one, ROLES)}
    starts, ends = _span(resource.get("period"))
    for power, wanted in ((Power.CUSTODY, _CUSTODY), (Power.FULDMAGT, _FULDMAGT)):
        if not codes.isdisjoint(wanted):
            yield Mandate(patient, own(f"RelatedPerson/{name}"), power, "", starts, ends)


def _person(resource: Resource) -> Iterator[Standing]:
    mine = f"Patient/{resource.get('id')}"
    patient = reference("patient", mine)
    born = resource.get("birthDate")
    if isinstance(born, str):
        yield Born(patient, dt.date.fromisoformat((born + "-01-01")[:10]))
    for one in _items(resource, "link"):
        target = _target(one.get("other"))
        if one.get("type") == "seealso" and type_of(target) == "RelatedPerson":
            yield Known(own(mine), own(target))
    yield from _linked(resource, patient)
    for one in _items(resource, "generalPractitioner"):
        if type_of(_target(one)) in {"Organization", ""}:
            for key in _keys(one):
                yield Relation(patient, key, Category.B, *_OPEN)


def _linked(resource: Resource, patient: int) -> Iterator[Standing]:
    """Yield the records that are the same person's, as `identity.persons` reads links: by `replaced-by` at the record that
    was replaced, both ways, and by `seealso` where the other says so too.
    """
    for one in _items(resource, "link"):
        target = _target(one.get("other"))
        if not target.startswith("Patient/") or (other := reference("patient", target)) == patient:
            continue
        if one.get("type") == "replaced-by":
            yield Same(patient, other, mutual=False)
            yield Same(other, patient, mutual=False)
        elif one.get("type") == "seealso":
            yield Same(patient, other, mutual=True)


def _organisation(resource: Resource) -> Iterator[Standing]:
    yield from _identified(resource)
    for whole in _keys(resource.get("partOf")):
        yield Known(own(f"Organization/{resource.get('id')}"), whole)


def _identified(resource: Resource) -> Iterator[Standing]:
    mine = own(f"{resource['resourceType']}/{resource.get('id')}")
    for one in _items(resource, "identifier"):
        for key in _named(one):
            yield Known(key, mine)
            yield Known(mine, key)


def _role(resource: Resource) -> Iterator[Standing]:
    yield from _identified(resource)
    mine = own(f"PractitionerRole/{resource.get('id')}")
    for key in _keys(resource.get("practitioner")):
        yield Known(key, mine)
        yield Known(mine, key)


def _shared(resource: Resource) -> Iterator[Standing]:
    """Yield the patients of a type that may have several, but for the first."""
    actors = [one.get("actor") for one in _items(resource, "participant")]
    named = _items(resource, "subject") if resource["resourceType"] == "Account" else actors
    targets = dict.fromkeys(target for one in named if type_of(target := _target(one)) == "Patient")
    for target in list(targets)[1:]:
        yield Sharer(reference("patient", target))


_READERS: Final[Mapping[str, Callable[[Resource], Iterator[Standing]]]] = {
    "Account": _shared,
    "Appointment": _shared,
    "Binary": owning.subject,
    "Consent": _consent,
    "Encounter": _encounter,
    "EpisodeOfCare": _episode,
    "Group": owning.several,
    "Organization": _organisation,
    "Patient": _person,
    "Person": owning.linked,
    "Practitioner": _identified,
    "PractitionerRole": _role,
    "Provenance": owning.subject,
    "RelatedPerson": _related,
    "Schedule": owning.several,
    "ServiceRequest": _referral,
    "SupplyRequest": owning.several,
}
STATING: Final = frozenset(_READERS)
"""The types whose resources may state facts."""
