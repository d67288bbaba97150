"""Valid MedCom messages from plain values: for samples, and for synthetic citizens. Pure: no clock, no randomness.

Source: MedCom HospitalNotification 3.0.2 and HomeCareObservation 1.2.1; what comes out keeps those guides. Ids of the
resources inside a message are derived from its letter, so the same arguments give the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from adapters.municipal_medcom import parts
from adapters.municipal_medcom.notification import EVENT as NOTIFICATION
from adapters.municipal_medcom.notification import LEAVE_PERIOD
from adapters.municipal_medcom.observation import EVENT as OBSERVATION
from adapters.municipal_medcom.parts import CORE, IG, MESSAGING, SOR_ENDPOINT, TERMINOLOGY, Citizen, Place, Sent
from gateway.model import Resource

_HOSPITAL = f"{IG}/hospitalnotification/StructureDefinition/medcom-hospitalNotification"
_HOMECARE = f"{IG}/homecareobservation/StructureDefinition/medcom-homecare"
_STEMS = {"STAA": "admit-emergency", "STIN": "admit-inpatient", "STOR": "start-leave-inpatient"} | {
    "SLOR": "end-leave-inpatient",
    "SLHJ": "discharge-{class}-home",
}
_STATUSES = {"STOR": "onleave", "SLHJ": "finished", "MORS": "finished", "AN_STAA": "entered-in-error"} | {
    "AN_STIN": "entered-in-error",
    "AN_SLOR": "onleave",
}
_ROLES = {"RE": "revision", "AN": "removal"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement: code under NPU (`NPU…`, `DNK…`) or MedCom (`MCS…`), its display, value and unit as written."""

    code: str
    display: str
    value: Decimal | int | str
    unit: str
    at: dt.datetime
    note: str = ""


def notification_activity(code: str, encounter_class: str, current: str = "") -> str:
    """Return Provenance.activity of a notification code (`STIN`, `RE_SLHJ`, …) for class `IMP` or `EMER`.

    MORS and what follows it keep the `current` activity. Raises KeyError for a code that MedCom does not have.
    """
    prefix, _, stem = code.rpartition("_")
    if stem == "MORS":
        return current
    kind = {"IMP": "inpatient", "EMER": "emergency"}[encounter_class]
    return {"": "", "RE": "revise-", "AN": "cancel-"}[prefix] + _STEMS[stem].replace("{class}", kind)


def notification_status(code: str, before: str = "in-progress") -> str:
    """Return Encounter.status of a notification code; AN_MORS goes back to the status `before`."""
    if code == "AN_MORS":
        return before
    return _STATUSES.get(code) or ("in-progress" if code.startswith("AN_") else _STATUSES.get(code[-4:], "in-progress"))


def compose_hospital_notification(
    code: str,
    citizen: Citizen,
    sender: Place,
    receiver: Place,
    history: Sequence[Sent],
    *,
    episode: str,
    started: dt.datetime,
    ended: dt.datetime | None = None,
    leave: tuple[dt.datetime, dt.datetime | None] | None = None,
    encounter_class: str = "IMP",
    status_before_death: str = "in-progress",
    report_wanted: bool = False,
) -> Resource:
    """Return a HospitalNotification 3.0.2 of the given code as a Bundle.

    `history` are the letters of the stay so far, oldest first, this one last; `episode` is the hospital's UUID of the
    stay; `leave` is start and end of the last leave; `report_wanted` asks for a report of admission (XDIS16).
    """
    sent = history[-1]
    name = parts.namer(sent.letter)
    hospital, municipality, person, stay = (name(part) for part in ("sender", "receiver", "patient", "encounter"))
    period = {"start": parts.iso(started), **({"end": parts.iso(ended)} if ended is not None else {})}
    encounter: Resource = {
        "resourceType": "Encounter",
        "id": stay,
        "meta": {"profile": [f"{_HOSPITAL}-encounter"]},
        "text": parts.narrative("Encounter", {"status": notification_status(code, status_before_death), **period}),
        "status": notification_status(code, status_before_death),
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": encounter_class},
        "subject": {"reference": f"Patient/{person}"},
        "episodeOfCare": [{"identifier": {"system": f"{SOR_ENDPOINT}{sender.sor}", "value": episode}}],
        "period": period,
        "serviceProvider": {"reference": f"Organization/{hospital}"},
    }
    if leave is not None:
        away = {"start": parts.iso(leave[0]), **({"end": parts.iso(leave[1])} if leave[1] is not None else {})}
        encounter["extension"] = [{"url": LEAVE_PERIOD, "valuePeriod": away}]
    header = parts.header(sent, NOTIFICATION, f"{_HOSPITAL}-messageHeader", (sender, receiver), f"Encounter/{stay}")
    stem = f"{IG}/hospitalnotification/StructureDefinition/medcom-messaging-reportOfAdmission"
    header["extension"] = [{"url": f"{stem}Extension", "valueBoolean": report_wanted}]
    if report_wanted:
        recipient = {"reference": f"Organization/{hospital}"}
        header["extension"].append({"url": f"{stem}RecipientExtension", "valueReference": recipient})
    patient = parts.patient(citizen, person)
    if code.endswith("MORS"):
        patient["deceasedBoolean"] = code != "AN_MORS"
    resources = [
        header,
        patient,
        encounter,
        parts.organisation(municipality, receiver.sor, receiver.gln, receiver.name),
        parts.organisation(hospital, sender.sor, sender.gln, sender.name),
        *parts.provenances(history, hospital, _ROLES.get(code[:2], "revision")),
    ]
    return parts.bundle(sent.envelope, f"{_HOSPITAL}-message", parts.iso(sent.at), resources)


