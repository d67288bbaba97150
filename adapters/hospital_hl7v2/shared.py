"""People, organisations, places and devices that a message mentions: resources that belong to no patient.

With an identifier they become resources of their own (`ENSURE`: the message only mentions them), the same for every
message that names the same identifier; known by words alone they stay words in `Reference.display`.
Source: HL7 v2-to-FHIR XCN[Practitioner], XON[Organization], PL[Location], EI[Device].

`at` is the field where the message mentions them: what lineage shows as their source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from adapters.hospital_hl7v2 import coded, datatypes, lineage
from adapters.hospital_hl7v2.setup import SOR, keep
from adapters.hospital_hl7v2.work import Field, Work
from gateway.formats import er7
from gateway.model import Mode, Resource

EUI_64: Final = "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680"
_PHYSICAL: Final = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_LEVELS: Final = (
    ("si", 4, "Site"),
    ("bu", 7, "Building"),
    ("lvl", 8, "Level"),
    ("wa", 1, "Ward"),
    ("ro", 2, "Room"),
    ("bd", 3, "Bed"),
)
"""Levels of a PL from the outside in: physical type, component, display."""
_EUI_64_HEX = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
_NPI_TYPE: Final = "NPI"


def _once(
    kind: str, part: er7.Part, work: Work, at: Field, make: Callable[[er7.Part, Work, Field], Resource | None]
) -> Resource | None:
    if work.trace is not None:
        return make(part, work, at)
    key = (kind, part.raw)
    known = work.setup.memory.references.get(key)
    if known is not None:
        work.mention_again(known[1])
        return known[0]
    mentioned, noticed = len(work.mentioned), len(work.notices)
    made = make(part, work, at)
    if made is not None and len(work.notices) == noticed:
        keep(work.setup.memory.references, key, (made, tuple(work.mentioned[mentioned:])))
    return made


def mention(resource: Resource, work: Work, at: Field) -> str:
    """Add a resource that the message only mentions; return its reference."""
    if work.trace is not None:
        lineage.mentioned(work, resource, at)
    reference = work.put(resource, Mode.ENSURE, shared=True)
    work.mentioned.append((reference, {**resource}))
    return reference


def practitioner(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """XCN → Reference to a Practitioner."""
    return _once("Practitioner", part, work, at, _practitioner) if part else None


def _practitioner(part: er7.Part, work: Work, at: Field) -> Resource | None:
    pieces = part.pieces()
    kind = pieces[9] if len(pieces) > 9 else ""  # noqa: PLR2004 - XCN-10 is the name type
    as_name = er7.Part(part.syntax.component.join([*(pieces[1:7] + [""] * 6)[:6], kind]), part.syntax)
    name = datatypes.name(as_name, work.setup)
    value = part.at(1)
    if not value:
        return {"display": name["text"]} if name else None
    authority = part.part(9)
    system = work.setup.identifier_system(authority) if authority else ""
    if not system and part.at(13).upper() in work.setup.authorities:
        system = work.setup.authorities[part.at(13).upper()]
    identifier: Resource = {"system": system or work.setup.local("practitioner"), "value": value}
    resource: Resource = {
        "resourceType": "Practitioner",
        "id": work.ids.resource("Practitioner", identifier["system"], value),
        "identifier": [identifier],
    }
    if name:
        resource["name"] = [name]
    degree = part.at(7)
    if degree:
        known = work.setup.kept["0360"].get(degree)
        code: Resource = (
            {"coding": [{"system": coded.V2 + "0360", "code": degree, "display": known}]} if known else {"text": degree}
        )
        resource["qualification"] = [{"code": code}]
    reference = mention(resource, work, at)
    return {"reference": reference} | ({"display": name["text"]} if name else {})


def practitioner_of_ndl(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """NDL → Reference to a Practitioner. NDL-1 is a CNN: an XCN one level down, its authority in three parts."""
    inner = part.part(1).pieces()
    syntax = part.syntax
    authority = syntax.subcomponent.join(inner[8:11])
    as_xcn = er7.Part(syntax.component.join([*(inner[:8] + [""] * 8)[:8], authority]), syntax)
    return practitioner(as_xcn, work, at._replace(form="CNN"))


def organisation(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """XON → Reference to an Organization."""
    return _once("Organization", part, work, at, _organisation) if part else None


def _organisation(part: er7.Part, work: Work, at: Field) -> Resource | None:
    name, value = part.at(1), part.at(10) or part.at(3)
    if not value:
        return {"display": name} if name else None
    authority = part.part(6)
    system = work.setup.identifier_system(authority) if authority else ""
    return _organisation_known(system or work.setup.local("organisation"), value, name, work, at)


def _organisation_known(system: str, value: str, name: str, work: Work, at: Field) -> Resource:
    resource: Resource = {
        "resourceType": "Organization",
        "id": work.ids.resource("Organization", system, value),
        "identifier": [{"system": system, "value": value}],
    }
    if name:
        resource["name"] = name
    reference = mention(resource, work, at)
    return {"reference": reference} | ({"display": name} if name else {})


def facility(work: Work) -> Resource | None:
    """Return a Reference to the Organization that MSH-4 names, None where the feed's `facilities` do not have it.

    No row of HL7 v2-to-FHIR fills Encounter.serviceProvider, and who treats a patient must not be guessed from a name: the
    feed's file says which SOR number a sender's facility has.
    """
    msh = work.message.segment("MSH")
    number = work.setup.facilities.get(msh.field(4).at(1).upper())
    return _organisation_known(SOR, number, "", work, Field(msh, 4)) if number else None


def producer(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """OBX-15 (CWE naming a laboratory) → Reference to an Organization."""
    code, words, system_name = part.at(1), part.at(2), part.at(3)
    if not code:
        return {"display": words} if words else None
    system = work.setup.coding.get(system_name.upper()) or work.setup.authorities.get(system_name.upper(), "")
    if not system_name and not words:
        return {"display": code}
    own = work.setup.local(f"organisation:{system_name}" if system_name else "organisation")
    return _organisation_known(system or own, code, words, work, at._replace(form="CWE"))


def location(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """PL → Reference to the most specific Location; those around it are linked by partOf."""
    return _once("Location", part, work, at, _location) if part else None


def _location(part: er7.Part, work: Work, at: Field) -> Resource | None:
    path: list[str] = []
    around = ""
    display: list[str] = []
    for kind, place, words in _LEVELS:
        name = part.part(place).at(1)
        if not name:
            continue
        path.append(f"{kind}={name}")
        display.append(name)
        resource: Resource = {
            "resourceType": "Location",
            "id": work.ids.resource("Location", work.setup.feed.name, *path),
            "name": " ".join(display),
            "mode": "instance",
            "physicalType": {"coding": [{"system": _PHYSICAL, "code": kind, "display": words}]},
        }
        if kind == "si":
            facility = part.part(4)
            if facility.at(2):
                resource["identifier"] = [
                    {"system": "urn:ietf:rfc:3986", "value": work.setup.identifier_system(facility)}
                ]
        if around:
            resource["partOf"] = {"reference": around}
        around = mention(resource, work, at._replace(form=f"PL.{place}"))
    if not around:
        words = part.at(9)
        return {"display": words} if words else None
    return {"reference": around, "display": " ".join(display)}


def device(part: er7.Part, work: Work, at: Field) -> Resource | None:
    """EI (OBX-18) → Reference to a Device."""
    return _once("Device", part, work, at, _device) if part else None


def _device(part: er7.Part, work: Work, at: Field) -> Resource | None:
    identifier = device_identifier(part, work)
    if identifier is None:
        return None
    resource: Resource = {
        "resourceType": "Device",
        "id": work.ids.resource("Device", identifier["system"], identifier["value"]),
        "identifier": [identifier],
    }
    return {"reference": mention(resource, work, at)}


def device_identifier(part: er7.Part, work: Work) -> Resource | None:
    """EI → Device identifier; an EUI-64 is written as HL7 PHD asks, capital hex pairs with dashes between."""
    for place in (3, 1):
        value = re.sub(r"[:-]", "", part.at(place))
        if _EUI_64_HEX.fullmatch(value) and "EUI-64" in (part.at(4).upper(), part.at(3).upper(), part.at(2).upper()):
            pairs = "-".join(value[at : at + 2] for at in range(0, 16, 2)).upper()
            return {"system": EUI_64, "value": pairs}
    return datatypes.entity(part, work.setup, fallback="device")
