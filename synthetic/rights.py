"""What of the cast's rights no feed says, as a system tells the FHIR API: custody, fuldmagt, and whom the municipality nurses.

A RelatedPerson with `GUARD` and the parent's link to it, a Consent with `POWATT`, an EpisodeOfCare (docs/explanation/access.md:
a HomeCareObservation is no evidence of a treatment relation). They are about people of whom something was sent: a link
before its Patient is 404, to be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from gateway.formats import json
from synthetic.cast import people

_HL7: Final = "http://terminology.hl7.org/CodeSystem"
FHIR: Final = "application/fhir+json"
_NURSE: Final = "municipal-nurse"
_SOR: Final = "urn:oid:1.2.208.176.1.1"
_SINCE: Final = "2026-01-01"
PATCH: Final = "application/json-patch+json"


class Request(NamedTuple):
    """A request to the FHIR API; `path` begins with the type. Made twice it says the same."""

    method: str
    path: str
    body: bytes
    content_type: str


def requests(record: Callable[[str], str]) -> Iterator[Request]:
    """Yield what is to be written, in order. `record` gives `Patient/<id>` of a citizen of people.toml by name."""
    cast, links = people(), dict[str, list[str]]()
    for name, citizen in cast["citizens"].items():
        if citizen.get("nursed"):
            yield _put(care(name, record(name), cast["staff"][_NURSE]["organisation"]))
    for name, acting in cast["acting"].items():
        own, other = record(acting["as"]), record(acting["for"])
        if acting["by"] == "custody":
            links.setdefault(own, []).append(f"RelatedPerson/{name}")
            yield _put(guardian(name, other))
        else:
            yield _put(fuldmagt(name, own, other))
    for patient, related in links.items():
        link = [{"other": {"reference": one}, "type": "seealso"} for one in related]
        patch = [{"op": "add", "path": "/link", "value": link}]
        yield Request("PATCH", patient, json.dumps(patch), PATCH)


def _put(resource: dict[str, Any]) -> Request:
    return Request("PUT", f"{resource['resourceType']}/{resource['id']}", json.dumps(resource), FHIR)


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{_HL7}/{system}", "code": code}]}


def care(name: str, patient: str, municipality: str) -> dict[str, Any]:
    """Return the EpisodeOfCare of a municipality (SOR number) that nurses somebody at home."""
    return {
        "resourceType": "EpisodeOfCare",
        "id": f"home-care-{name}",
        "status": "active",
        "patient": {"reference": patient},
        "managingOrganization": {"identifier": {"system": _SOR, "value": municipality}},
        "period": {"start": _SINCE},
    }


def guardian(name: str, child: str) -> dict[str, Any]:
    """Return the RelatedPerson who has custody of a child; a parent's Patient links to it."""
    return {
        "resourceType": "RelatedPerson",
        "id": name,
        "active": True,
        "patient": {"reference": child},
        "relationship": [_concept("v3-RoleCode", "GUARD")],
    }


def fuldmagt(name: str, holder: str, grantor: str) -> dict[str, Any]:
    """Return the Consent by which one citizen gives another power of attorney."""
    actor = {"role": _concept("v3-RoleCode", "POWATT"), "reference": {"reference": holder}}
    return {
        "resourceType": "Consent",
        "id": name,
        "status": "active",
        "scope": _concept("consentscope", "patient-privacy"),
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": grantor},
        "policyRule": _concept("v3-ActCode", "OPTIN"),
        "provision": {"type": "permit", "actor": [actor]},
    }