def compose_homecare_observation(
    citizen: Citizen,
    sender: Place,
    receiver: Place,
    history: Sequence[Sent],
    readings: Sequence[Reading],
    *,
    nurse: str,
    phone: str,
    issued: dt.datetime,
    conclusion: str = "",
    restricted: bool = False,
) -> Resource:
    """Return a HomeCareObservation 1.2.1 as a Bundle.

    `receiver` is the practice that asked (its `yder` is needed); `nurse` is a given name; `restricted` marks a report
    that the citizen does not want shared (confidentiality R).
    """
    sent = history[-1]
    name = parts.namer(sent.letter)
    producer, practice, person = (name(part) for part in ("sender", "receiver", "patient"))
    role, staff, report = (name(part) for part in ("role", "practitioner", "report"))
    observations = [_observation(reading, name(f"observation-{n}"), person) for n, reading in enumerate(readings)]
    security = {
        "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        "code": "R",
        "display": "Restricted",
    }
    diagnostic: Resource = {
        "resourceType": "DiagnosticReport",
        "id": report,
        "meta": {
            "profile": [f"{_HOMECARE}observation-diagnosticreport"],
            **({"security": [security]} if restricted else {}),
        },
        "text": parts.narrative("DiagnosticReport", {"issued": parts.iso(issued)}),
        "status": "final",
        "code": {"coding": [{"system": f"{TERMINOLOGY}/MedComDiagnosticReportCodes", "code": "HomeCareReport"}]},
        "subject": {"reference": f"Patient/{person}"},
        "issued": parts.iso(issued),
        "performer": [{"reference": f"Organization/{producer}"}, {"reference": f"PractitionerRole/{role}"}],
        "result": [{"reference": f"Observation/{observation['id']}"} for observation in observations],
        **({"conclusion": conclusion} if conclusion else {}),
    }
    header = parts.header(
        sent, OBSERVATION, f"{_HOMECARE}observation-messageheader", (sender, receiver), f"DiagnosticReport/{report}"
    )
    header["definition"] = f"{IG}/messagedefinitions/MessageDefinition/MedComHomeCareObservationMessageDefinition|1.1"
    resources = [
        header,
        parts.patient(citizen, person),
        diagnostic,
        *_staff(role, staff, nurse, phone),
        _requester(parts.organisation(practice, receiver.sor, receiver.gln, receiver.name), receiver),
        _producer(parts.organisation(producer, sender.sor, sender.gln, sender.name)),
        *parts.provenances(history, producer, "revision"),
        *observations,
    ]
    return parts.bundle(sent.envelope, f"{_HOMECARE}observation-message", parts.iso(sent.at), resources)


def _observation(reading: Reading, identity: str, person: str) -> Resource:
    medcom = reading.code.startswith("MCS")
    system = f"{TERMINOLOGY}/medcom-observation-codes" if medcom else "urn:oid:1.2.208.176.2.1"
    pure = {"system": "http://unitsofmeasure.org", "code": "1"}
    unit = {"unit": reading.unit} if reading.unit else pure
    value = (
        {"valueString": reading.value}
        if isinstance(reading.value, str)
        else {"valueQuantity": {"value": reading.value, **unit}}
    )
    return {
        "resourceType": "Observation",
        "id": identity,
        "meta": {"profile": [f"{_HOMECARE}-observation"]},
        "text": parts.narrative("Observation", {reading.display: f"{reading.value} {reading.unit}".strip()}),
        "status": "final",
        "code": {"coding": [{"system": system, "code": reading.code, "display": reading.display}]},
        "subject": {"reference": f"Patient/{person}"},
        "effectiveDateTime": parts.iso(reading.at),
        **value,
        "interpretation": [{"coding": [{"system": f"{TERMINOLOGY}/medcom-core-interpretation-codes", "code": "NI"}]}],
        **({"note": [{"text": reading.note}]} if reading.note else {}),
    }


def _staff(role: str, staff: str, nurse: str, phone: str) -> list[Resource]:
    code = {"system": f"{TERMINOLOGY}/medcom-core-PractitionerRolesSKSadministrativ", "code": "sygeplejerske"}
    return [
        {
            "resourceType": "PractitionerRole",
            "id": role,
            "meta": {"profile": [f"{CORE}-practitionerrole"]},
            "text": parts.narrative("PractitionerRole", {"role": "sygeplejerske"}),
            "practitioner": {"reference": f"Practitioner/{staff}"},
            "code": [{"coding": [code]}],
        },
        {
            "resourceType": "Practitioner",
            "id": staff,
            "meta": {"profile": [f"{CORE}-practitioner"]},
            "text": parts.narrative("Practitioner", {"name": nurse, "phone": phone}),
            "name": [{"given": [nurse]}],
            "telecom": [{"system": "phone", "value": phone}],
        },
    ]


def _requester(organisation: Resource, place: Place) -> Resource:
    organisation["meta"] = {"profile": [f"{IG}/messaging/StructureDefinition/medcom-requesterorganization"]}
    organisation["identifier"].append({"system": "urn:oid:1.2.208.176.1.4", "value": place.yder})
    unknown = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    return {**organisation, "contact": [{"extension": [unknown]}]}


def _producer(organisation: Resource) -> Resource:
    organisation["meta"] = {"profile": [f"{MESSAGING.removesuffix('-messaging')}-producer-organization"]}
    organisation["identifier"].append({"system": f"{TERMINOLOGY}/MedComProducentID", "value": "KAF"})
    return organisation
