"""Who of the cast may act for whom, as a system with the right to it tells the FHIR API: custody and fuldmagt.

No feed says either yet, so the demo writes them itself: a RelatedPerson with `GUARD` and the parent's link to it, a Consent
with `POWATT` (docs/explanation/access.md). They are about people of whom something was sent: a link before its Patient
is 404, to be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from gateway.formats import json
from synthetic.cast import people

_HL7: Final = "http://terminology.hl7.org/CodeSystem"
FHIR: Final = "application/fhir+json"
PATCH: Final = "application/json-patch+json"


class Request(NamedTuple):
    """A request to the FHIR API; `path` begins with the type. Made twice it says the same."""

    method: str
    path: str
    body: bytes
    content_type: str


def requests(record: Callable[[str], str]) -> Iterator[Request]:
    """Yield what is to be written, in order. `record` gives `Patient/<id>` of a citizen of people.toml by name."""
    links: dict[str, list[str]] = {}
    for name, acting in people()["acting"].items():
        own, other = record(acting["as"]), record(acting["for"])
        if acting["by"] == "custody":
            links.setdefault(own, []).append(f"RelatedPerson/{name}")
            yield _put(_guardian(name, other))
        else:
            yield _put(_fuldmagt(name, own, other))
    for patient, related in links.items():
        link = [{"other": {"reference": one}, "type": "seealso"} for one in related]
        patch = [{"op": "add", "path": "/link", "value": link}]
        yield Request("PATCH", patient, json.dumps(patch), PATCH)


def _put(resource: dict[str, Any]) -> Request:
    return Request("PUT", f"{resource['resourceType']}/{resource['id']}", json.dumps(resource), FHIR)


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{_HL7}/{system}", "code": code}]}


def _guardian(name: str, child: str) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "id": name,
        "active": True,
        "patient": {"reference": child},
        "relationship": [_concept("v3-RoleCode", "GUARD")],
    }


def _fuldmagt(name: str, holder: str, grantor: str) -> dict[str, Any]:
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
