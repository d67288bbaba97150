"""A record as FHIR R4 AuditEvent, in the shape of IHE BALP (Basic Audit Log Patterns). Pure.

A view: nothing of it is stored. What a resource held is not in the ledger, so it is not here either. A citizen's view leaves
out what would name an employee (Datatilsynet 2024, C-579/21: times and purposes of looks, not who looked), where the request
came from, and everything that is about somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.access import Purpose
from gateway.audit.block import Line
from gateway.audit.record import Record
from gateway.audit.vocabulary import MEANINGS, OF_IDENTITY, Event
from gateway.clock import instant
from gateway.model import Resource
from gateway.search.query import own, reference_parameter

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_REST: Final = "http://hl7.org/fhir/restful-interaction"
SOR: Final = "urn:oid:1.2.208.176.1.1"
AUTHORISATION: Final = "https://autregweb.sst.dk"
OURS: Final = "urn:sundbro:"
PURPOSES: Final[Mapping[str, tuple[str, str]]] = {
    Purpose.OWN.value: ("PATRQT", "patient requested"),
    Purpose.TREATMENT.value: ("TREAT", "treatment"),
    Purpose.VAERDISPRING.value: ("BTG", "break the glass"),
    Purpose.CONSENT.value: ("TREAT", "treatment"),
    Purpose.QUALITY.value: ("HQUALIMP", "health quality improvement"),
    Purpose.OPERATION.value: ("SYSADMIN", "health system administration"),
}
"""Purpose → code and display of v3-ActReason; sharing has none that fits, and is told in words."""
_BAD_REQUEST: Final = 400
_SERVER_FAULT: Final = 500
_DISPLAYS: Final = {
    "read": "read", "vread": "vread", "history": "history", "search": "search", "create": "create", "update": "update",
    "patch": "patch", "delete": "delete", "batch": "batch", "operation": "operation",
}  # fmt: skip

_RESTFUL: Final = {"system": f"{_TERMINOLOGY}audit-event-type", "code": "rest", "display": "RESTful Operation"}
_USER: Final = {"system": _DICOM, "code": "110114", "display": "User Authentication"}


def patient_own(patient: int) -> int:
    """Return `search.query.own('Patient/<id>')` of how the ledger names a patient."""
    return patient ^ reference_parameter("patient")


def audit_event(line: Line, record: Record, persons: Mapping[int, str], only: frozenset[int] | None = None) -> Resource:
    """Return the AuditEvent of a record. `persons` are ids of Patients by `own` of their references; `only` is whose view
    it is, None an operator's.
    """
    meaning = MEANINGS[record.event]
    recorded = instant(line.at)
    made: Resource = {
        "resourceType": "AuditEvent",
        "id": line.name,
        "meta": {"versionId": "1", "lastUpdated": recorded},
        "type": _USER if record.event in OF_IDENTITY else _RESTFUL,
    }
    rest = [_coding(_REST, meaning.subtype, _DISPLAYS[meaning.subtype])] if meaning.subtype else []
    own_code = record.code or (record.event.value if not rest or record.event is Event.INTENDED else "")
    own_codes = [record.event.value, own_code] if record.event is Event.LOGOUT else [own_code]
    made["subtype"] = [*rest, *(_coding(f"{OURS}code", code) for code in dict.fromkeys(own_codes) if code)]
    made |= {"action": meaning.action, "recorded": recorded, "outcome": _outcome(record.status)}
    if record.why:
        made["outcomeDesc"] = record.why
    if purpose := _purpose(record.purpose):
        made["purposeOfEvent"] = [purpose]
    made["agent"] = _agents(record, only)
    made["source"] = {
        "observer": {"display": "Sundbro"},
        "type": [_coding(f"{_TERMINOLOGY}security-source-type", "4", "Application Server")],
    }
    if entities := _entities(record, persons, only):
        made["entity"] = entities
    return made


def _coding(system: str, code: str, display: str = "") -> dict[str, str]:
    return {"system": system, "code": code, **({"display": display} if display else {})}


def _outcome(status: int) -> str:
    """Return the audit-event-outcome: 0 success (of what is only intended too), 4 minor failure, 8 serious failure."""
    return "0" if status < _BAD_REQUEST else "4" if status < _SERVER_FAULT else "8"


def _purpose(purpose: str) -> dict[str, Any] | None:
    if not purpose:
        return None
    if purpose in PURPOSES:
        return {"coding": [_coding(f"{_TERMINOLOGY}v3-ActReason", *PURPOSES[purpose])], "text": purpose}
    return {"text": purpose}


def _agents(record: Record, only: frozenset[int] | None) -> list[dict[str, Any]]:
    """Return the client, who used it, his organisation, and this server. Exactly one is who asked."""
    user = record.kind in {"citizen", "staff"}
    client: dict[str, Any] = {
        "type": {"coding": [_coding(_DICOM, "110153", "Source Role ID")]},
        "who": {"identifier": {"system": f"{OURS}client", "value": record.client}} if record.client else None,
        "requestor": not user,
    }
    if record.source and only is None:
        client["network"] = {"address": record.source, "type": "2"}
    agents = [client]
    if user:
        agents.append(_user(record, only))
    if record.organisation:
        agents.append(
            {
                "type": {"coding": [_coding(f"{_TERMINOLOGY}v3-RoleClass", "PROV", "healthcare provider")]},
                "who": {"identifier": {"system": SOR, "value": record.organisation}},
                "requestor": False,
            }
        )
    agents.append(
        {
            "type": {"coding": [_coding(_DICOM, "110152", "Destination Role ID")]},
            "who": {"display": "Sundbro"},
            "requestor": False,
        }
    )
    return [{name: value for name, value in agent.items() if value is not None} for agent in agents]


def _user(record: Record, only: frozenset[int] | None) -> dict[str, Any]:
    user: dict[str, Any] = {
        "type": {"coding": [_coding(f"{_TERMINOLOGY}v3-ParticipationType", "IRCP", "information recipient")]},
        "requestor": True,
    }
    if record.role:
        user["role"] = [{"text": record.role}]
    if record.person:
        user["who"] = {"reference": record.person}
    elif record.subject and only is None:
        user["who"] = {"identifier": {"system": f"{OURS}user", "value": record.subject}}
        if record.authorisation:
            user["altId"] = record.authorisation
    if record.rules:
        user["policy"] = [f"{OURS}rule:{rule}" for rule in record.rules]
    if purpose := _purpose(record.purpose):
        user["purposeOfUse"] = [purpose]
    return user


def _entity(code: str, role: tuple[str, str], **more: Any) -> dict[str, Any]:
    kinds = {"1": "Person", "2": "System Object"}
    return {
        **more,
        "type": _coding(f"{_TERMINOLOGY}audit-entity-type", code, kinds[code]),
        "role": _coding(f"{_TERMINOLOGY}object-role", *role),
    }


def _entities(record: Record, persons: Mapping[int, str], only: frozenset[int] | None) -> list[dict[str, Any]]:
    found = []
    for patient in record.patients:
        if only is None or patient in only:
            known = persons.get(patient_own(patient))
            what: dict[str, Any] = {"reference": f"Patient/{known}"}
            if not known:
                what = {"identifier": {"system": f"{OURS}patient", "value": str(patient)}}
            found.append(_entity("1", ("1", "Patient"), what=what))
    if record.on_behalf_of and (only is None or own(record.on_behalf_of) in {patient_own(one) for one in only}):
        found.append(_entity("1", ("1", "Patient"), what={"reference": record.on_behalf_of}, name="on behalf of"))
    if only is not None and not {*record.patients} <= only:
        return found  # which of the rest is about whom the ledger does not say
    for resource in record.resources:
        kind, name, version = resource.split("/")
        reference = f"{kind}/{name}/_history/{version}"
        found.append(_entity("2", ("4", "Domain Resource"), what={"reference": reference}))
    if record.address:
        found.append(_entity("2", ("4", "Domain Resource"), what={"reference": record.address}))
    if record.asked:
        details = [{"type": "parameter", "valueString": name} for name in record.names if name]
        what = {"identifier": {"system": f"{OURS}search", "value": record.asked}}
        found.append(_entity("2", ("24", "Query"), what=what, **({"detail": details} if details else {})))
    if record.entries:
        told = [
            {"type": "entry", "valueString": f"{one.event} {one.type} {one.status}".replace("  ", " ")}
            for one in record.entries
        ]
        found.append(_entity("2", ("21", "Job Stream"), name="Bundle", detail=told))
    if record.trace and only is None:
        found.append(_entity("2", ("21", "Job Stream"), what={"identifier": {"value": record.trace}}, name="trace"))
    if record.reason and only is None:
        found.append(_entity("2", ("13", "Security Resource"), name="reason", description=record.reason))
    return found
