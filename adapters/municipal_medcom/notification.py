"""HospitalNotification: somebody was admitted, went on leave, came back, was discharged, died; or none of it was so.

Source: MedCom HospitalNotification 2.0.0 and 3.0.2; "Overview of HospitalNotification codes and HL7 FHIR resources".
All letters of a stay become one Encounter, found by the number of the episode; which of them is newest is decided by
Provenance.occurredDateTime, not by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.municipal_medcom.house import House
from adapters.municipal_medcom.message import CPR, Fault, Node, Part
from gateway.model import Change, Mode, Notice, RejectionCode, Resource
from gateway.terminology.tables import Row

EVENT = "hospital-notification-message"
LEAVE_PERIOD = (
    "http://medcomfhir.dk/ig/hospitalnotification/StructureDefinition/medcom-hospitalnotifiation-leave-period-extension"
)
"""Spelled as published."""

_STATUSES = frozenset({"in-progress", "onleave", "finished", "entered-in-error", "cancelled"})
_CLASSES = frozenset({"EMER", "IMP"})
_TAKEN = frozenset(
    {"identifier", "extension", "status", "class", "subject", "episodeOfCare", "period", "serviceProvider"}
)
"""The profile forbids most other elements of Encounter (data minimisation by law): none of them is carried further."""


def translate(house: House) -> None:
    """Make the changes of a HospitalNotification. Raises Fault."""
    message = house.message
    patient = house.take_patient()
    if house.person is None or house.person.system != CPR:
        at = f"{patient.at}.identifier"
        raise Fault(RejectionCode.IDENTITY_INVALID, at, "a HospitalNotification names its person by a CPR number")
    focus = message.find(message.header.node.need("focus"), "Encounter")
    _check(house, focus, patient)
    house.taken["Encounter"] = _TAKEN
    house.finish["Encounter"] = lambda _, resource: _keep_leave(resource)
    house.finish["Patient"] = lambda _, resource: _without_death(resource)
    house.refer(message.header)
    house.refer(message.own_provenance)
    house.refer(focus)
    house.refer(patient)
    house.work()
    _tell_death(house, patient)
    _clear_leave(house)


def _check(house: House, encounter: Part, patient: Part) -> None:
    node = encounter.node
    _closed(node.need("status"), _STATUSES)
    _closed(node.need("class", "code"), _CLASSES)
    house.not_in_future(node.need("period", "start"))
    if house.message.find(node.need("subject"), "Patient") is not patient:
        raise Fault(RejectionCode.REFERENCE_BROKEN, f"{node.at}.subject", "must be the Patient of this message")
    house.message.find(node.need("serviceProvider"), "Organization")
    activity = house.message.own_provenance.node.need("activity", "coding", "code")
    rows = house.context.tables.compiled("medcom/hospital-notification", "rows", tuple)
    _closed(activity, {row["activity"] for row in rows})
    deceased = patient.node.get("deceasedBoolean")
    said = (activity.text(), node.need("class", "code").text(), node.need("status").text())
    if not _known(rows, said, "" if deceased is None else str(deceased.value).lower()):
        text = "Encounter.class, Encounter.status, Provenance.activity and Patient.deceased are not a notification code"
        house.notices.append(Notice("code-combination", activity.at, text))


def _closed(node: Node, allowed: frozenset[str] | set[str]) -> None:
    if node.text() not in allowed:
        raise Fault(RejectionCode.CODE_UNKNOWN, node.at, "not one of the codes that MedCom allows here")


def _known(rows: Sequence[Row], said: tuple[str, str, str], deceased: str) -> bool:
    return any(
        row["deceased"] == deceased
        and all(
            wanted in {"*", word}
            for wanted, word in zip((row["activity"], row["class"], row["status"]), said, strict=True)
        )
        for row in rows
    )


def _keep_leave(resource: Resource) -> None:
    extensions = [_leave(item) for item in resource.pop("extension", []) if _is_leave(item)]
    if extensions:
        resource["extension"] = extensions


def _is_leave(extension: object) -> bool:
    """Know the leave period under its present canonical and under the older ones, which end alike."""
    url = extension.get("url") if isinstance(extension, dict) else None
    return isinstance(url, str) and url.rpartition("/")[2] == LEAVE_PERIOD.rpartition("/")[2]


def _leave(extension: Resource) -> Resource:
    return {**extension, "url": LEAVE_PERIOD}


def _without_death(resource: Resource) -> None:
    """Leave death to the change that states it: this one only mentions the person."""
    resource.pop("deceasedBoolean", None)
    resource.pop("deceasedDateTime", None)


def _tell_death(house: House, patient: Part) -> None:
    """MORS and its cancellation: the one thing that a notification states about a person, not merely mentions."""
    deceased = patient.node.get("deceasedBoolean")
    if deceased is None:
        return
    if not isinstance(deceased.value, bool):
        raise Fault(RejectionCode.VALUE_INVALID, deceased.at, "true or false must stand here")
    reference = house.refer(patient)
    identity = reference.partition("/")[2]
    stated: Resource = {"resourceType": "Patient", "id": identity, "deceasedBoolean": deceased.value}
    house.changes.append(Change(stated, Mode.MERGE, house.lane, house.happened_at))
    house.note(
        reference,
        "deceasedBoolean",
        "stated-not-mentioned",
        deceased.at,
        official="mappings/medcom/hospital-notification.csv MORS",
    )


def _clear_leave(house: House) -> None:
    """AN_STOR: the leave was never so, and its period goes; every other letter leaves it as it was last told."""
    activity = house.message.own_provenance.node.need("activity", "coding", "code").text()
    for change in house.changes:
        if change.resource["resourceType"] == "Encounter" and activity == "cancel-start-leave-inpatient":
            change.resource.pop("extension", None)
            change.clear = ("extension",)
